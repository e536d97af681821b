"""MACE of several sizes, as ``mace_run_train`` builds it, with weights as they are before training.

Compiled models are those of ``MACECalculator(compile_mode="default")``, with the padded inputs and the stress that it
asks for: with torch 2.13, the same model compiled for plain batches crashes. MACE's other accelerations
(cuEquivariance, openEquivariance) need CUDA.
"""

import warnings
from functools import cache, partial
from typing import Any

import mace  # noqa: F401  sets what e3nn 0.4.4 needs to be imported
import numpy as np
import torch
from ase import Atoms
from e3nn import o3
from mace import data, modules
from mace.calculators import MACECalculator
from mace.tools import AtomicNumberTable, torch_geometric

from benchmarks.potentials._worker import Call, Contender

__all__ = ["CONTENDERS", "CUTOFF", "PACKAGES", "built", "graph"]

warnings.filterwarnings("ignore")
CUTOFF = 5.0
ELEMENTS = (1, 6, 8)
#: Hidden irreps: of the models of the MACE paper for rMD17, and of a small one without equivariant messages.
SIZES = {"MACE of rMD17": "256x0e + 256x1o + 256x2e", "MACE 64x0e": "64x0e"}


def built(irreps: str, dtype: torch.dtype) -> modules.ScaleShiftMACE:
    """Returns a model that ``mace_run_train --hidden_irreps`` builds with its other options as they are by default.

    Args:
        irreps: of the hidden features.
        dtype: of its parameters.
    """
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    return modules.ScaleShiftMACE(
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps(irreps),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros((1, len(ELEMENTS))),
        avg_num_neighbors=8.0,
        atomic_numbers=list(ELEMENTS),
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=[0.0],
        radial_MLP=[64, 64, 64],
        radial_type="bessel",
    ).requires_grad_(False)


def graph(structures: list[Atoms], dtype: torch.dtype) -> dict[str, Any]:
    """Returns the batch that a model takes of structures.

    Args:
        structures: of the elements of the models here.
        dtype: of its floating-point tensors.
    """
    torch.set_default_dtype(dtype)
    table = AtomicNumberTable(list(ELEMENTS))
    graphs = [
        data.AtomicData.from_config(data.config_from_atoms(atoms), z_table=table, cutoff=CUTOFF, heads=["Default"])
        for atoms in structures
    ]
    loader = torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
    batch: dict[str, Any] = next(iter(loader)).to_dict()
    return batch


@cache
def _model(size: str, dtype: torch.dtype) -> modules.ScaleShiftMACE:
    return built(SIZES[size], dtype)


@cache
def _calculator(size: str, dtype: torch.dtype, compiled: bool) -> MACECalculator:
    name = str(dtype).removeprefix("torch.")
    mode = "default" if compiled else None
    return MACECalculator(models=[_model(size, dtype)], device="cpu", default_dtype=name, compile_mode=mode)


def _batch_call(size: str, dtype: torch.dtype, structures: list[Atoms]) -> Call:
    model, batch = _model(size, dtype), graph(structures, dtype)

    def call() -> torch.Tensor:
        torch.set_default_dtype(dtype)
        forces: torch.Tensor = model(dict(batch), compute_stress=False)["forces"]
        return forces.detach()

    return call


def _compiled_call(size: str, dtype: torch.dtype, structures: list[Atoms]) -> Call:
    """Returns what the calculator does between the search for neighbours and the results."""
    if len(structures) != 1:
        raise ValueError("MACECalculator compiles for one structure at a time")
    calculator = _calculator(size, dtype, True)
    torch.set_default_dtype(dtype)
    batch = calculator._atoms_to_batch(structures[0])
    n_atoms = len(structures[0])

    def call() -> torch.Tensor:
        torch.set_default_dtype(dtype)
        inputs = calculator._clone_batch(batch).to_dict()
        forces: torch.Tensor = calculator.models[0](inputs, compute_stress=True, training=True)["forces"]
        return forces.detach()[:n_atoms]

    return call


def _parameters(size: str) -> int:
    return sum(p.numel() for p in _model(size, torch.float32).parameters())


def _contender(size: str, dtype: torch.dtype, compiled: bool) -> Contender:
    return Contender(
        partial(_compiled_call if compiled else _batch_call, size, dtype),
        partial(_parameters, size),
        partial(_calculator, size, dtype, compiled),
    )


CONTENDERS = {
    f"{size}, {str(dtype).removeprefix('torch.')}{', compiled' * compiled}": _contender(size, dtype, compiled)
    for size in SIZES
    for dtype, compiled in ((torch.float32, False), (torch.float64, False), (torch.float32, True))
}
PACKAGES = ("mace-torch", "e3nn")
