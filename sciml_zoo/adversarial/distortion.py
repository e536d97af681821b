"""Random rotations, scalings and shifts of training images: what leaves the class of a written digit as it is.

Each image is read bilinearly at ρ R(φ) r + d, with r its pixels' positions from the centre; φ, ln ρ and d are uniform.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["Distortion", "distorted"]


@dataclass(frozen=True)
class Distortion:
    """The largest distortions, either way.

    Attributes:
        rotation: φ, in degrees.
        scale: ln ρ, about the relative change of size.
        shift: d, in pixels.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        for key in ("rotation", "scale", "shift"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise InputError(f"{key}: {getattr(self, key)} is not zero or more")

    def __bool__(self) -> bool:
        return max(self.rotation, self.scale, self.shift) > 0


def distorted(images: Tensor, distortion: Distortion, generator: torch.Generator) -> Tensor:
    """Distorts each image by a random amount of its own.

    Args:
        images: [n, 1, s, s].
        distortion: the largest amounts.
        generator: on the images' device.

    Returns:
        [n, 1, s, s]; what comes from outside the image is 0.
    """
    if not distortion:
        return images
    n, size = len(images), images.shape[-1]
    draws = 2 * torch.rand(n, 4, generator=generator, device=images.device, dtype=images.dtype) - 1
    angle = draws[:, 0] * torch.pi / 180 * distortion.rotation
    scale = (draws[:, 1] * distortion.scale).exp()
    shift = draws[:, 2:] * distortion.shift * 2 / size  # the image is 2 wide
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
