"""The boxes of a batch of images, and random changes of images together with their boxes.

Boxes are relative to the image, from 0 to 1, so that they stay what they are at every resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST_PART, LARGEST_PART = 0.6, 1.25  # of an image's side that is seen after a zoom; above 1 there is a border


@dataclass(frozen=True)
class BatchTargets:
    """The boxes of a batch of images, m in all.

    Attributes:
        corners: Left, upper, right and lower edge of each, relative to the image, float32, shape (m, 4).
        labels: The class of each, from 0, int64, shape (m,).
        images: The number of the image of each in the batch, int64, shape (m,).
    """

    corners: Tensor
    labels: Tensor
    images: Tensor

    def keep(self, mask: Tensor) -> BatchTargets:
        """Return some of the boxes.

        Args:
            mask: Whether each is wanted, shape (m,).
        """
        return BatchTargets(self.corners[mask], self.labels[mask], self.images[mask])


BoxAugmentation = Callable[[Tensor, BatchTargets, torch.Generator], tuple[Tensor, BatchTargets]]


def flip(images: Tensor, targets: BatchTargets, generator: torch.Generator) -> tuple[Tensor, BatchTargets]:
    """Mirror every image left to right with a probability of one half.

    Args:
        images: Float, shape (n, channels, h, w).
        targets: Their boxes.
        generator: A generator on the CPU, from which it is drawn which images are mirrored.

    Returns:
        The images, mirrored or not, and their boxes.
    """
    is_mirrored = torch.rand(len(images), generator=generator).to(images.device) < 0.5
    left, upper, right, lower = targets.corners.unbind(1)
    mirrored = torch.stack([1 - right, upper, 1 - left, lower], 1)
    corners = torch.where(is_mirrored[targets.images, None], mirrored, targets.corners)
    return torch.where(is_mirrored[:, None, None, None], images.flip(3), images), replace(targets, corners=corners)


def zoom(images: Tensor, targets: BatchTargets, generator: torch.Generator) -> tuple[Tensor, BatchTargets]:
    """Show a random part of every image, or the image within a black border, at full size.

    Boxes whose middle is not seen are left out; others end at the border.

    Args:
        images: Float, shape (n, channels, h, w).
        targets: Their boxes.
        generator: A generator on the CPU, from which size and place of the parts are drawn.

    Returns:
        The resized parts, of the same shape, and their boxes.
    """
    size, x, y = torch.rand(3, len(images), generator=generator).to(images.device)
    side = SMALLEST_PART * torch.exp(size * math.log(LARGEST_PART / SMALLEST_PART))
    start = torch.stack([x, y], 1) * (1 - side[:, None])  # the part's left and upper edge, relative to the image
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = 2 * start + side[:, None] - 1
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    corners = (targets.corners - start[targets.images].repeat(1, 2)) / side[targets.images, None]
    middles = (corners[:, :2] + corners[:, 2:]) / 2
    seen = ((middles > 0) & (middles < 1)).all(1)
    return F.grid_sample(images, grid, align_corners=False), replace(targets, corners=corners.clamp(0, 1)).keep(seen)


BOX_AUGMENTATIONS: dict[str, BoxAugmentation] = {"flip": flip, "zoom": zoom}
