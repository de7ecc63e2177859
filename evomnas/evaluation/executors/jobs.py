"""Jobs of a worker: what is to be done with one network, and what comes of it.

A job is a value that travels to the process that does it. What that process needs for all jobs, its `Bench`, is made
there once (`evomnas.evaluation.executors.worker`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from evomnas.latency.layers.stages import Parts
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.ancestor import Ancestor
from evomnas.problem.sections import TrainingSection
from evomnas.results.evaluation import Cost, Cut, Training
from evomnas.training.early_stop import LossThreshold

Logits = NDArray[np.float32]
Subject_co = TypeVar("Subject_co", covariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Bench(Protocol):
    """The tools of a worker: images, proxy task and runtime of one problem."""

    def prepare(self, architecture: Architecture) -> tuple[Cost, PreparedNetwork]:
        """Return the costs of an architecture, and its network made ready for the runtime.

        Args:
            architecture: What is built, with random weights.
        """
        ...

    def prepare_parts(self, parts: Parts) -> list[PreparedNetwork]:
        """Return parts of a network made ready for the runtime.

        Args:
            parts: The network, and which of its parts are wanted in which order.
        """
        ...

    def count(self, architecture: Architecture) -> Cost:
        """Return the parameters and MACs of an architecture.

        Args:
            architecture: What is counted.
        """
        ...

    def train(
        self, architecture: Architecture, threshold: LossThreshold | None, recipe: TrainingSection | None
    ) -> Training | Cut:
        """Train an architecture on the proxy task.

        Args:
            architecture: What is trained.
            threshold: The training losses that it must stay below, epoch by epoch; None trains it to the end.
            recipe: The recipe; None for the problem's.

        Returns:
            The training, or what is left of one that was cut off.
        """
        ...

    def train_heir(
        self, architecture: Architecture, ancestor: Ancestor | None, recipe: TrainingSection
    ) -> tuple[Training, bytes]:
        """Train an architecture whose weights others may inherit.

        Args:
            architecture: What is trained.
            ancestor: From whom it inherits; None for the weights that any other training begins with.
            recipe: The recipe.

        Returns:
            The training, and the weights after it as in `Ancestor`.
        """
        ...

    def teach(self, number: int) -> Logits:
        """Fine-tune the donor, and return its answers to the training images.

        Args:
            number: Which of the trainings; there are several with folds.

        Returns:
            Its logits, shape (n, classes).
        """
        ...


class Job(Protocol[Subject_co, Result_co]):
    """Something to be done with one network.

    Attributes:
        kind: What is done. How long a job may take follows from those of its kind.
        trains: Whether it must wait while a latency is taken on its machine.
    """

    @property
    def kind(self) -> str:
        """See above."""
        ...

    @property
    def trains(self) -> bool:
        """See above."""
        ...

    @property
    def subject(self) -> Subject_co:
        """The network, by which its result is known."""
        ...

    def run(self, bench: Bench) -> Result_co:
        """Return the result of doing it.

        Args:
            bench: The tools of the process.
        """
        ...


@dataclass(frozen=True, slots=True)
class PreparationJob:
    """Build a network and make it ready for the runtime."""

    kind: ClassVar[str] = "prepare"
    trains: ClassVar[bool] = False
    subject: Architecture

    def run(self, bench: Bench) -> tuple[Cost, PreparedNetwork]:
        """Return the network's costs, and itself in the runtime's format; see `Job.run`."""
        return bench.prepare(self.subject)


@dataclass(frozen=True, slots=True)
class PartsJob:
    """Make parts of a network ready for the runtime."""

    kind: ClassVar[str] = "prepare_parts"
    trains: ClassVar[bool] = False
    subject: Parts

    def run(self, bench: Bench) -> list[PreparedNetwork]:
        """Return the parts in the runtime's format, in the order wanted; see `Job.run`."""
        return bench.prepare_parts(self.subject)


@dataclass(frozen=True, slots=True)
class CountingJob:
    """Count a network's parameters and MACs."""

    kind: ClassVar[str] = "cost"
    trains: ClassVar[bool] = False
    subject: Architecture

    def run(self, bench: Bench) -> Cost:
        """Return the network's costs; see `Job.run`."""
        return bench.count(self.subject)


@dataclass(frozen=True, slots=True)
class TeachingJob:
    """Fine-tune the donor, so that it can teach.

    Attributes:
        subject: The number of the training whose images it is fine-tuned on; there are several with folds.
    """

    kind: ClassVar[str] = "teach"
    trains: ClassVar[bool] = True
    subject: int

    def run(self, bench: Bench) -> Logits:
        """Return the donor's answers to the training images; see `Job.run`."""
        return bench.teach(self.subject)


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Train a network on the proxy task and score it.

    Attributes:
        threshold: The training losses that it must stay below, epoch by epoch; None trains it to the end.
        recipe: The recipe; None for the problem's.
    """

    kind: ClassVar[str] = "train"
    trains: ClassVar[bool] = True
    subject: Architecture
    threshold: LossThreshold | None = None
    recipe: TrainingSection | None = None

    def run(self, bench: Bench) -> Training | Cut:
        """Return the training, or what is left of one that was cut off; see `Job.run`."""
        return bench.train(self.subject, self.threshold, self.recipe)


class HeirTraining(NamedTuple):
    """A training whose weights others may inherit.

    Attributes:
        training: The training.
        weights: The weights after it, as in `Ancestor`.
    """

    training: Training
    weights: bytes


@dataclass(frozen=True, slots=True)
class HeirJob:
    """Train a network on the proxy task, perhaps from the weights of another one, and bring its weights back.

    Attributes:
        ancestor: From whom it inherits; None for the weights that any other training begins with.
        recipe: The recipe.
    """

    kind: ClassVar[str] = "train"
    trains: ClassVar[bool] = True
    subject: Architecture
    ancestor: Ancestor | None
    recipe: TrainingSection

    def run(self, bench: Bench) -> HeirTraining:
        """Return the training and the weights; see `Job.run`."""
        return HeirTraining(*bench.train_heir(self.subject, self.ancestor, self.recipe))
