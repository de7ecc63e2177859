"""Boxes in the code in which they are learnt, and what suppression leaves, beside torchvision's."""

from __future__ import annotations

import math

import pytest
import torch
from detectors import random_corners, torchvision_ssd
from torchvision.ops import box_convert

from evomnas.networks.detection.boxes import Decoder, anchor_tensor, decode, encode
from evomnas.networks.detection.suppression import MAX_BOXES, suppress
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.published import published

PLAN = plan_detector(published("mnasnet-small"), 96)


def test_an_offset_by_hand():
    """A box twice as wide as its anchor, a tenth of its width to the right and a fifth of its height higher."""
    anchor = torch.tensor([0.4, 0.5, 0.2, 0.1])
    box = box_convert(torch.tensor([0.42, 0.48, 0.4, 0.1]), "cxcywh", "xyxy")
    assert torch.allclose(encode(box, anchor), torch.tensor([1.0, -2.0, 5 * math.log(2), 0.0]), atol=1e-5)


def test_decoding_is_the_inverse_of_encoding():
    anchors = anchor_tensor(PLAN)
    corners = random_corners(len(anchors), torch.Generator().manual_seed(1))
    assert torch.allclose(decode(encode(corners, anchors), anchors), corners, atol=1e-6)


def test_no_answer_overflows_and_boxes_end_at_the_edges():
    anchors = anchor_tensor(PLAN)
    found = decode(torch.full((len(anchors), 4), 1e30), anchors)
    assert torch.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_scores_leave_the_background_out():
    offsets, logits = torch.zeros(2, PLAN.boxes, 4), torch.randn(2, PLAN.boxes, 4)
    boxes, scores = Decoder(PLAN)((offsets, logits))
    assert torch.equal(scores, logits.softmax(2)[:, :, 1:])
    assert torch.equal(boxes[0], box_convert(anchor_tensor(PLAN), "cxcywh", "xyxy").clamp(0, 1))


@pytest.mark.parametrize("seed", [1, 2])
def test_suppression_leaves_what_torchvision_s_leaves(seed):
    generator = torch.Generator().manual_seed(seed)
    anchors = anchor_tensor(PLAN)
    offsets = torch.randn(1, PLAN.boxes, 4, generator=generator)
    logits = 3 * torch.randn(1, PLAN.boxes, 4, generator=generator)
    boxes, scores = Decoder(PLAN)((offsets, logits))
    found = suppress(boxes[0], scores[0])
    expected = torchvision_ssd(3).postprocess_detections(
        {"bbox_regression": offsets, "cls_logits": logits}, [box_convert(anchors, "cxcywh", "xyxy")], [(1, 1)]
    )[0]
    assert 10 < len(found[0]) <= MAX_BOXES
    assert torch.allclose(found[0], expected["boxes"], atol=1e-6)
    assert torch.allclose(found[1], expected["scores"])
    assert torch.equal(found[2] + 1, expected["labels"])


def test_nothing_is_found_where_all_is_background():
    corners, scores, labels = suppress(torch.rand(5, 4), torch.zeros(5, 3))
    assert (corners.shape, scores.shape, labels.shape) == ((0, 4), (0,), (0,))
