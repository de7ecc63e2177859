"""Boxes with the sizes of their pictures: carried into the input of a network, and back to the picture.

A picture is cut, scaled and put on black by `evomnas.data.colours`; its boxes go the same way with the functions that
say where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.resolution import Resolution, sides
from evomnas.data.boxes.boxes import Boxes, Corners, Indices, Mask, all_in_row
from evomnas.data.colours import crop_box, inner_size
from evomnas.problem.sections import Fit


class Placement(NamedTuple):
    """The way of points of pictures into the input of a network: multiplied, then moved.

    Attributes:
        scales: The factors to the right and downwards, shape (n, 2).
        moves: The pixels to the right and downwards, shape (n, 2).
    """

    scales: NDArray[np.float64]
    moves: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BoxTargets:
    """The boxes of pictures, and how these become the input of a network.

    Attributes:
        boxes: The boxes in pixels of the upright pictures as they are in their files.
        sizes: Width and height of these pictures in pixels, int64, shape (n, 2).
        resolution: The size that the pictures were brought to.
        fit: How pictures of other proportions got it.
    """

    boxes: Boxes
    sizes: Indices
    resolution: Resolution
    fit: Fit

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def placement(self) -> Placement:
        """The way of points of the pictures to a network's input of the targets' own resolution."""
        height, width = sides(self.resolution)
        scales, moves = np.empty((len(self), 2)), np.empty((len(self), 2))
        distinct, kinds = np.unique(self.sizes, axis=0, return_inverse=True)
        for kind, size in enumerate(distinct.tolist()):
            rows = kinds.reshape(-1) == kind
            scales[rows], moves[rows] = _place(size[0], size[1], (height, width), self.fit)
        return Placement(scales, moves)

    def select(self, images: Indices | Mask | slice) -> BoxTargets:
        """Return the targets of some images.

        Args:
            images: The numbers of the images in any order, shape (k,), a mask of shape (n,), or a slice.
        """
        return replace(self, boxes=self.boxes.select(images), sizes=self.sizes[images])

    def relabelled(self, numbers: Indices) -> BoxTargets:
        """Return these targets with other numbers of the classes.

        Args:
            numbers: The new number of each class, shape (classes,).
        """
        return replace(self, boxes=replace(self.boxes, labels=numbers[self.boxes.labels]))

    def fitted(self, resolution: Resolution) -> Boxes:
        """Return the boxes to train on, in pixels of a network's input.

        Boxes around crowds are left out, and those whose middle was cut off; others end at the input's border.

        Args:
            resolution: The size of the network's input; images are stretched to it from the targets' own.

        Returns:
            The boxes of all n images.
        """
        kept = self.boxes.keep(~self.boxes.crowd)
        corners = self._inwards(kept.corners, kept.images, resolution)
        height, width = sides(resolution)
        middles = (corners[:, :2] + corners[:, 2:]) / 2
        inside = all_in_row((middles > 0) & (middles < (width, height)))
        return replace(kept, corners=np.clip(corners, 0, (width, height, width, height))).keep(inside)

    def to_pictures(self, corners: Corners, images: Indices, resolution: Resolution) -> Corners:
        """Return boxes that a network found, in pixels of the upright pictures as they are in their files.

        Args:
            corners: The boxes in pixels of the network's input, shape (m, 4).
            images: The number of the image of each, shape (m,).
            resolution: The size of the network's input.

        Returns:
            The boxes, shape (m, 4), which end at the pictures' borders.
        """
        scales, moves = self._scaled(resolution)
        found = (corners - np.tile(moves[images], 2)) / np.tile(scales[images], 2)
        return np.clip(found, 0, np.tile(self.sizes[images], 2))

    def _inwards(self, corners: Corners, images: Indices, resolution: Resolution) -> Corners:
        scales, moves = self._scaled(resolution)
        return corners * np.tile(scales[images], 2) + np.tile(moves[images], 2)

    def _scaled(self, resolution: Resolution) -> Placement:
        """Return the placement in an input to which images of the targets' own resolution are stretched."""
        own, wanted = sides(self.resolution), sides(resolution)
        stretch = np.array([wanted[1] / own[1], wanted[0] / own[0]])
        return Placement(self.placement.scales * stretch, self.placement.moves * stretch)


def _place(width: int, height: int, size: tuple[int, int], fit: Fit) -> tuple[Corners, Corners]:
    """Return scale and move of a picture that becomes an input of (height, width)."""
    left, top, right, bottom = crop_box(width, height, size) if fit == "crop" else (0, 0, width, height)
    inner = inner_size(width, height, size) if fit == "pad" else size
    scale = np.array([inner[1] / (right - left), inner[0] / (bottom - top)])
    margin = np.array([(size[1] - inner[1]) // 2, (size[0] - inner[0]) // 2])
    return scale, margin - scale * (left, top)
