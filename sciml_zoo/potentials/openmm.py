"""Export for OpenMM: energies of a system's positions as a TorchScript file, with its own search of neighbours.

The file is what OpenMM-Torch's ``TorchForce`` loads: ``forward(positions [N, 3] nm, boxvectors [3, 3] nm) → kJ/mol``,
the box only where the force is periodic. :func:`openmm_force` runs it in an OpenMM without that plugin.

Neighbours are found by comparing all pairs of atoms, and all images of them that a small cell needs: the time grows
with N² (and the memory does not), which is little beside the network up to some thousand atoms.
"""

import copy
import io
import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ase import Atoms, units
from torch import Tensor, nn

from sciml_zoo._files import write_atomically
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.potentials.data import check_structure
from sciml_zoo.potentials.potential import Potential

if TYPE_CHECKING:
    from openmm import PythonForce, State

__all__ = ["export_openmm", "openmm_force"]

_ANGSTROM = 10.0  # of 1 nm
_KJ_PER_MOL = units.mol / units.kJ  # of 1 eV
# Pairs compared at once: 24 MB of differences.
_PAIRS_AT_ONCE = 1_000_000
# Relative, of the file's energy against the model's.
_TOLERANCE = 1e-6


def export_openmm(model: Potential, atoms: Atoms, file: str | PathLike[str]) -> Path:
    """Writes a potential for a system as a TorchScript file, which is checked against the model before it appears.

    Args:
        model: the potential; the file computes on its device and in its precision.
        atoms: the system's atoms in OpenMM's order. Their positions only serve the check, and the file works with and
            without periodic boundaries.
        file: to write, such as ``ethanol.pt``.

    Returns:
        The file.

    Raises:
        InputError: an element that the model has not seen, a structure that is periodic in some directions only, or a
            file that cannot be written.
        FailureError: the exported program does not give the model's energies.
    """
    check_structure(atoms, "structure")
    model.check_elements(atoms.numbers, "structure")
    if atoms.pbc.any() and not atoms.pbc.all():
        raise InputError(f"structure: periodic {atoms.pbc.tolist()}; OpenMM has boxes, or no boundaries at all")
    path = Path(file)
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    pos, box = _positions(atoms, frozen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript: deprecated, and what OpenMM-Torch loads; checked below
        energy = torch.jit.trace(
            _Energy(frozen, atoms.numbers.tolist()), (pos, *_pairs(pos, box, frozen.cutoff)), check_trace=False
        )
        scripted = torch.jit.script(_OpenMMEnergy(energy, len(atoms), frozen.cutoff))
        buffer = io.BytesIO()
        torch.jit.save(scripted, buffer)
    _check(buffer.getvalue(), frozen, atoms)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; choose another place") from error
    return path


def openmm_force(
    file: str | PathLike[str], *, periodic: bool = False, device: str | torch.device = "cpu"
) -> "PythonForce":
    """Makes a force of OpenMM itself (8.4 or newer) that evaluates an exported file; OpenMM-Torch is not needed.

    Args:
        file: what :func:`export_openmm` wrote.
        periodic: use the system's box.
        device: where the file was exported to compute.

    Returns:
        The force, to be added to a system of the same atoms. It can be serialised: the XML names the file.

    Raises:
        InputError: OpenMM is missing or too old, or the file is damaged.
    """
    try:
        from openmm import PythonForce
    except ImportError:
        raise InputError("openmm_force needs OpenMM 8.4; install it: pip install 'sciml-zoo[simulation]'") from None
    force = PythonForce(_Evaluation(Path(file).absolute(), periodic, str(device)))
    force.setUsesPeriodicBoundaryConditions(periodic)
    return force


class _Evaluation:
    """Energy (kJ/mol) and forces (kJ/mol/nm) of a state of OpenMM."""

    def __init__(self, path: Path, periodic: bool, device: str) -> None:
        self.path, self.periodic, self.device = path, periodic, device
        self.module = _load(path.read_bytes() if path.is_file() else b"", str(path), device)

    def __call__(self, state: "State") -> tuple[float, Any]:
        from openmm.unit import nanometer

        nm = state.getPositions(asNumpy=True).value_in_unit(nanometer)
        positions = torch.tensor(nm, dtype=torch.float64, device=self.device, requires_grad=True)
        box = None
        if self.periodic:
            box = torch.tensor(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(nanometer), device=self.device)
        energy = self.module(positions, box)
        (gradient,) = torch.autograd.grad(energy, positions)
        return energy.item(), -gradient.cpu().numpy()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Evaluation, (self.path, self.periodic, self.device)


class _Energy(nn.Module):
    """Energy (eV) of positions (Å) and pairs: what is traced."""

    z: Tensor
    batch: Tensor

    def __init__(self, model: Potential, numbers: list[int]) -> None:
        super().__init__()
        self.model = model
        z = torch.tensor(numbers, device=model.shifts.device)
        self.register_buffer("z", z)
        self.register_buffer("batch", torch.zeros_like(z))

    def forward(self, pos: Tensor, edge_index: Tensor, edge_shift: Tensor) -> Tensor:
        return self.model.energies(self.z, pos, edge_index, edge_shift, self.batch, 1).squeeze(0)


class _OpenMMEnergy(nn.Module):
    """Energy (kJ/mol) of positions and box (nm): what is scripted."""

    def __init__(self, energy: nn.Module, n_atoms: int, cutoff: float) -> None:
        super().__init__()
        self.energy = energy
        self.n_atoms = n_atoms
        self.cutoff = cutoff
        self.angstrom = _ANGSTROM
        self.kj_per_mol = _KJ_PER_MOL

    def forward(self, positions: Tensor, boxvectors: Tensor | None = None) -> Tensor:
        if positions.size(0) != self.n_atoms:
            raise ValueError(f"the potential was exported for {self.n_atoms} atoms, not for {positions.size(0)}")
        pos = positions.to(torch.float64) * self.angstrom
        box: Tensor | None = None
        if boxvectors is not None:
            box = boxvectors.to(pos.device, torch.float64) * self.angstrom
        edge_index, edge_shift = _pairs(pos.detach(), box, self.cutoff)
        return self.energy(pos, edge_index, edge_shift) * self.kj_per_mol


def _pairs(
    pos: Tensor, box: Tensor | None, cutoff: float, pairs_at_once: int = _PAIRS_AT_ONCE
) -> tuple[Tensor, Tensor]:
    """Returns neighbours and central atoms [2, E], and shifts [E, 3] of the former (Å). It must be TorchScript."""
    n_atoms = pos.size(0)
    inverse = torch.zeros([3, 3], dtype=pos.dtype, device=pos.device)
    translations = torch.zeros([1, 3], dtype=pos.dtype, device=pos.device)
    if box is not None:
        inverse = torch.linalg.inv(box)
        # Differences are first wrapped to within half a cell; images further than this are then beyond the cutoff.
        farthest = (cutoff * torch.linalg.vector_norm(inverse, dim=0) + 0.5).floor()
        x, y, z = [torch.arange(-float(n), float(n) + 1, dtype=pos.dtype, device=pos.device) for n in farthest]
        translations = torch.cartesian_prod(x, y, z) @ box
    edges, shifts = [pos.new_zeros([2, 0], dtype=torch.long)], [pos.new_zeros([0, 3])]
    rows = max(1, pairs_at_once // n_atoms)
    for first in range(0, n_atoms, rows):
        difference = pos[None, :, :] - pos[first : first + rows, None, :]
        wrap = torch.zeros_like(difference)
        if box is not None:
            wrap = -(difference @ inverse).round() @ box
        for translation in translations:
            shift = wrap + translation
            squared = (difference + shift).square().sum(2)
            if bool((translation == 0).all()):
                squared.diagonal(first).fill_(cutoff * cutoff)  # an atom is not its own neighbour
            centre, neighbour = torch.nonzero(squared < cutoff * cutoff).unbind(1)
            edges.append(torch.stack([neighbour, centre + first]))
            shifts.append(shift[centre, neighbour])
    return torch.cat(edges, 1), torch.cat(shifts, 0)


def _positions(atoms: Atoms, model: Potential) -> tuple[Tensor, Tensor | None]:
    device = model.shifts.device
    box = torch.tensor(atoms.cell.array, device=device) if atoms.pbc.all() else None
    return torch.tensor(atoms.positions, device=device), box


def _load(content: bytes, name: str, device: str | torch.device) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.load(io.BytesIO(content), map_location=device)
    except RuntimeError:
        raise InputError(f"{name}: not an exported potential; write it with `sciml-zoo potentials export`") from None


def _check(content: bytes, model: Potential, atoms: Atoms) -> None:
    """Compares what was exported with the model, at the structure and where atoms have fewer neighbours."""
    module = _load(content, "export", model.shifts.device)
    for scale in (1.0, 1.15):
        scaled = atoms.copy()
        scaled.set_cell(scale * scaled.cell.array)
        scaled.positions *= scale
        pos, box = _positions(scaled, model)
        found = float(module(pos / _ANGSTROM, None if box is None else box / _ANGSTROM)) / _KJ_PER_MOL
        pairs = _pairs(pos, box, model.cutoff)
        expected = float(_Energy(model, atoms.numbers.tolist())(pos, *pairs))
        if abs(found - expected) > _TOLERANCE * max(1.0, abs(expected)):
            raise FailureError(f"the exported program gives {found} eV for a structure, the model {expected} eV")
