"""What is known of bonds without a label: energy rises when a bond is pressed, and when it is torn.

====================  ======================================================================================
equation              variable
====================  ======================================================================================
E(r)                  energy of a training structure, of which one bond alone has the length r
r̄                     mean length of that bond in the training structures
s                     −1 for r < 0.93 r̄, +1 for r > 1.07 r̄
L = mean ln(1 + v/m)  v = max(0, m − s (E(r + δ) − E(r)) / δ), eV/Å; m is the least slope. Of slopes of thousands of
                      eV/Å, as between atoms pressed together, the logarithm makes no more than of a small one
====================  ======================================================================================

Energies alone are differentiated, and only by weights. It says nothing within what the data cover, and nothing of a
torn fragment that meets another atom, with which it may form a bond.
"""

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii
from torch import Tensor, nn
from torch_geometric.data import Batch

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.bond_scan import Bond, find_bonds, stretched
from sciml_zoo.potentials.data import collate, model_inputs, to_graph

__all__ = ["BondPrior"]

# Parts of the mean length between which a bond is left to the data.
_PRESSED, _TORN = 0.93, 1.07
# Of the sum of covalent radii: a fragment that comes closer than this to an atom may be about to form a bond.
_CONTACT = 1.6
# A pair of lengths that is not to be had in so many tries is left out.
_TRIES = 20


class BondPrior:
    """A loss that molecules give without labels: their bonds have one minimum.

    Example:
        >>> prior = BondPrior(training_structures, cutoff=4.5)
        >>> loss = energy_and_force_loss + 0.002 * prior.loss(model, prior.sample(generator))

    Args:
        structures: molecules of the training set, all of the same atoms in the same order.
        cutoff: of the potential, Å.
        slope: least slope m, eV/Å.
        shortest: to which bonds are pressed, Å.
        longest: to which bonds are torn, Å.
        step: δ, Å.
        pairs: of lengths in a sample, by turns of pressed and of torn bonds.

    Raises:
        InputError: no structures, structures without bonds, periodic ones, or ones of different atoms.
    """

    def __init__(
        self,
        structures: Sequence[Atoms],
        cutoff: float,
        *,
        slope: float = 0.5,
        shortest: float = 0.55,
        longest: float = 3.1,
        step: float = 0.05,
        pairs: int = 8,
    ) -> None:
        if not structures:
            raise InputError("the bond prior needs training structures")
        first = structures[0]
        if any(not np.array_equal(atoms.numbers, first.numbers) for atoms in structures):
            raise InputError("the bond prior takes structures of one molecule; these have different atoms")
        self.structures = [
            Atoms(atoms.numbers, atoms.positions, pbc=atoms.pbc, cell=atoms.cell) for atoms in structures
        ]
        self.cutoff, self.slope, self.step, self.pairs = cutoff, slope, step, pairs
        self.shortest, self.longest = shortest, longest
        self.bonds = next((bonds for atoms in self.structures if (bonds := find_bonds(atoms))), [])
        if not self.bonds:
            raise InputError(f"{first.symbols}: no bonds to press or tear")
        lengths = [[atoms.get_distance(bond.fixed, bond.moved) for bond in self.bonds] for atoms in self.structures]
        self.lengths = np.mean(lengths, axis=0)

    def sample(self, generator: torch.Generator) -> Batch:
        """Draws structures with a bond pressed or torn, in pairs that differ by a step.

        Args:
            generator: of the draws, on any device.

        Returns:
            Graphs on the CPU, two for each pair; ``sign`` [pairs] of the slope that is expected.
        """

        def draw() -> Tensor:
            return torch.rand(3, generator=generator, device=generator.device, dtype=torch.float64)

        graphs, signs = [], []
        for index in range(self.pairs):
            sign = 1 if index % 2 else -1
            for _ in range(_TRIES):
                pair = self._pair(sign, draw().tolist())
                if pair is not None:
                    graphs += [to_graph(atoms, self.cutoff) for atoms in pair]
                    signs.append(float(sign))
                    break
        batch = collate(graphs)
        batch.sign = torch.tensor(signs, dtype=torch.float64)
        return batch

    def _pair(self, sign: int, uniform: Sequence[float]) -> tuple[Atoms, Atoms] | None:
        """Returns a structure with two lengths of one bond, or nothing if it says nothing."""
        atoms = self.structures[int(uniform[0] * len(self.structures))]
        index = int(uniform[1] * len(self.bonds))
        bond, mean = self.bonds[index], float(self.lengths[index])
        low, high = (self.shortest, _PRESSED * mean - self.step) if sign < 0 else (_TORN * mean, self.longest)
        if high <= low:  # nothing is known of a bond this long, or this short
            return None
        length = low + uniform[2] * (high - low)
        pair = stretched(atoms, bond, length), stretched(atoms, bond, length + self.step)
        if sign > 0 and _meets(atoms, pair[1], bond):
            return None
        return pair

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Computes how much slopes differ from what is known of them.

        Args:
            model: the potential, perhaps wrapped by a trainer.
            batch: of :meth:`sample`, on the model's device.

        Returns:
            L, a pure number; 0 where all slopes are as expected.
        """
        energy = model(**model_inputs(batch), forces=False)["energy"].reshape(-1, 2)
        slope = batch.sign * (energy[:, 1] - energy[:, 0]) / self.step
        violation = (self.slope - slope).clamp(min=0.0)
        return torch.log1p(violation / self.slope).mean()


def _meets(start: Atoms, torn: Atoms, bond: Bond) -> bool:
    """Returns whether a fragment has come close to an atom that it was not close to."""
    moves = np.isin(np.arange(len(start)), bond.fragment)
    radii = covalent_radii[start.numbers]
    close = _CONTACT * (radii[moves, None] + radii[~moves])
    near = [
        np.linalg.norm(atoms.positions[moves, None] - atoms.positions[~moves], axis=2) < close
        for atoms in (start, torn)
    ]
    return bool((near[1] & ~near[0]).any())
