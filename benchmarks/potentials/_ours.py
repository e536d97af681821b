"""This project's potential, with weights of a checkpoint or as they are before training."""

import os
from functools import cache, partial
from typing import Any, Literal

import torch
from ase import Atoms

import sciml_zoo as sz
from benchmarks.potentials._worker import Call, Contender
from sciml_zoo.potentials import GTOConfig, GTOPotential, ZooCalculator
from sciml_zoo.potentials.data import collate, model_inputs, to_graph

__all__ = ["CONTENDERS", "MODEL", "PACKAGES", "Mode", "ours"]

Mode = Literal["eager", "best"]
ELEMENTS, CUTOFF = (1, 6, 8), 5.0
#: Names the model in the environment of a worker: weights, ``local-dir:…``, or nothing for one before training.
MODEL = "SCIML_ZOO_BENCHMARK_MODEL"


@cache
def ours(mode: Mode) -> Any:
    """Returns the potential, evaluated by torch's own operations or by the C++ kernels.

    Args:
        mode: ``eager`` or ``best``.
    """
    name = os.environ.get(MODEL)
    torch.manual_seed(0)
    model: Any = sz.load_model(name) if name else GTOPotential(GTOConfig(elements=ELEMENTS, cutoff=CUTOFF))
    model.use_kernels = mode == "best"
    return model.eval().requires_grad_(False)


def _batch_call(mode: Mode, structures: list[Atoms]) -> Call:
    model = ours(mode)
    inputs = model_inputs(collate([to_graph(atoms, model.cutoff) for atoms in structures]))
    return lambda: model(**inputs)["forces"]


def _calculator(mode: Mode) -> ZooCalculator:
    return ZooCalculator(ours(mode))


def _parameters() -> int:
    return sum(p.numel() for p in ours("eager").parameters())


def _contender(mode: Mode) -> Contender:
    return Contender(partial(_batch_call, mode), _parameters, partial(_calculator, mode))


CONTENDERS = {"ours, eager": _contender("eager"), "ours, best": _contender("best")}
PACKAGES = ()
