"""Signal propagation: a network as a medium in which signals and gradients decay, persist or explode.

=============================================  ===========================================================
q^l = ⟨(h^l)²⟩                                  ``forward_variances``, h the output of layer l
⟨(δ^l)²⟩, δ^l = ∂(v · outputs)/∂h^l             ``backward_variances``, v standard normal
‖δ^l‖²/‖δ^{l+1}‖² ≈ σ_w² E[φ′(√q^l z)²] = χ      ``multipliers``, against ``theory_multipliers``
(‖δ^1‖²/‖δ^L‖²)^{1/(L−1)}                       ``multiplier``, against ``theory.multiplier`` at q*
1/|ln χ|                                       ``depth_scale``, in layers
=============================================  ===========================================================

Mean-field theory (Poole et al., NeurIPS 2016; Schoenholz et al., ICLR 2017; :mod:`~sciml_zoo.instruments.mean_field`)
speaks of plain chains of layers with independent weights and one activation: of other networks (residual, normalised,
with attention) the same is measured, and the verdict says why the theory does not apply. Finite width scatters
ln‖δ^l‖² by O(√(depth/width)) (Hanin & Nica, 2020): ``fluctuations``.

The phase is that of the theory: χ at the variance fixed point of the network's own σ_w² and σ_b², or at the measured
variances where there is none, as for ReLU off criticality. The rate measured over the layers includes the way to the
fixed point, which for tanh at σ_w² = 1 is long (q falls as 1/depth), and is reported beside it.

Example:
    >>> result = measure(width=200, depth=20, activation="relu", weight_variance=2.0, bias_variance=0.0)
    >>> result.phase
    'critical'
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._activation import Activation, activation_name
from sciml_zoo.instruments._layer_trace import LayerTrace, trace
from sciml_zoo.instruments._prediction import log_rate, predict, sampling_errors, weight_statistics
from sciml_zoo.instruments.initialisation import initialise_, plain_network
from sciml_zoo.instruments.mean_field import Theory, critical_initialisation, critical_point, theory
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SignalResult", "critical_initialisation", "initialise_", "measure", "theory"]

_INPUT_CORRELATION = 0.5  # of the examples of a network of its own
_RESOLUTION = 0.02  # of the measured rate, without a theory: closer to zero is critical whatever the error
_UNDECIDED = 0.3  # of a rate: whoever knows it no better than this cannot tell the phase


@dataclass(frozen=True)
class SignalResult(Result):
    """What became of signals and gradients in L layers.

    Errors are standard errors over the draws: random networks, or random cotangents of a given model.

    Attributes:
        layers: names [L].
        weight_variances: σ_w² of the layers [L], the mean square of a weight times the fan-in; nan for other layers
            than linear and convolutional ones.
        bias_variances: σ_b² [L].
        forward_variances: q^l [L].
        forward_errors: of them [L]; nan for a given model, which has one.
        correlations: mean cosine between different examples [L], the entries of the first dimension; nan for one.
        correlation_errors: of them [L].
        backward_variances: ⟨(δ^l)²⟩ over units and examples [L].
        backward_errors: of them [L].
        log_gradients: mean of ln(‖δ^l‖²/‖δ^L‖²) over the draws [L].
        log_gradient_errors: of them [L].
        multipliers: ‖δ^l‖²/‖δ^{l+1}‖², geometric mean over the draws [L − 1].
        multiplier_errors: of them [L − 1].
        theory_variances: the length map, iterated from the variance of the first layer [L]; empty without a theory.
        theory_correlations: the correlation map, likewise [L].
        theory_multipliers: σ_w² E[φ′(√q^l z)²] at the measured variances [L − 1].
        fluctuations: predicted standard deviation of ln(‖δ^l‖²/‖δ^L‖²) of one input and one cotangent, over random
            networks [L].
        theory: the fixed point, at the mean σ_w² and σ_b² of the layers after the first; None where it does not apply.
        multiplier: geometric mean of ``multipliers``.
        multiplier_error: standard error of it over the draws, or the predicted fluctuation if that is larger.
        depth_scale: 1/|ln multiplier|, in layers.
        phase: ``ordered`` (gradients vanish), ``critical``, ``chaotic`` (they explode), by χ at the fixed point, within
            the errors of weight statistics and of finite width; ``undecided`` if these are too large, or
            ``not applicable``. By the measured multiplier if the activation is not known.
        verdict: the phase in words, or the reason why there is none, and the measured multiplier.
        suggestion: a critical initialisation, N(0, σ_w²/fan_in) for weights and N(0, σ_b²) for biases, with its theory;
            None where the activation is not known or none exists.
        gradients: the cost in gradient evaluations, here backward passes from the outputs on all inputs.
    """

    layers: tuple[str, ...]
    weight_variances: NDArray[np.float64]
    bias_variances: NDArray[np.float64]
    forward_variances: NDArray[np.float64]
    forward_errors: NDArray[np.float64]
    correlations: NDArray[np.float64]
    correlation_errors: NDArray[np.float64]
    backward_variances: NDArray[np.float64]
    backward_errors: NDArray[np.float64]
    log_gradients: NDArray[np.float64]
    log_gradient_errors: NDArray[np.float64]
    multipliers: NDArray[np.float64]
    multiplier_errors: NDArray[np.float64]
    theory_variances: NDArray[np.float64]
    theory_correlations: NDArray[np.float64]
    theory_multipliers: NDArray[np.float64]
    fluctuations: NDArray[np.float64]
    theory: Theory | None
    multiplier: float
    multiplier_error: float
    depth_scale: float
    phase: str
    verdict: str
    suggestion: Theory | None
    gradients: int

    def plot(self) -> "Figure":
        """Returns variances, correlations, gradients and multipliers by layer, with the theory as lines."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10.0, 7.2), layout="constrained")
        (forward, together), (backward, single) = figure.subplots(2, 2)
        layer = np.arange(1, len(self.layers) + 1)
        known = len(self.theory_variances) > 0
        _points(forward, layer, self.forward_variances, self.forward_errors)
        _points(together, layer, self.correlations, self.correlation_errors)
        _points(backward, layer, np.exp(self.log_gradients), np.exp(self.log_gradients) * self.log_gradient_errors)
        _points(single, layer[:-1], self.multipliers, self.multiplier_errors)
        if known:
            forward.plot(layer, self.theory_variances, "C1", label="length map")
            together.plot(layer, self.theory_correlations, "C1", label="correlation map")
            line = np.append(np.cumsum(np.log(self.theory_multipliers)[::-1])[::-1], 0.0)
            backward.plot(layer, np.exp(line), "C1", label="product of χ")
            backward.fill_between(
                layer,
                np.exp(line - self.fluctuations),
                np.exp(line + self.fluctuations),
                color="C1",
                alpha=0.2,
                label="± predicted, of one network and input",
            )
            single.plot(layer[:-1], self.theory_multipliers, "C1", label="χ at the measured variance")
        single.axhline(1.0, color="k", lw=1, ls=":", label="critical")
        forward.set(ylabel="variance q of a layer's output", yscale="log")
        together.set(ylabel="mean correlation of two inputs")
        backward.set(ylabel="‖δ(l)‖²/‖δ(L)‖² of gradients", yscale="log")
        single.set(ylabel="multiplier ‖δ(l)‖²/‖δ(l+1)‖²")
        for axes in (forward, together, backward, single):
            axes.set_xlabel("layer l")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(fontsize="small")
        figure.suptitle(textwrap.fill(self.verdict, 110), fontsize="medium")
        return figure


def measure(
    model: nn.Module | None = None,
    inputs: Any = None,
    *,
    activation: Activation | None = None,
    draws: int = 4,
    seed: int = 0,
    width: int = 400,
    depth: int = 40,
    weight_variance: float = 2.5,
    bias_variance: float = 0.05,
    input_variance: float = 1.0,
    examples: int = 8,
) -> SignalResult:
    """Measures how signals and gradients propagate through a network.

    Args:
        model: any network; None for random plain networks of the width, depth and variances below.
        inputs: of the model: a tensor, or a tuple or dictionary of its arguments.
        activation: between the layers, by name or as an elementwise function. Of a given model it is found out unless
            it is a function of the user's own; without a model the default is tanh.
        draws: the number of random networks, or of random cotangents for a given model; a single one gives no
            error bars.
        seed: of all draws; torch's global generators are left alone.
        width: N, without a model.
        depth: L, without a model.
        weight_variance: σ_w², without a model.
        bias_variance: σ_b², without a model.
        input_variance: mean square of an input, without a model; the inputs have a correlation of ½.
        examples: the number of inputs, without a model.

    Returns:
        Variances, multipliers and the verdict.

    Raises:
        InputError: a model without inputs or without layers, or settings out of range.
    """
    if draws < 1:
        raise InputError(f"draws is {draws}; expected 1 or more, and 2 or more for error bars")
    if model is not None:
        if inputs is None:
            raise InputError("a model needs inputs: a tensor, or a tuple or dictionary of its arguments")
        return _result([trace(model, inputs, draws=draws, seed=seed)], activation)
    if inputs is not None:
        raise InputError("inputs need a model; without one they are drawn, see input_variance and examples")
    if not (input_variance > 0 and math.isfinite(input_variance)) or examples < 1:
        raise InputError(f"input_variance {input_variance}, examples {examples}: expected positive numbers")
    chosen = "tanh" if activation is None else activation
    network = plain_network(width, depth, chosen)
    traces = []
    for draw in range(draws):
        own = 1000 * seed + draw
        initialise_(network, (weight_variance, bias_variance), seed=2 * own)
        generator = torch.Generator().manual_seed(2 * own + 1)
        normal = torch.randn(examples + 1, width, generator=generator)
        x = math.sqrt(_INPUT_CORRELATION) * normal[:1] + math.sqrt(1 - _INPUT_CORRELATION) * normal[1:]
        traces.append(trace(network, math.sqrt(input_variance) * x, draws=1, seed=2 * own + 1))
    return _result(traces, chosen, (weight_variance, bias_variance))


def _result(
    traces: Sequence[LayerTrace], activation: Activation | None, drawn: tuple[float, float] | None = None
) -> SignalResult:
    """Returns what was seen and what the theory says of it; ``drawn`` are σ_w² and σ_b² of random networks."""
    one = traces[0]
    n_layers = len(one.names)
    squared = np.concatenate([t.squared_gradients for t in traces])
    size = np.array(one.units) * np.array(one.examples)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs = np.log(squared)
        steps = logs[:, :-1] - logs[:, 1:]
        relative = logs - logs[:, -1:]
        log_multiplier = float(relative[:, 0].mean()) / max(1, n_layers - 1)
        spread = _standard_error(relative[:, :1])[0] / max(1, n_layers - 1)
        variances = np.mean([t.variances for t in traces], axis=0)
        log_gradients, log_errors = relative.mean(0), _standard_error(relative)
        multipliers, step_errors = np.exp(steps.mean(0)), np.exp(steps.mean(0)) * _standard_error(steps)
    correlations = np.array([t.correlations for t in traces])
    weight_variances, bias_variances = weight_statistics(one)
    if drawn is not None:
        weight_variances, bias_variances = np.full(n_layers, drawn[0]), np.full(n_layers, drawn[1])
    obstacles = _obstacles(one, variances, logs)
    if activation is None and len(one.activations) == 1:
        activation = one.activations[0]
    elif activation is None and len(one.activations) > 1:
        obstacles.append(f"the activations differ ({', '.join(activation_name(each) for each in one.activations)})")
    predicted, where, expected, errors = None, None, None, (0.0, 0.0)
    if not obstacles and activation is not None and np.isfinite(weight_variances[1:]).all():
        predicted = predict(one, activation, variances, correlations.mean(0)[0], weight_variances, bias_variances)
        mean_weight, mean_bias = float(weight_variances[1:].mean()), float(bias_variances[1:].mean())
        start = max(float(variances[0]), 1e-12)
        where = theory(activation, mean_weight, mean_bias, start=start)
        if drawn is None:
            errors = sampling_errors(one, weight_variances, bias_variances)
        expected = (where.variance, *log_rate(activation, where, predicted, start, errors))
        # Cotangents of one model do not tell how models scatter, and the scatter of few networks is not well known.
        spread = float(np.fmax(spread, predicted.fluctuations[0] / (n_layers - 1) / math.sqrt(len(traces))))
    phase, verdict = _verdict(obstacles, activation, log_multiplier, spread, n_layers, expected)
    suggestion = None
    if not obstacles and activation is not None:
        suggestion = _suggest(activation)
        if suggestion is not None and phase != "critical" and not _has(where, suggestion, errors):
            verdict += (
                f"; critical for {suggestion.activation} would be weights of variance "
                f"{suggestion.weight_variance:.4g}/fan_in and biases of variance {suggestion.bias_variance:.3g}"
            )
    empty = np.zeros(0)
    multiplier = float(np.exp(log_multiplier))
    return SignalResult(
        layers=one.names,
        weight_variances=weight_variances,
        bias_variances=bias_variances,
        forward_variances=variances,
        forward_errors=_standard_error(np.array([t.variances for t in traces])),
        correlations=correlations.mean(0),
        correlation_errors=_standard_error(correlations),
        backward_variances=squared.mean(0) / size,
        backward_errors=_standard_error(squared) / size,
        log_gradients=log_gradients,
        log_gradient_errors=log_errors,
        multipliers=multipliers,
        multiplier_errors=step_errors,
        theory_variances=predicted.variances if predicted else empty,
        theory_correlations=predicted.correlations if predicted else empty,
        theory_multipliers=predicted.multipliers if predicted else empty,
        fluctuations=predicted.fluctuations if predicted else empty,
        theory=where,
        multiplier=multiplier,
        multiplier_error=multiplier * spread,
        depth_scale=1 / abs(log_multiplier) if log_multiplier else math.inf,
        phase=phase,
        verdict=verdict,
        suggestion=suggestion,
        gradients=len(squared),
    )


def _obstacles(seen: LayerTrace, variances: NDArray[np.float64], logs: NDArray[np.float64]) -> list[str]:
    """Returns why there is no verdict, most basic reason first."""
    found = []
    if len(seen.names) < 2:
        found.append("a single layer multiplies nothing")
    wrong = np.flatnonzero(~np.isfinite(variances))
    if len(wrong):
        found.append(f"the signal is not finite at layer {seen.names[wrong[0]]!r}")
    silent = np.flatnonzero(~np.isfinite(logs).all(0))
    if len(silent):
        found.append(f"gradients are zero or not finite at layer {seen.names[silent[-1]]!r}")
    found += seen.obstacles
    return found


def _verdict(
    obstacles: list[str],
    activation: Activation | None,
    log_multiplier: float,
    error: float,
    n_layers: int,
    expected: tuple[float, float, float] | None,
) -> tuple[str, str]:
    """Returns the phase and what it means; ``expected`` are q*, ln χ and its tolerance, None without a theory."""
    if obstacles:
        verdict = f"not applicable: {'; '.join(obstacles)}: the mean-field theory of plain networks does not apply"
        if math.isfinite(log_multiplier) and n_layers > 1:
            verdict += f"; measured, the squared gradient changes by a factor of {math.exp(log_multiplier):.4g} a layer"
        return "not applicable", verdict
    rate, tolerance, place = log_multiplier, float(np.fmax(_RESOLUTION, 2 * error)), ""
    if expected is not None and expected[2] <= _UNDECIDED:
        variance, rate, tolerance = expected
        place = " at the fixed point" if variance < math.inf else " at the variances of the layers"
        place += f" (σ_w²χ = {math.exp(rate):.4g})"
    if tolerance > _UNDECIDED and not place:
        phase, fate = "undecided", "the network is too narrow or too shallow to tell"
    elif abs(rate) <= tolerance:
        phase, fate = "critical", "gradients keep their size"
    else:
        phase, fate = ("ordered", "gradients vanish") if rate < 0 else ("chaotic", "gradients explode")
        fate += f", by a factor e in {1 / abs(rate):.3g} layers"
    factor = math.exp(log_multiplier)
    known = f" ± {factor * error:.1g}" if math.isfinite(error) else ""
    verdict = (
        f"{phase}{place}: {fate}; over these {n_layers} layers squared gradients changed by a factor of "
        f"{factor:.4g}{known} a layer"
    )
    if activation is None:
        verdict += "; the activation is not recognised, name it (activation=…) for the theory and a suggestion"
    return phase, verdict


def _has(where: Theory | None, suggestion: Theory, errors: tuple[float, float]) -> bool:
    """Returns whether a network has the variances that are suggested, within three standard errors or 1 %."""
    return where is not None and all(
        abs(has - wanted) <= max(0.01 * wanted, 3 * error)
        for has, wanted, error in (
            (where.weight_variance, suggestion.weight_variance, errors[0]),
            (where.bias_variance, suggestion.bias_variance, errors[1]),
        )
    )


def _suggest(activation: Activation) -> Theory | None:
    """Returns the critical initialisation of an activation, if there is one."""
    try:
        return theory(activation, *critical_point(activation))
    except InputError:
        return None


def _standard_error(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the standard error of the mean over the first dimension; nan for a single draw."""
    if len(draws) < 2:
        return np.full(draws.shape[1:], math.nan)
    return draws.std(0, ddof=1) / math.sqrt(len(draws))


def _points(axes: "Axes", layer: NDArray[np.int64], values: NDArray[np.float64], errors: NDArray[np.float64]) -> None:
    """Draws what was measured; where an error is not known there is no bar."""
    bars = errors if np.isfinite(errors).any() else None
    axes.errorbar(layer, values, bars, fmt="C0o", ms=3, capsize=2, lw=1, label="measured")
