"""Predictions and scores for whole files, shared over ranks.

Structures are cut into the same chunks whatever the number of ranks, and each chunk is computed by one rank: the output
does not depend on how many there are.
"""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from sciml_zoo.datasets import referenced_file
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import (
    collate,
    energy_of,
    forces_of,
    has_forces,
    model_inputs,
    read_structures,
    stress_of,
    to_graph,
)
from sciml_zoo.potentials.metrics import EnergyForceErrors
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.training.ranks import Ranks

__all__ = ["evaluate", "predict", "predict_structures"]

# Each chunk is one batch: small enough for any memory, large enough to use a GPU.
_STRUCTURES = 32
_ATOMS = 512


def predict_structures(
    model: Potential,
    structures: Sequence[Atoms],
    *,
    where: str = "structures",
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Computes energy, forces and, for periodic structures, stress.

    Args:
        model: the potential.
        structures: the structures.
        where: names their source in messages.
        device: where to compute.
        ranks: the processes that share the work.
        on_progress: called with the number of structures done by this rank, and its total.

    Returns:
        For every structure ``energy`` (eV), ``forces`` [N, 3] (eV/Å) and, if periodic in all directions, ``stress``
        [6] (eV/Å³, Voigt); on all ranks.

    Raises:
        InputError: a structure has an element that the model has not seen.
    """
    for frame, atoms in enumerate(structures):
        model.check_elements(atoms.numbers, f"{where}, frame {frame}")
    rank, world_size = (ranks.rank, ranks.world_size) if ranks else (0, 1)
    model = model.to(device).eval()
    chunks = _chunks(structures)
    mine = range(rank, len(chunks), world_size)
    done: dict[int, list[dict[str, Any]]] = {}
    total = sum(len(chunks[index]) for index in mine)
    for index in mine:
        done[index] = _predict_chunk(model, chunks[index], device)
        if on_progress is not None:
            on_progress(sum(map(len, done.values())), total)
    if ranks is not None:
        done = {index: chunk for part in ranks.gather(done) for index, chunk in part.items()}
    return [prediction for index in range(len(chunks)) for prediction in done[index]]


def _chunks(structures: Sequence[Atoms]) -> list[list[Atoms]]:
    """Returns runs of neighbouring structures, all or none of them periodic, each small enough for one batch."""
    chunks: list[list[Atoms]] = []
    n_atoms = 0
    for atoms in structures:
        full = not chunks or len(chunks[-1]) == _STRUCTURES or n_atoms + len(atoms) > _ATOMS
        if full or atoms.pbc.all() != chunks[-1][0].pbc.all():
            chunks.append([])
            n_atoms = 0
        chunks[-1].append(atoms)
        n_atoms += len(atoms)
    return chunks


def _predict_chunk(model: Potential, chunk: Sequence[Atoms], device: str | torch.device) -> list[dict[str, Any]]:
    periodic = bool(chunk[0].pbc.all())
    batch = collate([to_graph(atoms, model.cutoff) for atoms in chunk]).to(device)
    output = {name: value.cpu() for name, value in model(**model_inputs(batch), stress=periodic).items()}
    forces = output["forces"].double().split([len(atoms) for atoms in chunk])
    predictions: list[dict[str, Any]] = [
        {"energy": float(energy), "forces": force.numpy()}
        for energy, force in zip(output["energy"], forces, strict=True)
    ]
    if periodic:
        for prediction, stress in zip(predictions, output["stress"].double().numpy(), strict=True):
            prediction["stress"] = full_3x3_to_voigt_6_stress(stress)
    return predictions


def evaluate(
    model: Potential,
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
    relative: bool = False,
) -> dict[str, float]:
    """Scores a potential on a file of structures with energies and, where there are any, forces and stresses.

    Args:
        model: the potential.
        path: the file, a DeePMD folder, or ``dataset:NAME/FILE``; see :func:`read_structures`.
        device: where to compute.
        ranks: the processes that share the work.
        on_progress: called with the number of structures done by this rank, and its total.
        energy_key: name of the energies in the file.
        forces_key: name of the forces in the file.
        stress_key: name of the stresses in the file.
        relative: subtract the mean error per atom from the energies first, as fits a scan whose zero is arbitrary.

    Returns:
        ``n``, and ``_mae_`` and ``_rmse_`` of ``energy_…_mev``, ``energy_…_mev_per_atom``, ``force_…_mev_per_a`` and
        ``stress_…_gpa``; without forces, or without stresses, those scores are left out. A warning says how many
        structures have no forces.

    Raises:
        InputError: naming file, frame and atom of what is wrong; or forces under another name than ``forces_key``.
    """
    path = referenced_file(path)
    structures = read_structures(
        path, energy=True, forces_optional=True, energy_key=energy_key, forces_key=forces_key, stress_key=stress_key
    )
    _notice_missing_forces(structures, str(path), forces_key)
    predictions = predict_structures(
        model, structures, where=str(path), device=device, ranks=ranks, on_progress=on_progress
    )
    energies = np.array([energy_of(atoms, str(path), energy_key) for atoms in structures])
    n_atoms = np.array([len(atoms) for atoms in structures])
    predicted = np.array([prediction["energy"] for prediction in predictions])
    if relative:
        predicted -= n_atoms * np.mean((predicted - energies) / n_atoms)
    errors = EnergyForceErrors(torch.device("cpu"), over_ranks=False)  # every rank holds all predictions
    for index, (atoms, prediction) in enumerate(zip(structures, predictions, strict=True)):
        output = {"energy": torch.from_numpy(predicted[[index]]), "forces": torch.from_numpy(prediction["forces"])}
        if "stress" in prediction:
            output["stress"] = torch.from_numpy(voigt_6_to_full_3x3_stress(prediction["stress"])[None])
        missing = not has_forces(atoms, forces_key)
        forces = np.full((len(atoms), 3), np.nan) if missing else forces_of(atoms, str(path), forces_key)
        errors.update(
            output,
            torch.from_numpy(energies[[index]]),
            torch.from_numpy(forces),
            n_atoms=torch.from_numpy(n_atoms[[index]]),
            stress=torch.from_numpy(stress_of(atoms, str(path), stress_key)[None]),
        )
    return errors.compute()


def _notice_missing_forces(structures: Sequence[Atoms], where: str, key: str) -> None:
    """Says that structures have no forces, and refuses a file that seems to have them under another name."""
    without = [frame for frame, atoms in enumerate(structures) if not has_forces(atoms, key)]
    if len(without) == len(structures):
        first = structures[0]
        vectors = [
            name
            for name, values in first.arrays.items()
            if values.shape == (len(first), 3) and name not in {"positions", "momenta"}
        ]
        if vectors or key != "forces":
            forces_of(first, f"{where}, frame 0", key)
        warnings.warn(f"{where}: no {key!r}; the scores of forces are left out", stacklevel=3)
    elif without:
        warnings.warn(
            f"{where}: {len(without)} of {len(structures)} structures have no {key!r} (the first is frame "
            f"{without[0]}); the scores of forces are those of the others",
            stacklevel=3,
        )


def predict(
    model: Potential,
    source: str | Path,
    target: str | Path,
    *,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Predicts every structure of a file and writes them, with the predictions, as extxyz.

    Args:
        model: the potential.
        source: a file that :func:`read_structures` reads, or ``dataset:NAME/FILE``; labels in it are replaced.
        target: the extxyz file to write; it appears, or replaces an older one, when it is complete.
        device: where to compute.
        ranks: the processes that share the work; the first writes.
        on_progress: called with the number of structures done by this rank, and its total.

    Returns:
        The number of structures.

    Raises:
        InputError: naming file, frame and atom of what is wrong, or a target that cannot be written.
    """
    source, target = referenced_file(source), Path(target)
    if target.suffix not in {".xyz", ".extxyz"}:
        raise InputError(f"{target}: predictions are written as extxyz; give a name that ends in .xyz or .extxyz")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such directory; create it first")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target}: the output would overwrite the input; choose another name")
    structures = read_structures(source)
    predictions = predict_structures(
        model, structures, where=str(source), device=device, ranks=ranks, on_progress=on_progress
    )
    if ranks is None or ranks.rank == 0:
        _write(structures, predictions, target)
    return len(structures)


def _write(structures: Sequence[Atoms], predictions: Sequence[dict[str, Any]], target: Path) -> None:
    frames = []
    for atoms, prediction in zip(structures, predictions, strict=True):
        frame = atoms.copy()
        frame.info = {key: value for key, value in frame.info.items() if key not in {"energy", "stress", "virial"}}
        frame.arrays.pop("forces", None)
        frame.calc = SinglePointCalculator(frame, **prediction)
        frames.append(frame)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as aside:
        written = Path(aside) / target.name
        ase.io.write(written, frames, format="extxyz")
        written.replace(target)
