"""Trains a network of TorchANI for some minutes and predicts test frames; runs in TorchANI's environment.

    python -m benchmarks.potentials.peers.torchani_training TRAIN.xyz VALIDATION.xyz TEST.xyz OUT.npz --minutes 10

The loop is that of TorchANI's training example with its training to forces switched on: ``simple_ani``, AdamW with
5e-4, squared errors in Hartree, forces weighted 0.1. In its place: batches of 8, since 2,560 are more than there are
frames, and 8 were better than 32 and 128 after short trainings; a learning rate that falls as a cosine of the time,
instead of after 100 epochs on a plateau; and the best network by the loss of energies and forces instead of by that of
energies. Self energies are fitted, as ``torchani.sae_estimation`` does, and subtracted before training.
"""

import argparse
import copy
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms, units
from torch import Tensor
from torchani.grad import forces_for_training

from benchmarks.potentials.peers._clock import Clock
from benchmarks.potentials.peers.torchani_models import built_as_trained

LEARNING_RATE, WEIGHT_DECAY = 0.5e-3, 1e-6
FORCE_COEFFICIENT = 0.1
SYMBOLS = ("H", "C", "O")


class Frames:
    """Structures of one molecule as tensors, in Hartree and Å.

    Args:
        frames: with energies and forces.
        self_energies: Hartree, by :data:`SYMBOLS`.
    """

    def __init__(self, frames: list[Atoms], self_energies: np.ndarray) -> None:
        self.species = torch.stack([torch.from_numpy(atoms.numbers).long() for atoms in frames])
        self.coordinates = torch.stack([torch.from_numpy(atoms.positions).float() for atoms in frames])
        self.energies = torch.from_numpy(energies_of(frames) - counts_of(frames) @ self_energies).float()
        self.forces = torch.stack([torch.from_numpy(atoms.get_forces() / units.Hartree).float() for atoms in frames])

    def __len__(self) -> int:
        return len(self.species)


def energies_of(frames: list[Atoms]) -> np.ndarray:
    """Returns energies, Hartree [n]."""
    return np.array([atoms.get_potential_energy() for atoms in frames]) / units.Hartree


def counts_of(frames: list[Atoms]) -> np.ndarray:
    """Returns how many atoms there are of each element [n, elements]."""
    return np.array([[atoms.get_chemical_symbols().count(symbol) for symbol in SYMBOLS] for atoms in frames], float)


def loss_of(model: Any, frames: Frames, some: Tensor) -> Tensor:
    """Returns the loss of some frames."""
    coordinates = frames.coordinates[some].requires_grad_(True)
    species = frames.species[some]
    n_atoms = (species >= 0).sum(dim=1, dtype=torch.float)
    energies = model((species, coordinates)).energies
    forces = forces_for_training(energies, coordinates)
    energy_loss = ((energies - frames.energies[some]).square() / n_atoms.sqrt()).mean()
    force_loss = ((forces - frames.forces[some]).square().sum(dim=(1, 2)) / n_atoms).mean()
    return energy_loss + FORCE_COEFFICIENT * force_loss


def trained(model: Any, train: Frames, validation: Frames, minutes: float, batch: int) -> tuple[int, float]:
    """Trains a model, and leaves it as it was best.

    Args:
        model: to train.
        train: to train on.
        validation: by which the best is chosen.
        minutes: that it may take.
        batch: frames in a step.

    Returns:
        Steps and seconds it took.
    """
    optimizer = torch.optim.AdamW(model.neural_networks.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    best, best_state, steps = float("inf"), copy.deepcopy(model.state_dict()), 0
    clock = Clock(minutes)
    while not clock.is_up:
        for some in torch.randperm(len(train)).split(batch):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * clock.factor()
            optimizer.zero_grad()
            loss_of(model, train, some).backward()
            optimizer.step()
            steps += 1
            if clock.is_up:
                break
        now = loss_of(model, validation, torch.arange(len(validation))).item()
        if now < best:
            best, best_state = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return steps, clock.seconds


def main() -> None:
    """Trains and predicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "validation", "test", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    train, validation, test = (ase.io.read(file, index=":") for file in (chosen.train, chosen.validation, chosen.test))
    self_energies = np.linalg.lstsq(counts_of(train), energies_of(train), rcond=1e-8)[0]
    torch.manual_seed(chosen.seed)
    model = built_as_trained().float()
    steps, seconds = trained(
        model, Frames(train, self_energies), Frames(validation, self_energies), chosen.minutes, chosen.batch
    )
    asked = Frames(test, self_energies)
    energies, forces = [], []
    for some in torch.arange(len(asked)).split(50):
        coordinates = asked.coordinates[some].requires_grad_(True)
        found = model((asked.species[some], coordinates)).energies
        (gradient,) = torch.autograd.grad(found.sum(), coordinates)
        energies.append(found.detach().double())
        forces.append(-gradient.double())
    np.savez(
        chosen.out,
        energies=units.Hartree * (torch.cat(energies).numpy() + counts_of(test) @ self_energies),
        forces=units.Hartree * torch.cat(forces).numpy(),
        steps=steps,
        seconds=seconds,
        parameters=sum(p.numel() for p in model.neural_networks.parameters()),
    )


if __name__ == "__main__":
    main()
