"""The answers of a network to labelled images: its confusion matrix, and its worst mistakes.

The answer to every single image is not kept: of 8,000 candidates and 50,000 images in a thousand classes that would be
800 MB. The matrices take a tenth of that, and a mistake 30 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.results.answers.confusion import Confusion

MAX_MISTAKES = 12  # of a network, that are kept


class Mistake(NamedTuple):
    """An image that was given a wrong class.

    Attributes:
        image: Its place among the images.
        label: Its class.
        answer: The class that it was given.
        confidence: The probability that the network gave to its answer.
    """

    image: int
    label: int
    answer: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a network to labelled images.

    Attributes:
        confusion: How often each class was taken for which.
        mistakes: The mistakes that it was surest of, the worst first.
        loss: The mean cross-entropy of the images with their own classes in nats; None where older versions kept none.
        loss_error: Its standard error; None likewise.
    """

    confusion: Confusion
    mistakes: tuple[Mistake, ...]
    loss: float | None = None
    loss_error: float | None = None

    @classmethod
    def of(
        cls,
        labels: NDArray[np.integer],
        answers: NDArray[np.integer],
        confidences: NDArray[np.floating],
        classes: int,
        images: NDArray[np.integer] | None = None,
        losses: NDArray[np.floating] | None = None,
    ) -> Answers:
        """Return the answers to images.

        Args:
            labels: The class of each image, from 0, shape (n,).
            answers: The class that it was given, shape (n,).
            confidences: The probability that the network gave to it, shape (n,).
            classes: The number of classes.
            images: The place of each image, shape (n,); None where they are numbered from 0.
            losses: The cross-entropy of each image with its own class in nats, shape (n,); None where it is not known.
        """
        wrong = np.flatnonzero(labels != answers)
        worst = wrong[np.argsort(-confidences[wrong], kind="stable")][:MAX_MISTAKES]
        places = worst if images is None else images[worst]
        mistakes = tuple(
            Mistake(int(place), int(labels[one]), int(answers[one]), round(float(confidences[one]), 4))
            for place, one in zip(places, worst, strict=True)
        )
        return cls(Confusion.of(labels, answers, classes), mistakes, *_mean_loss(losses))

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """Return the answers to the images of several parts.

        Args:
            parts: The answers to each part, at least one.
        """
        mistakes = sorted((one for part in parts for one in part.mistakes), key=lambda one: -one.confidence)
        confusion = reduce(add, (part.confusion for part in parts))
        loss = loss_error = None
        if all(part.loss is not None for part in parts):
            shares = np.array([part.confusion.total for part in parts]) / confusion.total
            loss = float(shares @ [part.loss for part in parts])
            loss_error = float(np.hypot.reduce(shares * [part.loss_error for part in parts]))
        return cls(confusion, tuple(mistakes[:MAX_MISTAKES]), loss, loss_error)

    def to_row(self) -> dict[str, Any]:
        """Return the answers as columns of the archive's table `answers`; `from_row` is the inverse."""
        return {
            "classes": self.confusion.classes,
            "confusion": self.confusion.to_bytes(),
            "mistakes": json.dumps(self.mistakes),
            "loss": self.loss,
            "loss_error": self.loss_error,
        }

    @classmethod
    def from_row(cls, row: Any) -> Answers:
        """Return the answers of a row of the table `answers`.

        Args:
            row: The row's values by column.

        Raises:
            ValueError: They are no answers.
        """
        classes = row["classes"]
        mistakes = tuple(Mistake(*values) for values in json.loads(row["mistakes"]))
        for place, label, answer, confidence in mistakes:
            labels_are_known = 0 <= label < classes and 0 <= answer < classes
            if not all(isinstance(number, int) for number in (place, label, answer)) or not labels_are_known:
                raise ValueError("a mistake names a class that there is not")
            if not 0 <= confidence <= 1:
                raise ValueError("a mistake has a probability that there is not")
        loss, loss_error = row["loss"], row["loss_error"]
        if not all(value is None or value >= 0 for value in (loss, loss_error)):
            raise ValueError("a loss is negative")
        return cls(Confusion.from_bytes(classes, row["confusion"]), mistakes, loss, loss_error)


def _mean_loss(losses: NDArray[np.floating] | None) -> tuple[float | None, float | None]:
    """Return the mean of the losses of images and its standard error; None of both without any."""
    if losses is None:
        return None, None
    values = losses.astype(np.float64)
    return float(values.mean()), float(values.std(ddof=min(1, len(values) - 1)) / np.sqrt(len(values)))
