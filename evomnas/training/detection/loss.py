"""The loss of SSD: which anchor answers for which box, and how wrong the answers are.

torchvision has the same in `SSD.compute_loss`, as a method of a model that resizes images by itself and loops over
them. A test compares the two. They differ on purpose in two cases:

- An image without boxes counts. There torchvision takes three negatives for every positive, which is none; here at
  least three negatives are taken from every image, as in tensorflow/models.
- Where an image has fewer negatives than three for every positive, torchvision counts positives again in their place.

References:
    Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, section 2.2, equations 1 to 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, box_iou

from evomnas.networks.detection.boxes import encode
from evomnas.training.detection.targets import BatchTargets

MIN_OVERLAP = 0.5  # of an anchor and a box, as intersection over union, for the anchor to answer for the box
NEGATIVES = 3  # anchors without an object that count, for every one with an object, and of every image at least


def match(corners: Tensor, anchors: Tensor) -> Tensor:
    """Return which box each anchor answers for.

    Each anchor takes the box that it overlaps most, if that is enough. Then each box takes the anchor that overlaps it
    most, however little that is; of several boxes that want one anchor, the last has it.

    Args:
        corners: The k boxes of an image, shape (k, 4).
        anchors: The edges of the anchors, shape (a, 4).

    Returns:
        The number of the box, or -1 for none, shape (a,).
    """
    if not len(corners):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlaps = box_iou(corners, anchors)
    overlap, boxes = overlaps.max(0)
    own = torch.full_like(boxes, -1).scatter_reduce(
        0, overlaps.argmax(1), torch.arange(len(corners), device=anchors.device), "amax"
    )
    return torch.where(own >= 0, own, torch.where(overlap >= MIN_OVERLAP, boxes, -1))


class DetectionLoss:
    """The loss of a batch, as a function of what a detector answers.

    Attributes:
        anchors: The anchors, shape (a, 4).
    """

    def __init__(self, anchors: Tensor) -> None:
        """Store the anchors.

        Args:
            anchors: Centre, width and height of each, on the device of the training, shape (a, 4).
        """
        self.anchors, self._edges = anchors, box_convert(anchors, "cxcywh", "xyxy")

    def __call__(self, images: Tensor, answers: tuple[Tensor, Tensor], targets: BatchTargets) -> Tensor:
        """Compute the loss; see `evomnas.training.losses.LossFunction`.

        Args:
            images: Not used.
            answers: Offsets, shape (n, a, 4), and logits, shape (n, a, classes + 1).
            targets: The boxes of the batch.

        Returns:
            The sum over all objects of smooth L1 of the offsets and of cross-entropy, and of the cross-entropy of the
            hardest negatives, divided by the number of objects; a scalar.
        """
        offsets, logits = (answer.float() for answer in answers)
        boxes = self._assign(targets, len(logits))
        is_object = boxes >= 0
        wanted = encode(targets.corners[boxes[is_object]], self.anchors.expand_as(offsets)[is_object])
        box_loss = F.smooth_l1_loss(offsets[is_object], wanted, reduction="sum")
        classes = torch.zeros_like(boxes)
        classes[is_object] = targets.labels[boxes[is_object]] + 1
        class_losses = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none").view_as(classes)
        counted = is_object | _hardest(class_losses.detach(), is_object)
        return (box_loss + class_losses[counted].sum()) / is_object.sum().clamp(min=1)

    def _assign(self, targets: BatchTargets, count: int) -> Tensor:
        """Return the number in the batch of the box that each anchor of each image answers for, shape (n, a)."""
        numbers = torch.arange(len(targets.images), device=targets.images.device)
        rows = []
        for image in range(count):
            own = numbers[targets.images == image]
            matched = match(targets.corners[own], self._edges)
            rows.append(torch.where(matched >= 0, own[matched], -1) if len(own) else matched)
        return torch.stack(rows)


def _hardest(losses: Tensor, is_object: Tensor) -> Tensor:
    """Return which anchors without an object have the largest losses of their image, shape (n, a)."""
    losses = losses.masked_fill(is_object, -torch.inf)
    ranks = losses.argsort(1, descending=True).argsort(1)
    return (ranks < NEGATIVES * is_object.sum(1, keepdim=True).clamp(min=1)) & ~is_object
