"""A trajectory through the inputs of a network: where an attack has been, not only where it ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["Path", "Recorder"]


@dataclass(frozen=True)
class Path:
    """Piecewise straight paths of a batch of samples.

    Attributes:
        points: nodes, the first the clean input and the last what the attack returned, [nodes, batch, ...].
        name: of what made it.
        gradients: how many gradients of a sample the attack computed, at most: of the one that took longest.
        success: whether the last point is classified wrongly (as the target, if there is one), bool [batch]; None: not
            asked.
    """

    points: Tensor
    name: str = ""
    gradients: int = 0
    success: Tensor | None = None

    def __post_init__(self) -> None:
        if self.points.dim() < 2 or len(self.points) < 2:
            raise InputError(f"a path of shape {list(self.points.shape)}: give [nodes, batch, ...], at least two nodes")

    @property
    def start(self) -> Tensor:
        """The clean inputs, [batch, ...]."""
        return self.points[0]

    @property
    def end(self) -> Tensor:
        """Where the paths end, [batch, ...]."""
        return self.points[-1]

    @property
    def steps(self) -> Tensor:
        """Differences of nodes, [nodes − 1, batch, ...]."""
        return self.points.diff(dim=0)

    def length(self, p: float = 2.0) -> Tensor:
        """Returns the length of each path in the norm ``p``, [batch]."""
        return torch.linalg.vector_norm(self.steps.flatten(2), ord=p, dim=2).sum(0)

    def norm(self, p: float = 2.0) -> Tensor:
        """Returns the distance of each path's ends in the norm ``p``, [batch]."""
        return torch.linalg.vector_norm((self.end - self.start).flatten(1), ord=p, dim=1)

    def to(self, dtype: torch.dtype) -> "Path":
        """Returns the path in another floating type: the same nodes, exactly, where it is wider."""
        return replace(self, points=self.points.to(dtype))

    def select(self, rows: Tensor | Sequence[int]) -> "Path":
        """Returns the paths of some samples.

        Args:
            rows: of the batch.
        """
        index = torch.as_tensor(rows, device=self.points.device)
        success = None if self.success is None else self.success[index]
        return replace(self, points=self.points[:, index], success=success)

    @classmethod
    def straight(cls, start: Tensor, end: Tensor, name: str = "straight line") -> "Path":
        """Returns straight lines.

        Args:
            start: [batch, ...].
            end: likewise.
            name: of the path.
        """
        return cls(torch.stack([start, end]), name)


class Recorder(nn.Module):
    """A model that remembers where its gradient was asked for: attacks of other libraries become paths.

    Hand it to the attack in place of the model; it works with whatever calls the model with inputs that require a
    gradient, such as foolbox (inside ``foolbox.PyTorchModel``) and torchattacks.

    Args:
        model: the classifier.

    Example:
        >>> recorder = Recorder(classifier)  # doctest: +SKIP
        >>> adversarial = torchattacks.PGD(recorder)(images, labels)  # doctest: +SKIP
        >>> path = recorder.path(images, adversarial, "PGD")  # doctest: +SKIP
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        self._seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the model's outputs, and notes the inputs if their gradient may be asked for."""
        if inputs.requires_grad:
            self._seen.append(inputs.detach().clone())
        return self.model(inputs)

    def path(self, start: Tensor, end: Tensor, name: str = "") -> Path:
        """Returns what was recorded since the last call, from the clean inputs to the attack's result, and forgets it.

        Args:
            start: the clean inputs, [batch, ...].
            end: what the attack returned.
            name: of the attack.

        Returns:
            The path; every node but the last is an iterate at which a gradient was computed.

        Raises:
            InputError: a recorded batch of another shape than the clean inputs, as from an attack that leaves out
                samples on the way.
        """
        seen, self._seen = self._seen, []
        for node, inputs in enumerate(seen):
            if inputs.shape != start.shape:
                raise InputError(
                    f"{name or 'attack'}: batch {list(inputs.shape)} at gradient {node + 1}, where {list(start.shape)} "
                    "were given: record attacks that keep the batch together"
                )
        inner = seen[1:] if seen and torch.equal(seen[0], start) else seen
        return Path(torch.stack([start, *inner, end.detach()]), name, len(seen))
