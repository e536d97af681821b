"""How identical neurons part: which symmetries of hidden units training keeps, and when it breaks them.

=========================================  =====================================================================
θ_i = θ_j                                  two units, equal in all their weights: a fixed point of swapping
δ(t) = ‖θ_i − θ_j‖                         ``distances``, over the units' size at the start
δ(t + 1) = ‖v_i − v_j‖, v ← v − η∇²L v     the linearised growth, by a Jacobian-vector product a step
ln ρ = [ln δ(t₂) − ln δ(t₁)]/(t₂ − t₁)     ``rates``, ``linearised_rates``, over the same window of steps
=========================================  =====================================================================

Gradient descent keeps equal units equal, exactly where both are rounded alike. Whether a difference grows is decided by
the curvature along it: on a plateau where that is negative, rounding is enough to part them, later in float64 than in
float32 by ln 2²⁹/ln ρ steps. Data alone cannot part them; unbalanced data break the symmetries of the data.

Fukumizu & Amari, Neural Networks 13, 317 (2000); Şimşek et al., "Geometry of the loss landscape in overparameterized
neural networks", ICML 2021. Without a model, :func:`measure` shows it on y = x², where the plateau is known.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._objective import Objective
from sciml_zoo.instruments._parabola import Nudge, departures, growth
from sciml_zoo.instruments._tangents import Tangents
from sciml_zoo.instruments._units import HiddenLayer, UnitPair, closest, hidden_layers, identical_units, paired
from sciml_zoo.instruments.chaos import gradient_descent_map
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SymmetryResult", "UnitPair", "fitted_growth", "identical_units", "measure"]

# A difference is small enough for linear theory below this part of the units' size.
_LINEAR = 1e-3
_BLOCKS = 8


@dataclass(frozen=True)
class SymmetryResult(Result):
    """Distances of units over training.

    Attributes:
        labels: of what is followed, a pair of units or a symmetry and its nudge [m].
        distances: from the symmetry, before each step and after the last [m, steps + 1]; 0 is exact.
        broken_at: first step at which the distance is above ``threshold``, or None [m].
        rates: growth of ln δ per step, in the window [m]; NaN without one.
        standard_errors: of ``rates``, from the scatter over blocks of the window [m].
        linearised_rates: growth of an infinitely small difference [m], over the window, or the run where there is none;
            NaN where the units differed from the start.
        windows: first and last step in which the difference is small and its growth is fitted [m, 2]; −1 without one.
        layers: whether the units of each hidden layer can be swapped without a change of the loss.
        threshold: distance at which a symmetry counts as broken.
        gradients: gradients of the loss; a Jacobian-vector product counts as two.
    """

    labels: tuple[str, ...]
    distances: Tensor
    broken_at: tuple[int | None, ...]
    rates: Tensor
    standard_errors: Tensor
    linearised_rates: Tensor
    windows: Tensor
    layers: Mapping[str, bool]
    threshold: float
    gradients: int

    def plot(self) -> "Figure":
        """Returns a figure of the distances over the steps, and of the linearised growth beside them."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.add_subplot()
        for i, label in enumerate(self.labels):
            distances = self.distances[i].cpu()
            shown = distances.where(distances > 0, torch.nan)
            if not bool((distances > 0).any()):
                axes.plot([], [], " ", label=f"{label}: exactly 0")
                continue
            text = (
                label if math.isnan(self.rates[i]) else f"{label}: {self.rates[i]:.5f} ± {self.standard_errors[i]:.0e}"
            )
            axes.plot(shown, linewidth=1.5, label=text)
            first, last = self.windows[i].tolist()
            if first >= 0 and not math.isnan(self.linearised_rates[i]):
                rate = float(self.linearised_rates[i])
                steps = torch.tensor([first, last])
                axes.plot(
                    steps,
                    float(distances[first]) * (rate * (steps - first)).double().exp(),
                    "--",
                    color="black",
                    linewidth=1,
                    label=f"   linearised {rate:.5f}",
                )
        axes.axhline(self.threshold, color="0.7", linestyle=":", label=f"broken: above {self.threshold:g}")
        axes.set_yscale("log")
        axes.set_xlabel("step of gradient descent")
        axes.set_ylabel("distance from the symmetry δ")
        figure.legend(loc="outside right center", fontsize="small", title="growth of ln δ per step", frameon=False)
        return figure


def measure(
    model: nn.Module | None = None,
    loss: Callable[[nn.Module], Tensor] | None = None,
    *,
    learning_rate: float = 0.1,
    steps: int = 500,
    noise: float = 0.0,
    tolerance: float = 1e-6,
    threshold: float = 1e-2,
    seed: int = 0,
) -> SymmetryResult:
    """Trains a copy of a model by full-batch gradient descent, and follows its equal hidden units.

    Of a layer without equal units, the two that differ least are followed. Without a model, identical neurons on
    y = x² are nudged by rounding, noise and unbalanced data; η is then 0.3, and there are 1000 steps.

    Args:
        model: with Linear or convolution layers, one after the other; it stays as it is.
        loss: of a model, a scalar, on data of the caller's; without randomness.
        learning_rate: η.
        steps: of descent.
        noise: relative size of a random difference that is given to equal units at the start.
        tolerance: the largest relative distance at which two units are equal at the start.
        threshold: relative distance at which they count as parted.
        seed: of the noise.

    Returns:
        The distances, and the measured and linearised growth.

    Raises:
        InputError: a model without a loss or without hidden layers whose units can be swapped, settings out of range,
            or descent that left the finite numbers.
    """
    if model is None:
        return _demonstration(seed)
    if loss is None:
        raise InputError("a model was given without a loss; pass a function that takes the model to its scalar loss")
    if not learning_rate > 0 or steps < 1 or noise < 0 or tolerance < 0 or not threshold > 0:
        raise InputError(
            f"learning_rate {learning_rate}, steps {steps}, noise {noise}, tolerance {tolerance}, threshold "
            f"{threshold}: expected positive numbers, and noise and tolerance of zero or more"
        )
    objective = Objective(model, loss)
    layers = {layer: _swaps(objective, layer) for layer in _trained_layers(model, objective)}
    free = [layer for layer, swaps in layers.items() if swaps]
    if not free:
        raise InputError(
            f"{type(model).__name__} has no hidden layer whose units can be swapped; expected two Linear or "
            "convolution layers, one after the other, that are trained"
        )
    followed: list[tuple[HiddenLayer, UnitPair, bool]] = []
    for layer in free:
        units = layer.units(objective.named(objective.start))
        equal = paired(layer, units, tolerance)
        followed += [(layer, pair, True) for pair in equal] or [(layer, closest(layer, units), False)]
    distances, growing, gradients = _follow(objective, followed, learning_rate, steps, noise, seed)
    labels = tuple(
        f"{pair.layer}: {pair.first}, {pair.second}" + ("" if equal else " (closest)") for _, pair, equal in followed
    )
    windows = [_window(each) if equal else None for each, (_, _, equal) in zip(distances, followed, strict=True)]
    linearised = [
        _slope(each, window or (0, steps))[0] if equal else math.nan
        for each, window, (_, _, equal) in zip(growing, windows, followed, strict=True)
    ]
    return _result(
        labels,
        distances,
        windows,
        linearised,
        {each.name: swaps for each, swaps in layers.items()},
        threshold,
        gradients,
    )


def _trained_layers(model: nn.Module, objective: Objective) -> list[HiddenLayer]:
    """Returns the hidden layers all of whose parameters are trained."""
    return [each for each in hidden_layers(model) if {*each.incoming, each.outgoing} <= set(objective.shapes)]


@torch.no_grad()
def _swaps(objective: Objective, layer: HiddenLayer) -> bool:
    """Returns whether the loss stays the same when every unit takes the place of the next.

    At a loss of zero only a control says what rounding is: units that are read in the next's place but not written
    there, which is another function.
    """
    named = objective.named(objective.start)
    swapped = layer.with_units(named, layer.units(named).roll(1, 0))
    before, after, control = (
        objective(objective.flat(each)) for each in (named, swapped, named | {layer.outgoing: swapped[layer.outgoing]})
    )
    change = (control - before).abs()
    scale = before.abs() + change.where(change.isfinite(), 0)
    return bool((after - before).abs() <= torch.finfo(before.dtype).eps ** 0.75 * scale)


def _follow(
    objective: Objective,
    followed: list[tuple[HiddenLayer, UnitPair, bool]],
    learning_rate: float,
    steps: int,
    noise: float,
    seed: int,
) -> tuple[Tensor, Tensor, int]:
    """Returns distances of pairs, logarithms of the linearised ones [m, steps + 1], and gradients taken."""
    step_map = gradient_descent_map(objective, learning_rate)
    reference = objective.start
    tangent = _difference(objective, [(layer, pair) for layer, pair, equal in followed if equal], seed)
    linear = bool(tangent.any())
    pushed = Tangents(step_map, reference)
    state = reference + noise * tangent
    apart = noise > 0 and linear
    scale = 0.0
    sizes = _sizes(objective, followed)
    distances, growing = [], []
    for t in range(steps + 1):
        distances.append(_apart(objective, state, followed) / sizes)
        growing.append((_apart(objective, tangent, followed) / sizes).log() + scale)
        if t == steps:
            break
        if linear:
            reference, products = pushed.push(reference, tangent[None])
            tangent = products[0]
            size = float(tangent.norm())
            if size > 0:
                scale += math.log(size)
                tangent = tangent / size
        else:
            reference = step_map(reference).detach()
        state = step_map(state).detach() if apart else reference
        if not bool(state.isfinite().all()):
            raise InputError(f"descent left the finite numbers at step {t + 1}; take a smaller learning rate")
    cost = steps * ((3 if linear else 1) + apart)
    return torch.stack(distances, 1), torch.stack(growing, 1), cost


def _difference(objective: Objective, pairs: list[tuple[HiddenLayer, UnitPair]], seed: int) -> Tensor:
    """Returns a random change of the parameters [n] of the units' own size, that leaves the mean of equal units."""
    generator = torch.Generator().manual_seed(seed)
    named = objective.named(torch.zeros_like(objective.start))
    for layer in dict.fromkeys(layer for layer, _ in pairs):
        own = layer.units(objective.named(objective.start))
        change = torch.zeros_like(own)
        for first in dict.fromkeys(pair.first for each, pair in pairs if each == layer):
            group = [first, *(pair.second for each, pair in pairs if each == layer and pair.first == first)]
            drawn = torch.randn(len(group), own.shape[1], generator=generator, dtype=torch.float64).to(own)
            drawn = drawn - drawn.mean(0)
            change[group] = drawn * own[group].norm(dim=1, keepdim=True) / math.sqrt(own.shape[1])
        named = layer.with_units(named, layer.units(named) + change)
    return objective.flat(named)


def _apart(objective: Objective, state: Tensor, followed: list[tuple[HiddenLayer, UnitPair, bool]]) -> Tensor:
    """Returns ‖θ_i − θ_j‖ of every pair [m], float64."""
    named = objective.named(state)
    units = {layer: layer.units(named).double() for layer in dict.fromkeys(layer for layer, _, _ in followed)}
    return torch.stack([(units[layer][pair.first] - units[layer][pair.second]).norm() for layer, pair, _ in followed])


def _sizes(objective: Objective, followed: list[tuple[HiddenLayer, UnitPair, bool]]) -> Tensor:
    """Returns the root mean square of ‖θ_i‖ and ‖θ_j‖ at the start [m], float64; 1 where both are zero."""
    named = objective.named(objective.start)
    both = [layer.units(named)[[pair.first, pair.second]].double() for layer, pair, _ in followed]
    sizes = torch.stack([each.square().sum(1).mean().sqrt() for each in both])
    return sizes.where(sizes > 0, 1)


def fitted_growth(distances: Tensor) -> tuple[float, float] | None:
    """Fits exponential growth where a distance is small, over the later half of those steps.

    Args:
        distances: at every step [steps + 1]; small means below 0.001.

    Returns:
        The growth of its logarithm per step and the standard error over blocks; None where it is zero, or not small
        for long enough.
    """
    window = _window(distances)
    return None if window is None else _slope(distances.log(), window)


def _window(distances: Tensor) -> tuple[int, int] | None:
    """Returns the later half of the steps in which the difference is neither zero nor large, or None."""
    some = (distances > 0).nonzero()
    large = (distances > _LINEAR).nonzero()
    if not len(some):
        return None
    first, last = int(some[0]), int(large[0]) - 1 if len(large) else len(distances) - 1
    middle = (first + last + 1) // 2
    usable = last - middle >= _BLOCKS and bool((distances[middle : last + 1] > 0).all())
    return (middle, last) if usable else None


def _slope(logarithms: Tensor, window: tuple[int, int]) -> tuple[float, float]:
    """Returns the mean growth per step, and its standard error over blocks; NaN where a logarithm is not finite."""
    edges = torch.linspace(window[0], window[1], min(_BLOCKS, window[1] - window[0]) + 1).round().long()
    values = logarithms[edges]
    if not bool(values.isfinite().all()):
        return math.nan, math.nan
    each = values.diff() / edges.diff().to(values.device)
    mean = float(values[-1] - values[0]) / (window[1] - window[0])
    return mean, float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else math.nan


def _result(
    labels: tuple[str, ...],
    distances: Tensor,
    windows: list[tuple[int, int] | None],
    linearised: list[float],
    layers: Mapping[str, bool],
    threshold: float,
    gradients: int,
) -> SymmetryResult:
    """Returns the result, with the growth fitted in the windows."""
    fits = [
        (math.nan, math.nan) if window is None else _slope(each.log(), window)
        for each, window in zip(distances, windows, strict=True)
    ]
    above = [(each > threshold).nonzero() for each in distances]
    return SymmetryResult(
        labels=labels,
        distances=distances,
        broken_at=tuple(int(each[0, 0]) if len(each) else None for each in above),
        rates=torch.tensor([fit[0] for fit in fits], dtype=torch.float64),
        standard_errors=torch.tensor([fit[1] for fit in fits], dtype=torch.float64),
        linearised_rates=torch.tensor(linearised, dtype=torch.float64),
        windows=torch.tensor([window or (-1, -1) for window in windows]),
        layers=layers,
        threshold=threshold,
        gradients=gradients,
    )


def _demonstration(seed: int) -> SymmetryResult:
    """Returns two identical neurons on y = x², nudged in every way that can and that cannot part them."""
    neurons, learning_rate, steps = 2, 0.3, 1000
    parting, leaning = growth(neurons, learning_rate)
    runs = {
        "nothing, float32": (Nudge(), torch.float32),
        "nothing, float64": (Nudge(), torch.float64),
        "rounding, float32": (Nudge(rounding=True), torch.float32),
        "rounding, float64": (Nudge(rounding=True), torch.float64),
        "noise 1e-8, float64": (Nudge(noise=1e-8), torch.float64),
        "imbalance 1e-8, float64": (Nudge(imbalance=1e-8), torch.float64),
    }
    labels, distances, linearised = [], [], []
    for name, (nudge, dtype) in runs.items():
        identical, mirrored = departures(neurons, learning_rate, steps, nudge, dtype, seed)
        labels.append(f"identical; {name}")
        distances.append(identical)
        linearised.append(parting)
        if not (nudge.noise or nudge.rounding):
            labels.append(f"mirror; {name}")
            distances.append(mirrored)
            linearised.append(leaning)
    windows = [_window(each) for each in distances]
    return _result(
        tuple(labels), torch.stack(distances), windows, linearised, {"hidden": True}, 1e-2, steps * len(runs)
    )
