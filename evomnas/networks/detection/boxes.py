"""Boxes as a detector learns them: relative to anchors; and back.

An anchor is (centre x, centre y, width, height), a box is its left, upper, right and lower edge, both relative to the
image. A detector answers with the offsets

    10 (x - x_a) / w_a,  10 (y - y_a) / h_a,  5 log(w / w_a),  5 log(h / h_a)

of a box with centre (x, y) from its anchor a. The factors are those of both published SSDLites: they let the four
numbers vary about as much as the logits.

References:
    Girshick et al., "Rich feature hierarchies for accurate object detection", CVPR 2014, appendix C.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from evomnas.problem.detection.anchors import anchor_boxes
from evomnas.problem.detection.plan import DetectorPlan

PLACE_FACTOR, SIZE_FACTOR = 10.0, 5.0
MAX_LOG_SIZE = math.log(1000 / 16)  # of a box relative to its anchor, so that no answer overflows


def anchor_tensor(plan: DetectorPlan) -> Tensor:
    """Return the anchors of a detector, shape (plan.boxes, 4).

    Args:
        plan: Its plan.
    """
    return torch.from_numpy(anchor_boxes(plan))


def encode(corners: Tensor, anchors: Tensor) -> Tensor:
    """Return the offsets of boxes from anchors.

    Args:
        corners: The boxes, with a width and a height above 0, shape (..., 4).
        anchors: The anchor of each, shape (..., 4).

    Returns:
        The offsets, shape (..., 4).
    """
    upper, lower = corners[..., :2], corners[..., 2:]
    places = ((upper + lower) / 2 - anchors[..., :2]) / anchors[..., 2:]
    return torch.cat([PLACE_FACTOR * places, SIZE_FACTOR * ((lower - upper) / anchors[..., 2:]).log()], -1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Return boxes from their offsets; the inverse of `encode`, but that boxes end at the image's edges.

    Args:
        offsets: The offsets, shape (..., 4).
        anchors: The anchor of each, shape (..., 4), or one that fits.

    Returns:
        The boxes, shape (..., 4), from 0 to 1.
    """
    centres = offsets[..., :2] / PLACE_FACTOR * anchors[..., 2:] + anchors[..., :2]
    halves = (offsets[..., 2:] / SIZE_FACTOR).clamp(max=MAX_LOG_SIZE).exp() * anchors[..., 2:] / 2
    return torch.cat([centres - halves, centres + halves], -1).clamp(0, 1)


class Decoder(nn.Module):
    """The last part of a detector that ships: boxes and scores from its answers, with constant anchors.

    Attributes:
        anchors: The anchors, shape (boxes, 4).
    """

    def __init__(self, plan: DetectorPlan) -> None:
        """Store the anchors.

        Args:
            plan: The detector's plan.
        """
        super().__init__()
        self.anchors: Tensor
        self.register_buffer("anchors", anchor_tensor(plan), persistent=False)

    def forward(self, answers: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Decode the answers of a detector.

        Args:
            answers: Offsets, shape (n, boxes, 4), and logits, shape (n, boxes, classes + 1).

        Returns:
            Boxes from 0 to 1, shape (n, boxes, 4), and the probability of every class in each, shape
            (n, boxes, classes); that of the background is left out.
        """
        offsets, logits = answers
        return decode(offsets, self.anchors), logits.softmax(-1)[..., 1:]
