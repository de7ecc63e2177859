"""The boxes that a network finds in images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomnas.data.boxes.boxes import Corners, Indices


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes that a network finds in n images: those of the first one, then those of the second one; m in all.

    Attributes:
        corners: The left, upper, right and lower edge of each in pixels of the network's input, shape (m, 4).
        scores: How sure the network is of each, from 0 to 1, shape (m,).
        labels: The class of each, from 0, shape (m,).
        starts: Where the boxes of each image begin, and at the end m, shape (n + 1,).
    """

    corners: Corners
    scores: NDArray[np.float64]
    labels: Indices
    starts: Indices

    @classmethod
    def joined(cls, parts: Sequence[Detections]) -> Detections:
        """Return the boxes of several sets of images, one set after the other.

        Args:
            parts: The boxes of each set, at least one.
        """
        counts = np.concatenate([np.diff(part.starts) for part in parts])
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        corners, scores, labels = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("corners", "scores", "labels")
        )
        return cls(corners, scores, labels, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def images(self) -> Indices:
        """The number of the image of each box, shape (m,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))
