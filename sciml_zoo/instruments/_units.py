"""Hidden units of a model, each as the vector of all weights that belong to it alone.

===============================================  ================================================================
y = … W₂ φ(W₁x + b₁) …                           a layer that writes units, and the one that reads them
θ_j = (W₁[j, :], b₁[j], …, W₂[:, j])             ``HiddenLayer.units``, [units, weights of a unit]
L(…, θ_i, θ_j, …) = L(…, θ_j, θ_i, …)            the symmetry: swapping two units changes nothing
θ_i = θ_j                                        its fixed points, which gradient descent does not leave
===============================================  ================================================================

Units with the same incoming weights alone compute the same signal, but have other gradients unless their outgoing
weights are the same too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["HiddenLayer", "UnitPair", "closest", "hidden_layers", "identical_units", "paired"]

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class UnitPair:
    """Two hidden units of one layer.

    Attributes:
        layer: name of the module whose outputs they are.
        first: index of the one.
        second: index of the other.
        distance: ‖θ_i − θ_j‖ over the root mean square of ‖θ_i‖ and ‖θ_j‖; 0 where all weights are equal.
    """

    layer: str
    first: int
    second: int
    distance: float


@dataclass(frozen=True)
class HiddenLayer:
    """Where the weights of the units of one layer lie.

    Attributes:
        name: of the module that writes the units.
        reader: of the module that reads them.
        size: units.
        incoming: names of parameters whose first axis counts units.
        outgoing: name of the parameter whose second axis does, perhaps several entries to a unit.
    """

    name: str
    reader: str
    size: int
    incoming: tuple[str, ...]
    outgoing: str

    def units(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Returns θ_j of all units [size, weights of a unit].

        Args:
            parameters: of the model, by name.
        """
        into = [parameters[name].reshape(self.size, -1) for name in self.incoming]
        out = parameters[self.outgoing]
        return torch.cat([*into, out.reshape(len(out), self.size, -1).movedim(1, 0).flatten(1)], dim=1)

    def with_units(self, parameters: Mapping[str, Tensor], units: Tensor) -> dict[str, Tensor]:
        """Returns the parameters with other weights of the units.

        Args:
            parameters: of the model, by name.
            units: θ_j [size, weights of a unit].
        """
        changed = dict(parameters)
        widths = [parameters[name][0].numel() for name in self.incoming]
        *into, out = units.split([*widths, units.shape[1] - sum(widths)], dim=1)
        for name, part in zip(self.incoming, into, strict=True):
            changed[name] = part.reshape(parameters[name].shape)
        old = parameters[self.outgoing]
        changed[self.outgoing] = out.unflatten(1, (len(old), -1)).movedim(0, 1).reshape(old.shape)
        return changed


def hidden_layers(model: nn.Module) -> tuple[HiddenLayer, ...]:
    """Finds layers of hidden units: Linear or convolution, read by the next of these in the order of registration.

    Between the two there may be modules with one parameter for each unit, such as a normalisation. Layers with other
    parameters between, with groups, or whose reader does not fit, are left out. Whether the units of a layer can really
    be swapped depends on ``forward``, which a skip connection may forbid; :func:`symmetry.measure` tries it.

    Args:
        model: with at least two such modules.

    Returns:
        The layers, in the order of registration.
    """
    modules = [(name, m) for name, m in model.named_modules() if m._parameters]
    places = [i for i, (_, module) in enumerate(modules) if isinstance(module, _LAYERS)]
    found = []
    for here, after in pairwise(places):
        (name, writer), (reader_name, reader) = modules[here], modules[after]
        size, between = len(writer.weight), modules[here + 1 : after]
        own = [
            (f"{prefix}.{key}".lstrip("."), value)
            for prefix, module in [(name, writer), *between]
            for key, value in module.named_parameters(recurse=False)
        ]
        fits = reader.weight.shape[1] % size == 0 if isinstance(reader, nn.Linear) else reader.weight.shape[1] == size
        ungrouped = getattr(writer, "groups", 1) == getattr(reader, "groups", 1) == 1
        one_each = all(len(value) == size if value.ndim else False for _, value in own)
        if size > 1 and fits and ungrouped and one_each:
            outgoing = f"{reader_name}.weight".lstrip(".")
            found.append(HiddenLayer(name, reader_name, size, tuple(key for key, _ in own), outgoing))
    return tuple(found)


def paired(layer: HiddenLayer, units: Tensor, tolerance: float) -> list[UnitPair]:
    """Pairs every unit that has an equal with the first of its equals.

    Args:
        layer: that the units belong to.
        units: θ_j [size, weights of a unit].
        tolerance: the largest distance at which two are equal.

    Returns:
        The pairs.
    """
    distances = _distances(units)
    pairs = []
    for j in range(1, len(units)):
        equal = (distances[:j, j] <= tolerance).nonzero()
        if len(equal):
            first = int(equal[0, 0])
            pairs.append(UnitPair(layer.name, first, j, float(distances[first, j])))
    return pairs


def closest(layer: HiddenLayer, units: Tensor) -> UnitPair:
    """Finds the pair of units that differ least.

    Args:
        layer: that the units belong to.
        units: θ_j [size, weights of a unit].

    Returns:
        The pair.
    """
    upper = torch.ones(len(units), len(units), dtype=torch.bool, device=units.device).triu(1)
    distances = _distances(units).where(upper, torch.inf)
    first, second = divmod(int(distances.argmin()), len(units))
    return UnitPair(layer.name, first, second, float(distances[first, second]))


@torch.no_grad()
def identical_units(model: nn.Module, tolerance: float = 1e-6) -> tuple[UnitPair, ...]:
    """Finds hidden units that are equal in incoming and outgoing weights.

    Args:
        model: with Linear or convolution layers, one after the other.
        tolerance: the largest relative distance of two weight vectors that counts as equal; 0 means bit for bit.

    Returns:
        Each unit that has an equal, with the first of its equals.

    Raises:
        InputError: a negative tolerance.
    """
    if tolerance < 0:
        raise InputError(f"tolerance {tolerance}; expected zero or more")
    parameters = dict(model.named_parameters())
    return tuple(pair for layer in hidden_layers(model) for pair in paired(layer, layer.units(parameters), tolerance))


def _distances(units: Tensor) -> Tensor:
    """Returns relative distances [size, size]."""
    exact = torch.cdist(units, units, compute_mode="donot_use_mm_for_euclid_dist")
    squares = units.square().sum(1)
    size = ((squares[:, None] + squares) / 2).sqrt()
    return exact / size.where(size > 0, 1)
