"""Simulated annealing of 64 replicas at a time, each in a SIMD lane.

Kirkpatrick, Gelatt & Vecchi, Science 220, 671 (1983). The inverse temperature rises linearly, which spends most
sweeps where glasses freeze; its range is read off the couplings.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.ising._lane_sweeps import anneal_lanes
from sciml_zoo.ising._lanes import LANES, seed_lanes
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.lane_graph import LaneGraph

__all__ = ["AnnealingResult", "anneal", "anneal_steps", "beta_range_of", "field_scale", "frozen_scale", "random_lanes"]

# T_max over the root mean square of a spin's local field in a random state, and T_min over its scale in low states.
_HOTTEST, _COLDEST = 1.3, 0.13
# Descents that measure local fields near minima: sweeps at a temperature of nearly zero, and lanes looked at.
_DESCENT_SWEEPS, _SMALL, _DESCENTS = 4, 1e-6, 4
# A frozen lane is left to fall into its minimum for this part of the sweeps.
_QUENCH = 0.02


@dataclass(frozen=True)
class AnnealingResult:
    """Final states of an annealing.

    Attributes:
        spins: int8 [n_replicas, n].
        energies: float64 [n_replicas].
        beta_range: the first and last inverse temperature.
    """

    spins: NDArray[np.int8]
    energies: NDArray[np.float64]
    beta_range: tuple[float, float]


def field_scale(model: IsingModel) -> float:
    """Returns the root mean square over spins of √(Σ_j J_ij² + h_i²), or 1 where there are no couplings and fields."""
    csr = model.csr()
    squares = np.asarray(csr.multiply(csr).sum(axis=1)).ravel() + model.fields**2
    return float(np.sqrt(squares.mean())) if squares.any() else 1.0


def frozen_scale(model: IsingModel, graph: LaneGraph) -> float:
    """Returns the scale of local fields in states near minima, at most :func:`field_scale`.

    It is much smaller where large couplings cancel in every low state, as in binary programs with few ones.

    Args:
        model: any model.
        graph: its graph.
    """
    scale = field_scale(model)
    spins, state = random_lanes(model.n, 0, 0)
    anneal_lanes(*graph.arrays, spins, state, np.full(_DESCENT_SWEEPS, _SMALL * scale, np.float32))
    typical = float(np.abs(model.local_fields(spins[:, :_DESCENTS].T)).mean())
    return min(scale, 2 * typical) if typical > 0 else scale


def beta_range_of(model: IsingModel) -> tuple[float, float]:
    """Chooses inverse temperatures from nearly free to frozen.

    Args:
        model: any model.

    Returns:
        The smallest and the largest β, in units of one over the couplings.
    """
    return 1 / (_HOTTEST * field_scale(model)), 1 / (_COLDEST * frozen_scale(model, LaneGraph.of(model)))


def random_lanes(n: int, seed: int, first: int) -> tuple[NDArray[np.int8], NDArray[np.uint32]]:
    """Draws the initial spins and random states of one block of lanes.

    Args:
        n: number of spins.
        seed: zero or more.
        first: number of the block's first replica.

    Returns:
        Spins ±1 [n, 64] and SFC32 states [4, 64].
    """
    state = np.zeros((4, LANES), np.uint32)
    seed_lanes(seed, first, state)
    bits = np.random.default_rng([seed, first]).integers(0, 2, (n, LANES), dtype=np.int8)
    return bits * np.int8(2) - np.int8(1), state


def anneal(
    model: IsingModel,
    *,
    n_sweeps: int = 1000,
    n_replicas: int = LANES,
    beta_range: tuple[float, float] | None = None,
    seed: int = 0,
    n_threads: int = 1,
) -> AnnealingResult:
    """Anneals replicas from random states.

    Args:
        model: any model.
        n_sweeps: Metropolis sweeps over all spins, one temperature each.
        n_replicas: number of independent runs; memory and time grow by blocks of 64.
        beta_range: first and last β; None: chosen from the couplings.
        seed: zero or more; the result depends on nothing else, whatever the number of threads.
        n_threads: blocks of 64 replicas run on so many threads.

    Returns:
        The final states.

    Raises:
        InputError: a count below one, a negative seed, or a range that is not 0 < β₀ ≤ β₁.
    """
    for name, value in (("n_sweeps", n_sweeps), ("n_replicas", n_replicas), ("n_threads", n_threads)):
        if value < 1:
            raise InputError(f"{name}: {value} is not one or more")
    if seed < 0:
        raise InputError(f"seed: {seed} is not zero or more")
    first, last = beta_range_of(model) if beta_range is None else beta_range
    if not 0 < first <= last < np.inf:
        raise InputError(f"beta_range: expected 0 < first ≤ last, got ({first}, {last})")
    graph = LaneGraph.of(model)
    schedule = _half_temperatures(n_sweeps, first, last)

    def block(start: int) -> NDArray[np.int8]:
        spins, state = random_lanes(model.n, seed, start)
        anneal_lanes(*graph.arrays, spins, state, schedule)
        return np.ascontiguousarray(spins[:, : n_replicas - start].T)

    with ThreadPoolExecutor(n_threads) as pool:
        spins = np.concatenate(list(pool.map(block, range(0, n_replicas, LANES))))
    return AnnealingResult(spins, model.energy(spins), (first, last))


def anneal_steps(
    model: IsingModel, n_sweeps: int, seed: int, run: int, step: int, most: int | None = None
) -> Iterator[tuple[int, NDArray[np.int8], bool]]:
    """Anneals one block of 64 replicas, with a look at it after every few sweeps.

    Args:
        model: any model.
        n_sweeps: sweeps of the annealing.
        seed: zero or more.
        run: number of this annealing; those of one seed are independent.
        step: sweeps between looks.
        most: stop after so many sweeps, though the annealing is not over.

    Yields:
        Sweeps since the last look, spins int8 [64, n], and whether the annealing has ended.
    """
    graph = LaneGraph.of(model)
    schedule = _half_temperatures(n_sweeps, *beta_range_of(model))
    spins, state = random_lanes(model.n, seed, run * LANES)
    end = n_sweeps if most is None else min(n_sweeps, most)
    for start in range(0, end, step):
        part = schedule[start : min(start + step, end)]
        anneal_lanes(*graph.arrays, spins, state, part)
        yield len(part), np.ascontiguousarray(spins.T), start + len(part) == n_sweeps


def _half_temperatures(n_sweeps: int, first: float, last: float) -> NDArray[np.float32]:
    quench = max(1, round(_QUENCH * n_sweeps)) if n_sweeps > 1 else 0
    betas = np.concatenate([np.linspace(first, last, n_sweeps - quench), np.full(quench, last)])
    return (0.5 / betas).astype(np.float32)
