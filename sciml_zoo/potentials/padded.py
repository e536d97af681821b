"""Fixed shapes for dynamics on a GPU: edges padded to a capacity, and the whole evaluation replayed as a CUDA graph.

A small system keeps a GPU waiting for the next kernel to be launched. A CUDA graph launches them all at once, but only
with the shapes, and at the addresses, of its capture. So the edges, whose number changes from step to step, are filled
up with edges that are longer than the cutoff: they add exactly nothing, to the energy or to any derivative.
"""

import math

import torch
from torch import Tensor

from sciml_zoo.potentials.potential import Potential

__all__ = ["PaddedEvaluation", "pad_edges"]

# More edges than there are now, so that the next steps fit too.
_HEADROOM = 1.1
_MULTIPLE = 64
# Of the cutoff.
_PADDING_LENGTH = 1.5
# Of the evaluation before its capture, as torch's notes on CUDA graphs ask for.
_WARM_UP = 3


def pad_edges(inputs: dict[str, Tensor], capacity: int, cutoff: float) -> dict[str, Tensor]:
    """Fills up the edges with ones longer than the cutoff, from the last atom to itself.

    Args:
        inputs: of :meth:`Potential.forward`.
        capacity: number of edges wanted, at least those that there are.
        cutoff: of the potential, Å.

    Returns:
        The inputs with ``capacity`` edges; edges sorted by central atom stay sorted.
    """
    edges, shifts = inputs["edge_index"], inputs["edge_shift"]
    missing = capacity - edges.shape[1]
    last = edges.new_full((2, missing), len(inputs["z"]) - 1)
    away = shifts.new_zeros(missing, 3)
    away[:, 0] = _PADDING_LENGTH * cutoff
    return {**inputs, "edge_index": torch.cat([edges, last], dim=1), "edge_shift": torch.cat([shifts, away])}


class PaddedEvaluation:
    """Evaluates a potential at fixed shapes, on a GPU as a CUDA graph.

    A graph is captured at the first call, and again when the number of atoms or structures changes, when the edges
    exceed the capacity, or when other results are asked for.

    Args:
        model: the potential, in evaluation mode; its weights must stay where they are.

    Attributes:
        captures: how often shapes have changed.
    """

    def __init__(self, model: Potential) -> None:
        self.model = model
        self.captures = 0
        self._shape: tuple[int, int, bool, bool] | None = None
        self._static: dict[str, Tensor] = {}
        self._output: dict[str, Tensor] = {}
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *, stress: bool = False, features: bool = False, **inputs: Tensor) -> dict[str, Tensor]:
        """Computes what :meth:`Potential.forward` computes.

        Args:
            stress: as there.
            features: as there.
            **inputs: as there, all on the device of the model. Elements are checked where shapes are new, and only
                there: a check would wait for the GPU.

        Returns:
            The same, within rounding.
        """
        shape = (len(inputs["z"]), len(inputs["cell"]), stress, features)
        n_edges = inputs["edge_index"].shape[1]
        if shape != self._shape or n_edges > self._static["edge_index"].shape[1]:
            self._shape = None  # until all that belongs to it is there
            self._prepare(inputs, stress=stress, features=features)
            self._shape = shape
        else:
            padded = pad_edges(inputs, self._static["edge_index"].shape[1], self.model.cutoff)
            for name, value in padded.items():
                self._static[name].copy_(value)
        if self._graph is None:
            return self.model(**self._static, stress=stress, features=features)
        with torch.cuda.device(inputs["pos"].device):
            self._graph.replay()
        return {name: value.clone() for name, value in self._output.items()}

    def _prepare(self, inputs: dict[str, Tensor], *, stress: bool, features: bool) -> None:
        """Fixes the shapes and, on a GPU, captures the evaluation."""
        self.captures += 1
        self._graph = None
        self.model.check_elements(inputs["z"].tolist(), "structure")
        capacity = _MULTIPLE * math.ceil(max(1, _HEADROOM * inputs["edge_index"].shape[1]) / _MULTIPLE)
        padded = pad_edges(inputs, capacity, self.model.cutoff)
        self._static = {name: value.clone() for name, value in padded.items()}
        if inputs["pos"].device.type != "cuda":
            return
        with torch.cuda.device(inputs["pos"].device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    self.model(**self._static, stress=stress, features=features)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = self.model(**self._static, stress=stress, features=features)
