"""Small machines of every kind, with random parameters, and their exact distributions by plain enumeration."""

import itertools

import torch
from torch import Tensor

from sciml_zoo.ising.model import BoltzmannMachine, BoltzmannMachineConfig, RBMConfig, RestrictedBoltzmannMachine

CASES = {
    f"{connectivity}-{hidden}-{units}": (connectivity, hidden, units)
    for connectivity, hidden in (("full", 0), ("full", 3), ("restricted", 3), ("given", 0), ("given", 3))
    for units in ("spin", "binary")
}
GIVEN = [(0, 1), (1, 2), (2, 3), (0, 3), (1, 4), (3, 5), (4, 6), (5, 6), (2, 6)]


def machine(connectivity: str, hidden: int, units: str, seed: int = 0, scale: float = 0.5) -> BoltzmannMachine:
    edges = None
    if connectivity == "given":
        edges = torch.tensor([pair for pair in GIVEN if max(pair) < 4 + hidden]).T
    config = BoltzmannMachineConfig(4, hidden, connectivity, units, None if edges is None else edges.shape[1])
    made = (
        RestrictedBoltzmannMachine(RBMConfig(4, hidden, units))
        if connectivity == "restricted"
        else BoltzmannMachine(config, edges)
    )
    return randomised(made, seed, scale)


def randomised(made: BoltzmannMachine, seed: int = 0, scale: float = 0.5) -> BoltzmannMachine:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        made.offset.fill_(0.37)
    return made


def every_state(made: BoltzmannMachine, n: int) -> Tensor:
    return torch.tensor(list(itertools.product((made.down, made.up), repeat=n)), dtype=torch.float64).reshape(2**n, n)


def plain_energy(made: BoltzmannMachine, units: Tensor) -> Tensor:
    """The definition, pair by pair."""
    energy = made.offset - units @ made.fields
    for (i, j), w in zip(made.edges.T.tolist(), made.couplings.flatten(), strict=True):
        energy = energy - w * units[:, i] * units[:, j]
    return energy


def visible_distribution(made: BoltzmannMachine) -> tuple[Tensor, Tensor]:
    """All visible states [2ᵛ, v] and their probabilities, hidden units summed out by brute force."""
    units = every_state(made, made.n_units)
    chance = torch.softmax(-plain_energy(made, units).detach(), 0)
    visible = units.reshape(2**made.n_visible, -1, made.n_units)[:, 0, : made.n_visible]
    return visible, chance.reshape(2**made.n_visible, -1).sum(1)
