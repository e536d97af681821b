"""SchNetPack's PaiNN as its ``experiment=rmd17`` configures it, with weights as they are before training."""

import os
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import schnetpack as spk
import torch
from ase import Atoms
from schnetpack.interfaces import AtomsConverter, SpkCalculator
from schnetpack.transform import MatScipyNeighborList

from benchmarks.potentials._worker import Call, Contender

__all__ = ["CONTENDERS", "CUTOFF", "PACKAGES", "built"]

CUTOFF = 5.0


def built(postprocessors: list[Any] | None = None) -> spk.model.NeuralNetworkPotential:
    """Returns PaiNN with 128 features, 3 interactions and 20 Gaussians, the readout of energies, and forces.

    Args:
        postprocessors: of predictions, such as the offset of energies.
    """
    representation = spk.representation.PaiNN(
        n_atom_basis=128,
        n_interactions=3,
        shared_interactions=False,
        shared_filters=False,
        radial_basis=spk.nn.GaussianRBF(n_rbf=20, cutoff=CUTOFF),
        cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
    )
    return spk.model.NeuralNetworkPotential(
        representation=representation,
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=128, output_key="energy", aggregation_mode="sum"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
        postprocessors=postprocessors or [],
    )


@cache
def _model(scripted: bool) -> Any:
    model = built().eval().requires_grad_(False)
    return torch.jit.script(model) if scripted else model


def _batch_call(scripted: bool, structures: list[Atoms]) -> Call:
    model = _model(scripted)
    converter = AtomsConverter(MatScipyNeighborList(cutoff=CUTOFF), dtype=torch.float32)
    inputs = converter(structures)

    def call() -> torch.Tensor:
        forces: torch.Tensor = model(dict(inputs))["forces"]
        return forces.detach()

    return call


def _calculator() -> SpkCalculator:
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # the calculator unpickles a whole model: the one written here
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        torch.save(_model(False), file)
        return SpkCalculator(str(file), MatScipyNeighborList(cutoff=CUTOFF), energy_unit="eV")


def _parameters() -> int:
    return sum(p.numel() for p in _model(False).parameters())


CONTENDERS = {
    "PaiNN": Contender(partial(_batch_call, False), _parameters, _calculator),
    "PaiNN, TorchScript": Contender(partial(_batch_call, True), _parameters),
}
PACKAGES = ("schnetpack",)
