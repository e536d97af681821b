"""A GTO potential's weights as ``evaluation.cpp`` reads them: energies and forces in one call, without autograd."""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from sciml_zoo.potentials.kernels import native
from sciml_zoo.potentials.kernels.tables import LANES, CouplingStruct, EdgeList, ProductStruct, basis_tables, padded

__all__ = ["Evaluation", "can_evaluate"]

_pointer = ctypes.c_void_p
_DEGREES = 4
_MOST_HIDDEN = 256


class _Product(ctypes.Structure):
    _fields_ = (
        ("tables", ProductStruct),
        ("paths", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("weights", _pointer),
    )


class _Round(ctypes.Structure):
    _fields_ = (
        ("mix", _pointer * _DEGREES),
        ("mix_t", _pointer * _DEGREES),
        ("square", _Product),
        ("cube", _Product),
        ("fourth", _Product),
        ("first", _pointer),
        ("first_t", _pointer),
        ("first_bias", _pointer),
        ("second", _pointer),
        ("second_t", _pointer),
        ("second_bias", _pointer),
        ("energy", _pointer),
        ("correction", ctypes.c_float),
        ("linear", ctypes.c_int64),
        ("l_message", ctypes.c_int64),
        ("scalars", _pointer),
        ("scalars_t", _pointer),
        ("scalars_bias", _pointer),
        ("vectors", _pointer * (_DEGREES - 1)),
        ("vectors_t", _pointer * (_DEGREES - 1)),
        ("couplings", CouplingStruct),
        ("radial", _pointer),
        ("row", _pointer),
        ("degree", _pointer),
        ("next", _pointer * _DEGREES),
        ("next_t", _pointer * _DEGREES),
        ("blocks", ctypes.c_int64 * _DEGREES),
    )


class _Network(ctypes.Structure):
    _fields_ = (
        ("rounds", ctypes.c_int64),
        ("hidden", ctypes.c_int64),
        ("primitives", ctypes.c_int64),
        ("elements", ctypes.c_int64),
        ("cutoff", ctypes.c_float),
        ("power", _pointer),
        ("log_norm", _pointer),
        ("exponent", _pointer),
        ("density", _pointer),
        ("density_t", _pointer),
        ("round", ctypes.POINTER(_Round)),
    )


def can_evaluate(n_hidden: int) -> bool:
    """Says whether the readout of a potential that has kernels has a width that this one knows.

    Args:
        n_hidden: the width.

    Returns:
        Whether it is a multiple of 16, and at most 256.
    """
    return n_hidden % LANES == 0 and n_hidden <= _MOST_HIDDEN


class Evaluation:
    """Copies of the weights, in the order and the shapes of the kernel.

    Args:
        model: a :class:`~sciml_zoo.potentials.model.GTOPotential` in float32, on the CPU.
    """

    def __init__(self, model: Any) -> None:
        self._kept: list[Any] = []
        self._modules: list[nn.Module] = [m for m in model.modules() if m._parameters or m._buffers]
        self._state = self._state_of_weights()
        self._n_features = model.config.n_rounds * model.config.n_hidden
        self._channels = ctypes.c_int(model.config.n_channels)
        with torch.no_grad():
            messages = [*model.messages, None]
            rounds = [self._round(each, message) for each, message in zip(model.rounds, messages, strict=True)]
            self._rounds = (_Round * len(rounds))(*rounds)
            self._network = self._describe(model)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Returns how to copy and to pickle: as None, since every model makes its own."""
        return type(None), ()

    def _state_of_weights(self) -> list[tuple[int, int]]:
        return [
            (tensor.data_ptr(), tensor._version)
            for module in self._modules
            for group in (module._parameters, module._buffers)
            for tensor in group.values()
            if tensor is not None
        ]

    def holds(self) -> bool:
        """Returns whether the model's weights are still those that were copied."""
        return self._state == self._state_of_weights()

    def __call__(self, vectors: Tensor, edges: EdgeList) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluates the network.

        Args:
            vectors: of every edge [E, 3], Å, float32.
            edges: the edges, sorted by central atom.

        Returns:
            Dimensionless energies [N], features [N, F], and the derivative of the sum of the energies by the vectors
            [E, 3].
        """
        vectors = vectors.contiguous()
        energies, features = vectors.new_empty(edges.n_atoms), vectors.new_empty(edges.n_atoms, self._n_features)
        slopes = torch.empty_like(vectors)
        network = ctypes.byref(self._network)
        native.call(
            "gto_evaluate", self._channels, network, edges.struct(), len(vectors), vectors, edges.pair, energies,
            features, slopes,
        )  # fmt: skip
        return energies, features, slopes

    def _keep(self, tensor: Tensor) -> int:
        """Returns the address of a copy that lives as long as this object."""
        copy = tensor.detach().to(torch.float32 if tensor.is_floating_point() else torch.int32).contiguous().clone()
        self._kept.append(copy)
        return copy.data_ptr()

    def _pair(self, matrices: Any) -> tuple[Any, Any]:
        """Returns the addresses of matrices, and of their transposes."""
        kind = _pointer * len(matrices)
        return kind(*(self._keep(m) for m in matrices)), kind(*(self._keep(m.mT) for m in matrices))

    def _product(self, product: Any) -> _Product:
        weights = product.weights / product.scale.rms[product.block_of_path][:, None]
        self._kept.append(product.tables)
        return _Product(product.tables.struct(), len(weights), product.n_out, self._keep(weights))

    def _round(self, each: Any, message: Any | None) -> _Round:
        found = _Round()
        found.mix, found.mix_t = self._pair(list(each.mix.weights))
        found.square, found.cube, found.fourth = (self._product(p) for p in (each.square, each.cube, each.fourth))
        readout = each.readout
        (found.first, found.second), (found.first_t, found.second_t) = self._pair(
            [readout.first.weight.mT, readout.second.weight.mT]
        )
        found.first_bias = self._keep(readout.first.bias + readout.species_bias)
        found.second_bias = self._keep(readout.second.bias)
        found.energy = self._keep(readout.energy)
        found.correction, found.linear = readout.correction, int(readout.linear)
        found.l_message = -1
        if message is None:
            return found
        found.l_message = each.l_message
        found.scalars, found.scalars_t = self._keep(each.scalars.weight.mT), self._keep(each.scalars.weight)
        found.scalars_bias = self._keep(each.scalars.bias)
        for index in range(each.l_message):
            matrix = each.vectors.weights[index]
            found.vectors[index], found.vectors_t[index] = self._keep(matrix), self._keep(matrix.mT)
        self._kept.append(message.tables)
        found.couplings = message.tables.struct()
        found.radial = self._keep(padded(message.scaled_radial(torch.float32)))
        sizes = torch.tensor(message.sizes)
        found.row = self._keep(sizes.cumsum(0) - sizes)
        found.degree = self._keep(torch.tensor(message.degrees))
        found.next, found.next_t = self._pair(list(message.mix))
        for degree in range(_DEGREES):
            found.blocks[degree] = 1 + message.degrees.count(degree)
        return found

    def _describe(self, model: Any) -> _Network:
        power, log_norm, exponent = basis_tables(model.gto.log_exponents, model.gto.powers)
        density = padded(model.density.scaled(torch.float32))
        return _Network(
            len(model.rounds),
            model.config.n_hidden,
            len(model.gto.powers),
            len(model.elements),
            model.cutoff,
            *(self._keep(table) for table in (power, log_norm, exponent, density, density.mT)),
            self._rounds,
        )
