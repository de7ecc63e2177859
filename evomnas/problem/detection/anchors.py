"""Anchors: the boxes around each place of the feature maps that a detector's answers are relative to.

Map k of n has the scale s_k, evenly spaced from 0.2 to 0.95, and s_n = 1; sizes are relative to the image. Its anchors
have the ratios (width to height) 1, 2, 1/2, 3 and 1/3 at scale s_k, and 1 at scale sqrt(s_k s_(k+1)). The first map has
three alone: ratio 1 at scale 0.1, and 2 and 1/2 at its own.

References:
    Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, section 2.2, "Choosing scales and aspect ratios".
    The three anchors are `reduce_boxes_in_lowest_layer` of tensorflow/models' SSD configurations.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evomnas.core.resolution import sides
from evomnas.problem.detection.plan import DetectorPlan

MIN_SCALE, MAX_SCALE, FIRST_SCALE = 0.2, 0.95, 0.1


def anchor_boxes(plan: DetectorPlan) -> NDArray[np.float32]:
    """Return all anchors of a detector.

    Args:
        plan: The detector's plan.

    Returns:
        Centre x, centre y, width and height, relative to the image, shape (plan.boxes, 4). They are ordered by map,
        row, column and anchor. No anchor is larger than the image, but one may reach beyond its edge.
    """
    scales = [*np.linspace(MIN_SCALE, MAX_SCALE, len(plan.maps)), 1.0]
    parts = []
    for number, feature_map in enumerate(plan.maps):
        shapes = _shapes(scales[number], scales[number + 1]) if number else _first_shapes(scales[0])
        height, width = sides(feature_map.size)
        rows, columns, index = np.indices((height, width, len(shapes)))
        centres = np.stack([(columns + 0.5) / width, (rows + 0.5) / height], axis=-1)
        parts.append(np.concatenate([centres, np.minimum(shapes, 1)[index]], axis=-1).reshape(-1, 4))
    return np.concatenate(parts).astype(np.float32)


def _first_shapes(scale: float) -> NDArray[np.float64]:
    """Return width and height of the first map's anchors, shape (3, 2)."""
    return np.array([_shape(FIRST_SCALE, 1), _shape(scale, 2), _shape(scale, 1 / 2)])


def _shapes(scale: float, next_scale: float) -> NDArray[np.float64]:
    """Return width and height of the anchors of a map, shape (6, 2)."""
    between = math.sqrt(scale * next_scale)
    return np.array([_shape(scale, 1), _shape(between, 1), *(_shape(scale, ratio) for ratio in (2, 1 / 2, 3, 1 / 3))])


def _shape(scale: float, ratio: float) -> tuple[float, float]:
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio)
