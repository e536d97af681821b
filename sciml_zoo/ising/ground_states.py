"""Ground states: one call, several methods, an honest account of what was found.

Every search is a fixed trajectory of its seed; a limit of time stops somewhere on it, a limit of sweeps at a place
that is the same on every run.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.ising._descent import descend
from sciml_zoo.ising._variable_depth import kick, local_minimum
from sciml_zoo.ising.annealing import anneal_steps
from sciml_zoo.ising.exact import MAX_ENUMERATED, exact_ground_state
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.tempering_search import TemperingSearch

__all__ = ["METHODS", "GroundState", "ground_state"]

METHODS = ("auto", "enumeration", "tempering", "annealing", "local_search", "relaxation")

_DEFAULT_SECONDS = 10.0
# Energies closer than this, relative to the sum of all couplings, are the same.
_SAME = 1e-9
# Work of one step between looks at the clock: updates of 64 lanes, about 20 ms.
_UPDATES_PER_STEP = 300_000
# A tempering run ends when this many times the rounds to its best state have not found a better one.
_PATIENCE, _SHORTEST_RUN = 4, 4096
_FIRST_ANNEALING, _LONGEST_ANNEALING = 256, 1 << 16
# Local search holds n² couplings; a local minimum costs about n² · depth, so that depth shrinks as n grows.
_LARGEST_DENSE, _DEPTH_TIMES_SPINS, _LEAST_DEPTH, _KICKS_PER_SPIN = 4096, 40_000, 10, 4
# Replicas of relaxation shrink with the model, so that one descent takes seconds.
_RELAXATION_STEPS, _RELAXED_NUMBERS, _FEWEST_RELAXED, _MOST_RELAXED = 500, 1_300_000, 4, 64


@dataclass(frozen=True)
class GroundState:
    """The best state found.

    Attributes:
        spins: int8 [n], ±1.
        energy: its energy, in float64, with the offset.
        proven: whether no state has a lower energy (all states were enumerated).
        method: the method that found it.
        seconds_to_best: seconds from the start of the search to this state.
        sweeps_to_best: sweeps (steps of descent, kicks) to this state.
        sweeps: sweeps in all.
        seconds: seconds in all.
        hits: restarts that ended in this energy.
        restarts: independent restarts that ended.
        time_to_solution: seconds to see this energy with a probability of 99 % by restarts as long as these, R · t̄ with
            R = ln 0.01 / ln(1 − hits / restarts); None where no restart has ended.
    """

    spins: NDArray[np.int8]
    energy: float
    proven: bool
    method: str
    seconds_to_best: float
    sweeps_to_best: int
    sweeps: int
    seconds: float
    hits: int
    restarts: int
    time_to_solution: float | None


@dataclass(frozen=True)
class _Step:
    """What a search says after each step: sweeps done since the last, its best state, and restarts that ended."""

    sweeps: int
    spins: NDArray[np.int8]
    ended: NDArray[np.float64]


def ground_state(
    model: IsingModel,
    *,
    method: str = "auto",
    time_limit: float | None = None,
    n_sweeps: int | None = None,
    target: float | None = None,
    seed: int = 0,
    on_progress: Callable[[float, float], None] | None = None,
) -> GroundState:
    """Searches the state of lowest energy.

    Args:
        model: the model.
        method: "enumeration" (at most 26 spins, proven), "tempering" (parallel tempering with cluster moves),
            "annealing" (longer and longer ones), "local_search" (variable depth, from kicked minima), "relaxation"
            (gradient descent by backpropagation on relaxed spins); "auto": enumeration where possible, else tempering.
        time_limit: seconds, without compilation; 10 where nothing limits the search.
        n_sweeps: sweeps of each replica (kicks of local search, steps of relaxation); with it alone the result is
            reproducible bit for bit. A search limited by time follows the same trajectory; relaxation does in whole
            descents, of which the last is as short as the steps left.
        target: stop as soon as the energy is this or lower.
        seed: zero or more.
        on_progress: called with seconds and best energy after each step.

    Returns:
        The best state found.

    Raises:
        InputError: no spins, an unknown method, one that cannot treat so many spins, or a limit that is not positive.
    """
    chosen = _check(model, method, time_limit, n_sweeps, seed)
    if chosen == "enumeration":
        return _enumerated(model)
    search = _SEARCHES[chosen]
    limit = _DEFAULT_SECONDS if time_limit is None and n_sweeps is None else time_limit
    _compile(chosen)
    started = time.perf_counter()
    best, spins, found, sweeps_found = np.inf, np.ones(model.n, np.int8), 0.0, 0
    sweeps, elapsed = 0, 0.0
    ends: list[NDArray[np.float64]] = []
    same = _SAME * (float(np.abs(model.edges[2]).sum() + np.abs(model.fields).sum()) or 1.0)
    for step in search(model, seed, n_sweeps):
        sweeps += step.sweeps
        elapsed = time.perf_counter() - started
        energy = float(model.energy(step.spins))
        if energy < best:
            best, spins, found, sweeps_found = energy, step.spins.copy(), elapsed, sweeps
        ends.append(step.ended)
        if on_progress is not None:
            on_progress(elapsed, best)
        if (limit is not None and elapsed >= limit) or (target is not None and best <= target + same):
            break
    ended = np.concatenate([*ends, np.zeros(0)])
    hits = int((ended <= best + same).sum())
    return GroundState(
        spins=spins,
        energy=best,
        proven=False,
        method=chosen,
        seconds_to_best=found,
        sweeps_to_best=sweeps_found,
        sweeps=sweeps,
        seconds=elapsed,
        hits=hits,
        restarts=len(ended),
        time_to_solution=_time_to_solution(elapsed, hits, len(ended)),
    )


def _check(model: IsingModel, method: str, time_limit: float | None, n_sweeps: int | None, seed: int) -> str:
    if method not in METHODS:
        raise InputError(f"method: {method!r} is not known; {nearest(method, METHODS)}")
    if model.n == 0:
        raise InputError("the model has no spins")
    for name, value in (("time_limit", time_limit), ("n_sweeps", n_sweeps)):
        if value is not None and not 0 < value < np.inf:
            raise InputError(f"{name}: {value} is not a positive number")
    if seed < 0:
        raise InputError(f"seed: {seed} is not zero or more")
    if method == "enumeration" and model.n > MAX_ENUMERATED:
        raise InputError(
            f"enumeration: {model.n} spins are too many (at most {MAX_ENUMERATED}); use method='tempering'"
        )
    if method == "local_search" and model.n > _LARGEST_DENSE:
        raise InputError(
            f"local_search: {model.n} spins are too many (at most {_LARGEST_DENSE}); use method='tempering'"
        )
    if method == "auto":
        return "enumeration" if model.n <= MAX_ENUMERATED else "tempering"
    return method


def _enumerated(model: IsingModel) -> GroundState:
    started = time.perf_counter()
    exact = exact_ground_state(model)
    seconds = time.perf_counter() - started
    spins = np.ascontiguousarray(exact.states[0], dtype=np.int8)
    return GroundState(
        spins, float(model.energy(spins)), True, "enumeration", seconds, 0, 0, seconds, 1, 1, seconds
    )  # fmt: skip


def _time_to_solution(seconds: float, hits: int, restarts: int) -> float | None:
    if hits == 0:
        return None
    repeats = 1.0 if hits == restarts else max(1.0, log(0.01) / log(1 - hits / restarts))
    return repeats * seconds / restarts


def _minimum_below(model: IsingModel) -> Callable[[NDArray[np.int8]], NDArray[np.int8]]:
    """Returns a function from a state to the minimum under single flips below it."""
    csr = model.csr()
    graph = (csr.indptr.astype(np.int64), csr.indices.astype(np.int64), np.array(csr.data), np.array(model.fields))

    def minimum(spins: NDArray[np.int8]) -> NDArray[np.int8]:
        state = spins.copy()
        descend(*graph, state)
        return state

    return minimum


def _tempering(model: IsingModel, seed: int, n_sweeps: int | None) -> Iterator[_Step]:
    rounds = max(1, min(64, _UPDATES_PER_STEP // (model.n + model.n_edges // 4)))
    left, run = n_sweeps, 0
    minimum = _minimum_below(model)
    while left is None or left > 0:
        search = TemperingSearch(model, seed, run)
        best, at = np.inf, 0
        ended = False
        while not ended and (left is None or left > 0):
            count = rounds if left is None else min(rounds, left)
            search.advance(count)
            if search.best_energy < best:
                best, at = search.best_energy, search.rounds
            ended = search.rounds >= max(_SHORTEST_RUN, _PATIENCE * at)
            if left is not None:
                left -= count
            state = minimum(search.best_spins)
            over = ended or left == 0
            yield _Step(count, state, np.atleast_1d(model.energy(state)) if over else np.zeros(0))
        run += 1


def _annealing(model: IsingModel, seed: int, n_sweeps: int | None) -> Iterator[_Step]:
    step = max(4, min(64, _UPDATES_PER_STEP // (model.n + model.n_edges // 4)))
    length, run, left = _FIRST_ANNEALING, 0, n_sweeps
    minimum = _minimum_below(model)
    while left is None or left > 0:
        for done, spins, finished in anneal_steps(model, length, seed, run, step, left):
            left = None if left is None else left - done
            lowest = minimum(spins[model.energy(spins).argmin()])
            yield _Step(done, lowest, model.energy(np.stack([minimum(s) for s in spins])) if finished else np.zeros(0))
        run, length = run + 1, min(2 * length, _LONGEST_ANNEALING)


def _local_search(model: IsingModel, seed: int, n_sweeps: int | None) -> Iterator[_Step]:
    couplings, fields = np.ascontiguousarray(model.dense()), np.array(model.fields)
    tolerance = _SAME * (np.abs(couplings).sum() + np.abs(fields).sum())
    depth = min(model.n, max(_LEAST_DEPTH, min(model.n // 2 + 1, _DEPTH_TIMES_SPINS // model.n)))
    run, left = 0, n_sweeps
    while left is None or left > 0:
        draw = np.random.default_rng([seed, run])
        spins = draw.integers(0, 2, model.n) * 2.0 - 1.0
        random = draw.integers(1, 2**63, 1).astype(np.uint64)
        lowest, energy = spins, np.inf
        for kicks in range(_KICKS_PER_SPIN * model.n):
            spins = lowest.copy()
            if kicks > 0:
                kick(couplings, spins, random)
            local_minimum(couplings, fields, spins, random, depth, tolerance)
            found = float(model.energy(spins))
            if found <= energy + tolerance:
                lowest, energy = spins, found
            left = None if left is None else left - 1
            over = kicks + 1 == _KICKS_PER_SPIN * model.n or left == 0
            yield _Step(1, lowest.astype(np.int8), np.array([energy]) if over else np.zeros(0))
            if left == 0:
                return
        run += 1


def _relaxation(model: IsingModel, seed: int, n_sweeps: int | None) -> Iterator[_Step]:
    from sciml_zoo.ising.relaxation import relax

    fitting = _RELAXED_NUMBERS // (model.n + 2 * model.n_edges)
    replicas = max(_FEWEST_RELAXED, min(_MOST_RELAXED, fitting))
    left, run = n_sweeps, 0
    while left is None or left > 0:
        steps = _RELAXATION_STEPS if left is None else min(_RELAXATION_STEPS, left)
        spins, energies = relax(model, n_steps=steps, n_replicas=replicas, seed=seed + 1_000_003 * run)
        yield _Step(steps, spins[energies.argmin()], energies)
        left, run = None if left is None else left - steps, run + 1


_SEARCHES: dict[str, Callable[[IsingModel, int, int | None], Iterator[_Step]]] = {
    "tempering": _tempering,
    "annealing": _annealing,
    "local_search": _local_search,
    "relaxation": _relaxation,
}


def _compile(method: str) -> None:
    """Runs a search once on three spins, so that no compilation counts as time of the search."""
    next(_SEARCHES[method](IsingModel.from_edges([(0, 1, 1.0), (1, 2, -0.5)]), 0, 1))
