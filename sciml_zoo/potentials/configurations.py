"""The energy as a function of positions alone: the same atoms, elsewhere."""

from ase import Atoms
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import check_structure, collate, to_graph
from sciml_zoo.potentials.potential import Potential

__all__ = ["ConfigurationEnergy"]


class ConfigurationEnergy(nn.Module):
    """Energies of configurations of one structure, differentiable by the positions.

    For whatever takes a function of a tensor: the paths, works and saddles of ``sciml_zoo.adversarial``, normal modes
    by ``torch.func``, optimizers.

    Args:
        model: the potential.
        atoms: the structure: elements, cell and periodicity; its positions are not used.

    Raises:
        InputError: elements that the potential does not know.

    Example:
        >>> import torch
        >>> import sciml_zoo as sz
        >>> from ase.build import molecule
        >>> ethanol = molecule("CH3CH2OH")
        >>> energy = ConfigurationEnergy(sz.load_model("gto_potential.rmd17_ethanol"), ethanol)
        >>> positions = torch.from_numpy(ethanol.positions)[None].requires_grad_()
        >>> (gradient,) = torch.autograd.grad(energy(positions).sum(), positions)
        >>> gradient.shape
        torch.Size([1, 9, 3])
    """

    def __init__(self, model: Potential, atoms: Atoms) -> None:
        super().__init__()
        check_structure(atoms, "structure")
        model.check_elements(atoms.numbers, "structure")
        self.model = model
        self.atoms = atoms.copy()

    def forward(self, positions: Tensor) -> Tensor:
        """Returns energies, eV, float64 [n].

        Args:
            positions: Å, [n, atoms, 3].

        Raises:
            InputError: positions of another number of atoms.
        """
        if positions.shape[1:] != (len(self.atoms), 3):
            raise InputError(
                f"positions of shape {list(positions.shape)}: give [n, {len(self.atoms)}, 3] for {self.atoms.symbols}"
            )
        graphs = []
        for one in positions.detach().double().cpu().numpy():
            self.atoms.positions = one
            graphs.append(to_graph(self.atoms, self.model.cutoff))
        batch = collate(graphs).to(positions.device)
        return self.model.energies(
            batch.z, positions.flatten(0, 1), batch.edge_index, batch.edge_shift, batch.batch, len(positions)
        )
