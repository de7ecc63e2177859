"""How long trainings will take, from what is known before they begin, and corrected as they go on.

A search has timed the short training of a network. That of a full training differs in its number of steps, and in the
size of a batch. The time of a step is what its layers cost whatever the batch, and what its MACs cost: these two are
fitted to all trainings of the search. Nothing is run for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy.optimize import nnls

from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture
from evomnas.problem.sections import Recipe
from evomnas.results.evaluation import Cut, NetworkEvaluation, Training
from evomnas.results.full_trainings import OFF_THE_SHELF, fully_trained
from evomnas.results.run import Run

FORWARD_SHARE = 1 / 3  # of a training step: the backward pass has two products where the forward pass has one


class Plan:
    """The expected times of pieces of work, which are corrected as the work goes on.

    Attributes:
        expected: The expected seconds of each piece by its name, in their order; None where nothing is known, and 0
            where nothing is to be done.
    """

    def __init__(self, expected: Mapping[str, float | None], clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with the first piece.

        Args:
            expected: See the attribute.
            clock: Returns the time in seconds.
        """
        self.expected, self._clock = dict(expected), clock
        self._piece = _Piece("", clock())
        self._done: list[tuple[float, float]] = []  # of the pieces that are done: seconds taken, and foreseen
        self._begun: set[str] = set()

    @property
    def seconds(self) -> float | None:
        """The expected seconds of all pieces together; None if those of any are not known."""
        known = [seconds for seconds in self.expected.values() if seconds is not None]
        return sum(known) if len(known) == len(self.expected) else None

    def remaining(self, name: str, step: int, steps: int) -> float:
        """Return the seconds that are left, after a step of a piece.

        The rest of the piece takes as long per step as its steps so far. Other pieces take longer or shorter than
        expected by the same factor as those so far.

        Args:
            name: The piece. A name other than before means that the piece before is done.
            step: Its steps so far, those of earlier sessions included. There is a call for every step of this session.
            steps: All its steps.
        """
        if name != self._piece.name:
            self._done.append(self._piece.comparison(self.expected.get(self._piece.name), left=0))
            self._piece = _Piece(name, self._piece.latest)
            self._begun.add(name)
        piece, left, expected = self._piece, steps - step, self.expected.get(name)
        piece.end_step(self._clock())
        taken, foreseen = (sum(column) for column in zip(*self._done, piece.comparison(expected, left), strict=True))
        factor = taken / foreseen if foreseen else 1.0
        per_step = piece.seconds_per_step(None if expected is None else factor * expected / (piece.steps + left))
        usual = per_step * (piece.steps + left)  # for a piece of which nothing is known
        others = (seconds for other, seconds in self.expected.items() if other not in self._begun)
        return per_step * left + sum(usual if seconds is None else factor * seconds for seconds in others)


@dataclass
class _Piece:
    """A piece of work. Its first step takes longer than others, since memory is set up, and says nothing of them."""

    name: str
    started: float
    steps: int = 0
    first: float = 0.0  # when its first step ended, and its latest one
    latest: float = 0.0

    def __post_init__(self) -> None:
        self.latest = self.started

    def end_step(self, now: float) -> None:
        """Count a step that has ended now."""
        self.steps, self.latest = self.steps + 1, now
        if self.steps == 1:
            self.first = now

    def seconds_per_step(self, expected: float | None) -> float:
        """Return the seconds of a step: of those after the first, else what is expected, else of the first."""
        if self.steps > 1:
            return (self.latest - self.first) / (self.steps - 1)
        return self.latest - self.started if expected is None else expected

    def comparison(self, expected: float | None, left: int) -> tuple[float, float]:
        """Return the seconds of the steps that can be compared with what was expected, and what was expected of them.

        A piece of one step is compared as a whole.
        """
        total = self.steps + left
        if not expected or not self.steps or (self.steps == 1 and total > 1):
            return 0.0, 0.0
        if total == 1:
            return self.latest - self.started, expected
        return self.latest - self.first, expected * (self.steps - 1) / total


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The seconds of a training step: so much for every layer, and so much for every MAC of the batch.

    Attributes:
        per_layer: Seconds per layer.
        per_mac: Seconds per MAC of all images of the batch.
    """

    per_layer: float
    per_mac: float

    @classmethod
    def fit(cls, steps: Iterable[tuple[int, float, float]]) -> StepTimes:
        """Fit the two figures to measured steps, by least squares of the relative deviations; none is negative.

        Args:
            steps: Layers, MACs of the whole batch and seconds of each measured step.

        Returns:
            The two figures.
        """
        rows = np.array([(layers / seconds, macs / seconds) for layers, macs, seconds in steps], dtype=np.float64)
        scale = rows.max(axis=0)
        figures, _ = nnls(rows / scale, np.ones(len(rows)))
        per_layer, per_mac = figures / scale
        return cls(float(per_layer), float(per_mac))

    def seconds(self, layers: int, macs: float) -> float:
        """Return the seconds of a step.

        Args:
            layers: The network's layers.
            macs: MACs of the whole batch.
        """
        return self.per_layer * layers + self.per_mac * macs


class TrainingForecast:
    """Foresees the full trainings of a run's networks from those of its search, and from full ones before."""

    def __init__(self, run: Run, images: int, device: str) -> None:
        """Read the trainings of a run.

        Args:
            run: The run.
            images: The number of images of a full training.
            device: The kind of device of the full trainings, `cpu` or `cuda`. Trainings of another one say nothing.
        """
        problem, data = run.trained_problem(), run.manifest.data
        self._images, self._shape = images, (int(data["classes"]), int(data["channels"]), problem.data.resolution)
        self._steps: dict[Architecture, float] = {}  # seconds of a step of the search's training
        self._batch, steps = problem.training.batches(int(data["train"]))
        evaluations = [result.evaluation for result in run.results()]
        if run.archive.context(run.record.training_context)["device"] == device:
            folds = int(data.get("folds") or 1)  # of which one that was cut off has begun the first
            self._steps = {
                evaluation.architecture: training.seconds
                / (steps * len(training.losses) * (folds if isinstance(training, Training) else 1))
                for evaluation in evaluations
                if isinstance(evaluation, NetworkEvaluation)
                and isinstance(training := evaluation.training, Training | Cut)
                and training.losses
            }
        sizes = {architecture: self._size(architecture, self._batch) for architecture in self._steps}
        self._times = StepTimes.fit((*sizes[one], seconds) for one, seconds in self._steps.items()) if sizes else None
        self._factor = self._full_trainings_factor(run, problem.full)

    def epoch_seconds(
        self, architecture: Architecture, recipe: Recipe, teacher: Architecture | None = None
    ) -> float | None:
        """Return the seconds of an epoch of a full training.

        Args:
            architecture: The network.
            recipe: The recipe of the full training.
            teacher: The network that teaches it; None if none does.

        Returns:
            The seconds; None if the search has timed nothing that says it.
        """
        if self._times is None:
            return None
        batch, steps = recipe.batches(self._images)
        seconds = self._step_seconds(architecture, batch)
        if teacher is not None:
            seconds += FORWARD_SHARE * self._step_seconds(teacher, batch)
        return self._factor * steps * seconds

    def _step_seconds(self, architecture: Architecture, batch: int) -> float:
        """Return the seconds of a step with a batch, relative to the network's own step where there is one."""
        assert self._times is not None
        expected = self._times.seconds(*self._size(architecture, batch))
        measured = self._steps.get(architecture)
        if measured is None:
            return expected
        return expected * measured / self._times.seconds(*self._size(architecture, self._batch))

    def _size(self, architecture: Architecture, batch: int) -> tuple[int, float]:
        """Return the layers of a network, and the MACs of a batch."""
        layers = sum(block.layers for block in architecture.blocks) + 2  # with stem and head
        return layers, float(batch * count_architecture(architecture, *self._shape).macs)

    def _full_trainings_factor(self, run: Run, recipe: Recipe) -> float:
        """Return how much longer than foreseen the full trainings of the run took so far; 1 if there are none.

        A search's trainings go on beside each other, a full one alone.
        """
        self._factor = 1.0
        factors = []
        for network in fully_trained(run):
            if OFF_THE_SHELF.search(network.notation) or not network.result.losses:
                continue
            expected = self.epoch_seconds(Architecture.parse(network.notation), recipe)
            if expected:
                factors.append(network.result.seconds / len(network.result.losses) / expected)
        return median(factors) if factors else 1.0
