"""What mean-field theory says of the layers of one network: its maps, iterated from the first layer."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sciml_zoo.instruments._activation import Activation
from sciml_zoo.instruments._layer_trace import LayerTrace
from sciml_zoo.instruments.initialisation import fan_in
from sciml_zoo.instruments.mean_field import Theory, correlation_map, fluctuation, length_map, moments, theory

__all__ = ["Prediction", "log_rate", "predict", "sampling_errors", "weight_statistics"]

_RESOLUTION = 0.01  # of ln χ: closer to zero is critical, whatever the errors


@dataclass(frozen=True)
class Prediction:
    """The theory of every layer: of variances [L], correlations [L], multipliers [L − 1] and their fluctuations [L]."""

    variances: NDArray[np.float64]
    correlations: NDArray[np.float64]
    multipliers: NDArray[np.float64]
    fluctuations: NDArray[np.float64]


def predict(
    seen: LayerTrace,
    activation: Activation,
    variances: NDArray[np.float64],
    correlation: float,
    weight_variances: NDArray[np.float64],
    bias_variances: NDArray[np.float64],
) -> Prediction:
    """Returns the maps iterated from the first layer, and χ at the measured variances."""
    lengths, correlations = [float(variances[0])], [float(correlation)]
    examined = math.isfinite(correlation)  # a single input has none
    for sigma_w, sigma_b in zip(weight_variances[1:], bias_variances[1:], strict=True):
        q = max(lengths[-1], 1e-300)
        lengths.append(float(length_map(activation, [q], sigma_w, sigma_b)[0]))
        if examined:
            correlations.append(float(correlation_map(activation, [correlations[-1]], q, sigma_w, sigma_b)[0][0]))
    chi = [s * moments(activation, q).derivative for s, q in zip(weight_variances[1:], variances[:-1], strict=True)]
    # Units that share weights, as the positions of a convolution, are not independent: its channels count.
    widths = [
        int(weight.shape[0]) if isinstance(weight := module.weight, Tensor) and fan_in(module) else n
        for module, n in zip(seen.modules, seen.units, strict=True)
    ]
    return Prediction(
        variances=np.array(lengths),
        correlations=np.array(correlations) if examined else np.full(len(lengths), math.nan),
        multipliers=np.array(chi),
        fluctuations=fluctuation(activation, list(variances), list(weight_variances), widths),
    )


def weight_statistics(seen: LayerTrace) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns σ_w² and σ_b² of every layer."""
    weights, biases = [], []
    for module in seen.modules:
        inputs = fan_in(module)
        weights.append(math.nan if inputs is None else inputs * _mean_square(module.weight))
        bias = getattr(module, "bias", None)
        biases.append(_mean_square(bias) if isinstance(bias, Tensor) else 0.0)
    return np.array(weights), np.array(biases)


def sampling_errors(
    seen: LayerTrace, weight_variances: NDArray[np.float64], bias_variances: NDArray[np.float64]
) -> tuple[float, float]:
    """Returns how well the weights tell the mean σ_w² and σ_b² of the layers after the first: √(2/n) of n entries."""
    entries = [(module.weight, getattr(module, "bias", None)) for module in seen.modules[1:]]
    weights = np.array([weight.numel() if isinstance(weight, Tensor) else 1 for weight, _ in entries])
    biases = np.array([bias.numel() if isinstance(bias, Tensor) else 1 for _, bias in entries])
    return (
        float(np.sqrt(np.sum(2 / weights * weight_variances[1:] ** 2))) / len(entries),
        float(np.sqrt(np.sum(2 / biases * bias_variances[1:] ** 2))) / len(entries),
    )


def log_rate(
    activation: Activation, where: Theory, predicted: Prediction, start: float, errors: tuple[float, float]
) -> tuple[float, float]:
    """Returns ln χ, at the fixed point or, without one, at the measured variances, and how far from zero is critical.

    Args:
        activation: between the layers.
        where: the fixed point.
        predicted: of the layers.
        start: the variance of the first layer.
        errors: standard errors of σ_w² and σ_b².

    The tolerance is three standard errors of ln χ, or σ²/2 a layer if that is larger: by so much finite width lowers
    the mean of ln ‖δ‖² where σ² is its variance.
    """

    def logarithm(chi: float) -> float:
        return math.log(max(chi, 1e-300))

    sigma_w, sigma_b = where.weight_variance, where.bias_variance
    bounded = where.variance < math.inf
    rate = logarithm(where.multiplier)
    squares = 0.0
    if bounded:
        for shift_w, shift_b in ((errors[0], 0.0), (0.0, errors[1])):
            if shift_w == shift_b:
                continue
            shifted = [
                theory(
                    activation, max(sigma_w + sign * shift_w, 1e-12), max(sigma_b + sign * shift_b, 0.0), start=start
                )
                for sign in (-1, 1)
            ]
            squares += max(abs(logarithm(each.multiplier) - rate) for each in shifted) ** 2
    else:
        rate = float(np.mean([logarithm(chi) for chi in predicted.multipliers]))
        squares = (errors[0] / sigma_w) ** 2
    lowered = predicted.fluctuations[0] ** 2 / 2 / len(predicted.multipliers)
    return rate, max(_RESOLUTION, 3 * math.sqrt(squares), float(lowered))


def _mean_square(values: Any) -> float:
    return float(values.detach().double().square().mean())
