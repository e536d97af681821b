"""Mechanics of training with momentum: potential, kinetic and dissipated energy, and the power balance.

A network trained by gradient descent with momentum is a particle with friction on the loss, m θ̈ + γ θ̇ + ∇L = 0, here
with m = 1. In the limit of small steps dE/dt = −γ‖θ̇‖²; what steps of length h miss of it is O(h²).

=======================================  ====================================================================
equation                                 variable
=======================================  ====================================================================
h = √(2η/(1 + β)), γ = −ln β/h           ``time_step``, ``friction`` from ``learning_rate`` η, ``momentum`` β
L(θ)                                     ``potential``
K = ½‖θ̇‖²                                ``kinetic``
E = L + K                                ``energy``
D = ∫ γ‖θ̇‖² dt                           ``dissipated``: the heat of the friction steps, exactly
E + D − E(0) = O(h²)                     ``imbalance``
dE/dt = −γ‖θ̇‖²                           ``power`` against ``friction_power``; the fit is ``measured_friction``
=======================================  ====================================================================

The steps are those of :class:`sciml_zoo.optim.DampedHamiltonian`, whose path is that of ``torch.optim.SGD(lr=η,
momentum=β)`` (Qian, "On the momentum term in gradient descent learning algorithms", Neural Networks 12, 145, 1999) but
for the first step, which is half as long. β = 1 is motion without friction. It is stable while η < 2(1 + β)/λ for every
curvature λ of the loss.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments.result import Result
from sciml_zoo.optim import DampedHamiltonian

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MechanicsResult", "measure"]

# Blocks of time that are left out one after the other for the standard error of the friction.
_BLOCKS = 16
_DRAWN = 60


@dataclass(frozen=True)
class MechanicsResult(Result):
    """Energies along a run from rest; energies in units of the loss, and time in units in which m = 1.

    Attributes:
        learning_rate: η.
        momentum: β.
        time_step: h.
        friction: γ.
        time: of the whole steps [steps + 1].
        potential: L [steps + 1].
        kinetic: K [steps + 1].
        dissipated: D [steps + 1].
        power: (E after a step − E before it)/h [steps].
        friction_power: −γ‖θ̇‖², the mean of before and after a step [steps].
        measured_friction: γ by least squares of ``power`` on −‖θ̇‖².
        friction_error: its standard error (jackknife over blocks of time); a long h adds a bias of O(h²) to it.
        imbalance: E + D − E(0) [steps + 1], what the steps miss.
        relative_imbalance: the last ``imbalance`` over what was dissipated, or over the largest kinetic energy if that
            is more.
        gradients: evaluations of the loss with its gradient; two more of the loss alone look whether it is a function.
    """

    learning_rate: float
    momentum: float
    time_step: float
    friction: float
    time: Tensor
    potential: Tensor
    kinetic: Tensor
    dissipated: Tensor
    power: Tensor
    friction_power: Tensor
    measured_friction: float
    friction_error: float
    imbalance: Tensor
    relative_imbalance: float
    gradients: int

    @property
    def energy(self) -> Tensor:
        """Returns E = L + K [steps + 1]."""
        return self.potential + self.kinetic

    def plot(self) -> Figure:
        """Draws the energies over time, the power balance, and the imbalance.

        Returns:
            The figure; the power measured as points, its law as the line.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(13.5, 3.9), layout="constrained")
        energies, power, missed = figure.subplots(1, 3)
        time, middle = self.time, (self.time[1:] + self.time[:-1]) / 2
        energies.plot(time, self.potential, label="potential L")
        energies.plot(time, self.kinetic, label="kinetic K")
        energies.plot(time, self.energy, "k", label="E = L + K")
        energies.plot(time, self.dissipated, label="dissipated D")
        energies.plot(time, self.energy + self.dissipated, "k:", label="E + D")
        energies.set(xlabel="time h · step", ylabel="energy (loss)", title="energies")
        energies.legend(fontsize="small")
        every = slice(None, None, max(1, len(middle) // _DRAWN))
        shown = f"γ = {self.measured_friction:.4g} ± {self.friction_error:.1g} measured, {self.friction:.4g} set"
        power.plot(middle[every], self.power[every], "o", markersize=3, label="measured dE/dt")
        power.plot(middle, self.friction_power, color="0.4", label="−γ‖θ̇‖²")
        power.set(xlabel="time h · step", ylabel="power (loss / time)", title=shown)
        power.legend(fontsize="small")
        missed.plot(time, self.imbalance)
        missed.axhline(0.0, color="0.4", linewidth=0.8)
        missed.set(
            xlabel="time h · step", ylabel="E + D − E(0) (loss)", title=f"what steps of h = {self.time_step:.3g} miss"
        )
        return figure


def measure(
    model: nn.Module | None = None,
    loss: Callable[[nn.Module], Tensor] | None = None,
    *,
    learning_rate: float = 1e-4,
    momentum: float = 0.997,
    steps: int = 2000,
    seed: int = 0,
) -> MechanicsResult:
    """Trains a copy of a model from rest and keeps the books of its energy.

    Args:
        model: any model; only parameters that require a gradient move. Without one, a small tanh network that learns a
            sine in float64.
        loss: of a model, on data of its own: a scalar that is a function of the parameters alone, so all examples at
            once and no dropout (``model.eval()``).
        learning_rate: η of SGD.
        momentum: β of SGD, more than 0; at 1 there is no friction.
        steps: of training.
        seed: of the small network.

    Returns:
        The energies, in float64 on the CPU; the model, its gradients and the global random state are as before.

    Raises:
        InputError: a model without a loss or the other way round, values out of range, nothing to train, a loss that is
            no scalar, differs between two calls or does not depend on the model it is given, or one that diverged.
    """
    if (model is None) != (loss is None):
        raise InputError("expected a model and its loss, or neither")
    if model is None or loss is None:
        model, loss = _sine_network(seed)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"learning_rate is {learning_rate}; expected a finite number, more than zero")
    if not 0 < momentum <= 1:
        raise InputError(f"momentum is {momentum}; expected more than 0, at most 1")
    if steps < _BLOCKS:
        raise InputError(f"steps is {steps}; expected {_BLOCKS} or more")
    time_step = math.sqrt(2 * learning_rate / (1 + momentum))
    friction = abs(math.log(momentum)) / time_step
    copied = copy.deepcopy(model)
    trained = [parameter for parameter in copied.parameters() if parameter.requires_grad]
    if not trained:
        raise InputError("no parameter of the model requires a gradient")
    cards = sorted({parameter.device.index for parameter in trained if parameter.device.type == "cuda"})
    with torch.random.fork_rng(devices=cards):
        rows = _run(copied, loss, DampedHamiltonian(trained, time_step, friction=friction), steps)
    return _books(rows, learning_rate, momentum, time_step, friction)


def _run(
    model: nn.Module, loss: Callable[[nn.Module], Tensor], optimizer: DampedHamiltonian, steps: int
) -> list[tuple[float, float, float]]:
    """Returns L, K, D at the whole steps, the first of them at rest."""

    parameters = optimizer.param_groups[0]["params"]

    def closure() -> Tensor:
        value = loss(model)
        # Not backward: a loss that uses another model by mistake must not write to that one's gradients.
        found = torch.autograd.grad(value, parameters, allow_unused=True) if value.requires_grad else []
        if not any(gradient is not None for gradient in found):
            raise InputError("the loss does not depend on the model it is given: loss(model) must use its argument")
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        return value.detach()

    rows = [(_start(model, loss), 0.0, 0.0)]
    for step in range(steps):
        value = float(optimizer.step(closure))
        rows.append((value, optimizer.kinetic_energy(), optimizer.dissipated_energy()))
        if not all(math.isfinite(energy) for energy in rows[-1]):
            raise InputError(
                f"the loss diverged at step {step + 1}: take learning_rate below 2(1 + momentum)/λ, λ the curvature"
            )
    return rows


@torch.no_grad()
def _start(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> float:
    """Returns the loss before training."""
    first, second = loss(model), loss(model)
    if first.numel() != 1:
        raise InputError(f"the loss has shape {list(first.shape)}; expected a scalar")
    if not first.isfinite():
        raise InputError(f"the loss is {float(first)} before training; expected a finite number")
    if not torch.allclose(first, second, rtol=1e-4):
        raise InputError(
            f"the loss is {float(first)}, then {float(second)} for the same parameters, so it is no potential: "
            "take all examples at once and no dropout (model.eval())"
        )
    return float(first)


def _books(
    rows: list[tuple[float, float, float]], learning_rate: float, momentum: float, time_step: float, friction: float
) -> MechanicsResult:
    potential, kinetic, dissipated = torch.tensor(rows, dtype=torch.float64).T
    energy = potential + kinetic
    power = energy.diff() / time_step
    square_speed = kinetic[1:] + kinetic[:-1]  # the mean of ‖θ̇‖² = 2K
    imbalance = energy + dissipated - energy[0]
    # Sums over blocks of time, so that each may be left out.
    over = torch.stack([part.sum() for part in (-power * square_speed).tensor_split(_BLOCKS)])
    under = torch.stack([part.sum() for part in square_speed.square().tensor_split(_BLOCKS)])
    without = (over.sum() - over) / (under.sum() - under)
    error = ((_BLOCKS - 1) / _BLOCKS * (without - without.mean()).square().sum()).sqrt()
    return MechanicsResult(
        learning_rate=learning_rate,
        momentum=momentum,
        time_step=time_step,
        friction=friction,
        time=time_step * torch.arange(len(rows), dtype=torch.float64),
        potential=potential,
        kinetic=kinetic,
        dissipated=dissipated,
        power=power,
        friction_power=-friction * square_speed,
        measured_friction=float(over.sum() / under.sum()),
        friction_error=float(error),
        imbalance=imbalance,
        relative_imbalance=float(imbalance[-1].abs() / max(dissipated[-1], kinetic.max())),
        gradients=len(rows),
    )


def _sine_network(seed: int) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Returns a network 1–8–1 and its mean squared error on a sine."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.utils.skip_init(nn.Linear, 1, 8, dtype=torch.float64),
        nn.Tanh(),
        nn.utils.skip_init(nn.Linear, 8, 1, dtype=torch.float64),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    x = torch.linspace(-2.0, 2.0, 32, dtype=torch.float64)[:, None]
    target = (2 * x).sin()

    def loss(network: nn.Module) -> Tensor:
        return (network(x) - target).square().mean()

    return model, loss
