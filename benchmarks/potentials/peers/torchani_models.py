"""TorchANI's networks with weights as they are before training: those of ANI-2x, and that of its training example.

TorchANI finds the neighbours of every call itself. ``to_infer_model`` is what it documents for faster inference of an
ensemble (without TorchScript it asks for CUDA); its compiled extensions need CUDA.
"""

from functools import cache, partial
from typing import Any, Literal

import torch
import torchani
from ase import Atoms
from ase.calculators.calculator import Calculator
from torchani.arch import Assembler, simple_ani
from torchani.utils import SYMBOLS_2X

from benchmarks.potentials._worker import Call, Contender

__all__ = ["CONTENDERS", "PACKAGES", "built_as_trained"]

Kind = Literal["ensemble", "scripted", "as trained"]


def _built_ensemble(n_networks: int) -> Any:
    torch.manual_seed(0)
    assembler = Assembler()
    assembler.set_symbols(SYMBOLS_2X)
    assembler.set_global_cutoff_fn("cosine")
    assembler.set_aev_computer(radial="ani2x", angular="ani2x")
    assembler.set_atomic_networks(ctor="ani2x")
    assembler.set_gsaes_as_self_energies("wb97x-631gd")
    return assembler.assemble(n_networks)


def built_as_trained() -> Any:
    """Returns the network of TorchANI's training example: like ANI-2x, with repulsion and a smooth cutoff.

    Its self energies are zero: they are subtracted from what it is trained on, where they do not lose digits.
    """
    return simple_ani(("H", "C", "O"), lot="wb97x-631gd", repulsion=True, strategy="pyaev", self_energies="zero")


@cache
def _model(kind: Kind) -> Any:
    model = built_as_trained() if kind == "as trained" else _built_ensemble(8)
    model = model.float().requires_grad_(False)
    return torch.jit.script(model.to_infer_model()) if kind == "scripted" else model


def _batch_call(kind: Kind, structures: list[Atoms]) -> Call:
    model = _model(kind)
    species = torch.stack([torch.from_numpy(atoms.numbers).long() for atoms in structures])
    positions = torch.stack([torch.from_numpy(atoms.positions).float() for atoms in structures])

    def call() -> torch.Tensor:
        coordinates = positions.clone().requires_grad_(True)
        energies = model((species, coordinates)).energies
        (gradient,) = torch.autograd.grad(energies.sum(), coordinates)
        return -gradient.flatten(0, 1)

    return call


def _calculator(kind: Kind) -> Calculator:
    return torchani.ase.Calculator(_model(kind))


def _parameters(kind: Kind) -> int:
    plain: Kind = "as trained" if kind == "as trained" else "ensemble"
    return sum(p.numel() for p in _model(plain).parameters())


def _contender(kind: Kind) -> Contender:
    return Contender(partial(_batch_call, kind), partial(_parameters, kind), partial(_calculator, kind))


CONTENDERS = {
    "ANI-2x, 8 networks": _contender("ensemble"),
    "ANI-2x, 8 networks, for inference, TorchScript": _contender("scripted"),
    "ANI, as trained": _contender("as trained"),
}
PACKAGES = ("torchani",)
