"""Boxes of images, one image after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


def all_in_row(values: Mask) -> Mask:
    """Return which rows hold nothing but true values.

    Args:
        values: Shape (m, k).

    Returns:
        Shape (m,).
    """
    all_true: Mask = np.logical_and.reduce(values, axis=1)
    return all_true


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of n images: those of the first one, then those of the second one, and so on; m in all.

    Attributes:
        corners: The left, upper, right and lower edge of each in pixels from the picture's left and upper edge, shape
            (m, 4).
        labels: The class of each, from 0, shape (m,).
        crowd: Whether each is around a crowd, as COCO has them, shape (m,). Nothing is trained on them, and scores
            neither want them found nor count what is found in them.
        areas: The area of the thing in each in pixels of the picture, shape (m,); by it, scores call it small,
            medium or large. COCO has that of the outline, the others have the box's.
        starts: Where the boxes of each image begin, and at the end m, shape (n + 1,).
    """

    corners: Corners
    labels: Indices
    crowd: Mask
    areas: NDArray[np.float64]
    starts: Indices

    @classmethod
    def of(cls, counts: Sequence[int], corners: Corners, labels: Indices, crowd: Mask, areas: Corners) -> Boxes:
        """Return boxes by their number in each image.

        Args:
            counts: The number of boxes of each image, n of them.
            corners: See the attributes of the class.
            labels: See the attributes of the class.
            crowd: See the attributes of the class.
            areas: See the attributes of the class.
        """
        starts = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)
        return cls(corners.reshape(-1, 4), labels, crowd, areas, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> Indices:
        """The number of boxes of each image, shape (n,)."""
        return np.diff(self.starts)

    @property
    def images(self) -> Indices:
        """The number of the image of each box, shape (m,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    def part(self, image: int) -> slice:
        """Return where the boxes of an image are.

        Args:
            image: The number of the image.
        """
        return slice(int(self.starts[image]), int(self.starts[image + 1]))

    def select(self, images: Indices | Mask | slice) -> Boxes:
        """Return the boxes of some images.

        Args:
            images: The numbers of the images in any order, shape (k,), a mask of shape (n,), or a slice.
        """
        chosen = np.arange(len(self))[images]
        counts = self.counts[chosen]
        first = np.repeat(self.starts[chosen] - np.concatenate([[0], np.cumsum(counts)])[:-1], counts)
        return self._take(first + np.arange(int(counts.sum())), counts)

    def keep(self, mask: Mask) -> Boxes:
        """Return some of the boxes, of the same images.

        Args:
            mask: Whether each box is wanted, shape (m,).
        """
        counts = np.bincount(self.images[mask], minlength=len(self))
        return self._take(np.flatnonzero(mask), counts.astype(np.int64))

    def _take(self, places: Indices, counts: Indices) -> Boxes:
        return Boxes.of(
            counts.tolist(), self.corners[places], self.labels[places], self.crowd[places], self.areas[places]
        )
