"""The gated linear recurrence that reads a sequence in both directions, and its gradient.

==========================================  ==========================================================
h_t = (1 − z_t) h_{t−1} + z_t c_t           left half of the channels, t = 0 … L − 1, h_{−1} = ``initial``
h_t = (1 − z_t) h_{t+1} + z_t c_t           right half, t = L − 1 … 0, h_L = ``initial``
ḡ_t = ∂L/∂h_t + (1 − z_{t±1}) ḡ_{t±1}       gradient, carried against the direction of reading
∂L/∂z_t = ḡ_t (c_t − h_{t∓1})               ∂L/∂c_t = z_t ḡ_t
==========================================  ==========================================================

Martin & Cundy, "Parallelizing linear recurrent neural nets over sequence length", ICLR 2018; minimal gated unit: Feng
et al., "Were RNNs all we needed?", arXiv:2410.01201. On a CPU a compiled loop over time whose inner loop runs over
channels; elsewhere, a scan by doubling of length log₂ L.
"""

from typing import Any

import numba
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml_zoo.splicing._recurrence_kernels import run, run_back, run_back_threaded, run_one, run_threaded

__all__ = ["gated_recurrence", "recurrence_into", "sequential_recurrence"]


def gated_recurrence(update: Tensor, candidate: Tensor, initial: Tensor) -> Tensor:
    """Runs the recurrence over a batch, the left half of the channels forwards and the right half backwards.

    Args:
        update: the gate z in [0, 1], [B, L, 2E].
        candidate: c, [B, L, 2E].
        initial: the state before the first and after the last position, [B, 2E].

    Returns:
        The states h, [B, L, 2E].

    Raises:
        ValueError: shapes that do not fit.
    """
    if update.shape != candidate.shape or update.ndim != 3 or update.shape[2] % 2:
        raise ValueError(f"update {tuple(update.shape)} and candidate {tuple(candidate.shape)} must both be [B, L, 2E]")
    if initial.shape != (update.shape[0], update.shape[2]):
        raise ValueError(f"initial {tuple(initial.shape)} must be [B, 2E] of update {tuple(update.shape)}")
    states: Tensor = _GatedRecurrence.apply(update, candidate, initial)
    return states


def sequential_recurrence(update: Tensor, candidate: Tensor, initial: Tensor) -> Tensor:
    """The definition, one position after the other and differentiated by autograd; for tests.

    Args:
        update: z, [B, L, 2E].
        candidate: c, [B, L, 2E].
        initial: [B, 2E].

    Returns:
        The states h, [B, L, 2E].
    """
    length, half = update.shape[1], update.shape[2] // 2
    left, right = initial[:, :half], initial[:, half:]
    lefts, rights = [], []
    for t in range(length):
        left = (1 - update[:, t, :half]) * left + update[:, t, :half] * candidate[:, t, :half]
        lefts.append(left)
    for t in reversed(range(length)):
        right = (1 - update[:, t, half:]) * right + update[:, t, half:] * candidate[:, t, half:]
        rights.append(right)
    return torch.cat([torch.stack(lefts, 1), torch.stack(rights[::-1], 1)], dim=2)


def recurrence_into(update: Tensor, candidate: Tensor, state: Tensor, out: Tensor, *, backwards: bool) -> None:
    """Runs one direction over a tile on the CPU, without gradient, and leaves the last state for the next tile.

    Args:
        update: z, [L, E].
        candidate: c, [L, E].
        state: before the tile, in the direction of reading, [E]; afterwards the one after it.
        out: where the states are written, [L, E].
        backwards: reads from the end.
    """
    arrays = [tensor.numpy() for tensor in (update, candidate, out)]
    if backwards:
        arrays = [array[::-1] for array in arrays]
    run_one(arrays[0], arrays[1], state.numpy(), arrays[2])
    state.copy_(out[0 if backwards else -1])


class _GatedRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, update: Tensor, candidate: Tensor, initial: Tensor) -> Tensor:
        states = _states(update, candidate, initial)
        ctx.save_for_backward(update, candidate, initial, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        update, candidate, initial, states = ctx.saved_tensors
        return _gradients(gradients[0], update, candidate, initial, states)


def _states(update: Tensor, candidate: Tensor, initial: Tensor) -> Tensor:
    if _is_compiled(update):
        states = torch.empty_like(update, memory_format=torch.contiguous_format)
        (run_threaded if _has_threads() else run)(_array(update), _array(candidate), _array(initial), states.numpy())
        return states
    half = update.shape[2] // 2
    a, b = 1 - update, update * candidate
    left = _scan(a[..., :half], b[..., :half], initial[:, :half])
    right = _scan(a[..., half:].flip(1), b[..., half:].flip(1), initial[:, half:]).flip(1)
    return torch.cat([left, right], dim=2)


def _gradients(
    gradient: Tensor, update: Tensor, candidate: Tensor, initial: Tensor, states: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    if _is_compiled(update):
        d_update, d_candidate = (
            torch.empty_like(x, memory_format=torch.contiguous_format) for x in (update, candidate)
        )
        d_initial = torch.empty_like(initial, memory_format=torch.contiguous_format)
        given = (_array(x) for x in (gradient, update, candidate, initial, states))
        (run_back_threaded if _has_threads() else run_back)(
            *given, d_update.numpy(), d_candidate.numpy(), d_initial.numpy()
        )
        return d_update, d_candidate, d_initial
    half = update.shape[2] // 2
    keep = 1 - update
    nothing = torch.zeros_like(initial[:, :half])
    # ḡ_t = g_t + keep_{t+1} ḡ_{t+1}: the same recurrence, read the other way, with the gates moved by one.
    later = torch.cat([keep[:, 1:, :half], nothing[:, None]], 1)
    earlier = torch.cat([nothing[:, None], keep[:, :-1, half:]], 1)
    left = _scan(later.flip(1), gradient[..., :half].flip(1), nothing).flip(1)
    right = _scan(earlier, gradient[..., half:], nothing)
    total = torch.cat([left, right], 2)
    before = torch.cat(
        [
            torch.cat([initial[:, None, :half], states[:, :-1, :half]], 1),
            torch.cat([states[:, 1:, half:], initial[:, None, half:]], 1),
        ],
        dim=2,
    )
    d_initial = torch.cat([keep[:, 0, :half] * left[:, 0], keep[:, -1, half:] * right[:, -1]], 1)
    return total * (candidate - before), total * update, d_initial


def _scan(a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
    """Returns h_t = a_t h_{t−1} + b_t over axis 1 by doubling the length of what is composed (Hillis & Steele 1986)."""
    b = torch.cat([b[:, :1] + a[:, :1] * initial[:, None], b[:, 1:]], 1)
    reach, length = 1, b.shape[1]
    while reach < length:
        b = torch.cat([b[:, :reach], b[:, reach:] + a[:, reach:] * b[:, :-reach]], 1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], 1)
        reach *= 2
    return b


def _is_compiled(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().contiguous().numpy()
    return array


def _has_threads() -> bool:
    """Returns whether to use more than one thread, and makes numba's number of them torch's."""
    n_threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    if n_threads > 1:
        numba.set_num_threads(n_threads)
    return n_threads > 1
