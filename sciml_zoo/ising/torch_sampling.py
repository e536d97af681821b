"""The same chains on a GPU (or any torch device): spins of one colour are drawn together.

A greedy colouring gives every spin a colour that none of its neighbours has. Given the others, spins of one colour are
independent, so that a sweep is one product of couplings and spins, and one draw, for each colour. A dense model has as
many colours as spins.

| symbol | here | shape |
|---|---|---|
| J, rows of one colour | ``_Colour.couplings``, sparse CSR or dense | [k, n] |
| s | ``_spins``, lanes (replica, temperature) innermost | [n, C·T] |

Chances are computed in float32 from uniform numbers of 24 bits: those below 2⁻²⁵ count as zero. A run is reproduced by
its seed on the same kind of device with the same number of replicas.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.ising._sampling_kernels import colour_spins
from sciml_zoo.ising.chains import CompiledModel, Record
from sciml_zoo.ising.draws import Ladder

__all__ = ["TorchChains", "available_device"]

_METROPOLIS_CEILING = 1.0 - 1.0 / 16.0  # as in single_spin
_DENSE_ABOVE = 0.1  # share of couplings that are not zero


@dataclass(frozen=True)
class _Colour:
    spins: Tensor
    couplings: Tensor
    fields: Tensor


class TorchChains:
    """Replicas on a torch device, with one configuration at each temperature of a ladder (which may be one).

    Args:
        compiled: the Hamiltonian.
        ladder: β [T], rising; draws are those of the last.
        method: ``heat_bath`` or ``metropolis`` at one temperature, ``tempering`` (by heat bath) at several.
        start: initial spins [R, n], 0 for random.
        free: indices of the spins that are not clamped.
        seed: of the run.
        device: a torch device.

    Raises:
        InputError: the device is not there.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        ladder: NDArray[np.float64],
        method: Literal["heat_bath", "metropolis", "tempering"],
        start: NDArray[np.int8],
        free: NDArray[np.int32],
        seed: int,
        device: str,
    ) -> None:
        self._device = available_device(device)
        self._generator = torch.Generator(self._device).manual_seed(seed % 2**63)
        self._compiled, self._metropolis, self._n_free = compiled, method == "metropolis", len(free)
        self._ladder = ladder
        replicas, n_rungs = len(start), len(ladder)
        self._lane_of = torch.arange(replicas * n_rungs, device=self._device).reshape(replicas, n_rungs)
        self._betas = self._tensor(np.tile(ladder, replicas), torch.float32)
        given = self._tensor(np.repeat(start, n_rungs, axis=0).T.copy(), torch.float32)
        drawn = torch.rand(given.shape, generator=self._generator, device=self._device) < 0.5
        self._spins = torch.where(given == 0, 2.0 * drawn.float() - 1.0, given)
        self._colours = self._coloured(free)
        self._upper = [self._measured(part) for part in (compiled.upper, compiled.probe)]
        self._begun = 0
        self.equilibrate(0)

    def equilibrate(self, n_sweeps: int) -> None:
        """Runs sweeps that are not recorded."""
        for _ in range(n_sweeps):
            self._round()
        self._turned = torch.zeros((), dtype=torch.int64, device=self._device)
        self._visits = 0
        self._accepted = torch.zeros(len(self._ladder) - 1, dtype=torch.float64, device=self._device)
        self._tried = torch.zeros_like(self._accepted)
        self._bound = torch.zeros(self._spins.shape[1], dtype=torch.int64, device=self._device)
        self._trips = torch.zeros(len(self._lane_of), dtype=torch.int64, device=self._device)

    def advance(self, kept: int, thin: int, keep_spins: bool) -> Record:
        """Returns ``kept`` draws, ``thin`` sweeps apart."""
        shape = (kept, *self._lane_of.shape)
        energies, magnetisation = np.empty(shape), np.empty(shape)
        probe = np.empty(shape[:2])
        recorded = np.empty((kept if keep_spins else 0, shape[1], self._compiled.n), dtype=np.int8)
        for step in range(kept):
            for _ in range(thin):
                self._round()
            energies[step] = self._energy(0)[self._lane_of].cpu().numpy()
            magnetisation[step] = self._spins.double().mean(0)[self._lane_of].cpu().numpy()
            probe[step] = self._energy(1)[self._lane_of[:, -1]].cpu().numpy()
            if keep_spins:
                recorded[step] = self.final()
        energies += self._compiled.offset
        if len(self._ladder) == 1:
            return Record(energies[..., -1], magnetisation[..., -1], probe, recorded)
        return Record(energies[..., -1], magnetisation[..., -1], probe, recorded, energies, magnetisation)

    def final(self) -> NDArray[np.int8]:
        """Returns the states at the last temperature now [R, n]."""
        return self._spins[:, self._lane_of[:, -1]].T.to(torch.int8).cpu().numpy()

    def acceptance(self) -> float:
        """Returns the share of visited spins that turned over."""
        return float(self._turned) / max(1, self._visits)

    def ladder(self, energies: NDArray[np.float64], magnetisation: NDArray[np.float64]) -> Ladder:
        """Returns the report of all temperatures, given their recorded energies and mean spins [kept, R, T]."""
        rates = (self._accepted / self._tried.clamp(min=1)).cpu().numpy()
        trips = self._trips.cpu().numpy()
        return Ladder(self._ladder, energies, magnetisation, rates, trips, np.zeros(len(self._ladder)))

    def _round(self) -> None:
        ceiling = _METROPOLIS_CEILING if self._metropolis else 1.0
        for colour in self._colours:
            s = self._spins[colour.spins]
            x = 2.0 * self._betas * s * (colour.couplings @ self._spins + colour.fields)
            chance = ceiling * torch.exp(-x).clamp(max=1.0) if self._metropolis else torch.sigmoid(-x)
            u = torch.rand(s.shape, generator=self._generator, device=self._device) + 2.0**-25
            turn = u < chance
            self._spins[colour.spins] = torch.where(turn, -s, s)
            self._turned += turn.sum()
        self._visits += self._n_free * self._spins.shape[1]
        if len(self._ladder) > 1:
            self._exchange()
        self._begun += 1

    def _exchange(self) -> None:
        """Exchanges neighbours, even and odd pairs in turn, as the compiled kernel does."""
        ladder = self._tensor(self._ladder, torch.float64)
        energy = self._energy(0)
        hot_rungs = torch.arange(self._begun % 2, len(self._ladder) - 1, 2, device=self._device)
        if len(hot_rungs):
            hot, cold = self._lane_of[:, hot_rungs], self._lane_of[:, hot_rungs + 1]
            exponent = (ladder[hot_rungs + 1] - ladder[hot_rungs]) * (energy[cold] - energy[hot])
            chance = exponent.clamp(max=0.0).exp()
            self._accepted[hot_rungs] += chance.sum(0)
            self._tried[hot_rungs] += len(chance)
            u = torch.rand(chance.shape, generator=self._generator, device=self._device, dtype=torch.float64)
            swap = u < chance
            self._lane_of[:, hot_rungs] = torch.where(swap, cold, hot)
            self._lane_of[:, hot_rungs + 1] = torch.where(swap, hot, cold)
            self._betas[self._lane_of] = ladder.float()
        self._bound[self._lane_of[:, 0]] = 1
        self._trips += self._bound[self._lane_of[:, -1]]
        self._bound[self._lane_of[:, -1]] = 0

    def _energy(self, which: int) -> Tensor:
        couplings, fields = self._upper[which]
        s = self._spins.double()
        return -(((couplings @ s) + fields) * s).sum(0)

    def _coloured(self, free: NDArray[np.int32]) -> list[_Colour]:
        indptr, indices, weights, fields = self._compiled.graph
        n = self._compiled.n
        matrix = sparse.csr_array((weights, indices, indptr), shape=(n, n))
        colours = colour_spins(indptr, indices, free)
        return [
            _Colour(
                self._tensor(members.astype(np.int64), torch.int64),
                self._matrix(matrix[members]),
                self._tensor(fields[members], torch.float32)[:, None],
            )
            for members in (np.flatnonzero(colours == c) for c in range(colours.max(initial=-1) + 1))
        ]

    def _measured(self, part: tuple[NDArray, NDArray, NDArray, NDArray]) -> tuple[Tensor, Tensor]:
        indptr, indices, weights, fields = part
        n = self._compiled.n
        matrix = sparse.csr_array((weights, indices, indptr), shape=(n, n))
        return self._matrix(matrix), self._tensor(fields, torch.float64)[:, None]

    def _matrix(self, matrix: sparse.csr_array) -> Tensor:
        if matrix.nnz > _DENSE_ABOVE * matrix.shape[0] * matrix.shape[1]:
            return torch.tensor(matrix.toarray(), device=self._device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse")  # CSR is in beta
            return torch.sparse_csr_tensor(
                torch.tensor(matrix.indptr, dtype=torch.int64),
                torch.tensor(matrix.indices, dtype=torch.int64),
                torch.tensor(matrix.data),
                size=matrix.shape,
            ).to(self._device)

    def _tensor(self, values: NDArray, dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=self._device)


def available_device(name: str) -> torch.device:
    """Returns a device of torch after trying it, or raises an InputError with the remedy."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r}: torch cannot use it here ({error}); device='cpu' always works") from error
    return device
