"""Suppression: of boxes that overlap and are of one class, the surest is kept.

It is no part of a network's graph. Its work depends on what there is in an image, and the runtimes of phones have no
operation for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_SCORE = 0.001  # boxes below it are left out
MAX_CANDIDATES = 1000  # of an image, the surest ones of all classes, that are compared with each other
MAX_OVERLAP = 0.55  # intersection over union, as in torchvision's SSDLite
MAX_BOXES = 100  # of an image that are kept: scores count no more


def suppress(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the boxes of an image that are left.

    Args:
        boxes: The box at every anchor: left, upper, right and lower edge, shape (anchors, 4).
        scores: The probability of every class in each, shape (anchors, classes).

    Returns:
        The boxes, shape (m, 4), their scores in falling order, shape (m,), and their classes from 0, shape (m,).
    """
    from torchvision.ops import batched_nms  # here: importing torchvision takes half as long again as importing torch

    flat = scores.flatten()
    likely = torch.nonzero(flat > MIN_SCORE)[:, 0]
    best = flat[likely].topk(min(MAX_CANDIDATES, len(likely))).indices
    candidates = likely[best]
    anchors, classes = candidates // scores.shape[1], candidates % scores.shape[1]
    kept = batched_nms(boxes[anchors], flat[candidates], classes, MAX_OVERLAP)[:MAX_BOXES]
    return boxes[anchors[kept]], flat[candidates[kept]], classes[kept]
