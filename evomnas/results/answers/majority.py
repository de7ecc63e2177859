"""The score of a network that gives every image the same class: a score says little without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evomnas.problem.sections import SCORE_WORDS, ScoreName
from evomnas.results.answers.confusion import Confusion


@dataclass(frozen=True, slots=True)
class Majority:
    """The class with the most images.

    Attributes:
        name: The name of the class.
        images: How many images it has.
        total: The number of all images, at least one.
        classes: The number of classes that have images.
    """

    name: str
    images: int
    total: int
    classes: int

    @classmethod
    def of(cls, confusion: Confusion, names: Sequence[str]) -> Majority:
        """Return the largest class among images that were answered.

        Args:
            confusion: The answers to the images.
            names: The names of the classes.
        """
        label, _ = confusion.majority
        images = confusion.images
        return cls(names[label], int(images[label]), confusion.total, int((images > 0).sum()))

    @property
    def share(self) -> float:
        """The share of the images that the class has: the accuracy of the network that always answers it."""
        return self.images / self.total

    def score(self, name: ScoreName) -> float:
        """Return the score of the network that always answers this class.

        Args:
            name: See `Confusion.score`.
        """
        scores = {
            "accuracy": self.share,
            "balanced-accuracy": 1 / self.classes,
            "macro-f1": 2 * self.share / (1 + self.share) / self.classes,
        }
        return scores[name]

    def describe(self, score: ScoreName, images: str = "", quote: Callable[[str], str] = repr) -> str:
        """Return one sentence about the network that always answers this class.

        Args:
            score: The score that counts; the accuracy is there in any case.
            images: Which images, as in "200 test images"; empty to leave that out.
            quote: Writes the name of the class, which may hold any characters.
        """
        values = f"{self.share:.1%}"
        if score != "accuracy":
            values += f" accuracy and {self.score(score):.1%} {SCORE_WORDS[score]}"
        place = f" on the {images}" if images else ""
        return f"Answering {quote(self.name)} to every image has {values}{place}."
