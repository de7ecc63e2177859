"""Detectors in training: drawn rectangles are found, and the same seed gives the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectors import drawn_images
from torchvision.ops import box_iou

from evomnas.core.errors import InputError
from evomnas.data.boxes.boxes import Boxes
from evomnas.networks.detection.boxes import Decoder
from evomnas.networks.detection.detector import Detector, build_detector
from evomnas.problem.architecture import Architecture
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.detection.detection_batches import DetectionBatches
from evomnas.training.detection.detector_training import AUGMENT, RECIPE, train_detector
from evomnas.training.detection.finding import find_boxes
from evomnas.training.pixels import Pixels

SIDE, CPU = 96, torch.device("cpu")
TINY = Architecture.parse("stem8_s2-mbconv3_k3_s2_f16_n1-mbconv3_k3_s2_f24_n2_id-mbconv3_k3_s2_f32_n1-head64")


def trained(epochs: int, images: int, seed: int = 1) -> tuple[Detector, DetectionBatches, tuple[float, ...]]:
    detector = build_detector(TINY, 2, SIDE, seed=seed)
    batches = DetectionBatches(*drawn_images(images, SIDE, seed=1), detector.plan, AUGMENT, CPU)
    recipe = RECIPE.model_copy(update={"epochs": epochs})
    return detector, batches, train_detector(detector, batches, recipe, np.random.SeedSequence(seed))


def test_drawn_rectangles_are_found():
    """Of rectangles that it was not trained on, a detector finds most, with the right colour."""
    detector, batches, losses = trained(6, 64)
    assert losses[-1] < 0.6 * losses[0]
    images, boxes = drawn_images(20, SIDE, seed=2)
    decoder = Decoder(detector.plan)
    found = find_boxes(lambda x: decoder(detector(batches.normalise(x))), Pixels(images, CPU))
    assert len(found) == 20
    hits = []
    for corners, label, image in zip(boxes.corners, boxes.labels, boxes.images, strict=True):
        own = (found.images == image) & (found.labels == label) & (found.scores > 0.3)
        overlaps = box_iou(torch.from_numpy(corners[None]), torch.from_numpy(found.corners[own]))
        hits.append(bool((overlaps > 0.5).any()))
    assert np.mean(hits) >= 0.5
    assert (np.diff(found.scores)[np.diff(found.images) == 0] <= 0).all()
    assert found.corners.min() >= 0
    assert found.corners.max() <= SIDE


def test_the_same_seed_trains_the_same_detector():
    first, again, other = (trained(1, 16, seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_box_without_area_is_refused_before_the_training():
    images, boxes = drawn_images(4, SIDE, seed=1)
    boxes.corners[1] = (5, 5, 5, 9)
    plan = build_detector(TINY, 2, SIDE).plan
    with pytest.raises(InputError, match=r"a box of image \d has no area: \[5.0, 5.0, 5.0, 9.0\]"):
        DetectionBatches(images, boxes, plan, AUGMENT, CPU)


def test_answers_that_are_no_numbers_are_refused():
    images, _ = drawn_images(2, SIDE, seed=1)
    with pytest.raises(TrainingDiverged, match="answers are not finite"):
        find_boxes(lambda x: (torch.zeros(len(x), 5, 4), torch.full((len(x), 5, 2), torch.nan)), Pixels(images, CPU))


def test_images_without_boxes_alone_can_be_trained_on():
    images, _ = drawn_images(16, SIDE, seed=1)
    none = Boxes.of([0] * 16, np.empty((0, 4)), np.empty(0, dtype=np.int64), np.empty(0, dtype=bool), np.empty(0))
    detector = build_detector(TINY, 2, SIDE)
    batches = DetectionBatches(images, none, detector.plan, AUGMENT, CPU)
    losses = train_detector(detector, batches, RECIPE.model_copy(update={"epochs": 2}), np.random.SeedSequence(1))
    assert losses[1] < losses[0]
