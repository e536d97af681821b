"""Scores and completions of files of samples, shared over ranks.

With M the unknown units of a sample and o the known ones, sums over M are exact up to 12 unknown units and means over
clamped Gibbs chains beyond:

    P(u_i = 1 | o without i) = σ(log Σ_M exp(−F(o, M, u_i up)) − log Σ_M exp(−F(o, M, u_i down)))
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_zoo._files import write_atomically
from sciml_zoo.errors import InputError
from sciml_zoo.ising.metrics import best_log_partition, moment_error, scores
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.observations import load_incomplete, load_samples
from sciml_zoo.ising.partition import enumerated_units
from sciml_zoo.training.ranks import Ranks

__all__ = ["complete", "evaluate", "predict"]

_EXACT_UNKNOWN = 12
_CHAINS = 100
_BURN_IN = 100
_SWEEPS = 100
# Moments are compared where the gradient of log Z takes seconds.
_MOMENT_LIMIT = 20


def evaluate(
    model: BoltzmannMachine,
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    limit: int | str = 25,
    chains: int | str = 500,
    temperatures: int | str = 10_000,
    seed: int | str = 0,
) -> dict[str, float]:
    """Scores a machine on samples; log Z is exact if few units must be enumerated, otherwise estimated by annealing.

    Args:
        model: the machine.
        path: the samples; see :func:`load_samples`.
        device: where to compute.
        ranks: processes that call this together; the work is one log Z, so each does all of it.
        on_progress: called with the number of samples done, and their number.
        limit: the most units whose states are enumerated, at twice the time for each one more.
        chains: of annealed importance sampling.
        temperatures: of annealed importance sampling.
        seed: of annealed importance sampling.

    Returns:
        ``n``; ``log_likelihood`` and ``log_likelihood_error`` (nats per sample), ``bits`` (bits per sample),
        ``pseudo_log_likelihood`` (nats per sample), ``log_z``, ``log_z_error``; ``effective_sample_size`` of the
        annealing, or for small machines ``moment_error`` (see :func:`moment_error`).

    Raises:
        InputError: samples that cannot be read or have another number of units, or an option that is not a number.
    """
    numbers = {"limit": limit, "chains": chains, "temperatures": temperatures, "seed": seed}
    options = {name: _integer(name, value) for name, value in numbers.items()}
    samples = _samples_for(model, path, unknown=False)
    machine = model.to(device).eval()
    rows, counted = np.unique(samples, axis=0, return_counts=True)
    visible = machine.from_bits(torch.from_numpy(rows).to(device))
    weights = torch.from_numpy(counted).to(visible)
    partition = best_log_partition(machine, machine.from_bits(torch.from_numpy(samples).to(device)), **options)
    result = {"n": len(samples), **scores(machine, visible, weights, partition)}
    if partition.effective_sample_size is not None:
        result["effective_sample_size"] = partition.effective_sample_size
    elif len(enumerated_units(machine)) <= _MOMENT_LIMIT:
        result["moment_error"] = moment_error(machine, visible, weights / weights.sum())
    if on_progress is not None:
        on_progress(len(samples), len(samples))
    return result


def predict(
    model: BoltzmannMachine,
    source: str | Path,
    target: str | Path,
    *,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    seed: int | str = 0,
) -> int:
    """Completes samples with unknown entries, and writes a CSV with a row for each.

    Its columns are ``log_likelihood`` (nats, of the known entries; empty with more than 12 unknown ones) and, for each
    unit i, ``p<i>``: P(unit i = 1 | the other known entries). Of a known entry it says how expected it was.

    Args:
        model: the machine.
        source: samples with ? or NaN for unknown entries; see :func:`load_incomplete`.
        target: the CSV file to write; it appears, or replaces an older one, when it is complete.
        device: where to compute.
        ranks: the processes that share the work; the first writes.
        on_progress: called with the number of samples done by this rank, and its total.
        seed: of the Gibbs chains and of annealed importance sampling.

    Returns:
        The number of samples.

    Raises:
        InputError: samples that cannot be read or have another number of units, or a target that cannot be written.
    """
    target = Path(target)
    seed = _integer("seed", seed)
    if target.suffix != ".csv":
        raise InputError(f"{target}: predictions are written as CSV; give a name that ends in .csv")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such directory; create it first")
    samples = _samples_for(model, source, unknown=True)
    machine = model.to(device).eval()
    known = machine.from_bits(torch.from_numpy(samples[~np.isnan(samples).any(1)]).to(device))
    partition = best_log_partition(machine, known, seed=seed)
    rank, world_size = (ranks.rank, ranks.world_size) if ranks else (0, 1)
    mine = range(rank, len(samples), world_size)
    done: dict[int, tuple[float | None, list[float]]] = {}
    for index in mine:
        chance, free_energy = complete(machine, samples[index], seed=seed + index)
        log_likelihood = None if free_energy is None else -free_energy - partition.value
        done[index] = (log_likelihood, chance.tolist())
        if on_progress is not None:
            on_progress(len(done), len(mine))
    if ranks is not None:
        done = {index: row for part in ranks.gather(done) for index, row in part.items()}
    if rank == 0:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["log_likelihood", *(f"p{i + 1}" for i in range(machine.n_visible))])
        for index in range(len(samples)):
            log_likelihood, chances = done[index]
            shown = "" if log_likelihood is None else f"{log_likelihood:.9g}"
            writer.writerow([shown, *(f"{chance:.9g}" for chance in chances)])
        write_atomically(target, text.getvalue())
    return len(samples)


@torch.no_grad()
def complete(
    machine: BoltzmannMachine, sample: NDArray[np.float64], *, seed: int = 0
) -> tuple[NDArray[np.float64], float | None]:
    """Computes what the known entries of one sample say of each unit.

    Args:
        machine: the machine.
        sample: 0, 1, or NaN for unknown [n_visible].
        seed: of the Gibbs chains, used with more than 12 unknown entries.

    Returns:
        P(u_i = 1 | the other known entries) [n_visible], and −log Σ_M exp(−F) of the known entries in nats, or None
        where it is not summed exactly.
    """
    given = torch.from_numpy(np.nan_to_num(sample)).to(machine.fields.device)
    unknown = torch.from_numpy(np.isnan(sample)).to(given.device)
    exact = int(unknown.sum()) <= _EXACT_UNKNOWN
    if exact:
        states = machine.from_bits(given).repeat(2 ** int(unknown.sum()), 1)
        states[:, unknown] = machine.states(int(unknown.sum()))
    else:
        states = _clamped_samples(machine, machine.from_bits(given), unknown, seed)
    output = machine(states)
    log_odds = output["log_odds"].double()
    # Each state of the others counts as often as it occurs, whatever unit i is in it.
    log_weights = -output["free_energy"].double() if exact else torch.zeros(len(states)).to(log_odds)
    up = states == machine.up
    flipped = torch.where(up, -log_odds, log_odds)  # log p(flipped) / p(state)
    log_up = torch.where(up, 0.0, flipped) + log_weights[:, None]
    log_down = torch.where(up, flipped, 0.0) + log_weights[:, None]
    chance = torch.sigmoid(torch.logsumexp(log_up, 0) - torch.logsumexp(log_down, 0))
    if not exact:
        chance[unknown] = torch.sigmoid(log_odds).mean(0)[unknown]
    free_energy = -float(torch.logsumexp(log_weights, 0)) if exact else None
    return chance.cpu().numpy(), free_energy


def _clamped_samples(machine: BoltzmannMachine, given: Tensor, unknown: Tensor, seed: int) -> Tensor:
    """Returns visible states with the known entries fixed [chains · sweeps, n_visible]."""
    generator = torch.Generator(given.device).manual_seed(seed)
    units = machine.random_units(_CHAINS, generator)
    free = torch.ones(machine.n_units, dtype=torch.bool, device=given.device)
    free[: machine.n_visible] = unknown
    units[:, : machine.n_visible] = torch.where(unknown, units[:, : machine.n_visible], given)
    units = machine.sample(_CHAINS, _BURN_IN, generator, start=units, free=free)
    collected = []
    for _ in range(_SWEEPS):
        units = machine.gibbs_step(units, generator, free=free)
        collected.append(units[:, : machine.n_visible])
    return torch.cat(collected)


def _samples_for(machine: BoltzmannMachine, path: str | Path, *, unknown: bool) -> NDArray[np.float64]:
    if not machine.has_free_energy:
        raise InputError("the machine has too many coupled hidden units to sum over: it cannot be scored")
    samples = load_incomplete(path) if unknown else load_samples(path)
    if samples.shape[1] != machine.n_visible:
        raise InputError(f"{path}: samples have {samples.shape[1]} units, the machine {machine.n_visible} visible ones")
    return samples


def _integer(name: str, value: int | str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise InputError(f"{name}: {value!r} is not an integer") from error
