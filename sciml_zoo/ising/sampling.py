"""Draws from the Boltzmann distribution exp(−β E(s))/Z of any Ising model, and how far they can be trusted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.ising.chains import CompiledModel
from sciml_zoo.ising.clusters import ClusterChains
from sciml_zoo.ising.draws import Samples, UnconvergedWarning
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.single_spin import SingleSpinChains
from sciml_zoo.ising.tempering import TemperedChains, pilot_ladder

if TYPE_CHECKING:
    from sciml_zoo.ising.torch_sampling import TorchChains

__all__ = ["Method", "Observable", "sample"]

Method = Literal["heat_bath", "metropolis", "tempering", "wolff", "swendsen_wang"]
#: Takes states, int8 [m, n], and returns a number for each, [m].
Observable = Callable[[NDArray[np.int8]], ArrayLike]
_METHODS = ("heat_bath", "metropolis", "tempering", "wolff", "swendsen_wang")
_CLUSTER_METHODS = ("wolff", "swendsen_wang")
# Spins are recorded in pieces of this many bytes, where they are not kept.
_PIECE = 1 << 26


def sample(
    model: IsingModel,
    beta: float | Sequence[float] | NDArray[np.float64],
    *,
    n_sweeps: int,
    n_replicas: int = 16,
    method: Method | None = None,
    burn_in: int | None = None,
    thin: int = 1,
    clamped: Mapping[int, int] | ArrayLike | None = None,
    initial: ArrayLike | None = None,
    seed: int = 0,
    device: str = "cpu",
    backend: Literal["numba", "torch"] | None = None,
    n_threads: int = 1,
    n_rungs: int | None = None,
    cluster_moves: bool | None = None,
    keep_spins: bool = True,
    observables: Mapping[str, Observable] | None = None,
) -> Samples:
    """Draws states at inverse temperature β, and warns where the draws are not to be trusted yet.

    Replica r depends on the seed and on r alone: neither on the number of replicas (of pairs, where they exchange
    clusters) nor on that of threads. Cost hardly rises up to 64 replicas, which the processor handles together.

    Args:
        model: the Hamiltonian.
        beta: β ≥ 0; or the ladder of a tempering run, of which the largest is drawn from.
        n_sweeps: sweeps of every replica that are measured.
        n_replicas: independent chains.
        method: ``heat_bath``, ``metropolis``, ``tempering``, ``wolff`` or ``swendsen_wang``. None: tempering for a
            ladder; for one β, heat bath where it is known to mix fast (Dobrushin's condition: Σ_j tanh β|J_ij| < 1 at
            every spin), Wolff's clusters where no coupling is negative and no fields or clamped spins pull in opposite
            directions, and else tempering.
        burn_in: sweeps before the measurement; None: half of ``n_sweeps``.
        thin: sweeps between two draws that are kept.
        clamped: spins that are held: {index: ±1}, or ±1 and 0 (free) as [n], or as [n_replicas, n], where the same
            spins are held in every replica, at values of its own.
        initial: states to begin with, ±1 [n] or [n_replicas, n]; None: random.
        seed: any integer.
        device: ``cpu``, or a device of torch such as ``cuda``.
        backend: ``numba`` or ``torch``; None: numba on ``cpu``, torch elsewhere.
        n_threads: of numba's kernels.
        n_rungs: number of temperatures that tempering finds; None: by the communication barrier.
        cluster_moves: tempering: whether pairs of replicas exchange clusters; None: where it helps.
        keep_spins: whether the result holds the states, ``n_sweeps // thin`` × ``n_replicas`` × n bytes.
        observables: more quantities to record and to judge the run by.

    Returns:
        The draws and their diagnostics.

    Raises:
        InputError: an argument is out of range, a method cannot do what is asked (the message names one that can), or
            the device is not there.

    Example:
        >>> model = IsingModel.from_edges([(0, 1, 1.0)])
        >>> drawn = sample(model, 0.5, n_sweeps=2000, seed=1)
        >>> abs(drawn.estimate("energy").mean + np.tanh(0.5)) < 0.02
        True
    """
    for name, value, least in (
        ("n_sweeps", n_sweeps, 1),
        ("n_replicas", n_replicas, 1),
        ("thin", thin, 1),
        ("burn_in", 0 if burn_in is None else burn_in, 0),
        ("n_threads", n_threads, 1),
    ):
        if value < least:
            raise InputError(f"{name} {value}: expected at least {least}")
    if thin > n_sweeps:
        raise InputError(f"thin {thin}: no draw is kept of {n_sweeps} sweeps; give at least thin sweeps")
    if model.n == 0:
        raise InputError("the model has no spins: nothing to sample")
    if backend not in {None, "numba", "torch"} or (backend == "numba" and device != "cpu"):
        raise InputError(f"backend {backend!r} on device {device!r}: expected 'numba' on 'cpu', or 'torch'")
    on_torch = backend == "torch" or device != "cpu"
    rungs = _checked_betas(beta)
    start, free = _start(model.n, n_replicas, clamped, initial)
    held = np.setdiff1d(np.arange(model.n), free)
    symmetric = not model.fields.any() and len(held) == 0
    alike = bool((start[:, held] == start[:1, held]).all())
    chosen = _method(model, rungs, method, start, free, alike, on_torch)
    compiled = CompiledModel(model)
    if chosen == "tempering" and len(rungs) == 1:
        rungs = pilot_ladder(
            compiled, float(rungs[0]), np.where(_is_held(free, model.n), start[0], 0), free, n_rungs, seed
        )
    chains: SingleSpinChains | ClusterChains | TemperedChains | TorchChains
    if on_torch:
        from sciml_zoo.ising.torch_sampling import TorchChains

        chains = TorchChains(compiled, rungs, chosen, start, free, seed, device)  # type: ignore[arg-type]
    elif chosen == "tempering":
        if cluster_moves and not (alike and n_replicas % 2 == 0):
            raise InputError(
                "cluster_moves: pairs of replicas exchange clusters, so give an even n_replicas and clamp alike"
            )
        moves = cluster_moves if alike and n_replicas % 2 == 0 else False
        chains = TemperedChains(compiled, rungs, start, free, symmetric, moves, seed, n_threads)
    elif chosen == "wolff" or chosen == "swendsen_wang":
        chains = ClusterChains(model, compiled, float(rungs[0]), chosen, start, free, seed, n_threads)
    else:
        chains = SingleSpinChains(compiled, float(rungs[0]), chosen, start, free, seed, n_threads)
    chains.equilibrate(n_sweeps // 2 if burn_in is None else burn_in)

    asked = dict(observables or {})
    kept = n_sweeps // thin
    records, extra = [], {name: np.empty((kept, n_replicas)) for name in asked}
    whole = keep_spins and not asked
    piece = kept if whole else max(1, _PIECE // (n_replicas * model.n))
    for begin in range(0, kept, piece):
        record = chains.advance(min(piece, kept - begin), thin, keep_spins or bool(asked))
        for name, observable in asked.items():
            extra[name][begin : begin + piece] = _observed(name, observable, record.spins)
        records.append(record)
    energies, magnetisation, probe = (
        np.concatenate([getattr(record, name) for record in records]) for name in ("energies", "magnetisation", "probe")
    )
    ladder = None
    if chosen == "tempering":
        all_energies, all_magnetisation = (
            np.concatenate([getattr(record, name) for record in records])
            for name in ("ladder_energies", "ladder_magnetisation")
        )
        ladder = chains.ladder(all_energies, all_magnetisation)  # type: ignore[union-attr]
    result = Samples(
        beta=float(rungs[-1]),
        method=chosen,
        spins=np.concatenate([record.spins for record in records]) if keep_spins else None,
        final=chains.final(),
        energies=energies,
        magnetisation=magnetisation,
        probe=probe,
        observables=extra,
        acceptance=chains.acceptance(),
        thin=thin,
        seed=seed,
        symmetric=symmetric,
        paired=bool(getattr(chains, "paired", False)),
        ladder=ladder,
    )
    _warn(result, n_sweeps)
    return result


def _checked_betas(beta: Any) -> NDArray[np.float64]:
    betas = np.unique(np.asarray(beta, dtype=np.float64))
    if betas.ndim != 1 or betas.size == 0 or not np.isfinite(betas).all() or betas[0] < 0:
        raise InputError(f"beta {beta}: expected an inverse temperature of at least 0, or a ladder of these")
    if np.ndim(beta) == 1 and len(betas) < 2:
        raise InputError(f"beta {beta}: a ladder needs at least 2 different inverse temperatures")
    return betas


def _is_held(free: NDArray[np.int32], n: int) -> NDArray[np.bool_]:
    held = np.ones(n, dtype=bool)
    held[free] = False
    return held


def _start(
    n: int, n_replicas: int, clamped: Any, initial: ArrayLike | None
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Returns initial spins [R, n], 0 for random, and the indices of the spins that are free."""
    held = np.zeros((n_replicas, n), dtype=np.int8)
    if isinstance(clamped, Mapping):
        for i, value in clamped.items():
            if not (isinstance(i, int | np.integer) and 0 <= i < n) or value not in {-1, 1}:
                raise InputError(f"clamped: {{{i!r}: {value!r}}}; expected an index in 0 … {n - 1} and a value of ±1")
            held[:, i] = value
    elif clamped is not None:
        held[:] = _states("clamped", clamped, n, n_replicas, (-1, 0, 1))
        mixed = np.flatnonzero((held == 0).any(0) & (held != 0).any(0))
        if mixed.size:
            raise InputError(
                f"clamped: spin {mixed[0]} is held in some replicas and free in others; hold it in all or none"
            )
    start = np.zeros_like(held) if initial is None else _states("initial", initial, n, n_replicas, (-1, 1))
    free = np.flatnonzero(held[0] == 0).astype(np.int32)
    return np.where(held != 0, held, start).astype(np.int8), free


def _states(name: str, values: Any, n: int, n_replicas: int, allowed: tuple[int, ...]) -> NDArray[np.int8]:
    given = np.asarray(values)
    if given.shape not in {(n,), (n_replicas, n)}:
        raise InputError(f"{name} has shape {list(given.shape)}; expected [{n}] or [{n_replicas}, {n}]")
    wrong = np.argwhere(~np.isin(given, allowed))
    if wrong.size:
        place = tuple(int(k) for k in wrong[0])
        raise InputError(f"{name}: entry {list(place)} is {given[place]}, not one of {', '.join(map(str, allowed))}")
    return np.broadcast_to(given, (n_replicas, n)).astype(np.int8)


def _method(
    model: IsingModel,
    rungs: NDArray[np.float64],
    method: str | None,
    start: NDArray[np.int8],
    free: NDArray[np.int32],
    alike: bool,
    on_torch: bool,
) -> Method:
    """Returns the method asked for, if it can do what is asked, or the one that fits."""
    if method is not None and method not in _METHODS:
        raise InputError(f"method {method!r}: {nearest(method, _METHODS)}")
    if method is None:
        if len(rungs) > 1:
            return "tempering"
        couplings = model.csr()
        strengths = couplings.copy()
        strengths.data = np.tanh(rungs[0] * np.abs(strengths.data))
        if (strengths.sum(1) < 1.0).all():
            return "heat_bath"
        held = _is_held(free, model.n)
        pulls = model.fields[free] + couplings[free][:, held] @ start[0, held].astype(np.float64)
        one_way = (pulls >= 0).all() or (pulls <= 0).all()
        if alike and one_way and not on_torch and (couplings.data >= 0).all():
            return "wolff"
        return "tempering"
    if len(rungs) > 1 and method != "tempering":
        raise InputError(f"method {method!r} runs at one temperature: give one beta, or method='tempering'")
    if method == "tempering" and rungs[-1] == 0:
        raise InputError("beta 0: tempering needs a positive beta; method='heat_bath' is exact here")
    if method in _CLUSTER_METHODS and not alike:
        raise InputError(f"method {method!r} holds the same values in all replicas: use 'heat_bath' or 'tempering'")
    if method in _CLUSTER_METHODS and on_torch:
        raise InputError(f"method {method!r} runs on device='cpu' with backend='numba' only; or use 'tempering'")
    return cast(Method, method)


def _observed(name: str, observable: Observable, spins: NDArray[np.int8]) -> NDArray[np.float64]:
    kept, replicas, n = spins.shape
    values = np.asarray(observable(spins.reshape(-1, n)), dtype=np.float64)
    if values.shape != (kept * replicas,):
        raise InputError(
            f"observable {name!r} gave shape {list(values.shape)} for states [{kept * replicas}, {n}]; "
            f"expected a number for each state, [{kept * replicas}]"
        )
    return values.reshape(kept, replicas)


def _warn(result: Samples, n_sweeps: int) -> None:
    found = result.unconverged
    if not found:
        return
    remedy = f"more sweeps than n_sweeps={n_sweeps}"
    if result.method in {"heat_bath", "metropolis"}:
        remedy += ", or method='tempering'"
    elif result.method == "tempering" and result.ladder is not None and result.ladder.exchange_rates.min() < 0.1:
        remedy += f", or more temperatures (exchange rates fall to {result.ladder.exchange_rates.min():.2f})"
    elif result.method in _CLUSTER_METHODS:
        remedy += ", or, of a frustrated model, method='tempering'"
    shown = "; ".join(f"{name}: {problem}" for name, problem in found.items())
    warnings.warn(f"not converged: {shown}. Try {remedy}.", UnconvergedWarning, stacklevel=3)
