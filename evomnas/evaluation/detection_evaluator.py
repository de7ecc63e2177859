"""Evaluations of networks that find things in images, as those of other networks are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evomnas.data.pictures import encode_picture
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.problem.architecture import Architecture
from evomnas.results.readers import DetectionReader

PICTURE_SIDE = 192  # pixels of a picture on which boxes are drawn


class DetectionEvaluator(NetworkEvaluator):
    """Measures and trains detectors; see `NetworkEvaluator`."""

    reader_type = DetectionReader

    def describe_data(self) -> dict[str, Any]:
        """See `Evaluator.describe_data`. Boxes have classes, and images have none."""
        of_classes = ("largest", "smallest", "majority")
        known = {name: value for name, value in super().describe_data().items() if name not in of_classes}
        return known | {"boxes": int(self.dataset.counts.sum())}

    def keep_pictures(self, architectures: Sequence[Architecture]) -> None:
        """See `Evaluator.keep_pictures`."""
        images, _ = self.dataset.validated
        findings = filter(None, map(self.reader.findings, architectures))
        places = sorted({image.place for one in findings for image in one.shown})
        new = [place for place in places if self.archive.picture(self.dataset.fingerprint, place) is None]
        pictures = {place: encode_picture(images[place], PICTURE_SIDE) for place in new}
        self.archive.add_pictures(self.dataset.fingerprint, pictures)
