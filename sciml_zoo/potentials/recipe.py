"""From a recipe to a task ready for the trainer: reads structures, and derives from them what is not given."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import nn
from torch_geometric.data import Data

from sciml_zoo.datasets import referenced_file
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.potentials.batches import batches
from sciml_zoo.potentials.bond_prior import BondPrior
from sciml_zoo.potentials.calibration import calibrate_uncertainty
from sciml_zoo.potentials.data import collate, energy_of, forces_of, model_inputs, neighbours, read_structures, to_graph
from sciml_zoo.potentials.distillation import DistillationConfig, label_by_teachers, load_teachers
from sciml_zoo.potentials.metrics import EnergyForceErrors
from sciml_zoo.potentials.model import GTOConfig, GTOPotential, RadialConfig, RadialPotential
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.task import LossConfig, PotentialTask
from sciml_zoo.training.prepared import PreparedTraining
from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig
from sciml_zoo.zoo.resolve import load_model

__all__ = ["DataConfig", "GTORecipe", "RadialRecipe", "prepare", "recipe_type"]

# A molecule's cutoff need not exceed the molecule, and a crystal's should hold a few shells.
_MOLECULE_CUTOFF = 5.0
_CRYSTAL_CUTOFFS = (4.0, 6.0)
_CRYSTAL_NEIGHBOURS = 40.0
_CALIBRATION_ATOMS = 512
# eV; below it all structures are the same to any method that could have made them.
_SMALLEST_SCALE = 1e-6


@dataclass(frozen=True)
class DataConfig:
    """Training data of a potential.

    Attributes:
        train: a structure file with energies (eV) and forces (eV/Å), or ``dataset:NAME/FILE`` from the catalogue; or
            several.
        validation: the same; None: a random part of ``train``.
        validation_fraction: that part, in (0, 1).
        split_seed: of that choice; None: the recipe's seed.
        isolated_atoms: a file of single atoms whose energies are the atomic shifts to start from.
        energy_key: name of the energies in the files.
        forces_key: name of the forces in the files.
        stress_key: name of the stresses in the files.
        group_repeats: how often an epoch shows a training structure of a group, as its ``group`` in the file says:
            ``{Surface: 6}`` for what is rare, and rarely alike. Once for any other.
    """

    train: str | tuple[str, ...]
    validation: str | None = None
    validation_fraction: float = 0.05
    split_seed: int | None = None
    isolated_atoms: str | None = None
    energy_key: str = "energy"
    forces_key: str = "forces"
    stress_key: str = "stress"
    group_repeats: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for group, repeats in self.group_repeats.items():
            if repeats < 1:
                raise InputError(f"group_repeats: {group} must be shown at least once, got {repeats}")
        if not 0 < self.validation_fraction < 1:
            raise InputError(f"validation_fraction must lie between 0 and 1, got {self.validation_fraction}")


@dataclass(frozen=True)
class _Recipe:
    """What the recipes of all potentials have in common.

    Attributes:
        architecture: name of the model.
        data: what it is trained on.
        seed: of the split and of the initial weights.
        initial: weights to go on from, of the same shape: a name, or ``local-dir:FOLDER``; their energy shifts are
            fitted to the data. None: random ones.
        loss: what is minimised.
        distillation: further structures, labelled by other potentials.
        optimizer: how it is minimised.
        trainer: how long, and how closely watched.
    """

    architecture: str
    data: DataConfig
    seed: int = 0
    initial: str | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    distillation: DistillationConfig | None = None
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=lambda: TrainerConfig(monitor="force_mae_mev_per_a"))

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not zero or more")
        if self.trainer.monitor not in EnergyForceErrors.NAMES:
            hint = nearest(self.trainer.monitor, EnergyForceErrors.NAMES)
            raise InputError(f"trainer.monitor: {self.trainer.monitor!r} is not measured here; {hint}")


@dataclass(frozen=True)
class GTORecipe(_Recipe):
    """How a :class:`GTOPotential` is trained."""

    model: GTOConfig = field(default_factory=GTOConfig)


@dataclass(frozen=True)
class RadialRecipe(_Recipe):
    """How a :class:`RadialPotential` is trained."""

    model: RadialConfig = field(default_factory=RadialConfig)


_RECIPES: dict[str, type[GTORecipe] | type[RadialRecipe]] = {
    "gto_potential": GTORecipe,
    "radial_potential": RadialRecipe,
}


def recipe_type(architecture: str) -> type[GTORecipe] | type[RadialRecipe]:
    """Returns the recipe dataclass of an architecture of this domain."""
    return _RECIPES[architecture]


def prepare(recipe: GTORecipe | RadialRecipe) -> PreparedTraining[GTORecipe | RadialRecipe]:
    """Reads the data, splits it, chooses cutoff, elements, shifts and scale, and builds the model.

    Args:
        recipe: the recipe; its seed decides the split and the initial weights.

    Returns:
        All that the trainer needs.

    Raises:
        InputError: data that cannot be read, too few structures to split, or elements that the recipe excludes.
    """
    train, validation = _split(recipe)
    present = sorted({int(z) for atoms in [*train, *validation] for z in atoms.numbers})
    start = None if recipe.initial is None else _initial(recipe)
    shape: GTOConfig | RadialConfig = recipe.model if start is None else start.config  # type: ignore[assignment]
    elements = tuple(present) if shape.elements is None else tuple(shape.elements)
    missing = [chemical_symbols[z] for z in present if z not in elements]
    if missing and start is not None:
        raise InputError(f"initial: {recipe.initial} does not know {', '.join(missing)}, which the data have")
    if missing:
        raise InputError(f"data has {', '.join(missing)}, but model.elements does not: add them or leave it out")
    cutoff = _choose_cutoff(train) if shape.cutoff is None else shape.cutoff
    model_config = dataclasses.replace(shape, elements=elements, cutoff=cutoff)
    torch.manual_seed(recipe.seed)
    model: Potential
    if start is not None:
        model = start
    else:
        model = GTOPotential(model_config) if isinstance(model_config, GTOConfig) else RadialPotential(model_config)
        shifts, scale = _shifts_and_scale(train, elements, recipe.data)
        model.shifts.copy_(torch.from_numpy(shifts))
        model.scale.fill_(scale)
    keys = _keys(recipe.data)
    train_graphs = [to_graph(atoms, cutoff, labels=True, **keys) for atoms in train]
    validation_graphs = [to_graph(atoms, cutoff, labels=True, **keys) for atoms in validation]
    shown = _repeated(train, train_graphs, recipe.data.group_repeats)
    made: list[Data] = []
    if recipe.distillation is not None:
        teachers = load_teachers(recipe.distillation, present)
        rng = np.random.default_rng([recipe.seed, 1])
        largest = max(float(graph.forces.abs().max()) for graph in train_graphs)
        labelled = label_by_teachers(
            teachers, train, recipe.distillation, rng, largest_force=largest, stress=recipe.loss.stress_weight > 0
        )
        made = [to_graph(atoms, cutoff, labels=True) for atoms in labelled]
        made += shown * (recipe.distillation.repeats - 1)
    if start is None:
        model.calibrate(**model_inputs(collate(_sample(train_graphs, _CALIBRATION_ATOMS))))
    else:
        _refit_shifts(model, train_graphs)
    prior = BondPrior(train, cutoff, pairs=recipe.loss.bond_pairs) if recipe.loss.bond_weight > 0 else None
    edges = sum(graph.num_edges for graph in train_graphs) / sum(graph.num_nodes for graph in train_graphs)
    notes = {
        "structures": f"{len(train)} for training, {len(validation)} for validation",
        "elements": ", ".join(chemical_symbols[z] for z in elements),
        "cutoff": f"{cutoff:.2f} Å, {edges:.1f} neighbours per atom",
        "energy shifts": ", ".join(
            f"{chemical_symbols[z]} {e:.3f} eV" for z, e in zip(elements, model.shifts.tolist(), strict=True)
        ),
        "energy scale": f"{model.scale.item():.4f} eV per atom (the larger of rms force, eV/Å, and energy spread)",
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
    }
    stressed = sum(bool(torch.isfinite(graph.stress).any()) for graph in train_graphs)
    if recipe.loss.stress_weight > 0:
        if not stressed:
            raise InputError(
                "loss.stress_weight: no training structure has a stress; set it to 0, or name the stresses with "
                "data.stress_key"
            )
        notes["stresses"] = f"of {stressed} training structures"
    if recipe.distillation is not None:
        repeats = f"each training structure {recipe.distillation.repeats} times"
        notes["distillation"] = (
            f"{recipe.distillation.structures} structures labelled by {len(teachers)} teachers; {repeats}"
        )
    if np.linalg.matrix_rank([[np.count_nonzero(a.numbers == z) for z in elements] for a in train]) < len(elements):
        notes["energy shifts"] += " (too few compositions: only their sum over a structure has a meaning)"
    resolved = dataclasses.replace(recipe, model=model_config)  # type: ignore[arg-type]

    def finish(best: nn.Module) -> dict[str, str]:
        assert isinstance(best, Potential)
        fit = calibrate_uncertainty(best, train_graphs, validation_graphs)
        ratio, rank = f"{fit.force_ratio:.2f}", f"{fit.force_spearman:.2f}"
        return {"uncertainty": f"error / expected {ratio}, rank correlation {rank} (validation forces)"}

    return PreparedTraining(
        resolved, PotentialTask(model, recipe.loss, prior), shown + made, validation_graphs, notes, finish
    )


def _keys(data: DataConfig) -> dict[str, Any]:
    return {"energy_key": data.energy_key, "forces_key": data.forces_key, "stress_key": data.stress_key}


def _split(recipe: GTORecipe | RadialRecipe) -> tuple[list[Atoms], list[Atoms]]:
    keys = _keys(recipe.data)
    files = (recipe.data.train,) if isinstance(recipe.data.train, str) else recipe.data.train
    structures = [
        atoms for file in files for atoms in read_structures(referenced_file(file), energy=True, forces=True, **keys)
    ]
    if recipe.data.validation is not None:
        return structures, read_structures(referenced_file(recipe.data.validation), energy=True, forces=True, **keys)
    n_validation = max(1, round(recipe.data.validation_fraction * len(structures)))
    if len(structures) - n_validation < 1:
        raise InputError(f"{', '.join(files)}: {len(structures)} structure(s) cannot be split; give at least 2")
    seed = recipe.seed if recipe.data.split_seed is None else recipe.data.split_seed
    order = np.random.default_rng(seed).permutation(len(structures))
    shuffled = [structures[i] for i in order]
    return shuffled[n_validation:], shuffled[:n_validation]


def _repeated(structures: Sequence[Atoms], graphs: Sequence[Data], repeats: Mapping[str, int]) -> list[Data]:
    groups = [atoms.info.get("group") for atoms in structures]
    unknown = repeats.keys() - set(groups)
    if unknown:
        hint = nearest(min(unknown), [group for group in dict.fromkeys(groups) if group is not None])
        raise InputError(f"data.group_repeats: no training structure is of the group {min(unknown)!r}; {hint}")
    return [g for group, g in zip(groups, graphs, strict=True) for _ in range(repeats.get(group, 1) if group else 1)]


def _initial(recipe: GTORecipe | RadialRecipe) -> Potential:
    """Returns the model to go on from."""
    model = load_model(str(recipe.initial))
    if not isinstance(model, Potential) or model.architecture != recipe.architecture:
        raise InputError(f"initial: {recipe.initial} is not a {recipe.architecture}")
    left_out = {name: getattr(model.config, name) for name in ("elements", "cutoff")}
    given = {name: value for name, value in left_out.items() if getattr(recipe.model, name) is None}
    if recipe.model != type(recipe.model)() and dataclasses.replace(recipe.model, **given) != model.config:
        raise InputError(f"initial: {recipe.initial} has another shape than `model` says; leave `model` out")
    if recipe.data.isolated_atoms is not None:
        raise InputError("initial: these weights have energies of atoms already; leave data.isolated_atoms out")
    return model


def _refit_shifts(model: Potential, graphs: Sequence[Data]) -> None:
    """Takes the difference of energies that another method or code counts from another zero into the shifts."""
    missing = []
    with torch.no_grad():
        for batch in batches(graphs, model.shifts.device):
            missing.append(batch.energy - model(**model_inputs(batch), forces=False)["energy"])
    counts = np.array([np.bincount(model.species_of[graph.z], minlength=len(model.elements)) for graph in graphs])
    model.shifts += torch.from_numpy(np.linalg.lstsq(counts.astype(float), torch.cat(missing).numpy(), rcond=1e-8)[0])


def _sample(graphs: Sequence[Data], n_atoms: int) -> list[Data]:
    """Returns the first graph and as many of the following as fit into a number of atoms."""
    sizes = np.cumsum([graph.num_nodes for graph in graphs])
    return list(graphs[: max(1, int(np.searchsorted(sizes, n_atoms, side="right")))])


def _choose_cutoff(structures: Sequence[Atoms]) -> float:
    """Returns 5 Å or less for small molecules; for crystals the radius of 40 neighbours, between 4 and 6 Å."""
    sample = structures[:: max(1, len(structures) // 50)]
    if not any(atoms.pbc.any() for atoms in sample):
        # Nothing in a box of this diagonal is further apart, and no matrix of distances is needed.
        largest = max(float(np.linalg.norm(np.ptp(atoms.positions, axis=0))) for atoms in sample)
        return round(min(_MOLECULE_CUTOFF, max(largest + 0.5, 1.0)), 2)
    low, high = _CRYSTAL_CUTOFFS
    counts = [len(neighbours(atoms, high, "i")[0]) / len(atoms) for atoms in sample]
    radius = high * (_CRYSTAL_NEIGHBOURS / max(float(np.mean(counts)), 1.0)) ** (1 / 3)
    return round(float(np.clip(radius, low, high)), 2)


def _shifts_and_scale(
    structures: Sequence[Atoms], elements: tuple[int, ...], config: DataConfig
) -> tuple[np.ndarray, float]:
    """Returns least-squares atomic energies, nearest to the isolated atoms if given, and the scale of what is left."""
    counts = np.array([[np.count_nonzero(atoms.numbers == z) for z in elements] for atoms in structures], float)
    energies = np.array([energy_of(atoms, "train", config.energy_key) for atoms in structures])
    start = np.zeros(len(elements))
    if config.isolated_atoms is not None:
        path = referenced_file(config.isolated_atoms)
        for frame, atoms in enumerate(read_structures(path, energy=True, energy_key=config.energy_key)):
            if len(atoms) != 1:
                raise InputError(f"{path}, frame {frame}: expected a single atom, found {len(atoms)}")
            if atoms.numbers[0] in elements:
                start[elements.index(int(atoms.numbers[0]))] = energy_of(atoms, str(path), config.energy_key)
    shifts = start + np.linalg.lstsq(counts, energies - counts @ start, rcond=1e-8)[0]
    forces = np.concatenate([forces_of(atoms, "train", config.forces_key).ravel() for atoms in structures])
    # Relaxed structures have hardly any forces, but their energies still spread.
    spread = (energies - counts @ shifts) / counts.sum(axis=1)
    scale = max(float(np.sqrt(np.mean(np.square(values)))) for values in (forces, spread))
    return shifts, scale if scale > _SMALLEST_SCALE else 1.0
