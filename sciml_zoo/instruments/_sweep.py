"""Minima followed along a rising and a falling regularisation, and where their modes are lost and come back.

λ changes in steps, each from the last relaxed state with a small random kick (so that an unstable state is left), as
in a slow experiment. Where a mode is lost or comes back, the interval is halved until λ_c is known to 0.1 %; if the
mode on its ordered side still has a tenth of its largest size it has jumped (first order), else its onset is
continuous.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._relaxation import Regularised
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Branch", "Sweep", "sweep"]

# Of the largest value of a mode: gone below the first part, a jump above the last. λ_c is known to the second.
_GONE, _RESOLUTION, _JUMP = 1e-3, 1e-3, 0.1
# Of the largest value of all modes, also before the sweep: rounding, also that of float32, and what relaxation leaves.
_NOISE = 1e-6
# Size of the kick, in units of the rms weight.
_KICK = 1e-3
_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a")


@dataclass(frozen=True)
class Branch(Result):
    """Minima followed in one direction of λ.

    Attributes:
        strengths: λ, ascending [k].
        order: m [k, modes].
        susceptibility: −dm/dλ [k, modes].
        energy: E = L + penalty [k].
        critical: λ at which each mode is lost or comes back [modes]; nan where it does neither.
        critical_error: half of the interval that holds it [modes].
        jump: |m| on the ordered side of it [modes].
        kinds: ``"jump"``, ``"continuous"`` or ``"none"`` of each mode; a mode that stays below a millionth of the
            largest is noise, and has none.
    """

    strengths: Tensor
    order: Tensor
    susceptibility: Tensor
    energy: Tensor
    critical: Tensor
    critical_error: Tensor
    jump: Tensor
    kinds: tuple[str, ...]

    def plot(self) -> "Figure":
        """Returns a figure of m over λ."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        axes = figure.subplots()
        for mode, values in enumerate(self.order.T):
            axes.plot(self.strengths, values, "o-", color=_COLOURS[mode % len(_COLOURS)], label=f"mode {mode + 1}")
        axes.set(xlabel="regularisation strength λ", ylabel="order parameter m")
        axes.legend(fontsize=8)
        return figure


@dataclass(frozen=True)
class Sweep(Result):
    """One network, with λ rising and falling.

    Attributes:
        name: of the network.
        rising: from its minimum at the smallest λ.
        falling: back from the largest.
        hysteresis: area ∮ m dλ between the branches [modes].
        coexistence: λ at which both branches have the same E; nan where they never differ.
        theory: exact m on the rising branch over ``theory_strengths`` [points, modes].
        theory_susceptibility: exact −dm/dλ [points, modes].
        theory_falling: exact m on the falling branch [points, modes].
        theory_strengths: λ [points].
        theory_critical: exact λ of loss [modes].
        gradients: gradients of L; a product with the Hessian counts as two.
    """

    name: str
    rising: Branch
    falling: Branch
    hysteresis: Tensor
    coexistence: float
    theory: Tensor | None
    theory_susceptibility: Tensor | None
    theory_falling: Tensor | None
    theory_strengths: Tensor | None
    theory_critical: Tensor | None
    gradients: int

    def plot(self) -> "Figure":
        """Returns a figure of the order parameter and its susceptibility over λ."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.6, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        self.draw(left, right)
        return figure

    def draw(self, left: "Axes", right: "Axes") -> None:
        """Draws both branches.

        Args:
            left: for the order parameter.
            right: for its susceptibility.
        """
        x = self.rising.strengths
        for mode in range(self.rising.order.shape[1]):
            colour = _COLOURS[mode % len(_COLOURS)]
            if self.theory is not None and self.theory_falling is not None and self.theory_susceptibility is not None:
                assert self.theory_strengths is not None
                t = self.theory_strengths
                left.plot(t, self.theory[:, mode], color=colour, linewidth=1)
                left.plot(t, self.theory_falling[:, mode], "--", color=colour, linewidth=1)
                right.plot(t, self.theory_susceptibility[:, mode], color=colour, linewidth=1)
            left.plot(x, self.rising.order[:, mode], "^", color=colour, markersize=4)
            left.plot(x, self.falling.order[:, mode], "v", color=colour, markersize=4, fillstyle="none")
            right.plot(x, self.rising.susceptibility[:, mode], "^", color=colour, markersize=4)
            for branch, style in ((self.rising, "-"), (self.falling, ":")):
                if math.isfinite(branch.critical[mode]):
                    left.axvline(float(branch.critical[mode]), color=colour, linestyle=style, alpha=0.3, zorder=0)
        left.plot([], [], "^", color="0.3", label="λ rising")
        left.plot([], [], "v", color="0.3", fillstyle="none", label="λ falling")
        if self.theory is not None:
            left.plot([], [], color="0.3", linewidth=1, label="theory, rising")
            left.plot([], [], "--", color="0.3", linewidth=1, label="theory, falling")
        if math.isfinite(self.coexistence):
            left.axvline(self.coexistence, color="k", linestyle="--", linewidth=0.8, label="equal total loss")
        left.legend(fontsize=8)
        left.set(xlabel="regularisation strength λ", ylabel="order parameter m", title=self.name)
        right.set(xlabel="regularisation strength λ", ylabel="susceptibility −dm/dλ, rising", title=self.name)
        if float(self.rising.susceptibility.abs().max()) > 20 * float(self.rising.susceptibility.abs().median() + 0.05):
            right.set_yscale("symlog", linthresh=1.0)
        if bool((x[1:] / x[:-1] > 1.02).all()) and float(x[-1] / x[0]) > 100:
            left.set_xscale("log")
            right.set_xscale("log")


def sweep(name: str, energy: Regularised, strengths: Sequence[float], seed: int) -> Sweep:
    """Follows the minimum from the smallest λ to the largest and back.

    Args:
        name: of the network.
        energy: the regularised loss.
        strengths: λ, ascending [k ≥ 3].
        seed: of the kicks.

    Returns:
        Both branches, without a theory.

    Raises:
        InputError: strengths that are not positive and ascending.
    """
    if len(strengths) < 3 or strengths[0] <= 0 or not all(a < b for a, b in itertools.pairwise(strengths)):
        raise InputError(f"strengths {list(strengths)}: expected three or more positive numbers, ascending")
    generator = torch.Generator(device=energy.start.device).manual_seed(seed)
    theta = energy.relax(energy.start, strengths[0])
    kick = _KICK * float(theta.square().mean().sqrt())

    def settle(theta: Tensor, strength: float) -> Tensor:
        noise = torch.randn(len(theta), generator=generator, dtype=theta.dtype, device=theta.device)
        return energy.relax(theta + kick * noise, strength)

    up = []
    for strength in strengths:
        theta = settle(theta, strength)
        up.append(theta)
    down = []
    for strength in reversed(strengths):
        theta = settle(theta, strength)
        down.append(theta)
    down.reverse()
    largest = torch.stack([energy.order(state) for state in up + down]).abs().amax(0)
    # Where all modes are gone at every λ, only the start says what is small.
    noise = _NOISE * max(float(largest.max()), float(energy.order(energy.start).abs().max()))
    rising = _branch(energy, settle, strengths, up, largest, noise, rising=True)
    falling = _branch(energy, settle, strengths, down, largest, noise, rising=False)
    area = torch.trapezoid(rising.order - falling.order, rising.strengths, dim=0)
    return Sweep(
        name=name,
        rising=rising,
        falling=falling,
        hysteresis=area.abs(),
        coexistence=_crossing(rising, falling),
        theory=None,
        theory_susceptibility=None,
        theory_falling=None,
        theory_strengths=None,
        theory_critical=None,
        gradients=energy.gradients,
    )


def _branch(
    energy: Regularised,
    settle: Callable[[Tensor, float], Tensor],
    strengths: Sequence[float],
    states: Sequence[Tensor],
    largest: Tensor,
    noise: float,
    *,
    rising: bool,
) -> Branch:
    """Returns one direction, having closed in on the transition of every mode."""
    order = torch.stack([energy.order(state) for state in states])
    critical, error, jump, kinds = [], [], [], []
    for mode, scale in enumerate(largest.tolist()):
        gone = max(_GONE * scale, noise)
        present = (order[:, mode].abs() > gone).nonzero().flatten().tolist()
        if not present or present[-1] + 1 == len(strengths):
            critical.append(math.nan)
            error.append(math.nan)
            jump.append(math.nan)
            kinds.append("none")
            continue
        last = present[-1]
        low, high, size = strengths[last], strengths[last + 1], float(order[last, mode].abs())
        state = states[last] if rising else states[last + 1]
        while high - low > _RESOLUTION * high:
            middle = (low + high) / 2
            found = settle(state, middle)
            value = float(energy.order(found)[mode].abs())
            if value > gone:
                low, size = middle, value
                state = found if rising else state
            else:
                high = middle
                state = state if rising else found
        critical.append((low + high) / 2)
        error.append((high - low) / 2)
        jump.append(size)
        kinds.append("jump" if size > _JUMP * scale else "continuous")
    return Branch(
        strengths=torch.tensor(strengths, dtype=torch.float64),
        order=order,
        susceptibility=torch.stack([energy.response(t, x) for t, x in zip(states, strengths, strict=True)]),
        energy=torch.stack([energy.energy(t, x).detach().cpu() for t, x in zip(states, strengths, strict=True)]),
        critical=torch.tensor(critical, dtype=torch.float64),
        critical_error=torch.tensor(error, dtype=torch.float64),
        jump=torch.tensor(jump, dtype=torch.float64),
        kinds=tuple(kinds),
    )


def _crossing(rising: Branch, falling: Branch) -> float:
    """Returns the λ above which the rising branch has more E than the falling one; nan where there is none."""
    gap = rising.energy - falling.energy
    small = 1e-6 * float(rising.energy.abs().max())
    for k in range(len(gap) - 1):
        if gap[k] < -small and gap[k + 1] > small:
            x = rising.strengths
            return float(x[k] - gap[k] * (x[k + 1] - x[k]) / (gap[k + 1] - gap[k]))
    return math.nan
