"""The training images that show the range of a network's activations, by which they become int8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_CALIBRATION_IMAGES = 256


def calibration_places(count: int) -> NDArray[np.int64]:
    """Return the places of at most `MAX_CALIBRATION_IMAGES` images, spread evenly over all of them.

    Args:
        count: The number of training images, at least 1.

    Returns:
        The places, shape (n,).
    """
    return np.linspace(0, count - 1, min(MAX_CALIBRATION_IMAGES, count)).astype(np.int64)
