"""C++ kernels of the GTO potential for CPUs, compiled on first use."""

import torch

from sciml_zoo.potentials.kernels.build import library

__all__ = ["kernels_available"]


def kernels_available(device: torch.device, dtype: torch.dtype) -> bool:
    """Says whether the kernels can work there.

    Args:
        device: of the positions.
        dtype: of the weights.

    Returns:
        True for float32 on a CPU that has a compiler, where nothing is being traced.
    """
    if device.type != "cpu" or dtype != torch.float32:
        return False
    return not torch.compiler.is_compiling() and not torch.jit.is_tracing() and library() is not None
