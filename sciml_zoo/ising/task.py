"""How the common trainer trains and scores a Boltzmann machine."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torchmetrics import SumMetric

from sciml_zoo.errors import InputError
from sciml_zoo.ising.metrics import best_log_partition, scores
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.objectives import (
    ObjectiveConfig,
    contrastive_divergence,
    exact_likelihood,
    minimum_probability_flow,
    penalty,
    pseudo_likelihood,
    with_hidden,
)
from sciml_zoo.training.task import StepOutput, Task

__all__ = ["BoltzmannTask", "Pattern"]

# What a validation may cost: fewer units and chains than a final evaluation.
_VALIDATION_LIMIT = 16
_VALIDATION_CHAINS = 200
_VALIDATION_TEMPERATURES = 500


class Pattern(NamedTuple):
    """A visible state and how often it was seen.

    Attributes:
        visible: in the machine's units [n_visible].
        times: scalar.
    """

    visible: Tensor
    times: Tensor


class BoltzmannTask(Task):
    """Trains a machine on visible states; persistent chains are part of its state.

    Args:
        model: the machine.
        objective: what is minimised.

    Raises:
        InputError: the objective needs sums over too many coupled hidden units.
    """

    precisions: ClassVar[tuple[str, ...]] = ("32-true", "64-true")
    #: What :meth:`evaluate` returns; where no free energy can be computed, the last one only.
    NAMES = ("log_likelihood", "bits", "pseudo_log_likelihood", "reconstruction_error")

    model: BoltzmannMachine

    def __init__(self, model: BoltzmannMachine, objective: ObjectiveConfig | None = None) -> None:
        self.model = model
        self.objective = objective or ObjectiveConfig()
        self.chains: Tensor | None = None
        if self.objective.is_deterministic and not model.has_free_energy:
            raise InputError(f"objective.kind: {self.objective.kind} needs free energies: uncouple the hidden units")

    def collate(self, samples: list[Pattern]) -> Pattern:
        """Joins patterns.

        Args:
            samples: the patterns.

        Returns:
            States [m, n_visible] and counts [m].
        """
        visible, times = zip(*samples, strict=True)
        return Pattern(torch.stack(visible), torch.stack(times))

    def steps(self, batch: Pattern) -> Iterator[StepOutput]:
        """Yields the one loss of a batch.

        Args:
            batch: states and counts.

        Yields:
            The objective's mean over samples, and its penalty; weight: number of samples.
        """
        machine, config, visible = self.model, self.objective, batch.visible
        total = batch.times.sum()
        weights = batch.times / total
        if config.kind == "exact_likelihood":
            loss = exact_likelihood(machine, visible, weights, limit=config.limit)
        elif config.kind == "pseudo_likelihood":
            loss = pseudo_likelihood(machine, visible, weights)
        elif config.kind == "minimum_probability_flow":
            loss = minimum_probability_flow(machine, visible, weights)
        else:
            positive = with_hidden(machine, visible, self.generator)
            negative, negative_weights = self._negatives(positive, weights)
            loss = contrastive_divergence(machine, positive, weights, negative, negative_weights)
        if config.l1 or config.l2:
            loss = loss + penalty(machine, config)
        yield StepOutput(loss, float(total))

    def _negatives(self, positive: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Returns states of all units after k Gibbs steps [m, n], and their weights [m]."""
        machine, config = self.model, self.objective
        if config.kind == "contrastive_divergence":
            return machine.sample(len(positive), config.k, self.generator, start=positive), weights
        chains = machine.random_units(config.chains, self.generator) if self.chains is None else self.chains
        self.chains = machine.sample(config.chains, config.k, self.generator, start=chains.to(positive))
        return self.chains, weights.new_full((config.chains,), 1 / config.chains)

    def evaluate(self, batches: Iterable[Pattern]) -> dict[str, float]:
        """Scores the machine; log Z is exact for up to 16 units to enumerate, otherwise estimated with a fixed seed.

        Args:
            batches: states and counts.

        Returns:
            ``log_likelihood`` (nats per sample), ``bits`` (its negative, bits per sample), ``pseudo_log_likelihood``
            (nats per sample) and ``reconstruction_error`` (the chance that a visible unit is drawn wrongly, given the
            others and hidden units drawn given them), over all ranks.
        """
        machine, parts = self.model, list(batches)
        sums = {name: SumMetric().to(self.device).set_dtype(torch.float64) for name in (*self.NAMES, "n")}
        if parts:
            visible, counts = (torch.cat(column) for column in zip(*parts, strict=True))
            total = float(counts.sum())
            sums["n"].update(_double(total))
            found = {"reconstruction_error": self._reconstruction_error(visible, counts)}
            if machine.has_free_energy:
                # Each rank anneals from its own samples' means; the estimates are averaged like the other scores.
                partition = best_log_partition(
                    machine,
                    visible,
                    limit=_VALIDATION_LIMIT,
                    chains=_VALIDATION_CHAINS,
                    temperatures=_VALIDATION_TEMPERATURES,
                )
                found |= scores(machine, visible, counts, partition)
            for name in self.NAMES:
                sums[name].update(_double(total * found.get(name, 0.0)))
        n = float(sums["n"].compute())
        names = self.NAMES if machine.has_free_energy else ("reconstruction_error",)
        return {name: float(sums[name].compute()) / n for name in names} if n else {}

    def _reconstruction_error(self, visible: Tensor, counts: Tensor) -> float:
        units = with_hidden(self.model, visible, self.generator)
        with torch.no_grad():
            up = self.model.conditional(units)[:, : self.model.n_visible]
        wrong = (up - (visible == self.model.up).to(up)).abs().mean(-1)
        return float((counts * wrong).sum() / counts.sum())

    def state_dict(self) -> dict[str, Any]:
        """Returns the persistent chains."""
        return {} if self.chains is None else {"chains": self.chains}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back the persistent chains.

        Args:
            state: from :meth:`state_dict`.
        """
        chains = state.get("chains")
        self.chains = None if chains is None else chains.to(self.device)


def _double(value: float) -> Tensor:
    """Returns a tensor that torchmetrics does not round to float32."""
    return torch.tensor(value, dtype=torch.float64)
