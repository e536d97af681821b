"""A model's couplings as the SIMD kernels of :mod:`sciml_zoo.ising._lanes` want them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = ["LaneGraph"]

# Local fields of unit couplings are summed in int8.
_LARGEST_DEGREE = 127


@dataclass(frozen=True)
class LaneGraph:
    """Couplings in CSR form, in float32 and, where all have the same size, sorted by sign.

    Attributes:
        n: number of spins.
        starts: int64 [n + 1], CSR row starts.
        middles: int64 [n]; a row's entries before it are positive (unit couplings only).
        neighbours: uint32 [2 m].
        values: float32 [2 m].
        fields: float32 [n].
        unit: the common size of all couplings, or 0 where they differ.
    """

    n: int
    starts: NDArray[np.int64]
    middles: NDArray[np.int64]
    neighbours: NDArray[np.uint32]
    values: NDArray[np.float32]
    fields: NDArray[np.float32]
    unit: np.float32

    @property
    def arrays(self) -> tuple[NDArray[np.generic] | np.float32, ...]:
        """What the kernels take first: starts, middles, neighbours, values, fields, unit."""
        return self.starts, self.middles, self.neighbours, self.values, self.fields, self.unit

    @classmethod
    def of(cls, model: IsingModel) -> "LaneGraph":
        """Builds the graph of a model.

        Args:
            model: any model.

        Returns:
            Its graph.
        """
        csr = model.csr()
        starts = csr.indptr.astype(np.int64)
        neighbours, values = csr.indices.astype(np.uint32), csr.data
        rows = np.repeat(np.arange(model.n), np.diff(starts))
        positive = np.bincount(rows[values > 0], minlength=model.n)
        sizes = np.abs(values)
        one_size = sizes.size > 0 and sizes.min() == sizes.max() and np.diff(starts).max() <= _LARGEST_DEGREE
        if one_size:
            order = np.lexsort((values < 0, rows))
            neighbours, values = neighbours[order], values[order]
        return cls(
            n=model.n,
            starts=starts,
            middles=starts[:-1] + positive,
            neighbours=np.ascontiguousarray(neighbours),
            values=values.astype(np.float32),
            fields=model.fields.astype(np.float32),
            unit=np.float32(sizes[0] if one_size else 0.0),
        )
