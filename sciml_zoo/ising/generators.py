"""Models that the literature measures itself on: lattices, spin glasses, Chimera, random regular graphs.

Spins of a lattice are numbered row by row (the last axis fastest). A periodic axis closes with one more bond: on an
axis of length 2 both bonds join the same two spins, and their couplings are added (as in Kaufman's formula); on an
axis of length 1 the bond would join a spin with itself and is left out. Every random model is given by its seed.

| symbol | here | meaning |
|---|---|---|
| J_ij ~ N(0, 1) | ``kind="gaussian"`` | standard normal |
| J_ij = ±1 | ``kind="pm1"`` | either sign with probability ½ |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = [
    "chimera",
    "cubic_lattice",
    "edwards_anderson",
    "random_regular",
    "sherrington_kirkpatrick",
    "square_lattice",
]

CouplingKind = Literal["gaussian", "pm1"]


def square_lattice(rows: int, columns: int | None = None, coupling: float = 1.0, periodic: bool = True) -> IsingModel:
    """Returns the Ising model of one coupling on a square lattice.

    Args:
        rows: its height.
        columns: its width; None: a square.
        coupling: J, positive = ferromagnetic.
        periodic: a torus, or open boundaries.
    """
    return _uniform((rows, rows if columns is None else columns), coupling, periodic)


def cubic_lattice(side: int, coupling: float = 1.0, periodic: bool = True) -> IsingModel:
    """Returns the Ising model of one coupling on a simple cubic lattice.

    Args:
        side: length of each of the three axes.
        coupling: J, positive = ferromagnetic.
        periodic: a torus, or open boundaries.
    """
    return _uniform((side, side, side), coupling, periodic)


def edwards_anderson(
    shape: Sequence[int], kind: CouplingKind = "gaussian", periodic: bool = True, *, seed: int
) -> IsingModel:
    """Returns the spin glass of Edwards and Anderson (J. Phys. F 5, 965, 1975): independent couplings on a lattice.

    Args:
        shape: length of each axis; any dimension.
        kind: distribution of the couplings.
        periodic: a torus, or open boundaries.
        seed: of the couplings.
    """
    i, j = _lattice_bonds(shape, periodic)
    return IsingModel.from_coo(i, j, _random_couplings(len(i), kind, seed), int(np.prod(shape)))


def sherrington_kirkpatrick(n: int, kind: CouplingKind = "gaussian", *, seed: int) -> IsingModel:
    """Returns the spin glass of Sherrington and Kirkpatrick (PRL 35, 1792, 1975): dense, J_ij ~ N(0, 1)/√n or ±1/√n.

    Args:
        n: number of spins.
        kind: distribution of the couplings before the division by √n.
        seed: of the couplings.
    """
    _require_positive("n", n)
    couplings = np.zeros((n, n))
    upper = np.triu_indices(n, 1)
    couplings[upper] = _random_couplings(len(upper[0]), kind, seed) / np.sqrt(n)
    return IsingModel(couplings + couplings.T)


def chimera(
    rows: int, columns: int | None = None, tile: int = 4, kind: CouplingKind = "pm1", *, seed: int
) -> IsingModel:
    """Returns random couplings on D-Wave's Chimera graph: a grid of complete bipartite tiles K_tt.

    Spins have the indices of ``dwave_networkx`` and ``dimod``: spin k of side u in the tile at (r, c) is
    ((r · columns + c) · 2 + u) · tile + k; side 0 is coupled to the tiles above and below, side 1 to left and right.

    Args:
        rows: tiles in a column.
        columns: tiles in a row; None: as many as rows.
        tile: spins on each side of a tile.
        kind: distribution of the couplings.
        seed: of the couplings.
    """
    columns = rows if columns is None else columns
    for name, value in (("rows", rows), ("columns", columns), ("tile", tile)):
        _require_positive(name, value)
    spin = np.arange(rows * columns * 2 * tile).reshape(rows, columns, 2, tile)
    inside = np.broadcast_arrays(spin[:, :, 0, :, None], spin[:, :, 1, None, :])
    pairs = (inside, (spin[:-1, :, 0], spin[1:, :, 0]), (spin[:, :-1, 1], spin[:, 1:, 1]))
    i, j = (np.concatenate([pair[end].ravel() for pair in pairs]) for end in (0, 1))
    return IsingModel.from_coo(i, j, _random_couplings(len(i), kind, seed), spin.size)


def random_regular(n: int, degree: int, kind: CouplingKind = "pm1", *, seed: int) -> IsingModel:
    """Returns random couplings on a random graph in which every spin has the same number of neighbours.

    Half-edges are paired at random; the pairs that are self-loops or repeated are shuffled with as many random others
    until there are none (the graph is uniformly distributed as n grows).

    Args:
        n: number of spins.
        degree: number of neighbours, 0 … n − 1; n · degree is even.
        kind: distribution of the couplings.
        seed: of the graph and the couplings.

    Raises:
        InputError: there is no such graph.
    """
    _require_positive("n", n)
    if not 0 <= degree < n or n * degree % 2:
        raise InputError(f"no graph has {n} vertices of degree {degree}: 0 ≤ degree < n and n · degree must be even")
    graph_seed, coupling_seed = np.random.SeedSequence(seed).spawn(2)
    rng = np.random.default_rng(graph_seed)
    if 2 * degree < n:
        i, j = _regular_graph(n, degree, rng)
    else:  # pairing rarely ends on a dense graph, and its complement is regular too
        absent = np.ones((n, n), dtype=bool)
        absent[_regular_graph(n, n - 1 - degree, rng)] = False
        i, j = np.nonzero(np.triu(absent & absent.T, 1))
    return IsingModel.from_coo(i, j, _random_couplings(len(i), kind, coupling_seed), n)


def _uniform(shape: Sequence[int], coupling: float, periodic: bool) -> IsingModel:
    i, j = _lattice_bonds(shape, periodic)
    return IsingModel.from_coo(i, j, np.full(len(i), float(coupling)), int(np.prod(shape)))


def _lattice_bonds(shape: Sequence[int], periodic: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns both ends of each bond, axis by axis."""
    if len(shape) == 0:
        raise InputError("shape: a lattice needs at least one axis")
    for axis, length in enumerate(shape):
        _require_positive(f"length of axis {axis}", length)
    spin = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(tuple(shape))
    ends: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for axis, length in enumerate(shape):
        if length == 1:
            continue
        first = spin if periodic else np.take(spin, range(length - 1), axis)
        second = np.roll(spin, -1, axis) if periodic else np.take(spin, range(1, length), axis)
        ends[0].append(first.ravel())
        ends[1].append(second.ravel())
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *ends[0]]), np.concatenate([empty, *ends[1]])


def _random_couplings(m: int, kind: str, seed: int | np.random.SeedSequence) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    if kind == "gaussian":
        return rng.standard_normal(m)
    if kind == "pm1":
        return rng.choice(np.array([-1.0, 1.0]), m)
    raise InputError(f"kind: no couplings of kind {kind!r}; {nearest(kind, ('gaussian', 'pm1'))}")


def _regular_graph(n: int, degree: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = rng.permutation(np.repeat(np.arange(n, dtype=np.int64), degree)).reshape(-1, 2)
    while True:
        key = pairs.min(axis=1) * n + pairs.max(axis=1)
        order = np.argsort(key, kind="stable")
        wrong = pairs[:, 0] == pairs[:, 1]
        wrong[order[1:]] |= key[order[1:]] == key[order[:-1]]
        if not wrong.any():
            return pairs[:, 0], pairs[:, 1]
        chosen = np.flatnonzero(wrong)
        chosen = np.union1d(chosen, rng.integers(0, len(pairs), len(chosen) + 1))
        pairs[chosen] = rng.permutation(pairs[chosen].ravel()).reshape(-1, 2)


def _require_positive(name: str, value: int) -> None:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} is {value!r}; expected a whole number, 1 or more")
