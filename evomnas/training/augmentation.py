"""Random changes of training images, made on whole batches at once.

Each function changes every image of a batch independently of the others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move every image in both directions by up to an eighth of its shorter side, or 1 pixel if that is more.

    The pixels of the border are repeated.

    Args:
        images: Float, shape (n, channels, h, w).
        generator: A generator on the CPU, from which the offsets are drawn.

    Returns:
        The moved images, of the same shape.
    """
    count, _, height, width = images.shape
    max_offset = max(1, min(height, width) // 8)
    padded = F.pad(images, (max_offset, max_offset, max_offset, max_offset), mode="replicate")
    offsets = torch.randint(0, 2 * max_offset + 1, (2, count, 1), generator=generator).to(images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)
    columns = offsets[1] + torch.arange(width, device=images.device)
    batch = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every image left to right with a probability of one half.

    Args:
        images: Float, shape (n, channels, h, w).
        generator: A generator on the CPU, from which it is drawn which images are mirrored.

    Returns:
        The images, mirrored or not, of the same shape.
    """
    is_mirrored = torch.rand(len(images), generator=generator).to(images.device) < 0.5
    return torch.where(is_mirrored[:, None, None, None], images.flip(3), images)


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Cut a random part out of every image, with 25 to 100 % of its area, and resize it to full size.

    The ratio of the part's sides is from 3/4 to 4/3. This is the random resized crop of Inception, which the paper's
    full training uses, but from a quarter of the area rather than 8 %: short trainings have no time to profit from
    more.

    Args:
        images: Float, shape (n, channels, h, w).
        generator: A generator on the CPU, from which the parts are drawn.

    Returns:
        The resized parts, of the same shape.
    """
    count = len(images)
    area, aspect, x, y = torch.rand(4, count, generator=generator).to(images.device)
    area = 0.25 + 0.75 * area
    aspect = torch.exp((2 * aspect - 1) * torch.log(torch.tensor(4 / 3)))
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    theta = torch.zeros(count, 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 0, 2] = width, (2 * x - 1) * (1 - width)
    theta[:, 1, 1], theta[:, 1, 2] = height, (2 * y - 1) * (1 - height)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {"shift": shift, "flip": flip, "crop": crop}
