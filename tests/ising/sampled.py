"""Small models, exactly known, that every sampler is judged on."""

import numpy as np
from scipy.stats import chi2

from sciml_zoo.ising.exact import all_states, log_probabilities
from sciml_zoo.ising.hamiltonian import IsingModel

BETA = 0.6


def frustrated(n: int = 6, *, with_fields: bool = True, seed: int = 3) -> IsingModel:
    """Couplings of both signs on a random graph with triangles, fields, and a constant."""
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.choice([-1.0, 0.0, 1.0, 1.5], (n, n)), 1)
    fields = rng.normal(scale=0.5, size=n) if with_fields else None
    return IsingModel(couplings + couplings.T, fields, 0.7)


def distribution(model: IsingModel, clamped: dict[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """All states, and their probabilities given the clamped spins."""
    states = all_states(model.n)
    chances = np.exp(log_probabilities(model, BETA))
    for i, value in (clamped or {}).items():
        chances = np.where(states[:, i] == value, chances, 0.0)
    return states, chances / chances.sum()


def chance_of_counts(drawn: np.ndarray, model: IsingModel, clamped: dict[int, int] | None = None) -> float:
    """Chance of a worse χ² of independent states, against the exact probabilities; 0 for an impossible state."""
    states, chances = distribution(model, clamped)
    place = {state.tobytes(): k for k, state in enumerate(states.astype(np.int8))}
    counts = np.bincount([place[state.tobytes()] for state in np.ascontiguousarray(drawn)], minlength=len(states))
    if counts[chances == 0].any():
        return 0.0
    expected = chances * len(drawn)
    rare = expected < 8
    bins = [(counts[~rare], expected[~rare])]
    if expected[rare].sum() > 8:
        bins.append((counts[rare].sum(keepdims=True), expected[rare].sum(keepdims=True)))
    statistic = sum(((count - mean) ** 2 / mean).sum() for count, mean in bins)
    return float(chi2.sf(statistic, sum(len(count) for count, _ in bins) - 1))
