"""The loss of detectors, beside torchvision's where the two should agree, and by hand where they should not."""

from __future__ import annotations

import pytest
import torch
from detectors import random_corners, torchvision_ssd
from torch.nn import functional as F
from torchvision.ops import box_convert, box_iou

from evomnas.networks.detection.boxes import anchor_tensor
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.published import published
from evomnas.training.detection.loss import DetectionLoss, match
from evomnas.training.detection.targets import BatchTargets

PLAN = plan_detector(published("mnasnet-small"), 160)
ANCHORS = anchor_tensor(PLAN)
EDGES = box_convert(ANCHORS, "cxcywh", "xyxy")
CLASSES = 5


def random_batch(counts: list[int], seed: int) -> tuple[torch.Tensor, torch.Tensor, BatchTargets]:
    """Offsets, logits and targets of images with so many boxes."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.randn(len(counts), PLAN.boxes, 4, generator=generator)
    logits = torch.randn(len(counts), PLAN.boxes, CLASSES + 1, generator=generator)
    corners = random_corners(sum(counts), generator)
    labels = torch.randint(CLASSES, (sum(counts),), generator=generator)
    return (
        offsets,
        logits,
        BatchTargets(corners, labels, torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))),
    )


@pytest.mark.parametrize("counts", [[1], [3, 1, 12, 2], [7] * 8])
def test_the_loss_is_torchvision_s_where_every_image_has_boxes(counts):
    for seed in range(3):
        offsets, logits, targets = random_batch(counts, seed)
        model = torchvision_ssd(CLASSES)
        wanted = [
            {"boxes": targets.corners[targets.images == image], "labels": targets.labels[targets.images == image] + 1}
            for image in range(len(counts))
        ]
        matched = [model.proposal_matcher(box_iou(image["boxes"], EDGES)) for image in wanted]
        answers = {"bbox_regression": offsets, "cls_logits": logits}
        parts = model.compute_loss(wanted, answers, [EDGES] * len(counts), matched)
        loss = DetectionLoss(ANCHORS)(torch.empty(0), (offsets, logits), targets)
        assert torch.allclose(loss, sum(parts.values()), rtol=1e-5)
        assert all(torch.equal(match(image["boxes"], EDGES).clamp(min=-1), one.clamp(min=-1))
                   for image, one in zip(wanted, matched, strict=True))  # fmt: skip


def test_an_image_without_boxes_counts():
    """By its three anchors that look least like background; the sum is over one object, of which there is none."""
    offsets, logits, targets = random_batch([0], 4)
    losses = F.cross_entropy(logits[0], torch.zeros(PLAN.boxes, dtype=torch.int64), reduction="none")
    loss = DetectionLoss(ANCHORS)(torch.empty(0), (offsets, logits), targets)
    assert torch.allclose(loss, losses.topk(3).values.sum())


def test_an_image_without_boxes_adds_to_those_that_have_some():
    offsets, logits, targets = random_batch([4, 0], 5)
    alone = DetectionLoss(ANCHORS)(torch.empty(0), (offsets[:1], logits[:1]), targets)
    objects = int((match(targets.corners, EDGES) >= 0).sum())
    hardest = F.cross_entropy(logits[1], torch.zeros(PLAN.boxes, dtype=torch.int64), reduction="none").topk(3).values
    both = DetectionLoss(ANCHORS)(torch.empty(0), (offsets, logits), targets)
    assert torch.allclose(both, alone + hardest.sum() / objects)


def test_no_anchor_counts_twice_where_negatives_are_few():
    """Boxes around half of all anchors, so that there are fewer negatives than three for each of them."""
    offsets, logits, _ = random_batch([1], 6)
    corners = EDGES[::2].clamp(0, 1)
    targets = BatchTargets(corners, torch.zeros(len(corners), dtype=torch.int64), torch.zeros(len(corners)).long())
    boxes = match(corners, EDGES)
    classes = torch.where(boxes >= 0, 1, 0)
    assert 4 * int((boxes >= 0).sum()) > PLAN.boxes
    loss = DetectionLoss(ANCHORS)(torch.empty(0), (offsets, logits), targets)
    class_loss = F.cross_entropy(logits[0], classes, reduction="sum") / int((boxes >= 0).sum())
    offsets_alone = DetectionLoss(ANCHORS)(
        torch.empty(0), (offsets, 1e4 * F.one_hot(classes, 6)[None].float()), targets
    )
    assert torch.allclose(loss, class_loss + offsets_alone)


def test_every_box_has_an_anchor_and_the_last_of_several_takes_it():
    corners = torch.tensor([[0.3, 0.3, 0.301, 0.301], [0.3, 0.3, 0.301, 0.301], [0.1, 0.1, 0.9, 0.9]])
    matched = match(corners, EDGES)
    assert set(matched.tolist()) == {-1, 1, 2}
    assert (matched == 1).sum() == 1  # it overlaps nothing by half
    overlaps = box_iou(corners, EDGES)
    assert matched[overlaps[2].argmax()] == 2
    assert ((matched == 2) == (overlaps[2] >= 0.5)).all()
