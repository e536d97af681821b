"""C++ kernels of the GTO potential for CPUs, compiled on first use."""

import torch
from torch import Tensor

from sciml_zoo.potentials.kernels.build import library

__all__ = ["kernels_available"]


def kernels_available(tensor: Tensor) -> bool:
    """Says whether the kernels can work on a tensor.

    Args:
        tensor: the edge vectors.

    Returns:
        True for float32 on a CPU that has a compiler, where nothing is being traced.
    """
    if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
        return False
    return not torch.compiler.is_compiling() and not torch.jit.is_tracing() and library() is not None
