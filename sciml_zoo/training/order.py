"""The order in which samples are seen: one permutation an epoch, the same on all ranks."""

from typing import Any

import torch

from sciml_zoo.errors import InputError

__all__ = ["DataOrder", "part_of_batch"]


class DataOrder:
    """Deals the indices of global batches.

    Attributes:
        epoch: completed passes over the samples.
        position: samples of this epoch already dealt.
    """

    def __init__(self, n_samples: int, batch_size: int, seed: int) -> None:
        """Starts at the beginning of epoch 0.

        Args:
            n_samples: how many samples there are, at least one.
            batch_size: samples in a global batch; the last one of an epoch may be smaller.
            seed: of the permutations.

        Raises:
            InputError: there are no samples.
        """
        if n_samples < 1:
            raise InputError("there are no training samples: give at least one")
        self.epoch = 0
        self.position = 0
        self._n_samples = n_samples
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._shuffle()

    def _shuffle(self) -> None:
        self._state_before_epoch = self._generator.get_state()
        self._permutation = torch.randperm(self._n_samples, generator=self._generator).tolist()

    def batch(self) -> list[int]:
        """Returns the sample indices of the present global batch."""
        return self._permutation[self.position : self.position + self._batch_size]

    def advance(self) -> None:
        """Goes on to the next global batch."""
        self.position += self._batch_size
        if self.position >= self._n_samples:
            self.epoch += 1
            self.position = 0
            self._shuffle()

    def state_dict(self) -> dict[str, Any]:
        """Returns the place in the epoch and the generator as it was before the epoch's permutation."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "n_samples": self._n_samples,
            "generator": self._state_before_epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to a saved place.

        Args:
            state: what :meth:`state_dict` returned.

        Raises:
            InputError: the run was made with another number of samples.
        """
        if state["n_samples"] != self._n_samples:
            raise InputError(
                f"the run was made with {state['n_samples']} training samples, now there are {self._n_samples}: "
                "resume with the same data, or start a new run from the weights"
            )
        self.epoch = state["epoch"]
        self._generator.set_state(state["generator"])
        self._shuffle()
        self.position = state["position"]


def part_of_batch(indices: list[int], rank: int, world_size: int, micro_batches: int) -> list[list[int]]:
    """Splits a global batch over ranks and micro-batches.

    Args:
        indices: of the global batch.
        rank: whose part.
        world_size: number of ranks.
        micro_batches: into how many the rank's part is split.

    Returns:
        The non-empty micro-batches of this rank; none if the batch has fewer samples than there are ranks.
    """
    mine = indices[rank::world_size]
    return [chunk for k in range(micro_batches) if (chunk := mine[k::micro_batches])]
