"""From logits to probabilities, by a strictly increasing map for each kind of site.

p = σ(b + a₀ x + a₁ softplus(x)) with slopes a₀ > 0 below and a₀ + a₁ > 0 above zero (Platt 1999, with a slope for
either side), fitted by maximum likelihood.
"""

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

__all__ = ["Calibration"]

_LEAST_SLOPE = 0.05
_PENALTY = 1e-3


class Calibration(nn.Module):
    """The map of each kind of site; the identity on logits until it is fitted.

    Attributes:
        parameters_of_kinds: offset, slope below and slope above zero, float64 [kind, 3].
    """

    parameters_of_kinds: Tensor

    def __init__(self) -> None:
        super().__init__()
        identity = torch.tensor([[0.0, 1.0, 1.0]] * 2, dtype=torch.float64)
        self.register_buffer("parameters_of_kinds", identity)

    def forward(self, logits: Tensor) -> Tensor:
        """Returns the probabilities, float64, of logits [..., kind]."""
        offset, below, above = self.parameters_of_kinds.unbind(-1)
        x = logits.double()
        return torch.sigmoid(offset + below * x + (above - below) * nn.functional.softplus(x))

    @torch.no_grad()
    def fit(self, logits: Tensor, labels: Tensor) -> None:
        """Fits the maps; a kind without sites, or with nothing else, is left as it is.

        Args:
            logits: [n, kind].
            labels: whether each is a site, bool [n, kind].
        """
        for kind in range(2):
            x = logits[:, kind].double().cpu().numpy()
            y = labels[:, kind].cpu().numpy()
            if 0 < y.sum() < len(y):
                fitted = torch.from_numpy(_fitted(x, y))
                self.parameters_of_kinds[kind] = fitted.to(self.parameters_of_kinds)


def _fitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    soft = np.logaddexp(0, x)

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        offset, below, above = parameters
        score = offset + below * x + (above - below) * soft
        loss = np.sum(np.logaddexp(0, score) - y * score)
        residual = 1 / (1 + np.exp(-np.clip(score, -700, 700))) - y
        gradient = np.array([residual.sum(), (residual * (x - soft)).sum(), (residual * soft).sum()])
        pull = parameters - np.array([0.0, 1.0, 1.0])
        return loss + _PENALTY * pull @ pull, gradient + 2 * _PENALTY * pull

    bounds = [(None, None), (_LEAST_SLOPE, None), (_LEAST_SLOPE, None)]
    found = minimize(objective, np.array([0.0, 1.0, 1.0]), jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x)
