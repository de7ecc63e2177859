"""The score of detections is pycocotools' own, and its interval comes from other draws of the same images."""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.data.boxes.boxes import Boxes
from evomnas.data.boxes.detections import Detections
from evomnas.data.boxes.targets import BoxTargets
from evomnas.results.detection.precision import check_scorer, score_detections

pytest.importorskip("faster_coco_eval")
CLASSES, RESOLUTION = 5, 96


def random_targets(rng: np.random.Generator, images: int = 12, classes: int = CLASSES - 1) -> BoxTargets:
    """Boxes of all sizes and some crowds, in pictures of several sizes; the last class is never there."""
    sizes = rng.integers(100, 400, (images, 2))
    counts = rng.integers(0, 6, images)
    corners = np.sort(rng.random((int(counts.sum()), 2, 2)), axis=1).reshape(-1, 4)
    corners *= np.tile(np.repeat(sizes, counts, axis=0), 2)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1) * rng.uniform(0.5, 1.0, len(corners))
    crowd = rng.random(len(corners)) < 0.1
    boxes = Boxes.of(counts.tolist(), corners, rng.integers(0, classes, len(corners)), crowd, areas)
    return BoxTargets(boxes, sizes, RESOLUTION, "stretch")


def guesses(targets: BoxTargets, rng: np.random.Generator, copies: int = 3, noise: float = 0.08) -> Detections:
    """Boxes near those that there are, some of other classes, with many equal scores."""
    boxes = targets.boxes
    counts = boxes.counts * copies
    places = np.concatenate(
        [np.tile(np.arange(len(boxes.labels))[boxes.part(one)], copies) for one in range(len(boxes))]
    )
    images = np.repeat(np.arange(len(boxes)), counts)
    scale = RESOLUTION / np.tile(targets.sizes[images], 2)
    corners = boxes.corners[places] * scale
    sides = np.tile(corners[:, 2:] - corners[:, :2], 2)
    moved = np.sort((corners + sides * rng.normal(0, noise, corners.shape)).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    labels = np.where(rng.random(len(places)) < 0.8, boxes.labels[places], rng.integers(0, CLASSES, len(places)))
    scores = np.round(rng.random(len(places)), 1)
    return Detections(moved, scores, labels, np.concatenate([[0], np.cumsum(counts)]))


def referee(targets: BoxTargets, detections: Detections) -> np.ndarray:
    """The twelve numbers of pycocotools, with boxes written down here once more."""
    cocotools = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth, boxes = cocotools.COCO(), targets.boxes
    truth.dataset = {
        "images": [{"id": 100 + number} for number in range(len(targets))],
        "categories": [{"id": 7 * number + 3} for number in range(CLASSES)],
        "annotations": [
            {
                "id": place + 1, "image_id": 100 + image, "category_id": 7 * boxes.labels[place] + 3,
                "bbox": [x, y, right - x, bottom - y], "area": boxes.areas[place], "iscrowd": int(boxes.crowd[place]),
            }
            for image in range(len(targets))
            for place in range(boxes.starts[image], boxes.starts[image + 1])
            for x, y, right, bottom in [boxes.corners[place]]
        ],
    }  # fmt: skip
    found = []
    for image, (width, height) in enumerate(targets.sizes):
        for place in range(detections.starts[image], detections.starts[image + 1]):
            x, y, right, bottom = detections.corners[place] / RESOLUTION * (width, height, width, height)
            x, y, right, bottom = max(x, 0), max(y, 0), min(right, width), min(bottom, height)
            label, score = 7 * detections.labels[place] + 3, detections.scores[place]
            found.append({
                "image_id": 100 + image, "category_id": label, "bbox": [x, y, right - x, bottom - y], "score": score,
            })  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = cocoeval.COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


@pytest.mark.parametrize("seed", range(6))
def test_the_score_is_pycocotools_own(seed):
    rng = np.random.default_rng(seed)
    targets = random_targets(rng)
    detections = guesses(targets, rng, copies=1 + 15 * (seed % 2))
    score = score_detections(targets, detections, RESOLUTION, CLASSES, resamples=2)
    own = [score.ap, score.ap50, score.ap75, score.small, score.medium, score.large]
    expected = [None if value == -1 else value for value in referee(targets, detections)[:6]]
    assert [value is None for value in own] == [value is None for value in expected]
    assert [value or 0 for value in own] == pytest.approx([value or 0 for value in expected], abs=1e-12)
    known = [value for value in score.by_class if value is not None]
    assert np.mean(known) == pytest.approx(score.ap, abs=1e-12)
    assert score.by_class[-1] is None


def exact(targets: BoxTargets) -> Detections:
    boxes = targets.boxes
    scale = RESOLUTION / np.tile(targets.sizes[boxes.images], 2)
    return Detections(boxes.corners * scale, np.ones(len(boxes.labels)), boxes.labels, boxes.starts)


def test_perfect_detections_are_1_and_none_are_0():
    targets = random_targets(np.random.default_rng(0))
    perfect = score_detections(targets, exact(targets), RESOLUTION, CLASSES, resamples=5)
    assert (perfect.ap, perfect.ap50, *perfect.interval("ap")) == pytest.approx((1, 1, 1, 1))
    assert perfect.error("ap") == pytest.approx(0)
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), np.zeros(len(targets) + 1, np.int64))
    none = score_detections(targets, nothing, RESOLUTION, CLASSES, resamples=5)
    assert (none.ap, none.ap50, none.large, none.by_class[0], none.by_class[-1]) == (0, 0, 0, 0, None)
    assert none.value("ap50") == 0


def test_images_without_anything_to_find_have_no_score():
    targets = random_targets(np.random.default_rng(0))
    empty = BoxTargets(
        targets.boxes.keep(np.zeros(len(targets.boxes.labels), bool)), targets.sizes, RESOLUTION, "stretch"
    )
    score = score_detections(empty, exact(targets), RESOLUTION, CLASSES, resamples=3)
    assert (score.ap, score.ap50, score.small) == (None, None, None)
    assert np.isnan(score.interval("ap")).all()
    assert np.isnan(score.error("ap50"))


def test_a_draw_of_images_scores_as_pycocotools_scores_these_images():
    """With the draws of the same generator, repeated images included."""
    rng = np.random.default_rng(3)
    targets = random_targets(rng, images=8)
    detections = guesses(targets, rng)
    score = score_detections(targets, detections, RESOLUTION, CLASSES, resamples=3)
    draws = np.random.default_rng(0)
    for row in score.resamples:
        chosen = draws.integers(0, 8, 8)
        counts = np.diff(detections.starts)[chosen]
        places = np.concatenate([np.arange(detections.starts[one], detections.starts[one + 1]) for one in chosen])
        again = Detections(
            detections.corners[places], detections.scores[places], detections.labels[places],
            np.concatenate([[0], np.cumsum(counts)]),
        )  # fmt: skip
        assert row == pytest.approx(referee(targets.select(chosen), again)[:2], abs=1e-12)


def test_the_interval_of_more_images_is_narrower():
    rng = np.random.default_rng(1)
    widths = []
    for images in (8, 72):
        targets = random_targets(rng, images)
        score = score_detections(targets, guesses(targets, rng), RESOLUTION, CLASSES, resamples=40)
        low, high = score.interval("ap")
        assert low < score.ap < high
        assert score.error("ap") == pytest.approx((high - low) / 4, rel=0.5)
        widths.append(high - low)
    assert widths[1] < 0.8 * widths[0]


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'evomnas\[detect\]'"):
        check_scorer()
