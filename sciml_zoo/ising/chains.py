"""What every way of sampling has in common: a compiled Hamiltonian, chains that advance, and records of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = ["Chains", "CompiledModel", "Record", "in_threads"]

_PROBE_SEED = 20210621  # the probe belongs to the graph, not to the run
_Graph = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Record:
    """Some draws of some chains.

    Attributes:
        energies: [kept, R].
        magnetisation: [kept, R].
        probe: [kept, R].
        spins: int8 [kept, R, n], or [0, R, n].
        ladder_energies: of a tempering run [kept, R, T].
        ladder_magnetisation: of a tempering run [kept, R, T].
    """

    energies: NDArray[np.float64]
    magnetisation: NDArray[np.float64]
    probe: NDArray[np.float64]
    spins: NDArray[np.int8]
    ladder_energies: NDArray[np.float64] | None = None
    ladder_magnetisation: NDArray[np.float64] | None = None


class Chains(Protocol):
    """Replicas that advance by sweeps."""

    def equilibrate(self, n_sweeps: int) -> None:
        """Runs sweeps of which nothing is recorded, tunes what may be tuned, and sets the counters to zero."""

    def advance(self, kept: int, thin: int, keep_spins: bool) -> Record:
        """Returns ``kept`` draws, ``thin`` sweeps apart."""

    def final(self) -> NDArray[np.int8]:
        """Returns the states now [R, n]."""

    def acceptance(self) -> float:
        """Returns the share of visited spins that turned over since the equilibration."""


class CompiledModel:
    """A Hamiltonian as the kernels read it.

    Args:
        model: the Hamiltonian.

    Attributes:
        n: number of spins.
        offset: the constant c.
        graph: CSR of J (both triangles), and h, in float32.
        upper: CSR of the upper triangle of J, and h, in float64.
        probe: the same of the random ±1 Hamiltonian that diagnostics watch (fields only where the model has fields).
    """

    def __init__(self, model: IsingModel) -> None:
        self.n = model.n
        self.offset = model.offset
        couplings = model.csr()
        self.graph: _Graph = (
            couplings.indptr.astype(np.int64),
            couplings.indices.astype(np.int32),
            couplings.data.astype(np.float32),
            model.fields.astype(np.float32),
        )
        upper = sparse.triu(couplings, 1).tocsr()
        indptr, indices = upper.indptr.astype(np.int64), upper.indices.astype(np.int32)
        self.upper: _Graph = (indptr, indices, upper.data.astype(np.float64), np.array(model.fields))
        rng = np.random.default_rng(_PROBE_SEED)
        signs = rng.integers(0, 2, len(indices)) * 2.0 - 1.0
        self.probe: _Graph = (indptr, indices, signs, (rng.integers(0, 2, model.n) * 2.0 - 1.0) * (model.fields != 0))


def in_threads(work: Callable[[int], None], n_blocks: int, n_threads: int) -> None:
    """Does ``work(block)`` for every block, in threads: the kernels release the interpreter's lock."""
    if n_threads == 1 or n_blocks == 1:
        for block in range(n_blocks):
            work(block)
        return
    with ThreadPoolExecutor(min(n_threads, n_blocks)) as pool:
        list(pool.map(work, range(n_blocks)))
