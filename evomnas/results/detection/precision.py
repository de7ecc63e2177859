"""COCO's average precision (Lin et al. 2014, "Microsoft COCO: Common Objects in Context"), by faster-coco-eval.

It is counted in pixels of the pictures as they are in their files, since COCO calls things small or large by these. A
class without anything to find among the images does not count, nor does what is found within the box of a crowd.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution
from evomnas.data.boxes.boxes import Corners
from evomnas.data.boxes.detections import Detections
from evomnas.data.boxes.targets import BoxTargets
from evomnas.results.detection.score import PRECISIONS, DetectionScore

MAX_DETECTIONS = 100  # of an image that count, those of the highest scores
RESAMPLES = 200
INSTALL = "pip install 'evomnas[detect]'"


def check_scorer() -> Any:
    """Return the library that scores detections.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module("faster_coco_eval")
    except ImportError:
        raise InputError(f"the score of detection needs faster-coco-eval, which is not installed: {INSTALL}") from None


def score_detections(
    targets: BoxTargets, detections: Detections, resolution: Resolution, classes: int, resamples: int = RESAMPLES
) -> DetectionScore:
    """Score the boxes that a network finds in images.

    Args:
        targets: The boxes that there are, and the sizes of the n pictures.
        detections: The boxes that the network found in them.
        resolution: The size of the network's input in pixels.
        classes: The number of classes.
        resamples: How many draws of n images the intervals come from.

    Returns:
        The score.

    Raises:
        InputError: faster-coco-eval is not installed.
    """
    library = check_scorer()
    truth = library.COCO(_truth(targets, classes))
    found = _found(targets, detections, resolution)
    kept = truth.loadRes(found) if len(found) else library.COCO(_truth(targets, classes) | {"annotations": []})
    judge = library.COCOeval_faster(truth, kept, "bbox", separate_eval=True)
    judge.params.maxDets = [1, 10, MAX_DETECTIONS]
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][..., -1]  # of (intersections, recalls, classes, sizes of things)
    whole = precision[..., 0]
    small, medium, large = (_mean(precision[..., size]) for size in (1, 2, 3))
    return DetectionScore(
        ap=_mean(whole), ap50=_mean(whole[0]), ap75=_mean(whole[5]), small=small, medium=medium, large=large,
        by_class=tuple(_mean(whole[:, :, number]) for number in range(classes)),
        by_class50=tuple(_mean(whole[:1, :, number]) for number in range(classes)),
        images=len(targets),
        resamples=_resample(judge, len(targets), classes, resamples),
    )  # fmt: skip


def _mean(precision: NDArray[np.float64]) -> float | None:
    """Return the mean of precisions; None where all are those of classes with nothing to find, which are -1."""
    counted = precision[precision > -1]
    return float(counted.mean()) if len(counted) else None


def _resample(judge: Any, images: int, classes: int, resamples: int) -> NDArray[np.float64]:
    """Return AP and AP50 of images that are drawn with replacement, shape (resamples, 2).

    Nothing is matched again: the library puts together the matches of each image that it has kept.
    """
    settings, matches = judge._paramsEval, judge._evalImgs_cpp  # of (classes, sizes of things, images), in one list
    sizes = len(settings.areaRng)
    of_all = [matches[number * sizes * images : (number * sizes + 1) * images] for number in range(classes)]
    settings.areaRng, settings.areaRngLbl, settings.maxDets = settings.areaRng[:1], ["all"], [MAX_DETECTIONS]
    rng = np.random.default_rng(0)
    drawn = np.full((resamples, len(PRECISIONS)), np.nan)
    for row in drawn:
        chosen = rng.integers(0, images, images).tolist()
        judge._evalImgs_cpp = [of_class[image] for of_class in of_all for image in chosen]
        judge.accumulate()
        precision = judge.eval["precision"][..., 0, 0]
        row[:] = [np.nan if (mean := _mean(part)) is None else mean for part in (precision, precision[:1])]
    return drawn


def _truth(targets: BoxTargets, classes: int) -> dict[str, Any]:
    """Return boxes in COCO's format; numbers of images, of boxes and of categories begin with 1."""
    boxes = targets.boxes
    rows = zip(boxes.images + 1, boxes.labels + 1, _sides(boxes.corners), boxes.areas, boxes.crowd, strict=True)
    annotations = [
        {
            "id": number, "image_id": int(image), "category_id": int(label), "bbox": box.tolist(), "area": float(area),
            "iscrowd": int(crowd),
        }
        for number, (image, label, box, area, crowd) in enumerate(rows, 1)
    ]  # fmt: skip
    images = [
        {"id": number, "width": width, "height": height}
        for number, (width, height) in enumerate(targets.sizes.tolist(), 1)
    ]
    categories = [{"id": number + 1, "name": str(number)} for number in range(classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _found(targets: BoxTargets, detections: Detections, resolution: Resolution) -> list[dict[str, Any]]:
    """Return detections in COCO's format, in pixels of the pictures."""
    corners = targets.to_pictures(detections.corners, detections.images, resolution)
    rows = zip(detections.images + 1, detections.labels + 1, _sides(corners), detections.scores, strict=True)
    return [
        {"image_id": int(image), "category_id": int(label), "bbox": box.tolist(), "score": float(score)}
        for image, label, box, score in rows
    ]


def _sides(corners: Corners) -> Corners:
    """Return boxes by left and upper edge, width and height."""
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
