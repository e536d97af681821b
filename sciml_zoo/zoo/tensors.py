"""Named tensors ⇄ safetensors bytes, with errors that say what is wrong with a file and what to do.

A safetensors file is an 8-byte little-endian header length N, N bytes of JSON that give each tensor's dtype, shape and
place, and the tensors' bytes. The library refuses what does not fit; the checks here come first to say which way.
"""

from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.zoo.frozen import parse_object

__all__ = ["pack", "require_finite", "unpack"]

_MAX_HEADER = 100_000_000  # as in the safetensors library
_REMEDY = "copy or download the checkpoint again"


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Serialises tensors; those that share memory are written once each.

    Args:
        tensors: name → tensor on any device.

    Returns:
        The content of a safetensors file; equal tensors give equal bytes.
    """
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    )


def unpack(content: bytes, where: str) -> dict[str, Tensor]:
    """Reads tensors from the content of a safetensors file. A pickle is recognised and never unpickled.

    Args:
        content: the bytes of the file.
        where: what to call the file in errors, such as its path.

    Returns:
        Name → tensor on the CPU.

    Raises:
        InputError: a pickle, a truncated or oversized file, or not safetensors at all.
    """
    # 0x80 may also be the first byte of a header's length; but then the header follows, and begins with a brace.
    if content[:4] == b"PK\x03\x04" or (content[:1] == b"\x80" and content[8:9] != b"{"):
        raise InputError(
            f"{where}: this is a pickle (torch.save), not safetensors, and is never unpickled, since that can run any "
            "code; load it where you trust it and save it with sciml_zoo.save_model"
        )
    if len(content) < 8:
        raise InputError(f"{where}: truncated: {len(content)} bytes are too few for a safetensors file; {_REMEDY}")
    length = int.from_bytes(content[:8], "little")
    if length > _MAX_HEADER:
        raise InputError(f"{where}: not a safetensors file: its header would be {length} bytes long; {_REMEDY}")
    if 8 + length > len(content):
        raise InputError(
            f"{where}: truncated: the header is {length} bytes long, the file has {len(content)}; {_REMEDY}"
        )
    expected = 8 + length + _data_length(content[8 : 8 + length], where)
    if len(content) < expected:
        raise InputError(f"{where}: truncated: {len(content)} bytes of {expected}; {_REMEDY}")
    if len(content) > expected:
        extra = len(content) - expected
        raise InputError(f"{where}: oversized: {extra} bytes follow the {expected} that belong to it; {_REMEDY}")
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{where}: not a valid safetensors file: {error}; {_REMEDY}") from error


def _data_length(header: bytes, where: str) -> int:
    end = 0
    for name, entry in parse_object(header, f"{where} (safetensors header)").items():
        if name == "__metadata__":
            continue
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(offset) is int for offset in offsets):
            raise InputError(f"{where}: not a valid safetensors file: {name!r} has no data_offsets; {_REMEDY}")
        end = max(end, *offsets)
    return end


def require_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuses NaN and infinity among weights.

    Args:
        tensors: name → tensor; integer tensors are finite.
        where: what holds them.

    Raises:
        InputError: naming the first tensor that is not finite, and how many of its values are not.
    """
    for name, tensor in tensors.items():
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise InputError(
                f"{where}: {bad} of {tensor.numel()} values of {name!r} are not finite; "
                "the training that made them diverged: go back to an earlier checkpoint"
            )
