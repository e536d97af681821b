"""From a recipe to a trained potential: what is derived from the data, the loss, and that it learns."""

import dataclasses
import json

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.morse import MorsePotential
from ase.calculators.singlepoint import SinglePointCalculator

from sciml_zoo.errors import InputError
from sciml_zoo.potentials import GTOConfig, RadialConfig, recipe_type
from sciml_zoo.potentials.data import collate, model_inputs
from sciml_zoo.potentials.recipe import DataConfig, GTORecipe, RadialRecipe, prepare
from sciml_zoo.potentials.task import LossConfig, PotentialTask
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig
from sciml_zoo.zoo.checkpoint import save_model
from tests.potentials.cases import random_molecule, random_potential

SMALL = {"n_radial": 5, "n_channels": 6, "n_hidden": 12}


def morse_clusters(n: int, seed: int = 0) -> list[Atoms]:
    """Four-atom clusters with energies and forces of a Morse potential, plus an energy for each atom."""
    rng = np.random.default_rng(seed)
    shift = {1: -13.0, 6: -1030.0, 8: -2040.0}
    frames = []
    for _ in range(n):
        atoms = Atoms("HCOH", positions=[[0, 0, 0], [1.3, 0, 0], [0.2, 1.25, 0], [0.5, 0.4, 1.2]])
        atoms.positions += rng.normal(scale=0.08, size=(4, 3))
        atoms.calc = MorsePotential(epsilon=0.5, r0=1.3, rho0=3.0, rcut1=8.0, rcut2=9.0)
        energy = atoms.get_potential_energy() + sum(shift[int(z)] for z in atoms.numbers)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=atoms.get_forces())
        frames.append(atoms)
    return frames


@pytest.fixture
def clusters(tmp_path):
    path = tmp_path / "clusters.xyz"
    ase.io.write(path, morse_clusters(40), format="extxyz")
    return path


def test_the_recipe_derives_what_is_not_given(clusters):
    recipe = GTORecipe("gto_potential", DataConfig(str(clusters)), model=GTOConfig(**SMALL))
    prepared = prepare(recipe)
    model = prepared.task.model
    assert (len(prepared.train), len(prepared.validation)) == (38, 2)
    assert model.elements == (1, 6, 8) == prepared.recipe.model.elements
    largest = max(atoms.get_all_distances().max() for atoms in morse_clusters(40))
    assert largest < model.cutoff < largest + 1.5
    assert {"structures", "elements", "cutoff", "energy shifts", "energy scale", "parameters"} <= set(prepared.notes)
    # One composition only: the shifts are not unique, but their sum over a structure is the mean energy.
    total = 2 * model.shifts[0] + model.shifts[1] + model.shifts[2]
    assert total.item() == pytest.approx(np.mean([g.energy.item() for g in prepared.train]), abs=1e-6)


def test_shifts_are_exact_for_energies_that_are_sums_over_atoms(tmp_path):
    rng = np.random.default_rng(0)
    true = {1: -13.5, 6: -1025.0, 8: -2035.0}
    frames = []
    for _ in range(30):
        atoms = random_molecule(rng)
        energy = sum(true[int(z)] for z in atoms.numbers)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=rng.normal(size=(len(atoms), 3)))
        frames.append(atoms)
    path = tmp_path / "sums.xyz"
    ase.io.write(path, frames, format="extxyz")
    model = prepare(RadialRecipe("radial_potential", DataConfig(str(path)), model=RadialConfig(**SMALL))).task.model
    np.testing.assert_allclose(model.shifts.numpy(), list(true.values()), atol=1e-6)


def test_energies_set_the_scale_where_there_are_no_forces(tmp_path):
    frames = []
    for energy in np.linspace(-1.0, 1.0, 20):
        atoms = Atoms("H2", positions=[[0, 0, 0], [0.8, 0, 0]])
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.full((2, 3), 1e-5))
        frames.append(atoms)
    path = tmp_path / "relaxed.xyz"
    ase.io.write(path, frames, format="extxyz")
    model = prepare(RadialRecipe("radial_potential", DataConfig(str(path)), model=RadialConfig(**SMALL))).task.model
    assert 0.1 < model.scale.item() < 1.0


def test_isolated_atoms_fix_what_least_squares_leaves_open(clusters, tmp_path):
    atoms = []
    for symbol, energy in (("H", -13.0), ("C", -1030.0), ("O", -2040.0)):
        atom = Atoms(symbol)
        atom.calc = SinglePointCalculator(atom, energy=energy)
        atoms.append(atom)
    path = tmp_path / "isolated.xyz"
    ase.io.write(path, atoms, format="extxyz")
    recipe = GTORecipe("gto_potential", DataConfig(str(clusters), isolated_atoms=str(path)), model=GTOConfig(**SMALL))
    shifts = prepare(recipe).task.model.shifts
    np.testing.assert_allclose(shifts.numpy(), [-13.0, -1030.0, -2040.0], atol=2.0)


def test_the_seed_decides_split_and_weights(clusters):
    def weights(seed: int) -> torch.Tensor:
        recipe = GTORecipe("gto_potential", DataConfig(str(clusters)), seed=seed, model=GTOConfig(**SMALL))
        return torch.nn.utils.parameters_to_vector(prepare(recipe).task.model.parameters())

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_the_split_has_a_seed_of_its_own(clusters):
    data = DataConfig(str(clusters), split_seed=3)
    first, second = (prepare(GTORecipe("gto_potential", data, seed=seed, model=GTOConfig(**SMALL))) for seed in (0, 1))
    assert torch.equal(first.validation[0].pos, second.validation[0].pos)
    assert not torch.equal(first.task.model.density.contraction(), second.task.model.density.contraction())


def test_groups_are_shown_as_often_as_asked(tmp_path):
    frames = morse_clusters(10)
    for index, atoms in enumerate(frames):
        atoms.info["group"] = "Surface" if index < 4 else "Bulk"
    path = tmp_path / "grouped.xyz"
    ase.io.write(path, frames, format="extxyz")
    data = DataConfig(str(path), validation=str(path), group_repeats={"Surface": 3})
    prepared = prepare(GTORecipe("gto_potential", data, model=GTOConfig(**SMALL)))
    energies = [graph.energy.item() for graph in prepared.train]
    expected = [atoms.get_potential_energy() for atoms in frames[:4] for _ in range(3)]
    assert energies == pytest.approx(expected + [atoms.get_potential_energy() for atoms in frames[4:]])
    assert len(prepared.validation) == 10
    with pytest.raises(InputError, match=r"'surface'.*did you mean 'Surface'"):
        prepare(GTORecipe("gto_potential", DataConfig(str(path), group_repeats={"surface": 3})))
    with pytest.raises(InputError, match="at least once"):
        DataConfig(str(path), group_repeats={"Surface": 0})


def test_training_goes_on_from_given_weights(clusters, tmp_path):
    data = DataConfig(str(clusters))
    start = prepare(GTORecipe("gto_potential", data, model=GTOConfig(**SMALL))).task.model
    save_model(start, tmp_path / "start")
    reference = f"local-dir:{tmp_path / 'start'}"
    goes_on = prepare(GTORecipe("gto_potential", data, seed=1, initial=reference))
    assert goes_on.recipe.model == start.config
    for name, value in start.state_dict().items():
        if name != "shifts":
            assert torch.equal(goes_on.task.model.state_dict()[name], value), name
    # Another method counts energies from another zero.
    energies = goes_on.task.model(**model_inputs(collate(goes_on.train)), forces=False)["energy"]
    assert (energies - collate(goes_on.train).energy).mean().item() == pytest.approx(0.0, abs=1e-6)
    # The recipe that a run keeps names the shape too, and must do so without a contradiction.
    assert prepare(goes_on.recipe).recipe == goes_on.recipe
    with pytest.raises(InputError, match="another shape"):
        prepare(GTORecipe("gto_potential", data, initial=reference, model=GTOConfig(n_channels=7)))
    with pytest.raises(InputError, match="not a radial_potential"):
        prepare(RadialRecipe("radial_potential", data, initial=reference))


def test_the_bond_prior_is_part_of_the_loss(clusters, tmp_path):
    loss = LossConfig(bond_weight=0.1, bond_pairs=3)
    recipe = GTORecipe("gto_potential", DataConfig(str(clusters)), loss=loss, model=GTOConfig(**SMALL))
    prepared = prepare(recipe)
    assert prepared.task.prior.pairs == 3
    trainer = TrainerConfig(max_steps=3, batch_size=4, log_every=1, monitor="force_mae_mev_per_a")
    Trainer(trainer, directory=tmp_path / "run").fit(prepared.task, OptimizerConfig(), prepared.train, [])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "train"]
    assert len(steps) == 3
    for step in steps:
        expected = step["energy_loss"] + step["force_loss"] + 0.1 * step["bond_loss"]
        assert step["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_structure_file_too_small_to_split_is_refused(tmp_path):
    path = tmp_path / "one.xyz"
    ase.io.write(path, morse_clusters(1), format="extxyz")
    with pytest.raises(InputError, match="cannot be split; give at least 2"):
        prepare(GTORecipe("gto_potential", DataConfig(str(path)), model=GTOConfig(**SMALL)))


def test_elements_that_the_recipe_excludes_are_named(clusters):
    recipe = GTORecipe("gto_potential", DataConfig(str(clusters)), model=GTOConfig(elements=(1, 6), **SMALL))
    with pytest.raises(InputError, match=r"data has O, but model\.elements does not"):
        prepare(recipe)


@pytest.mark.parametrize("kind", ["huber", "squared"])
def test_the_loss_is_its_definition(clusters, kind):
    recipe = GTORecipe("gto_potential", DataConfig(str(clusters)), model=GTOConfig(**SMALL))
    prepared = prepare(recipe)
    loss = LossConfig(kind=kind, energy_weight=2.0, force_weight=0.5, energy_delta=0.01, force_delta=0.1)
    task = PotentialTask(prepared.task.model, loss)
    batch = task.collate(prepared.train[:6])
    output = next(iter(task.steps(batch)))
    predicted = [task.model(**_inputs(task.collate([graph]))) for graph in prepared.train[:6]]

    def penalty(x: torch.Tensor, delta: float) -> torch.Tensor:
        return x**2 if kind == "squared" else delta * (torch.sqrt(1 + (x / delta) ** 2) - 1)

    expected = 0.0
    for graph, p in zip(prepared.train[:6], predicted, strict=True):
        expected += 2.0 * penalty((p["energy"] - graph.energy) / 4, 0.01).item() / 6
        expected += 0.5 * penalty(p["forces"] - graph.forces, 0.1).mean().item() / 6
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    assert output.weight == 6


def _inputs(batch):
    from sciml_zoo.potentials.data import model_inputs

    return model_inputs(batch)


def test_gradients_of_the_force_loss_are_right(clusters):
    """Gradients of gradients: the loss's directional derivative in the weights, in float64."""
    model = random_potential("gto_potential", torch.float64).train()
    recipe = GTORecipe("gto_potential", DataConfig(str(clusters)), model=GTOConfig(cutoff=4.0, **SMALL))
    task = PotentialTask(model, LossConfig(kind="squared", energy_weight=0.0, gradient="double"))
    batch = task.collate(prepare(recipe).train[:3])
    parameters = list(model.parameters())
    direction = [torch.randn_like(p, generator=torch.Generator().manual_seed(0)) for p in parameters]
    loss = next(iter(task.steps(batch))).loss
    gradient = torch.autograd.grad(loss, parameters, allow_unused=True)
    slope = sum((g * d).sum().item() for g, d in zip(gradient, direction, strict=True) if g is not None)

    def moved(step: float) -> float:
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=step)
        value = next(iter(task.steps(batch))).loss.item()
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.sub_(d, alpha=step)
        return value

    step = 1e-6
    assert slope == pytest.approx((moved(step) - moved(-step)) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("architecture", ["gto_potential", "radial_potential"])
def test_it_learns_a_morse_potential(clusters, tmp_path, architecture):
    # Pair energies are in reach of both: the errors fall far below the spread of the forces.
    recipe = recipe_type(architecture)(architecture, DataConfig(str(clusters), validation_fraction=0.2))
    recipe = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, **SMALL),
        optimizer=OptimizerConfig("muon", learning_rate=1e-2, momentum=0.95, schedule="cosine"),
        trainer=TrainerConfig(
            max_steps=150, batch_size=8, validate_every=75, monitor="force_mae_mev_per_a", accelerator="cpu"
        ),
    )
    prepared = prepare(recipe)
    spread = 1000 * np.mean([graph.forces.abs().mean().item() for graph in prepared.validation])
    trainer = Trainer(recipe.trainer, directory=tmp_path / "run")
    result = trainer.fit(prepared.task, recipe.optimizer, prepared.train, prepared.validation)
    assert result.metrics["force_mae_mev_per_a"] < 0.3 * spread
    assert result.metrics["energy_mae_mev"] < 100
