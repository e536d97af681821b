"""Thermodynamics: energy, entropy, free energy and heat capacity of a Bayesian network over temperature.

==================================================  ==========================================================
equation                                            variable
==================================================  ==========================================================
p_T(θ) = N(θ; 0, s²) exp(−L(θ)/T)/Z(T)              L = −log p(D | θ) ``loss``; s ``prior_scale``
F(T) = −T log Z(T) = U − TS                         at T = 1, F = −log p(D), the evidence of the data
U = ⟨L⟩_T,  S = −KL(p_T ‖ prior),  C = dU/dT         misfit; −information taken from the data; heat capacity
F(1) = ⟨L⟩ + KL                                     Occam's razor: misfit, and what the parameters had to learn
C → d/2 as T → 0, U ≈ L_min + d T/2                 equipartition, where all d curvatures of L are above 0
==================================================  ==========================================================

The temperature acts on the likelihood alone, so that the prior is the posterior at T = ∞, where Z = 1. Chains come down
from there on a ladder of temperatures whose steps are chosen by the overlap of neighbours (half of the draws effective,
as in sequential Monte Carlo: Zhou, Johansen & Aston, J. Comput. Graph. Stat. 25, 701, 2016), and log Z is summed by
Bennett's acceptance ratio. The Gaussian of the variational principle gives F from above. Where C at low T stays below
d/2, parameters are redundant: C is then the learning coefficient of Watanabe (Algebraic Geometry and Statistical
Learning Theory, 2009).

Chains that do not cross between modes (a network's hidden units in another order) miss the others' share: F is too
high by T log of their number, where they did not spread over all of them on the way down.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._objective import Objective
from sciml_zoo.instruments._sampling import SAMPLERS, Evaluate
from sciml_zoo.instruments._state_functions import (
    LABELS,
    StateFunctions,
    from_draws,
    from_gaussians,
    linear_regression,
)
from sciml_zoo.instruments._tempering import descend, variances
from sciml_zoo.instruments._variational import COVARIANCES, fit
from sciml_zoo.instruments.result import Panel, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "TEMPERATURES",
    "Razor",
    "StateFunctions",
    "ThermodynamicsResult",
    "linear_regression",
    "measure",
    "polynomials",
    "razor",
]

Loss = Callable[[nn.Module], Tensor]

#: From cold to hot around T = 1, the posterior of Bayes.
TEMPERATURES = (0.1, 0.1778, 0.3162, 0.5623, 1.0, 1.7783, 3.1623, 5.6234, 10.0)
# The demonstration: a cubic in Legendre polynomials, seen with noise.
_TRUTH = (0.3, -0.8, 0.5, 1.0)
_POINTS, _NOISE, _DEGREES = 20, 0.3, 9
_SAMPLED, _VARIATIONAL, _THEORY = "#1f77b4", "#d95f02", "k"


@dataclass(frozen=True)
class Razor(Panel):
    """Evidence against complexity, at T = 1.

    Attributes:
        complexities: of each candidate, as given [k].
        free_energy: F = −log p(D) in nats, the variational one [k]; exact where the posterior is Gaussian, else too
            high.
        free_energy_error: standard error [k].
        energy: misfit ⟨L⟩ in nats [k].
        information: KL(posterior ‖ prior) in nats [k].
        exact: F where it is known [k].
        gradients: evaluations of ∇L.
    """

    complexities: tuple[float, ...]
    free_energy: Tensor
    free_energy_error: Tensor
    energy: Tensor
    information: Tensor
    exact: Tensor | None
    gradients: int

    @property
    def best(self) -> float:
        """The complexity of the least free energy."""
        return self.complexities[int(self.free_energy.argmin())]

    def draw(self, axes: "Axes") -> None:
        """Draws F and its two parts.

        Args:
            axes: to draw on.
        """
        at = self.complexities
        if self.exact is not None:
            axes.plot(at, self.exact, color=_THEORY, linewidth=1, label="−log evidence, exact")
        axes.errorbar(at, self.free_energy, self.free_energy_error, fmt="s", color=_VARIATIONAL, label="F, variational")
        axes.plot(at, self.energy, ":", color="#7570b3", label="misfit ⟨L⟩")
        axes.plot(at, self.information, "--", color="#1b9e77", label="information KL")
        axes.axvline(self.best, color="0.8", zorder=0)
        axes.set(xlabel="complexity", ylabel="nats, at T = 1", title=f"Occam's razor: least F at {self.best:g}")
        axes.legend(fontsize=8)


@dataclass(frozen=True)
class ThermodynamicsResult(Result):
    """State functions of a Bayesian network over temperature.

    Attributes:
        sampled: by chains, with standard errors from leaving groups of them out.
        variational: of the Gaussian of least free energy.
        exact: of the demonstration, a linear model.
        razor: of the demonstration, evidence against degree.
        parameters: number d of parameters.
        prior_scale: standard deviation s of the prior.
        sampler: which one.
        acceptance: of its moves, at each temperature [k].
        effective_size: of the draws, for the mean of L [k].
        variances: of every parameter under p_T [k, d].
        variance_errors: standard errors of ``variances``, from the scatter between chains [k, d].
        variance_effective_size: 2 variance²/error², the independent draws that a Gaussian would need for it [k, d].
        ladder: inverse temperatures from 0 that the chains went through.
        gradients: evaluations of ∇L, one a chain and step; a row of the Hessian counts as two.
    """

    sampled: StateFunctions
    variational: StateFunctions
    exact: StateFunctions | None
    razor: Razor | None
    parameters: int
    prior_scale: float
    sampler: str
    acceptance: tuple[float, ...]
    effective_size: Tensor
    variances: Tensor
    variance_errors: Tensor
    variance_effective_size: Tensor
    ladder: tuple[float, ...]
    gradients: int

    def plot(self) -> "Figure":
        """Returns a figure of U, S, F and C over temperature, and of Occam's razor in the demonstration."""
        from matplotlib.figure import Figure

        columns = 2 if self.razor is None else 3
        figure = Figure(figsize=(4.4 * columns, 7), layout="constrained")
        grid = figure.add_gridspec(2, columns)
        for k, (name, label) in enumerate(LABELS.items()):
            axes = figure.add_subplot(grid[k // 2, k % 2])
            self._draw(axes, name)
            axes.set(xscale="log", xlabel="temperature T", ylabel=label)
            axes.legend(fontsize=8)
        if self.razor is not None:
            self.razor.draw(figure.add_subplot(grid[:, 2]))
        figure.suptitle(f"Thermodynamics of {self.parameters} parameters; error bars: 2 standard errors")
        return figure

    def _draw(self, axes: "Axes", name: str) -> None:
        if self.exact is not None:
            axes.plot(self.exact.temperatures, getattr(self.exact, name), color=_THEORY, linewidth=1, label="exact")
        if name == "heat_capacity":
            axes.axhline(self.parameters / 2, color="0.6", linestyle="--", linewidth=1, label="equipartition d/2")
        for found, style, colour, size, label in (
            (self.variational, "s", _VARIATIONAL, 7, "variational"),
            (self.sampled, "o", _SAMPLED, 4, f"sampled, {self.sampler}"),
        ):
            errors = 2 * getattr(found, f"{name}_error")
            axes.errorbar(
                found.temperatures,
                getattr(found, name),
                errors,
                fmt=style,
                markersize=size,
                capsize=2,
                color=colour,
                fillstyle="none",
                label=label,
            )


def measure(
    model: nn.Module | None = None,
    loss: Loss | None = None,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    prior_scale: float = 1.0,
    sampler: str = "hamiltonian",
    covariance: str = "full",
    chains: int = 256,
    draws: int = 40,
    seed: int = 0,
) -> ThermodynamicsResult:
    """Measures U, S, F and C of a network over temperature, by chains and by the variational Gaussian.

    Args:
        model: the network; all its parameters that require a gradient have the prior. Its values are where the search
            for the variational Gaussian begins. Without it, a cubic regression whose state functions are known
            exactly, and Occam's razor over its degree.
        loss: the model → −log likelihood of all data, in nats.
        temperatures: T [k], positive.
        prior_scale: standard deviation s of the prior N(0, s²).
        sampler: ``"hamiltonian"`` or ``"langevin"``.
        covariance: of the variational Gaussian, ``"full"`` (d² numbers, the Hessian at the mode) or ``"diagonal"``.
        chains: so many side by side, 8 or more.
        draws: kept of every chain at every temperature.
        seed: of the random numbers; torch's global ones are not touched.

    Returns:
        The state functions with their errors and the cost.

    Raises:
        InputError: settings out of range, a model without a loss, or a loss that is not finite under the prior.
    """
    _check(temperatures, prior_scale, sampler, covariance, chains, draws)
    if (model is None) != (loss is None):
        raise InputError("give both model and loss (the model → −log likelihood), or neither for the demonstration")
    exact = occam = None
    if model is None or loss is None:
        candidates, features, targets = polynomials()
        degree = len(_TRUTH) - 1
        model, loss = candidates[degree]
        occam = razor(candidates, prior_scale=prior_scale, covariance=covariance, seed=seed)
        exact_free = [
            linear_regression(features[:, : k + 1], targets, noise=_NOISE, prior_scale=prior_scale, temperatures=[1.0])
            for k in candidates
        ]
        occam = Razor(**{**vars(occam), "exact": torch.cat([each.free_energy for each in exact_free])})
        exact = linear_regression(
            features[:, : degree + 1],
            targets,
            noise=_NOISE,
            prior_scale=prior_scale,
            temperatures=sorted(temperatures),
        )
    objective = Objective(model, loss)
    evaluate = _evaluation(objective)
    start = objective.start.double()
    generator = torch.Generator(device=start.device).manual_seed(seed)
    fits, mode = [], start
    for temperature in sorted(temperatures, reverse=True):
        found = fit(evaluate, temperature, prior_scale, mode, covariance=covariance, generator=generator)
        fits.append(found)
        mode = found.mean
    betas, steps = descend(
        evaluate,
        sorted(1 / t for t in temperatures),
        prior_scale,
        start,
        sampler=sampler,
        chains=chains,
        draws=draws,
        generator=generator,
    )
    goals = {1 / t for t in temperatures}
    wanted = [k for k, beta in enumerate(betas) if beta in goals]
    kept = [steps[k] for k in reversed(wanted)]
    own, errors = zip(*(variances(each) for each in kept), strict=True)
    variance, error = torch.stack(own), torch.stack(errors)
    cost = sum(f.gradients for f in fits) + sum(each.gradients for each in steps)
    return ThermodynamicsResult(
        sampled=from_draws(betas, [each.losses for each in steps], wanted),
        variational=from_gaussians(fits[::-1]),
        exact=exact,
        razor=occam,
        parameters=len(start),
        prior_scale=prior_scale,
        sampler=sampler,
        acceptance=tuple(each.acceptance for each in kept),
        effective_size=torch.stack([each.losses.var() / (each.losses.mean(0).var() / chains) for each in kept]).cpu(),
        variances=variance.cpu(),
        variance_errors=error.cpu(),
        variance_effective_size=(2 * (variance / error).square()).cpu(),
        ladder=tuple(betas),
        gradients=cost + (occam.gradients if occam else 0),
    )


def razor(
    candidates: Mapping[int | float, tuple[nn.Module, Loss]],
    *,
    prior_scale: float = 1.0,
    covariance: str = "full",
    seed: int = 0,
) -> Razor:
    """Compares models by their evidence: F at T = 1 of the variational Gaussian, misfit plus information.

    Args:
        candidates: by complexity (degree, width, …), a model and its −log likelihood of the same data in nats.
        prior_scale: standard deviation of the prior of all parameters.
        covariance: ``"full"`` or ``"diagonal"``.
        seed: of the random numbers.

    Returns:
        The curve.

    Raises:
        InputError: no candidates, or settings out of range.
    """
    if not candidates:
        raise InputError("candidates is empty; expected {complexity: (model, loss), …}")
    _check([1.0], prior_scale, SAMPLERS[0], covariance, 8, 2)
    found = []
    for model, loss in candidates.values():
        objective = Objective(model, loss)
        start = objective.start.double()
        generator = torch.Generator(device=start.device).manual_seed(seed)
        evaluate = _evaluation(objective)
        found.append(fit(evaluate, 1.0, prior_scale, start, covariance=covariance, generator=generator))
    return Razor(
        complexities=tuple(float(complexity) for complexity in candidates),
        free_energy=torch.tensor([each.free_energy for each in found], dtype=torch.float64),
        free_energy_error=torch.tensor([each.energy_error for each in found], dtype=torch.float64),
        energy=torch.tensor([each.energy for each in found], dtype=torch.float64),
        information=torch.tensor([each.information for each in found], dtype=torch.float64),
        exact=None,
        gradients=sum(each.gradients for each in found),
    )


def polynomials(seed: int = 0) -> tuple[dict[int | float, tuple[nn.Module, Loss]], Tensor, Tensor]:
    """Returns the demonstration: linear models in Legendre polynomials, on 20 noisy points (σ = 0.3) of a cubic.

    Args:
        seed: of the noise.

    Returns:
        By degree 0 to 8, the model and its −log likelihood; the features [20, 9] and the targets [20].
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.linspace(-1, 1, _POINTS, dtype=torch.float64)
    powers = [torch.special.legendre_polynomial_p(x, torch.tensor(k)) for k in range(_DEGREES)]
    features = torch.stack(powers, 1)
    truth = torch.tensor(_TRUTH, dtype=torch.float64)
    noise = _NOISE * torch.randn(_POINTS, generator=generator, dtype=torch.float64)
    targets = features[:, : len(truth)] @ truth + noise

    def candidate(degree: int) -> tuple[nn.Module, Loss]:
        layer = nn.utils.skip_init(nn.Linear, degree + 1, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(layer.weight)
        constant = _POINTS / 2 * math.log(2 * math.pi * _NOISE**2)

        def loss(model: nn.Module) -> Tensor:
            residual = targets - model(features[:, : degree + 1]).squeeze(-1)
            return residual.square().sum() / (2 * _NOISE**2) + constant

        return layer, loss

    return {degree: candidate(degree) for degree in range(_DEGREES)}, features, targets


def _check(
    temperatures: Sequence[float], prior_scale: float, sampler: str, covariance: str, chains: int, draws: int
) -> None:
    if len(temperatures) == 0 or not all(math.isfinite(t) and t > 0 for t in temperatures):
        raise InputError(f"temperatures {list(temperatures)}: expected positive numbers, at least one")
    if len(set(temperatures)) < len(temperatures):
        raise InputError(f"temperatures {list(temperatures)}: expected different ones")
    if not (math.isfinite(prior_scale) and prior_scale > 0):
        raise InputError(f"prior_scale is {prior_scale}; expected a positive number")
    for name, value, choices in (("sampler", sampler, SAMPLERS), ("covariance", covariance, COVARIANCES)):
        if value not in choices:
            raise InputError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
    if chains < 8 or draws < 2:
        raise InputError(
            f"chains = {chains}, draws = {draws}: expected at least 8 and 2, errors come from their scatter"
        )


def _evaluation(objective: Objective) -> Evaluate:
    """Returns θ [n, d] → L [n] and ∇L [n, d] in float64, in the model's own precision inside."""
    dtype = objective.start.dtype
    batched = torch.func.vmap(torch.func.grad_and_value(lambda theta: objective(theta.to(dtype)).double()))

    def evaluate(positions: Tensor) -> tuple[Tensor, Tensor]:
        gradients, losses = batched(positions)
        return losses, gradients

    return evaluate
