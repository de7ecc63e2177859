"""Confusion matrices, and the scores that follow from them.

A matrix is kept as its non-zero cells: of a thousand classes it has a million cells, of which a network uses a few
thousand. All scores of a problem follow from it, so that another score needs no new training.

Standard errors say how far a score could lie from that on more images of the same kind. That of a share p of n images
is sqrt(p (1 - p) / n), where p has one right and one wrong image more than were seen: else the error would be 0 where
all of three images were right. Classes are independent of each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.sections import ScoreName

MAX_BYTES = 64 * 2**20  # of a matrix that is not compressed: four million cells
MAX_IMAGES = 2**40
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Confusion:
    """The number of images of each class by the class that they were given.

    Attributes:
        classes: The number of classes.
        cells: The cells that are not 0, as label * classes + answer, ascending, shape (k,).
        counts: The images of each of these cells, shape (k,).
    """

    classes: int
    cells: Counts
    counts: Counts

    @classmethod
    def of(cls, labels: NDArray[np.integer], answers: NDArray[np.integer], classes: int) -> Confusion:
        """Return the matrix of some answers.

        Args:
            labels: The class of each image, from 0, shape (n,).
            answers: The class that it was given, shape (n,).
            classes: The number of classes.
        """
        cells, counts = np.unique(labels.astype(np.int64) * classes + answers, return_counts=True)
        return cls(classes, cells, counts.astype(np.int64))

    @classmethod
    def from_bytes(cls, classes: int, content: bytes) -> Confusion:
        """Return the matrix that `to_bytes` wrote.

        Args:
            classes: The number of classes.
            content: The bytes.

        Raises:
            ValueError: They are none that it could have written.
        """
        decompressor = zlib.decompressobj()
        try:
            values = decompressor.decompress(content, MAX_BYTES)
        except zlib.error as error:
            raise ValueError(f"a confusion matrix is damaged: {error}") from None
        if not decompressor.eof or len(values) % 16 or not values:
            raise ValueError("a confusion matrix has another size than it can have")
        steps, counts = np.frombuffer(values, dtype="<i8").reshape(2, -1)
        cells = np.cumsum(steps, dtype=np.int64)
        is_ascending = steps[0] >= 0 and (steps[1:] > 0).all() and (steps <= classes**2).all()
        if not is_ascending or cells[-1] >= classes**2 or not ((counts > 0) & (counts < MAX_IMAGES)).all():
            raise ValueError("a confusion matrix has cells that it cannot have")
        return cls(classes, cells, counts.astype(np.int64))

    def to_bytes(self) -> bytes:
        """Return the cells and their counts, compressed."""
        return zlib.compress(np.stack([np.diff(self.cells, prepend=0), self.counts]).astype("<i8").tobytes(), 9)

    def __eq__(self, other: object) -> bool:
        """Return whether another matrix has the same counts."""
        return (
            isinstance(other, Confusion)
            and self.classes == other.classes
            and np.array_equal(self.cells, other.cells)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Confusion) -> Confusion:
        """Return the matrix of this one's images and those of another one of the same classes."""
        cells = np.concatenate([self.cells, other.cells])
        distinct, places = np.unique(cells, return_inverse=True)
        counts = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return Confusion(self.classes, distinct, counts)

    @property
    def labels(self) -> Counts:
        """The label of each cell, shape (k,)."""
        return self.cells // self.classes

    @property
    def answers(self) -> Counts:
        """The answer of each cell, shape (k,)."""
        return self.cells % self.classes

    @cached_property
    def images(self) -> Counts:
        """The images of each class, shape (classes,)."""
        return self._sum(self.labels, self.counts)

    @cached_property
    def answered(self) -> Counts:
        """How many images were given each class, shape (classes,)."""
        return self._sum(self.answers, self.counts)

    @cached_property
    def correct(self) -> Counts:
        """The images of each class that were given it, shape (classes,)."""
        is_right = self.labels == self.answers
        return self._sum(self.labels[is_right], self.counts[is_right])

    @property
    def total(self) -> int:
        """The number of images."""
        return int(self.counts.sum())

    @property
    def recall(self) -> Floats:
        """The share of each class that was given it, shape (classes,); NaN where a class has no images."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.correct / self.images, dtype=np.float64)

    @property
    def majority(self) -> tuple[int, float]:
        """The class with the most images, and the share of the images that it has: what one answer for all scores."""
        largest = int(self.images.argmax())
        return largest, float(self.images[largest] / self.total)

    def dense(self) -> Counts:
        """Return the whole matrix, shape (classes, classes): rows are labels, columns answers."""
        matrix = np.zeros(self.classes**2, dtype=np.int64)
        matrix[self.cells] = self.counts
        return matrix.reshape(self.classes, self.classes)

    def confused(self, limit: int) -> list[tuple[int, int, int]]:
        """Return the mistakes that were made most often.

        Args:
            limit: How many of them, at most.

        Returns:
            Label, answer and number of images of each, the most frequent first.
        """
        wrong = np.flatnonzero(self.labels != self.answers)
        order = wrong[np.argsort(-self.counts[wrong], kind="stable")][:limit]
        columns = self.labels[order].tolist(), self.answers[order].tolist(), self.counts[order].tolist()
        return list(zip(*columns, strict=True))

    def hardest(self, limit: int) -> list[int]:
        """Return the classes that are recognised least, of those that have images.

        Args:
            limit: How many of them, at most.

        Returns:
            The classes, the lowest recall first; of equal ones, that with the most images.
        """
        order = np.lexsort((-self.images, self.recall))  # those without images have no recall, and come last
        return [int(label) for label in order[: min(limit, int((self.images > 0).sum()))]]

    def rival(self, label: int) -> tuple[int, int] | None:
        """Return the class that a class is taken for most often, and how often; None where it never is.

        Args:
            label: The class.
        """
        places = np.flatnonzero((self.labels == label) & (self.answers != label))
        if not len(places):
            return None
        most = places[self.counts[places].argmax()]
        return int(self.answers[most]), int(self.counts[most])

    def score(self, name: ScoreName) -> float:
        """Return a score, from 0 to 1; larger is better.

        Args:
            name: `accuracy`: the share of the images that is right. `balanced-accuracy`: the mean recall of the classes
                that have images. `macro-f1`: the mean F1 of the classes that have images or are answers, each the
                harmonic mean of recall and precision.
        """
        return _SCORES[name](self)[0]

    def score_error(self, name: ScoreName) -> float:
        """Return the standard error of a score.

        Args:
            name: See `score`.
        """
        return _SCORES[name](self)[1]

    def _sum(self, classes: Counts, values: NDArray[np.integer] | Floats) -> Counts:
        """Add up values by class, shape (classes,)."""
        sums = np.zeros(self.classes, dtype=values.dtype)
        np.add.at(sums, classes, values)
        return sums

    def _accuracy(self) -> tuple[float, float]:
        correct = int(self.correct.sum())
        return correct / self.total, share_error(correct, self.total)

    def _balanced_accuracy(self) -> tuple[float, float]:
        present = self.images > 0
        correct, images = self.correct[present], self.images[present]
        error = float(np.sqrt(_share_variance(correct, images).sum())) / len(images)
        return min(1.0, float((correct / images).mean())), error

    def _macro_f1(self) -> tuple[float, float]:
        sizes = self.images + self.answered
        present = sizes > 0
        share = np.divide(2 * self.correct, sizes, out=np.zeros(self.classes), where=present)
        score = min(1.0, float(share[present].mean()))
        # how the score changes with an image more that is rightly, and wrongly, given a class
        wrongly = np.divide(-share, sizes, out=np.zeros(self.classes), where=present) / present.sum()
        rightly = np.divide(2, sizes, out=np.zeros(self.classes), where=present) / present.sum() + wrongly
        mean, variance = self._mean_wrong_answer(wrongly)
        images, missed = self.images, self.images - self.correct
        of_recall = (images * (rightly - mean)) ** 2 * _share_variance(self.correct, images)
        of_answers = images * (missed + 1) / (images + 2) * variance
        return score, float(np.sqrt((of_recall + of_answers)[images > 0].sum()))

    def _mean_wrong_answer(self, values: Floats) -> tuple[Floats, Floats]:
        """Return mean and variance, over the wrong answers to each class, of a value that each answer has.

        One more wrong answer to each class is assumed, spread evenly over all others: without it, nothing would be
        known of a class that was always right.

        Args:
            values: The value of each class as an answer, shape (classes,).

        Returns:
            The mean and the variance, each of shape (classes,).
        """
        wrong = self.labels != self.answers
        labels, answers, counts = self.labels[wrong], self.answers[wrong], self.counts[wrong]
        others = max(1, self.classes - 1)
        missed = self.images - self.correct + 1
        means = []
        for power in (values, values**2):
            spread = (power.sum() - power) / others
            means.append((self._sum(labels, counts * power[answers]) + spread) / missed)
        return means[0], np.maximum(means[1] - means[0] ** 2, 0.0)


def share_error(correct: int, images: int) -> float:
    """Return the standard error of a share of images.

    Args:
        correct: The images that have the property.
        images: All images, at least one.
    """
    return float(np.sqrt(_share_variance(np.array(correct), np.array(images))))


def _share_variance(correct: Counts, images: Counts) -> Floats:
    mean = (correct + 1) / (images + 2)
    return np.asarray(mean * (1 - mean) / np.maximum(images, 1), dtype=np.float64)


_SCORES: dict[ScoreName, Callable[[Confusion], tuple[float, float]]] = {
    "accuracy": Confusion._accuracy,
    "balanced-accuracy": Confusion._balanced_accuracy,
    "macro-f1": Confusion._macro_f1,
}
