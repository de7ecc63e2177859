"""Random changes of training images, made on whole batches.

Each takes a float batch (n, c, h, w) and a generator and returns a batch of the same shape in which every
image was changed on its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move every image by up to an eighth of its side, at least 1 pixel; the border is repeated."""
    count, _, height, width = images.shape
    reach = max(1, height // 8)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    offsets = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator).to(images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)
    columns = offsets[1] + torch.arange(width, device=images.device)
    batch = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every second image, on average, left to right."""
    chosen = torch.rand(len(images), generator=generator).to(images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Cut out a part of 25 to 100 % of the area, of aspect 3/4 to 4/3, and bring it to full size.

    The random resized crop of Inception, which the paper's full training uses, from a quarter of the area
    rather than 8 %: short trainings do not have the time to profit from more.
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
