"""A detector as it ships: pixels in, boxes and scores out, with the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from evomnas.data.photographs import Preprocessing
from evomnas.networks.classifier import Normalise
from evomnas.networks.detection.boxes import Decoder
from evomnas.networks.detection.detector import Detector
from evomnas.networks.detection.suppression import suppress
from evomnas.problem.sections import Fit


class FoundObject(NamedTuple):
    """An object in a picture.

    Attributes:
        name: The name of its class.
        score: How sure the detector is of it, from 0 to 1.
        box: Its left, upper, right and lower edge, relative to what the detector sees, from 0 to 1.
    """

    name: str
    score: float
    box: tuple[float, ...]


class ObjectDetector(nn.Module):
    """A detector with its normalisation and its decoding. Suppression is no part of it.

    Attributes:
        normalise: Makes the detector's input from pixel values.
        detector: The detector, which takes normalised images.
        decoder: Makes boxes and scores from its answers.
        classes: The names of the classes, in the order of the scores.
        preprocessing: What is done with an image file before; `preprocessing.read` does it.
    """

    def __init__(
        self,
        detector: Detector,
        mean: Sequence[float],
        std: Sequence[float],
        classes: Sequence[str],
        fit: Fit = "stretch",
    ) -> None:
        """Put a detector together.

        Args:
            detector: A detector of normalised images.
            mean: The mean of each channel of the training images, in pixel values from 0 to 255.
            std: The standard deviation of each channel, in the same unit.
            classes: The names of the classes, in the order of the scores.
            fit: How pictures of other proportions get those of the images.
        """
        super().__init__()
        self.normalise, self.detector, self.decoder = Normalise(mean, std), detector, Decoder(detector.plan)
        self.classes = tuple(classes)
        self.preprocessing = Preprocessing(channels=len(mean), resolution=detector.plan.resolution, fit=fit)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Look for objects at every anchor.

        Args:
            images: Pixel values from 0 to 255, of any type, shape (n, channels, h, w).

        Returns:
            Boxes (left, upper, right and lower edge) from 0 to 1, shape (n, anchors, 4), and the probability of every
            class in each, shape (n, anchors, classes). `evomnas.networks.detection.suppression.suppress` leaves one box
            for every object.
        """
        boxes, scores = self.decoder(self.detector(self.normalise(images)))
        return boxes, scores

    @torch.inference_mode()
    def find(self, path: Path | str) -> list[FoundObject]:
        """Find the objects in a picture.

        Args:
            path: The file of the picture.

        Returns:
            The objects in the order of their scores, at most 100. Their boxes are relative to the part of the picture
            that the detector sees, which is the whole picture where it is stretched.

        Raises:
            InputError: The file cannot be read as a picture.
        """
        pixels = torch.from_numpy(self.preprocessing.read(Path(path)))
        boxes, scores = self(pixels[None])
        corners, certainties, labels = (part.tolist() for part in suppress(boxes[0], scores[0]))
        found = zip(corners, certainties, labels, strict=True)
        return [FoundObject(self.classes[label], score, tuple(box)) for box, score, label in found]


class JoinedAnswers(nn.Module):
    """A detector with its decoding and a single output, of which latencies are taken: runtimes compare one output.

    Attributes:
        detector: The detector.
        decoder: Makes boxes and scores from its answers.
    """

    def __init__(self, detector: Detector) -> None:
        """Put the parts together.

        Args:
            detector: A detector of normalised images.
        """
        super().__init__()
        self.detector, self.decoder = detector, Decoder(detector.plan)

    def forward(self, images: Tensor) -> Tensor:
        """Look for objects at every anchor.

        Args:
            images: Normalised images, shape (n, channels, h, w).

        Returns:
            The box and the scores of every anchor, shape (n, anchors, 4 + classes).
        """
        return torch.cat(self.decoder(self.detector(images)), -1)
