"""Findings of a network in the validation images, as the archive keeps them: its score, and boxes in some images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from evomnas.core.resolution import Resolution, sides
from evomnas.data.boxes.detections import Detections
from evomnas.problem.sections import PrecisionName
from evomnas.results.detection.score import PRECISIONS, DetectionScore

SHOWN_IMAGES = 6  # of which found boxes are kept, the same ones for all networks
SHOWN_BOXES = 40  # of an image, at most
SHOWN_SCORE = 0.3  # of a box, at least
DETAILS = ("ap75", "small", "medium", "large")


class FoundBox(NamedTuple):
    """A box that was found in an image.

    Attributes:
        label: Its class.
        score: How sure the network is, from 0 to 1.
        left: Its left edge, as a share of the image's width.
        top: Its upper edge, as a share of the image's height.
        right: Its right edge.
        bottom: Its lower edge.
    """

    label: int
    score: float
    left: float
    top: float
    right: float
    bottom: float


class ShownImage(NamedTuple):
    """An image with the boxes that were found in it.

    Attributes:
        place: The place of the image among those that validate.
        boxes: The boxes, the surest first.
    """

    place: int
    boxes: tuple[FoundBox, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """A network's score on the validation images, and what it finds in some of them.

    Attributes:
        ap: COCO's average precision; 0 where there is nothing to find.
        ap_error: Its standard error; None where it is not known.
        ap50: That at an intersection over union of 0.5.
        ap50_error: Its standard error; None likewise.
        details: `ap75`, `small`, `medium`, `large`, and by class `by_class` and `by_class50`; and, unless an older
            version wrote them, `images`, the number of images, and `intervals`, the 95 % intervals of `ap` and `ap50`.
        shown: Some images with the boxes that were found in them.
    """

    ap: float
    ap_error: float | None
    ap50: float
    ap50_error: float | None
    details: Mapping[str, Any]
    shown: tuple[ShownImage, ...]

    @classmethod
    def of(
        cls, score: DetectionScore, detections: Detections, resolution: Resolution, places: Sequence[int] = ()
    ) -> Findings:
        """Return the findings in images.

        Args:
            score: Their score.
            detections: The boxes that were found in n images.
            resolution: The size of the network's input in pixels.
            places: The place of each image among those that validate, n of them; none to show no images.
        """
        errors = [None if math.isnan(error := score.error(name)) else error for name in ("ap", "ap50")]
        details = {name: getattr(score, name) for name in (*DETAILS, "by_class", "by_class50", "images")}
        intervals = {name: score.interval(name) for name in PRECISIONS}
        details["intervals"] = {name: ends for name, ends in intervals.items() if not math.isnan(ends[0])}
        chosen = np.unique(np.linspace(0, len(places) - 1, min(SHOWN_IMAGES, len(places))).round().astype(int))
        order = np.argsort(places, kind="stable")  # so that all networks show the same images, whatever their folds
        shown = (ShownImage(int(places[one]), _boxes(detections, int(one), resolution)) for one in order[chosen])
        return cls(score.value("ap"), errors[0], score.value("ap50"), errors[1], details, tuple(shown))

    def score(self, name: PrecisionName) -> float:
        """Return an average precision.

        Args:
            name: Which.
        """
        return self.ap if name == "ap" else self.ap50

    def error(self, name: PrecisionName) -> float | None:
        """Return the standard error of an average precision; None where it is not known.

        Args:
            name: Which.
        """
        return self.ap_error if name == "ap" else self.ap50_error

    def interval(self, name: PrecisionName) -> tuple[float, float] | None:
        """Return the 95 % interval of an average precision; None where it is not known.

        Args:
            name: Which.
        """
        ends = self.details.get("intervals", {}).get(name)
        return None if ends is None else (float(ends[0]), float(ends[1]))

    @property
    def images(self) -> int:
        """The number of images; 0 where an older version did not keep it."""
        return int(self.details.get("images", 0))

    def to_row(self) -> dict[str, Any]:
        """Return the findings as columns of the archive's table `findings`; `from_row` is the inverse."""
        numbers = {name: getattr(self, name) for name in ("ap", "ap_error", "ap50", "ap50_error")}
        return numbers | {"details": json.dumps(self.details), "shown": json.dumps(self.shown)}

    @classmethod
    def from_row(cls, row: Any) -> Findings:
        """Return the findings of a row of the table `findings`.

        Args:
            row: The row's values by column.

        Raises:
            ValueError: They are no findings.
        """
        precisions = [row[name] for name in ("ap", "ap50")]
        errors = [row[name] for name in ("ap_error", "ap50_error")]
        if not all(0 <= value <= 1 for value in precisions) or not all(one is None or one >= 0 for one in errors):
            raise ValueError("an average precision is none that there is")
        shown = tuple(
            ShownImage(place, tuple(FoundBox(*box) for box in boxes)) for place, boxes in json.loads(row["shown"])
        )
        for image in shown:
            numbers = [number for box in image.boxes for number in box[1:]]
            labels = [image.place, *(box.label for box in image.boxes)]
            if not all(isinstance(label, int) and label >= 0 for label in labels):
                raise ValueError("a found box has a class that there is not")
            if not all(0 <= number <= 1 for number in numbers):
                raise ValueError("a found box is outside of its image")
        details = json.loads(row["details"])
        if not isinstance(details, dict) or not isinstance(details.get("intervals", {}), dict):
            raise ValueError("the details of a score are none")
        if not all(0 <= low <= high <= 1 for low, high in details.get("intervals", {}).values()):
            raise ValueError("an interval of an average precision is none that there is")
        if not isinstance(details.get("images", 0), int):
            raise ValueError("the number of images is none")
        return cls(precisions[0], errors[0], precisions[1], errors[1], details, shown)


def _boxes(detections: Detections, image: int, resolution: Resolution) -> tuple[FoundBox, ...]:
    """Return the surest boxes in an image, in shares of its sides."""
    height, width = sides(resolution)
    part = slice(int(detections.starts[image]), int(detections.starts[image + 1]))
    corners = np.clip(detections.corners[part] / (width, height, width, height), 0, 1).round(4)
    scores, labels = detections.scores[part], detections.labels[part]
    sure = [place for place in np.argsort(-scores, kind="stable")[:SHOWN_BOXES] if scores[place] >= SHOWN_SCORE]
    return tuple(
        FoundBox(int(labels[place]), round(min(1.0, float(scores[place])), 3), *corners[place].tolist())
        for place in sure
    )
