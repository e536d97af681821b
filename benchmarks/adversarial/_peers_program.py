"""A classifier as an exported program, in the environment of ``peers.txt``."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Program"]


class Program(nn.Module):
    """An exported program as a module in evaluation mode: the program itself refuses to be told so, as attacks do.

    Args:
        file: of the program.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        program: Any = torch.export.load(file).module()
        self.weights = nn.ParameterList(program.parameters()).requires_grad_(False)
        self._run = program.forward
        self.training = False

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the model's outputs."""
        outputs: Tensor = self._run(inputs)
        return outputs
