"""A zoo potential as an ASE calculator."""

from typing import Any, ClassVar

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import check_structure, collate, model_inputs, to_graph
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.zoo.resolve import load_model

__all__ = ["ZooCalculator"]


class ZooCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, for periodic cells, stress (eV/Å³, Voigt order) of a zoo potential.

    Example:
        >>> from ase.build import molecule
        >>> atoms = molecule("CH3CH2OH")
        >>> atoms.calc = ZooCalculator("gto_potential.rmd17_ethanol")
        >>> round(atoms.get_potential_energy(), 1)
        -4210.1

    Args:
        model: a weights name, a ``local-dir:`` or ``hf-hub:`` reference, or a potential.
        device: where to compute, such as ``"cpu"`` or ``"cuda"``.
        **options: ASE's calculator options.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, model: str | Potential, *, device: str | torch.device = "cpu", **options: Any) -> None:
        super().__init__(**options)
        potential = load_model(model, device=device) if isinstance(model, str) else model
        if not isinstance(potential, Potential):
            raise InputError(f"{model!r} is not an interatomic potential; see `sciml-zoo list --domain potentials`")
        self.model = potential.to(device).eval()
        self.device = torch.device(device)

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
        super().calculate(atoms, properties, system_changes)
        check_structure(self.atoms, "structure")
        self.model.check_elements(self.atoms.numbers, "structure")
        stress = bool(self.atoms.pbc.all())  # always with the forces: variable-cell dynamics asks for both
        if not stress and "stress" in (properties or []):
            raise PropertyNotImplementedError("stress needs a structure that is periodic in all three directions")
        graph = collate([to_graph(self.atoms, self.model.cutoff)]).to(self.device)
        output = self.model(**model_inputs(graph), stress=stress)
        energy = output["energy"].item()
        self.results = {"energy": energy, "free_energy": energy, "forces": output["forces"].double().cpu().numpy()}
        if stress:
            self.results["stress"] = full_3x3_to_voigt_6_stress(output["stress"][0].double().cpu().numpy())
