"""What a search needs of an evaluator."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from evomnas.core.errors import InputError
from evomnas.data.gallery.listing import Listing
from evomnas.evaluation.stopwatch import Stopwatch
from evomnas.problem.definition import Definition
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Evaluation
from evomnas.results.manifest import TrueFront
from evomnas.results.readers import EvaluationReader
from evomnas.training.early_stop import ThresholdFor, no_threshold


class OnPhase(Protocol):
    """Called several times a second while work goes on."""

    def __call__(self, phase: str, /) -> None:
        """Take notice.

        Args:
            phase: `reading` (images or a table), `loading` (what trains), `calibrating` (by the reference network),
                `preparing`, `waiting` (for another run's training or latency), `measuring`, `teaching` (the fine-tuning
                of the donor that teaches) or `training`.
        """


def ignore_phase(phase: str) -> None:
    """Take no notice; see `OnPhase`."""


class Evaluator(ABC):
    """Evaluates networks of one problem, each at most once per archive. Every result is in the archive when it ends.

    A network of another kind of problem is an error; `Any` stands for the kind's own networks.

    Attributes:
        reader: Reads what the archive has.
        stopwatch: Where the time went.
        on_phase: Called while work goes on.
        listing: The files of its images; None where there are none.
    """

    listing: Listing | None = None

    def __init__(self, reader: EvaluationReader) -> None:
        """Take what reads the archive.

        Args:
            reader: It, with the contexts of this problem's evaluations on this machine.
        """
        self.reader = reader
        self.stopwatch = Stopwatch()
        self.on_phase: OnPhase = ignore_phase

    def for_run(self, run: str | None, on_phase: OnPhase = ignore_phase) -> Self:
        """Return this evaluator as a run uses it: same processes, device and stopwatch.

        Args:
            run: The run whose trainings that were cut off count as evaluated; None where nobody's do.
            on_phase: Called while work goes on.
        """
        view = copy.copy(self)
        view.reader, view.on_phase = self.reader.for_run(run), on_phase
        return view

    @property
    def definition(self) -> Definition:
        """The problem."""
        return self.reader.definition

    @property
    def archive(self) -> Archive:
        """Where results are kept."""
        return self.reader.archive

    @property
    def candidates(self) -> CandidateLimits:
        """What a candidate may take."""
        return self.reader.candidates

    @property
    def training_context(self) -> str:
        """The archive's context of its trainings."""
        return self.reader.training_context

    @property
    def measurement_context(self) -> str:
        """The archive's context of its measurements."""
        return self.reader.measurement_context

    def known(self, architecture: Any) -> Evaluation:
        """Return what the archive has of a network.

        Args:
            architecture: The network.
        """
        return self.reader.evaluation(architecture)

    @abstractmethod
    def evaluate(self, architectures: Sequence[Any], threshold_for: ThresholdFor = no_threshold) -> list[Evaluation]:
        """Evaluate networks that are not known yet.

        Args:
            architectures: The networks.
            threshold_for: See `train`.

        Returns:
            One evaluation per network, in their order.
        """

    @abstractmethod
    def measure(self, architectures: Sequence[Any]) -> None:
        """Take the first half of evaluations, where it is not known yet: all that needs no training.

        Args:
            architectures: The networks.
        """

    @abstractmethod
    def train(self, architectures: Iterable[Any | None], threshold_for: ThresholdFor = no_threshold) -> Iterator[Any]:
        """Take the second half of evaluations.

        Args:
            architectures: Measured networks. They are drawn one by one, when there is room for another. None stands for
                no network before the next training has ended.
            threshold_for: Says what a network must reach by then to be trained to the end. That a training was cut off
                counts for the evaluator's run alone.

        Yields:
            Each network when its evaluation has ended.
        """

    @abstractmethod
    def price(self, evaluations: Sequence[Evaluation]) -> float:
        """Return what knowing the cost of a network takes, relative to a whole evaluation.

        Args:
            evaluations: Those that it follows from.

        Returns:
            0 where it is free, infinite where it cannot be known or nothing was evaluated yet.
        """

    @abstractmethod
    def costs(self, architectures: Sequence[Any]) -> list[float]:
        """Return second losses without the first ones, measured now if need be.

        Args:
            architectures: The networks.

        Returns:
            One per network; infinite where it fails or is beyond a limit.
        """

    @abstractmethod
    def reference_cost(self) -> float:
        """Return the second loss of the reference network, measured now if need be: milliseconds, or a table's cost."""

    def reference_costs(self) -> tuple[float, ...]:
        """Return all losses of the reference network but the first; see `reference_cost`."""
        return self.reference_cost(), *self.reader.reference_further

    @abstractmethod
    def check_limits(self) -> None:
        """Check the limits of the problem.

        Raises:
            InputError: No network can keep them.
        """

    @abstractmethod
    def describe_data(self) -> dict[str, Any]:
        """Return the section `data` of run.json: sizes of splits and images, or of a table."""

    def begin_lineage(self, folder: Path) -> None:
        """Let networks inherit the weights of trained ones from now on. Their evaluations are this run's own.

        Args:
            folder: The folder of the weights that may be inherited.

        Raises:
            InputError: No network of this kind can inherit.
        """
        raise InputError(f"the networks of {self.definition.name} cannot inherit weights")

    def note_parents(self, parents: Mapping[Any, Any]) -> None:
        """Learn from which network each of some networks inherits, before they are evaluated.

        Args:
            parents: The parent of each network, which was evaluated before; None where it has none.

        Raises:
            InputError: The weights of a parent are gone.
        """
        raise InputError(f"the networks of {self.definition.name} cannot inherit weights")

    def forget_weights(self, fertile: Sequence[Any]) -> None:
        """Forget the weights of networks from which none will inherit any more.

        Args:
            fertile: Networks that may still become parents.
        """
        raise InputError(f"the networks of {self.definition.name} cannot inherit weights")

    def keep_pictures(self, architectures: Sequence[Any]) -> None:  # noqa: B027  a table has no images
        """Keep small pictures of the images that networks were most wrong about, for those who read the run.

        Args:
            architectures: The networks.
        """

    def true_front(self) -> TrueFront | None:
        """Return the front of all networks; None where it cannot be known."""
        return None

    def close(self) -> None:  # noqa: B027  a table has nothing to leave
        """Leave the device."""
