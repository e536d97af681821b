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
from sciml_zoo.instruments.mean_field import correlation_map, fluctuation, length_map, moments

__all__ = ["Prediction", "predict", "weight_statistics"]


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


def _mean_square(values: Any) -> float:
    return float(values.detach().double().square().mean())
