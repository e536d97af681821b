"""The Ising model: one Hamiltonian, sparse or dense, that every other file of this domain takes or returns.

    E(s) = −Σ_{i<j} J_ij s_i s_j − Σ_i h_i s_i + c,    s_i ∈ {−1, +1}

| symbol | here | shape |
|---|---|---|
| J | ``couplings``, symmetric, zero diagonal, positive = ferromagnetic | [n, n] |
| h | ``fields`` | [n] |
| c | ``offset`` | scalar |
| s | ``spins`` | [..., n] |
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from sciml_zoo.ising.ground_states import GroundState

__all__ = ["IsingModel"]

# Spins are converted to float64 in blocks of this many numbers.
_BLOCK = 1 << 24


class IsingModel:
    """A Hamiltonian of ±1 spins; immutable, energies in float64.

    Args:
        couplings: J [n, n], symmetric with a zero diagonal; a dense array stays dense, any scipy sparse array or matrix
            is kept as CSR (duplicates summed, zeros dropped).
        fields: h [n]; None: no fields.
        offset: the constant c.
        labels: names of the spins, in order; None: 0 … n−1.

    Raises:
        InputError: not square, not symmetric, not finite, a coupling of a spin with itself, or labels that are not
            unique; the message names the entry.

    Example:
        >>> model = IsingModel.from_edges([(0, 1, 1.0), (1, 2, -1.0)])
        >>> model.energy([[1, 1, 1], [1, 1, -1]])
        array([ 0., -2.])
    """

    couplings: NDArray[np.float64] | sparse.csr_array
    fields: NDArray[np.float64]
    offset: float

    def __init__(
        self,
        couplings: ArrayLike | sparse.sparray | sparse.spmatrix,
        fields: ArrayLike | None = None,
        offset: float = 0.0,
        *,
        labels: Sequence[Hashable] | None = None,
    ) -> None:
        self.couplings = _checked_couplings(couplings)
        n = self.couplings.shape[0]
        self.fields = np.zeros(n) if fields is None else np.array(fields, dtype=np.float64)
        if self.fields.shape != (n,):
            raise InputError(
                f"fields have shape {list(self.fields.shape)}, but couplings are those of {n} spins: [{n}]"
            )
        if not np.isfinite(self.fields).all():
            raise InputError(f"fields: entry {np.flatnonzero(~np.isfinite(self.fields))[0]} is not a finite number")
        if not np.isfinite(offset):
            raise InputError(f"offset: {offset} is not a finite number")
        self.fields.flags.writeable = False
        self.offset = float(offset)
        self._labels = None if labels is None else tuple(labels)
        if self._labels is not None and (len(self._labels) != n or len(set(self._labels)) != n):
            raise InputError(f"labels: expected {n} different names, got {len(set(self._labels))}")

    @classmethod
    def from_coo(
        cls,
        rows: ArrayLike,
        columns: ArrayLike,
        values: ArrayLike,
        n: int | None = None,
        *,
        fields: ArrayLike | None = None,
        offset: float = 0.0,
    ) -> IsingModel:
        """Builds a sparse model from couplings given once per pair, in either order; repeated pairs are summed.

        Args:
            rows: i [m], 0-based.
            columns: j [m].
            values: J_ij [m].
            n: number of spins; None: one more than the largest index (or the length of ``fields``).
            fields: h [n].
            offset: the constant c.

        Returns:
            The model.

        Raises:
            InputError: a self-loop, an index out of range, or a value that is not finite.
        """
        i, j, w = np.asarray(rows), np.asarray(columns), np.asarray(values, dtype=np.float64)
        if i.size == 0:
            i, j = i.astype(np.int64), j.astype(np.int64)
        if not (i.shape == j.shape == w.shape and i.ndim == 1):
            raise InputError(f"rows, columns and values have shapes {i.shape}, {j.shape} and {w.shape}, not one [m]")
        if not (np.issubdtype(i.dtype, np.integer) and np.issubdtype(j.dtype, np.integer)):
            raise InputError("rows and columns: indices must be integers")
        if n is None:
            n = len(np.asarray(fields)) if fields is not None else int(max(i.max(initial=-1), j.max(initial=-1))) + 1
        for name, wrong, problem in (
            ("edge", i == j, "couples a spin with itself"),
            ("edge", (np.minimum(i, j) < 0) | (np.maximum(i, j) >= n), f"has an index outside 0 … {n - 1}"),
            ("edge", ~np.isfinite(w), "has a coupling that is not a finite number"),
        ):
            if wrong.any():
                k = int(np.flatnonzero(wrong)[0])
                raise InputError(f"{name} {k}: ({i[k]}, {j[k]}, {w[k]}) {problem}")
        upper = sparse.coo_array((w, (i, j)), shape=(n, n)).tocsr()
        return cls(upper + upper.T, fields, offset)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[int, int, float]],
        n: int | None = None,
        *,
        fields: ArrayLike | None = None,
        offset: float = 0.0,
    ) -> IsingModel:
        """Builds a sparse model from a list of edges.

        Args:
            edges: (i, j, J_ij), 0-based, each pair in either order.
            n: number of spins; None: as many as the indices need.
            fields: h [n].
            offset: the constant c.

        Returns:
            The model.
        """
        triples = list(edges)
        i, j, w = zip(*triples, strict=True) if triples else ((), (), ())
        return cls.from_coo(np.array(i), np.array(j), np.array(w, dtype=np.float64), n, fields=fields, offset=offset)

    @classmethod
    def from_dict(
        cls,
        couplings: Mapping[tuple[Hashable, Hashable], float],
        fields: Mapping[Hashable, float] | None = None,
        offset: float = 0.0,
    ) -> IsingModel:
        """Builds a sparse model from dicts keyed by spin names, which become its labels.

        Args:
            couplings: (u, v) → J_uv, in either order; (u, v) and (v, u) are summed.
            fields: u → h_u.
            offset: the constant c.

        Returns:
            The model, labels in order of appearance (fields first), or sorted where all are integers.
        """
        names: dict[Hashable, None] = dict.fromkeys(fields or {})
        for u, v in couplings:
            names[u] = names[v] = None
        order: list[Any] = list(names)
        if all(isinstance(name, int) for name in order):
            order.sort()
        index = {name: k for k, name in enumerate(order)}
        h = np.zeros(len(order))
        for name, value in (fields or {}).items():
            h[index[name]] = value
        for (u, v), value in couplings.items():
            if u == v or not np.isfinite(value):
                problem = "couples a spin with itself" if u == v else "is not a finite number"
                raise InputError(f"coupling ({u!r}, {v!r}): {value} {problem}")
        edges = [(index[u], index[v], value) for (u, v), value in couplings.items()]
        model = cls.from_edges(edges, len(order), fields=h, offset=offset)
        return cls(model.couplings, h, offset, labels=order)

    @classmethod
    def from_dense(cls, couplings: ArrayLike, fields: ArrayLike | None = None, offset: float = 0.0) -> IsingModel:
        """Builds a dense model.

        Args:
            couplings: J [n, n], symmetric, or its strict upper triangle with zeros below.
            fields: h [n].
            offset: the constant c.

        Returns:
            The model.
        """
        matrix = np.array(couplings, dtype=np.float64)
        if matrix.ndim == 2 and matrix.any() and not np.tril(matrix, -1).any():
            matrix = matrix + np.triu(matrix, 1).T
        return cls(matrix, fields, offset)

    @property
    def n(self) -> int:
        """Number of spins."""
        return len(self.fields)

    @property
    def labels(self) -> tuple[Hashable, ...]:
        """Names of the spins, in order."""
        return tuple(range(self.n)) if self._labels is None else self._labels

    @property
    def is_dense(self) -> bool:
        """Whether ``couplings`` is a dense array."""
        return isinstance(self.couplings, np.ndarray)

    @cached_property
    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Pairs i < j with a coupling other than zero: i [m], j [m], J_ij [m], sorted by i, then j."""
        upper = sparse.triu(self.csr(), 1).tocsr()
        upper.sort_indices()
        rows = np.repeat(np.arange(self.n), np.diff(upper.indptr))
        return rows, upper.indices.astype(np.int64), upper.data

    @property
    def n_edges(self) -> int:
        """Number of pairs with a coupling other than zero."""
        return self.csr().nnz // 2

    def csr(self) -> sparse.csr_array:
        """Returns the couplings as a CSR array [n, n] with sorted indices and no explicit zeros."""
        return sparse.csr_array(self.couplings) if self.is_dense else self.couplings

    def dense(self) -> NDArray[np.float64]:
        """Returns the couplings as a dense array [n, n]."""
        return self.couplings if isinstance(self.couplings, np.ndarray) else self.couplings.toarray()

    @overload
    def energy(self, spins: Tensor) -> Tensor: ...
    @overload
    def energy(self, spins: ArrayLike) -> NDArray[np.float64]: ...
    def energy(self, spins: Any) -> Any:
        """Returns E(s), summed in float64, of one state or of any batch of them.

        Args:
            spins: ±1 [..., n], any dtype. A torch tensor may hold any real numbers (relaxed spins), is differentiated
                through, and gives a tensor on its own device.

        Returns:
            Energies [...].

        Raises:
            InputError: the last axis is not n, or an array holds anything but ±1.
        """
        if _is_tensor(spins):
            return self._tensor_energy(spins)
        return self._energy(self._checked(spins))

    def local_fields(self, spins: ArrayLike) -> NDArray[np.float64]:
        """Returns Σ_j J_ij s_j + h_i; flipping spin i changes the energy by 2 s_i times it.

        Args:
            spins: ±1 [..., n].

        Returns:
            Local fields [..., n].
        """
        s = self._checked(spins)
        flat = s.reshape(-1, self.n).astype(np.float64)
        return ((self.couplings @ flat.T).T + self.fields).reshape(s.shape)

    def ground_state(self, **options: Any) -> GroundState:
        """Returns the best state found by :func:`sciml_zoo.ising.ground_states.ground_state`.

        Args:
            **options: that function's: ``method``, ``time_limit``, ``n_sweeps``, ``target``, ``seed``, ``on_progress``.
        """
        from sciml_zoo.ising.ground_states import ground_state

        return ground_state(self, **options)

    def _energy(self, spins: NDArray[Any]) -> NDArray[np.float64]:
        flat = spins.reshape(-1, self.n)
        result = np.empty(len(flat))
        step = max(1, _BLOCK // max(1, self.n))
        for start in range(0, len(flat), step):
            s = flat[start : start + step].astype(np.float64)
            result[start : start + step] = (
                self.offset - s @ self.fields - 0.5 * np.sum((self.couplings @ s.T).T * s, -1)
            )
        return result.reshape(spins.shape[:-1])

    def _tensor_energy(self, spins: Tensor) -> Tensor:
        import torch

        if spins.ndim == 0 or spins.shape[-1] != self.n:
            raise InputError(f"spins have shape {list(spins.shape)}; expected [..., {self.n}]")
        s = spins.to(torch.float64).reshape(-1, self.n)
        if self.is_dense:
            product = s @ torch.tensor(self.couplings, device=s.device)
        else:
            i, j, w = (torch.from_numpy(part.copy()).to(s.device) for part in self.edges)
            product = torch.zeros_like(s).index_add(1, j, 2 * w * s[:, i])
        h = torch.tensor(self.fields, device=s.device)
        return (self.offset - s @ h - 0.5 * (product * s).sum(-1)).reshape(spins.shape[:-1])

    def _checked(self, spins: ArrayLike) -> NDArray[Any]:
        s = np.asarray(spins)
        if s.ndim == 0 or s.shape[-1] != self.n:
            raise InputError(f"spins have shape {list(s.shape)}; expected [..., {self.n}]")
        wrong = np.abs(s) != 1 if s.dtype != np.int8 else (s != 1) & (s != -1)
        if wrong.any():
            place = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise InputError(f"spins: entry {list(place)} is {s[place]}, not −1 or +1 (of x in 0/1, s = 2x − 1)")
        return s

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IsingModel):
            return NotImplemented
        return (
            self.labels == other.labels
            and self.offset == other.offset
            and np.array_equal(self.fields, other.fields)
            and (self.csr() != other.csr()).nnz == 0
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind = "dense" if self.is_dense else "sparse"
        return f"IsingModel({self.n} spins, {self.n_edges} couplings, {kind}, offset {self.offset:g})"


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _checked_couplings(couplings: Any) -> NDArray[np.float64] | sparse.csr_array:
    if sparse.issparse(couplings):
        matrix = sparse.csr_array(couplings, dtype=np.float64, copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        values = matrix.data
    else:
        matrix = np.array(couplings, dtype=np.float64)
        values = matrix
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"couplings have shape {list(matrix.shape)}; expected a square matrix [n, n]")
    if not np.isfinite(values).all():
        i, j = _first(~np.isfinite(matrix) if isinstance(matrix, np.ndarray) else _where_not_finite(matrix))
        raise InputError(f"couplings: entry ({i}, {j}) is not a finite number")
    if matrix.diagonal().any():
        i = int(np.flatnonzero(matrix.diagonal())[0])
        raise InputError(f"couplings: entry ({i}, {i}) couples a spin with itself; s² = 1, so put it into the offset")
    asymmetric = matrix != matrix.T
    if asymmetric.sum():
        i, j = _first(asymmetric)
        raise InputError(f"couplings are not symmetric: entries ({i}, {j}) and ({j}, {i}) differ")
    values.flags.writeable = False
    return matrix


def _where_not_finite(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((~np.isfinite(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _first(mask: Any) -> tuple[int, int]:
    rows, columns = mask.nonzero()
    return int(rows[0]), int(columns[0])
