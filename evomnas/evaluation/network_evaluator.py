"""Architectures in, evaluations out: look up, prepare, measure alone, train, and keep each result at once.

`evomnas.evaluation.table_evaluator` does it for tabular problems, where all is looked up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, cast

import numpy as np

from evomnas.core.errors import InputError
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.base import CandidateLimits, Executor
from evomnas.evaluation.interface import OnPhase
from evomnas.evaluation.stopwatch import Spent
from evomnas.latency.layers.stages import Parts
from evomnas.latency.layers.table import LayerTable
from evomnas.latency.meter import Meter
from evomnas.latency.runtimes.base import Prepared
from evomnas.latency.setting import problem_setting
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture, smallest_architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.archive import Archive
from evomnas.results.constraints import Limits
from evomnas.results.evaluation import AnyEvaluation, Cost, Cut, Evaluation, Failure, Measurement, Training
from evomnas.training.early_stop import LossThreshold, ThresholdFor, no_threshold

PREPARING_S = 0.4  # to build, export and check a network, which the archive does not keep: 0.2 to 0.5 s
NEIGHBOURS = 18  # networks that are measured before a latency limit counts as out of reach


@dataclass
class Evaluator:
    """Evaluates architectures on one problem, each at most once per archive.

    Attributes:
        definition: The problem.
        dataset: Its images.
        archive: Where results are kept and looked up.
        executor: Where candidates are trained; idle while a latency is taken.
        preparer: Where they are prepared for the device; the same, unless trainings go on meanwhile.
        candidates: What one of them may take.
        run: Whose trainings that were cut off count as evaluated; without it nobody's.
        on_progress: Told what is being done.
        spent: Where the time went.
    """

    definition: ProblemDefinition
    dataset: Dataset
    archive: Archive
    executor: Executor
    preparer: Executor
    candidates: CandidateLimits = field(default_factory=CandidateLimits)
    run: str | None = None
    on_progress: OnPhase = field(default=lambda phase: None)
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        setting = problem_setting(self.definition, len(self.dataset.classes), self.dataset.channels)
        self.meter = Meter(setting, self._prepare_reference, self.archive)
        self._table = LayerTable(self.meter, self.definition.space, self._prepare, self._prepare_parts)
        self.device_key = self.meter.key
        self.proxy_key = self.archive.add_context(self._proxy_context())
        self._shape = {"classes": setting.classes, "channels": setting.channels, "resolution": setting.resolution}
        self.limits = Limits(self.definition.constraints, self._shape)

    def _proxy_context(self) -> dict[str, Any]:
        return {
            "data": self.dataset.fingerprint,
            "augment": list(self.definition.data.augment),
            "training": self.definition.training.model_dump(mode="json"),
            "device": self.executor.device,
        }

    def _prepare_reference(self, reference: Architecture) -> Prepared:
        [(_, outcome)] = self.preparer.run("prepare", [reference], lambda: None)
        if isinstance(outcome, Failure):
            message = f"the reference network cannot be prepared: {outcome.message}"
            if self.candidates != CandidateLimits():  # the likeliest reason
                raise InputError(
                    f"{message}; start again with a larger --candidate-time or --candidate-memory, and another --out"
                )
            raise RuntimeError(message)
        _, prepared = outcome
        return cast(Prepared, prepared)

    def known(self, architecture: Architecture) -> Evaluation:
        """What the archive has of an architecture."""
        limits = self.candidates.to_json()
        found = self.archive.evaluation(self.proxy_key, self.device_key, architecture, limits, self.run)
        return self.limits.apply(found)

    def reference_cost(self) -> float:
        """The reference network's calibrated latency in milliseconds; measured now, if it was not before."""
        return self.meter.calibration.latency_ms

    def describe(self) -> dict[str, Any]:
        """Sizes of the splits and of the images."""
        dataset = self.dataset
        data = {
            "train": len(dataset.train_labels),
            "validation": len(dataset.validation_labels),
            "classes": len(dataset.classes),
            "channels": dataset.channels,
            "resolution": self.definition.data.resolution,
            "fingerprint": dataset.fingerprint,
        }
        return {"data": data}

    def evaluate(
        self, architectures: Sequence[Architecture], threshold_for: ThresholdFor = no_threshold
    ) -> list[AnyEvaluation]:
        """Evaluate what is not known yet; returns one evaluation per architecture, in their order.

        What exceeds a limit of parameters or MACs is not measured, and what exceeds any limit is not trained.
        """
        distinct = list(dict.fromkeys(architectures))
        self.measure(distinct)
        for _ in self.train([one for one in distinct if self.known(one).status == "stopped"], threshold_for):
            pass
        found = {one: self.known(one) for one in distinct}
        return [found[architecture] for architecture in architectures]

    def measure(self, architectures: Sequence[Architecture]) -> None:
        """Measure what is not known yet, unless its size exceeds a limit."""
        self._measure([one for one in dict.fromkeys(architectures) if self.known(one).status == "stopped"])

    def train(
        self, architectures: Iterable[Architecture | None], threshold_for: ThresholdFor = no_threshold
    ) -> Iterator[Architecture]:
        """Train them, several at a time; yields each as it ends, when it is in the archive. See `AnyEvaluator`."""
        items: Iterator[Any] = (None if one is None else self._item(one, threshold_for) for one in architectures)
        trainings = self.executor.run("train", items, lambda: self.on_progress("training"))
        while True:
            with self.spent.on("training"):
                ended = next(trainings, None)
            if ended is None:
                return
            item, result = ended
            architecture: Architecture = item[0] if isinstance(item, tuple) else item
            if isinstance(result, Cut):
                self.archive.add_cut(str(self.run), architecture, result)
            else:
                self.archive.add_training(self.proxy_key, architecture, result, self.candidates.to_json())
            self.on_progress("training")
            yield architecture

    def _item(
        self, architecture: Architecture, threshold_for: ThresholdFor
    ) -> Architecture | tuple[Architecture, LossThreshold]:
        """What a worker is given to train."""
        threshold = threshold_for(self.known(architecture))
        return architecture if threshold is None else (architecture, threshold)

    def price(self, evaluations: Sequence[AnyEvaluation]) -> float:
        """Seconds of a measurement relative to a whole evaluation's.

        They are the archive's and no clock's: a run that is played again must ask for the same.
        """
        pairs = [(one.measurement, one.training) for one in evaluations if isinstance(one, Evaluation)]
        both = [(m.seconds, t.seconds) for m, t in pairs if isinstance(m, Measurement) and isinstance(t, Training)]
        if not both:
            return math.inf
        measuring, training = (float(np.mean(seconds)) for seconds in zip(*both, strict=True))
        return (PREPARING_S + measuring) / (PREPARING_S + measuring + training)

    def costs(self, architectures: Sequence[Architecture]) -> list[float]:
        """Latencies, measured now if need be; infinite for a network that fails or is beyond a limit."""
        self.measure(architectures)
        return [self._cost(self.known(one)) for one in architectures]

    @staticmethod
    def _cost(known: Evaluation) -> float:
        measured = known.measurement
        return measured.latency_ms if isinstance(measured, Measurement) and known.violation <= 0 else math.inf

    def _prepare(self, architectures: Sequence[Architecture]) -> Iterator[tuple[Architecture, Any]]:
        return self.preparer.run("prepare", architectures, lambda: self.on_progress("preparing"))

    def _prepare_parts(self, parts: Sequence[Parts]) -> Iterator[tuple[Parts, Any]]:
        return self.preparer.run("prepare_parts", parts, lambda: self.on_progress("preparing"))

    def _measure(self, architectures: list[Architecture]) -> None:
        """Measure those that were not measured yet."""
        missing = [one for one in architectures if self.known(one).measurement is None]
        if not missing:
            return
        with self.spent.on("latency"):
            for architecture, measured in self._latencies(missing):
                self.archive.add_measurement(self.device_key, architecture, measured, self.candidates.to_json())
                self.on_progress("measuring")

    def _latencies(self, architectures: list[Architecture]) -> Iterator[tuple[Architecture, Measurement | Failure]]:
        return self._add_up(architectures) if self.meter.setting.method == "layers" else self._time(architectures)

    def check_limits(self) -> None:
        """Raise InputError where no network can meet the limits; networks are measured for it where latency has one.

        Parameters and MACs are exact. The least latency of a space cannot be known, so the networks with the fewest
        MACs and parameters are measured, and if they miss the limit, those next to the faster of them.
        """
        space = self.definition.space
        self.limits.check(space)
        limit = self.limits.at_most.get("latency_ms")
        if limit is None:
            return
        tried = [smallest_architecture(space, attrgetter(name), **self._shape) for name in ("macs", "params")]
        fastest = self._fastest(tried)
        if fastest is not None and fastest[0] > limit:
            beside = sorted(space.neighbours(fastest[1]), key=lambda one: count_architecture(one, **self._shape).macs)
            fastest = self._fastest([*tried, *beside[:NEIGHBOURS]])
        if fastest is not None:
            self.limits.refuse("latency_ms", fastest[0], str(fastest[1]))

    def _fastest(self, architectures: list[Architecture]) -> tuple[float, Architecture] | None:
        """The least latency of some architectures, measured now if need be."""
        self._measure(architectures)
        measured = ((self.known(one).measurement, one) for one in architectures)
        known = [(half.latency_ms, one) for half, one in measured if isinstance(half, Measurement)]
        return min(known, key=lambda pair: pair[0], default=None)

    def _time(self, architectures: list[Architecture]) -> Iterator[tuple[Architecture, Measurement | Failure]]:
        prepared: dict[Architecture, tuple[Cost, Prepared]] = {}
        for architecture, result in self._prepare(architectures):
            if isinstance(result, Failure):
                yield architecture, result
            else:
                prepared[architecture] = result
        in_order = {one: prepared[one] for one in architectures if one in prepared}  # and all workers are idle now
        self.on_progress("measuring")
        yield from self.meter.measure(in_order, lambda: self.on_progress("waiting"))

    def _add_up(self, architectures: list[Architecture]) -> Iterator[tuple[Architecture, Measurement | Failure]]:
        costs = dict(self.preparer.run("cost", architectures, lambda: self.on_progress("preparing")))
        for architecture, measured in self._table.measure(architectures):
            result = costs[architecture]
            if isinstance(measured, Failure) or isinstance(result, Failure):
                yield architecture, measured if isinstance(measured, Failure) else result
            else:
                yield architecture, self._table.measurement(result, measured)

    def close(self) -> None:
        """Leave the device."""
        self.meter.close()
