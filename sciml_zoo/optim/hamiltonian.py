"""Training as mechanics: parameters with mass and friction on the loss, with or without a heat bath.

m θ̈ + γ θ̇ + ∇L(θ) = √(2γT) ξ(t), stepped in the order B A O A B (Leimkuhler & Matthews, "Rational construction of
stochastic numerical methods for molecular sampling", Appl. Math. Res. Express 2013, 34):

=====================================  ==================================================================
equation                               variable
=====================================  ==================================================================
B: p ← p − (h/2) ∇L(θ)                  ``momentum`` p = m θ̇, ``lr`` h, the time step
A: θ ← θ + (h/2) p/m                    ``mass`` m
O: p ← a p + √(mT(1 − a²)) ξ            a = exp(−γh/m), ``friction`` γ, ``temperature`` T, ξ ~ N(0, 1)
K = Σ p²/2m                             ``kinetic_energy()``
D = Σ (K before O − K after O)          ``dissipated_energy()``
=====================================  ==================================================================

At γ = 0 there is no O and a step is velocity Verlet, the leapfrog: symplectic, reversible in time, and stable while
h√(λ/m) < 2 for every curvature λ. L + K then keeps within O(h²) of its start, and with friction L + K + D does. At
T > 0 the parameters sample exp(−L/T); on a parabola their variance T/λ is exact at every stable h. At T = 0 the path is
that of the heavy ball ``torch.optim.SGD(lr=h²(1 + a)/2m, momentum=a)``, whose first step is half as long.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["DampedHamiltonian"]


class DampedHamiltonian(torch.optim.Optimizer):
    """Hamiltonian dynamics of the parameters with friction, and with noise at a temperature (Langevin dynamics).

    A step needs the gradient where it begins and where it ends.

    * ``step(closure)`` evaluates the gradient where the step ends and keeps it for the next step, so that n steps cost
      n + 1 evaluations. It is evaluated again where a parameter is not where the last step left it. A closure that
      draws another batch at every call kicks twice with each batch.
    * ``step()`` after ``loss.backward()`` takes the same path with one evaluation a step. Its last kick waits for the
      gradient of the next call; meanwhile the energies are those of where the step began, at the loss that was
      evaluated last.

    In both, the last evaluated loss plus :meth:`kinetic_energy` plus :meth:`dissipated_energy` is what is conserved.
    Parameters start at rest. One without a gradient feels no force and coasts; one that never had a gradient, or does
    not require one, stays where it is. The state takes a copy of the momenta and, with a closure, of gradients and
    positions.

    Args:
        params: parameters or parameter groups, each group with its own ``lr``, ``mass``, ``friction``, ``temperature``
            if it needs.
        lr: time step h.
        mass: m, in units of loss · time²/parameter².
        friction: γ, in units of loss · time/parameter².
        temperature: T, in units of the loss; more than zero only with friction.
        seed: of the noise, which has generators of its own.

    Raises:
        InputError: a value out of range, or parameters that are no real floating-point numbers.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        >>> optimizer = DampedHamiltonian([weight], lr=0.01)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = weight.square().sum() / 2
        ...     loss.backward()
        ...     return loss
        >>> energies = [optimizer.step(closure).item() + optimizer.kinetic_energy() for _ in range(1000)]
        >>> max(abs(energy - 0.5) for energy in energies) < 2e-5
        True
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        mass: float = 1.0,
        friction: float = 0.0,
        temperature: float = 0.0,
        *,
        seed: int = 0,
    ) -> None:
        # ``waiting``: the time h/2 of the kick that waits for a gradient, 0 at whole steps.
        defaults = {"lr": lr, "mass": mass, "friction": friction, "temperature": temperature, "waiting": 0.0}
        super().__init__(params, defaults)
        self._seed = seed
        self._generators: dict[str, torch.Generator] = {}
        self._generator_states: dict[str, Tensor] = {}
        self._heat = torch.zeros((), dtype=torch.float64, device=self._first_device())
        self._kinetic_before = self._heat_before = self._heat

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a parameter group, at rest.

        Args:
            param_group: as for any optimizer; it may set ``lr``, ``mass``, ``friction`` and ``temperature``.

        Raises:
            InputError: a value out of range, or parameters that are no real floating-point numbers.
        """
        super().add_param_group(param_group)
        try:
            _check(self.param_groups[-1], f"group {len(self.param_groups) - 1}")
        except InputError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Advances time by ``lr``.

        Args:
            closure: clears the gradients, evaluates the loss, calls ``backward`` and returns the loss. Without it the
                gradients of the parameters must be those of where they are.

        Returns:
            The closure's loss where the step ends, which is where :meth:`kinetic_energy` is taken, or None.

        Raises:
            InputError: after the closure no parameter has a gradient.
        """
        if closure is None:
            gradients = self._gradients()
            self._end(gradients)
            self._kinetic_before, self._heat_before = self._kinetic(), self._heat
            self._begin(gradients)
            return None
        if not self._gradients_are_known():
            self._evaluate(closure)
        self._end(self._known_gradients())
        self._begin(self._known_gradients())
        loss = self._evaluate(closure)
        self._end(self._known_gradients())
        return loss

    def kinetic_energy(self) -> float:
        """Returns K = Σ p²/2m, at the end of the step after ``step(closure)`` and at its beginning after ``step()``."""
        return float(self._kinetic_before if self._is_waiting() else self._kinetic())

    def dissipated_energy(self) -> float:
        """Returns D, the heat given to the bath up to where :meth:`kinetic_energy` is taken.

        At T > 0 it is net of what the noise brought in, and may be negative.
        """
        return float(self._heat_before if self._is_waiting() else self._heat)

    def state_dict(self) -> dict[str, Any]:
        """Returns momenta, last gradients and where they were taken, energies, and the state of the noise."""
        return {**super().state_dict(), **self._own_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` returned.

        On the same parameters the run goes on bit for bit, the noise too where it is drawn on the same devices; on
        others the gradient is evaluated anew.

        Args:
            state_dict: the state.

        Raises:
            InputError: the state of another optimizer.
        """
        if "energies" not in state_dict or "noise" not in state_dict:
            raise InputError(
                "the state has no energies or no noise: expected what DampedHamiltonian.state_dict returned"
            )
        super().load_state_dict(state_dict)
        for parameter, state in self.state.items():
            # Otherwise both optimizers would write to the same tensors.
            self.state[parameter] = {name: value.clone() for name, value in state.items()}
        self._take_own_state(state_dict)

    def _first_device(self) -> torch.device:
        devices = (parameter.device for group in self.param_groups for parameter in group["params"])
        return next(devices, torch.device("cpu"))

    def _own_state(self) -> dict[str, Any]:
        states = {name: generator.get_state() for name, generator in self._generators.items()}
        return {
            "energies": {
                "heat": float(self._heat),
                "heat_before": float(self._heat_before),
                "kinetic_before": float(self._kinetic_before),
            },
            "noise": {"seed": self._seed, "states": self._generator_states | states},
        }

    def _take_own_state(self, state: Mapping[str, Any]) -> None:
        device = self._first_device()
        energies = {
            name: torch.tensor(value, dtype=torch.float64, device=device) for name, value in state["energies"].items()
        }
        self._heat, self._heat_before = energies["heat"], energies["heat_before"]
        self._kinetic_before = energies["kinetic_before"]
        self._seed = state["noise"]["seed"]
        self._generators = {}
        self._generator_states = {name: each.cpu() for name, each in state["noise"]["states"].items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "own": self._own_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = state.pop("own", None)
        super().__setstate__(state)
        if own is not None:  # None: called by torch's load_state_dict
            self._take_own_state(own)

    def _trained(self) -> Iterator[tuple[dict[str, Any], Tensor, dict[str, Any]]]:
        """Yields the parameters that require a gradient, with their group and state."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad:
                    yield group, parameter, self.state[parameter]

    def _moving(self) -> Iterator[tuple[dict[str, Any], Tensor, dict[str, Any]]]:
        """Returns those of the trained parameters that have had a gradient."""
        return (each for each in self._trained() if "momentum" in each[2])

    def _is_waiting(self) -> bool:
        return any(group["waiting"] for group in self.param_groups)

    def _gradients(self) -> dict[Tensor, Tensor]:
        """Returns the present gradients; a parameter that has its first may move from now on."""
        found = {}
        for _, parameter, state in self._trained():
            if parameter.grad is not None:
                state.setdefault("momentum", torch.zeros_like(parameter))
                found[parameter] = parameter.grad
        return found

    def _evaluate(self, closure: Callable[[], Any]) -> Any:
        """Returns the closure's loss, and keeps the gradients and where they were taken."""
        with torch.enable_grad():
            loss = closure()
        gradients = self._gradients()
        if not gradients:
            raise InputError(
                "the closure left no gradient: it must evaluate the loss of these parameters and call backward"
            )
        for _, parameter, state in self._trained():
            state["position"] = parameter.clone()
            state.pop("gradient", None)
            if parameter in gradients:
                state["gradient"] = gradients[parameter].to_dense().clone()
        return loss

    def _gradients_are_known(self) -> bool:
        # Versions of tensors would not do: they do not count writes to ``parameter.data``.
        return all(
            "position" in state and torch.equal(state["position"], parameter) for _, parameter, state in self._trained()
        )

    def _known_gradients(self) -> dict[Tensor, Tensor]:
        return {parameter: state["gradient"] for _, parameter, state in self._trained() if "gradient" in state}

    def _begin(self, gradients: Mapping[Tensor, Tensor]) -> None:
        """B A O A: the last B waits for the gradient where this leads."""
        for group in self.param_groups:
            group["waiting"] = group["lr"] / 2
        self._kick(gradients)
        for group, parameter, state in self._moving():
            momentum, pace = state["momentum"], group["lr"] / group["mass"]
            if group["friction"] == 0:
                parameter.add_(momentum, alpha=pace)
                continue
            parameter.add_(momentum, alpha=pace / 2)
            self._heat = self._heat + self._exchange_heat(momentum, group).to(self._heat.device)
            parameter.add_(momentum, alpha=pace / 2)

    def _end(self, gradients: Mapping[Tensor, Tensor]) -> None:
        """The last B of the step, if it waits."""
        self._kick(gradients)
        for group in self.param_groups:
            group["waiting"] = 0.0

    def _kick(self, gradients: Mapping[Tensor, Tensor]) -> None:
        for group, parameter, state in self._moving():
            if parameter in gradients and group["waiting"]:
                state["momentum"].add_(gradients[parameter], alpha=-group["waiting"])

    def _exchange_heat(self, momentum: Tensor, group: Mapping[str, Any]) -> Tensor:
        """Returns the kinetic energy that went to the bath in O."""
        mass, temperature = group["mass"], group["temperature"]
        rate = group["lr"] * group["friction"] / mass
        before = _kinetic(momentum, mass)
        momentum.mul_(math.exp(-rate))
        if temperature == 0:
            return before * -math.expm1(-2 * rate)
        noise = torch.empty_like(momentum).normal_(generator=self._generator(momentum.device))
        momentum.add_(noise, alpha=math.sqrt(mass * temperature * -math.expm1(-2 * rate)))
        return before - _kinetic(momentum, mass)

    def _kinetic(self) -> Tensor:
        parts = [_kinetic(state["momentum"], group["mass"]).to(self._heat.device) for group, _, state in self._moving()]
        return torch.stack(parts).sum() if parts else torch.zeros_like(self._heat)

    def _generator(self, device: torch.device) -> torch.Generator:
        name = str(device)
        if name not in self._generators:
            # Two devices with one seed would draw the same noise.
            generator = torch.Generator(device).manual_seed(self._seed + len(self._generators))
            if name in self._generator_states:
                generator.set_state(self._generator_states.pop(name))
            self._generators[name] = generator
        return self._generators[name]


def _kinetic(momentum: Tensor, mass: float) -> Tensor:
    """Returns Σ p²/2m in float64, as a tensor so that the device need not be waited for."""
    return torch.linalg.vector_norm(momentum, dtype=torch.float64).square() / (2 * mass)


def _check(group: Mapping[str, Any], where: str) -> None:
    for name in ("lr", "mass", "friction", "temperature"):
        value = group[name]
        if not (math.isfinite(value) and (value > 0 if name == "mass" else value >= 0)):
            expected = "more than zero" if name == "mass" else "zero or more"
            raise InputError(f"{where}: {name} is {value}; expected a finite number, {expected}")
    if group["temperature"] > 0 and group["friction"] == 0:
        raise InputError(f"{where}: temperature {group['temperature']} without friction does nothing; set friction > 0")
    for i, parameter in enumerate(group["params"]):
        if not parameter.is_floating_point():
            raise InputError(f"{where}: parameter {i} is {parameter.dtype}; expected real floating-point numbers")
