"""The same energy in other fields' words: QUBO, max-cut, ``dimod``; every constant kept, so that energies are equal.

| problem | energy or value | variables |
|---|---|---|
| Ising (this package) | E(s) = −Σ_{i<j} J_ij s_i s_j − Σ_i h_i s_i + c | s ∈ {−1, +1} |
| QUBO | E = Σ_ij Q_ij x_i x_j + offset | x = (1 + s)/2 ∈ {0, 1} |
| max-cut | E = constant − cut(s), cut(s) = Σ_{i<j} w_ij (1 − s_i s_j)/2 | s_i: the side of vertex i |
| ``dimod``, SPIN | E = +Σ_{i<j} J_ij s_i s_j + Σ_i h_i s_i + offset: J and h have the opposite sign | s ∈ {−1, +1} |
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from sciml_zoo.errors import InputError
from sciml_zoo.ising.hamiltonian import IsingModel

if TYPE_CHECKING:
    import dimod

__all__ = ["cut_value", "from_bqm", "from_max_cut", "from_qubo", "to_bqm", "to_max_cut", "to_qubo"]


def from_qubo(
    qubo: Mapping[tuple[Hashable, Hashable], float] | ArrayLike | sparse.sparray | sparse.spmatrix, offset: float = 0.0
) -> IsingModel:
    """Returns the Ising model whose energy is x'Qx + offset at x = (1 + s)/2.

    With P_ij = Q_ij + Q_ji: J_ij = −P_ij/4, h_i = −Q_ii/2 − Σ_j P_ij/4, c = offset + Σ_i Q_ii/2 + Σ_{i<j} P_ij/4.

    Args:
        qubo: Q as a dict (u, v) → Q_uv, in which (u, u) is linear and (u, v), (v, u) are summed, or a square matrix,
            dense (gives a dense model) or sparse, upper triangular, symmetric or neither: all its entries count.
        offset: a constant added to x'Qx.

    Raises:
        InputError: Q is not square, or an entry is not a finite number.
    """
    labels: list[Hashable] | None = None
    if isinstance(qubo, Mapping):
        matrix, labels = _qubo_of_dict(qubo)
    elif sparse.issparse(qubo):
        matrix = sparse.csr_array(qubo, dtype=np.float64)
    else:
        matrix = np.asarray(qubo, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"Q has shape {list(matrix.shape)}; expected a square matrix [n, n]")
    values = matrix.data if sparse.issparse(matrix) else matrix
    if not np.isfinite(values).all():
        raise InputError("Q holds an entry that is not a finite number")
    linear = matrix.diagonal()
    pairs = matrix + matrix.T
    if sparse.issparse(pairs):
        pairs = pairs - sparse.diags_array(pairs.diagonal())
    else:
        np.fill_diagonal(pairs, 0.0)
    row_sums = np.asarray(pairs.sum(axis=1)).ravel()
    constant = offset + linear.sum() / 2 + row_sums.sum() / 8
    return IsingModel(pairs * -0.25, -linear / 2 - row_sums / 4, constant, labels=labels)


def _qubo_of_dict(qubo: Mapping[tuple[Hashable, Hashable], float]) -> tuple[sparse.csr_array, list[Hashable] | None]:
    names: list[Any] = list(dict.fromkeys(name for pair in qubo for name in pair))
    if all(isinstance(name, int) for name in names):
        names.sort()
    index = {name: k for k, name in enumerate(names)}
    rows, columns = ([index[pair[side]] for pair in qubo] for side in (0, 1))
    values = np.array(list(qubo.values()), dtype=np.float64)
    for (u, v), value in zip(qubo, values, strict=True):
        if not np.isfinite(value):
            raise InputError(f"Q: entry ({u!r}, {v!r}) is {value}, not a finite number")
    matrix = sparse.csr_array((values, (rows, columns)), shape=(len(names), len(names)))
    return matrix, None if names == list(range(len(names))) else names


def to_qubo(model: IsingModel) -> tuple[NDArray[np.float64] | sparse.csr_array, float]:
    """Returns Q [n, n], upper triangular, and the offset with E(s) = x'Qx + offset at x = (1 + s)/2.

    Q_ij = −4 J_ij for i < j, Q_ii = 2 Σ_j J_ij − 2 h_i, offset = c − Σ_{i<j} J_ij + Σ_i h_i. Q is dense where the
    model is, otherwise CSR.

    Args:
        model: the Ising model.
    """
    row_sums = np.asarray(model.couplings.sum(axis=1)).ravel()
    linear = 2 * row_sums - 2 * model.fields
    offset = float(model.offset - row_sums.sum() / 2 + model.fields.sum())
    if isinstance(model.couplings, np.ndarray):
        return np.triu(model.couplings, 1) * -4 + np.diag(linear), offset
    upper = sparse.triu(model.couplings, 1) * -4 + sparse.diags_array(linear)
    return sparse.csr_array(upper), offset


def from_max_cut(
    graph: Iterable[tuple[int, int] | tuple[int, int, float]] | ArrayLike | sparse.sparray | Any, n: int | None = None
) -> IsingModel:
    """Returns the Ising model with E(s) = −cut(s): J = −w/2, c = −Σ_{i<j} w_ij/2.

    Args:
        graph: edges (i, j) or (i, j, w), 0-based, weight 1 if not given, repeated edges summed; or a symmetric matrix
            of weights [n, n], sparse or dense (an array [m, 2] or [m, 3] that is not square holds edges); or a
            ``networkx`` graph, whose nodes become the labels and whose edge attribute ``weight`` counts (1 without).
        n: number of vertices, for a list of edges; None: as many as the indices need.

    Raises:
        InputError: a self-loop, an index out of range, a weight that is not finite, or an asymmetric matrix.
    """
    if hasattr(graph, "nodes") and hasattr(graph, "edges"):
        return _from_networkx(graph)
    if sparse.issparse(graph) or (isinstance(graph, np.ndarray) and graph.shape == (len(graph), len(graph))):
        weights = IsingModel(graph)
        return IsingModel(weights.couplings * -0.5, offset=-float(weights.couplings.sum()) / 4)
    triples = [(*edge, 1.0) if len(edge) == 2 else edge for edge in cast("Iterable[Any]", graph)]
    model = IsingModel.from_edges([(int(i), int(j), -0.5 * w) for i, j, w in triples], n)
    return IsingModel(model.couplings, offset=-0.5 * float(np.sum([w for _, _, w in triples])))


def _from_networkx(graph: Any) -> IsingModel:
    nodes = list(graph.nodes)
    index = {node: k for k, node in enumerate(nodes)}
    edges = []
    for u, v, weight in graph.edges(data="weight", default=1.0):
        if u == v:
            raise InputError(f"graph: edge ({u!r}, {v!r}) is a self-loop, which no cut cuts; remove it")
        edges.append((index[u], index[v], weight))
    model = from_max_cut(edges, len(nodes))
    return model if nodes == list(range(len(nodes))) else IsingModel(model.couplings, None, model.offset, labels=nodes)


def to_max_cut(model: IsingModel) -> tuple[sparse.csr_array, float]:
    """Returns symmetric weights and the constant with E(s) = constant − cut(s).

    w_ij = −2 J_ij, constant = c − Σ_{i<j} J_ij − Σ_i h_i. If there is any field, a ghost vertex is added as the last
    one, n, with w_in = −2 h_i: the cut of (s, +1) is meant, and a cut with the ghost at −1 belongs to the state −s.

    Args:
        model: the Ising model.
    """
    weights = model.csr() * -2.0
    total = float(model.couplings.sum()) / 2
    if model.fields.any():
        ghost = sparse.csr_array(model.fields[:, None] * -2.0)
        weights = sparse.block_array([[weights, ghost], [ghost.T, None]])
        total += float(model.fields.sum())
    return sparse.csr_array(weights), model.offset - total


def cut_value(weights: ArrayLike | sparse.sparray | sparse.spmatrix, spins: ArrayLike) -> NDArray[np.float64]:
    """Returns the weight of the edges whose ends are on different sides [...].

    Args:
        weights: w, symmetric [n, n], sparse or dense.
        spins: sides ±1 [..., n].
    """
    return -from_max_cut(sparse.csr_array(weights)).energy(spins)


def _dimod() -> Any:
    try:
        import dimod
    except ImportError:
        raise InputError("this needs the package dimod; install it: pip install 'sciml-zoo[dimod]'") from None
    return dimod


def from_bqm(bqm: dimod.BinaryQuadraticModel) -> IsingModel:
    """Returns the Ising model with the energies of a ``dimod`` model, whose variables become the labels.

    Args:
        bqm: of either vartype; for BINARY, x = (1 + s)/2.

    Raises:
        InputError: not a binary quadratic model, a bias that is not finite, or ``dimod`` is not installed.
    """
    module = _dimod()
    if not isinstance(bqm, module.BinaryQuadraticModel):
        raise InputError(f"expected a dimod.BinaryQuadraticModel, got {type(bqm).__name__}")
    spin = bqm if bqm.vartype is module.SPIN else bqm.change_vartype(module.SPIN, inplace=False)
    variables = list(spin.variables)
    linear, (rows, columns, quadratic), offset = spin.to_numpy_vectors(variable_order=variables)
    model = IsingModel.from_coo(
        rows.astype(np.int64), columns.astype(np.int64), -quadratic.astype(np.float64), len(variables)
    )
    labels = None if variables == list(range(len(variables))) else variables
    return IsingModel(model.couplings, -linear.astype(np.float64), float(offset), labels=labels)


def to_bqm(model: IsingModel, vartype: Literal["SPIN", "BINARY"] = "SPIN") -> dimod.BinaryQuadraticModel:
    """Returns the ``dimod`` model with the same energies, its variables named by the labels.

    Args:
        model: the Ising model.
        vartype: ``"SPIN"``, or ``"BINARY"`` with x = (1 + s)/2.

    Raises:
        InputError: ``dimod`` is not installed.
    """
    rows, columns, couplings = model.edges
    bqm = _dimod().BinaryQuadraticModel.from_numpy_vectors(
        -model.fields, (rows, columns, -couplings), model.offset, "SPIN", variable_order=list(model.labels)
    )
    return bqm if vartype == "SPIN" else bqm.change_vartype(vartype, inplace=False)
