"""A zoo potential as an ASE calculator."""

import operator
import warnings
from typing import Any, ClassVar

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import check_structure
from sciml_zoo.potentials.padded import PaddedEvaluation
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.verlet_list import VerletList
from sciml_zoo.zoo.resolve import load_model

__all__ = ["ExtrapolationWarning", "ZooCalculator"]

# Å: the least time per step, for water; see benchmarks.potentials.calculator.
_SKIN = 0.5
_STATE = ("positions", "numbers", "cell", "pbc")
_STATE_OF = operator.attrgetter(*_STATE)
# Å: atoms this close may be one atom written twice, which `check_structure` decides.
_SUSPICIOUS = 0.3


class ExtrapolationWarning(UserWarning):
    """A structure is outside of what the potential was trained on."""


class ZooCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, for periodic cells, stress (eV/Å³, Voigt order) of a zoo potential.

    On a GPU, evaluations are replayed as a CUDA graph (see :mod:`sciml_zoo.potentials.padded`).

    If the potential's uncertainty has been calibrated, ``results`` also has ``force_uncertainty`` [N], the expected
    error of the force on each atom (eV/Å).

    Example:
        >>> from ase.build import molecule
        >>> atoms = molecule("CH3CH2OH")
        >>> atoms.calc = ZooCalculator("gto_potential.rmd17_ethanol")
        >>> round(atoms.get_potential_energy(), 1)
        -4210.1

    Args:
        model: a weights name, a ``local-dir:`` or ``hf-hub:`` reference, or a potential.
        device: where to compute, such as ``"cpu"`` or ``"cuda"``.
        uncertainty: whether ``force_uncertainty`` is computed, of a potential that has been calibrated.
        skin: how much further than the cutoff pairs are searched, Å. Results do not depend on it: a larger one makes
            searches rarer and each call slower.
        **options: ASE's calculator options.

    Warns:
        ExtrapolationWarning: once for each calculator, when an atom's force uncertainty exceeds the calibrated
            threshold.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(
        self,
        model: str | Potential,
        *,
        device: str | torch.device = "cpu",
        uncertainty: bool = True,
        skin: float = _SKIN,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        potential = load_model(model, device=device) if isinstance(model, str) else model
        if not isinstance(potential, Potential):
            raise InputError(f"{model!r} is not an interatomic potential; see `sciml-zoo list --domain potentials`")
        self.model = potential.to(device).eval()
        self.device = torch.device(device)
        self.neighbours = VerletList(self.model.cutoff, skin, device)
        self._forward = PaddedEvaluation(self.model) if self.device.type == "cuda" else self.model
        self._z: Tensor
        self._batch: Tensor
        self._is_uncertain = uncertainty
        self._has_warned = False

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Says what has changed since the last calculation; ASE's own comparison takes longer than all else here.

        Args:
            atoms: the structure.
            tol: not used: any change counts.

        Returns:
            Names of what has changed, of all that the potential depends on.
        """
        last = self.atoms
        if last is None or len(last) != len(atoms):
            return list(_STATE)
        now, then = _STATE_OF(atoms), _STATE_OF(last)
        return [name for name, new, old in zip(_STATE, now, then, strict=True) if new.tobytes() != old.tobytes()]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Computes the results of a structure; called by ASE.

        Args:
            atoms: the structure.
            properties: what is wanted.
            system_changes: what has changed since the last call.

        Raises:
            InputError: an element that the model has not seen, positions that are not finite, or two atoms at one
                place.
            PropertyNotImplementedError: stress of a structure that is not periodic in all directions.
        """
        if atoms is not None:
            self.atoms = atoms.copy()
        atoms = self.atoms
        stress = bool(atoms.pbc.all())  # always with the forces: variable-cell dynamics asks for both
        if not stress and "stress" in (properties or []):
            raise PropertyNotImplementedError("stress needs a structure that is periodic in all three directions")
        inputs = self._inputs(atoms)
        output = self._evaluate(inputs, stress=stress)
        energy = output["energy"].item()
        self.results = {"energy": energy, "free_energy": energy, "forces": output["forces"].double().cpu().numpy()}
        if stress:
            self.results["stress"] = full_3x3_to_voigt_6_stress(output["stress"][0].double().cpu().numpy())
        if "features" in output:
            self._add_uncertainty(output["features"], inputs)

    def _evaluate(self, inputs: dict[str, Tensor], *, stress: bool) -> dict[str, Tensor]:
        uncertain = self._is_uncertain and self.model.uncertainty.calibrated
        return self._forward(**inputs, stress=stress, features=uncertain)

    def _inputs(self, atoms: Atoms) -> dict[str, Tensor]:
        if not self.neighbours.holds(atoms):
            check_structure(atoms, "structure")
            self.model.check_elements(atoms.numbers, "structure")
            self.neighbours.search(atoms)
            self._z = torch.as_tensor(atoms.numbers, dtype=torch.long, device=self.device)
            self._batch = torch.zeros_like(self._z)
        pos = torch.tensor(atoms.positions, device=self.device)
        edge_index, edge_shift, shortest = self.neighbours.pairs(atoms, pos)
        if shortest < _SUSPICIOUS:
            check_structure(atoms, "structure")
        cell = torch.tensor(atoms.cell.complete().array, device=self.device) if atoms.pbc.any() else pos.new_zeros(3, 3)
        return {
            "z": self._z,
            "pos": pos,
            "edge_index": edge_index,
            "edge_shift": edge_shift,
            "batch": self._batch,
            "cell": cell[None],
        }

    def _add_uncertainty(self, features: Tensor, inputs: dict[str, Tensor]) -> None:
        places = (inputs[name] for name in ("pos", "edge_index", "edge_shift"))
        uncertainty = self.model.uncertainty(features, self.model.species_of[self._z], *places)
        self.results["force_uncertainty"] = uncertainty.double().cpu().numpy()
        worst = int(uncertainty.argmax())
        if not self._has_warned and float(uncertainty[worst]) > self.model.uncertainty.threshold:
            self._has_warned = True
            warnings.warn(
                f"atom {worst} ({chemical_symbols[int(self._z[worst])]}): the force on it is expected to be wrong by "
                f"{float(uncertainty[worst]):.3g} eV/Å, more than the {self.model.uncertainty.threshold:.3g} up to "
                "which the potential is trusted: the structure is unlike those that it was trained on",
                ExtrapolationWarning,
                stacklevel=2,
            )
