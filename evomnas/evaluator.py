"""Architectures in, evaluations out: look up, prepare, measure alone, train, and keep each result at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from evomnas.architecture import Architecture
from evomnas.archive import Archive
from evomnas.data import Dataset
from evomnas.definition import ProblemDefinition
from evomnas.device import choose_device
from evomnas.evaluation import Cost, Evaluation, Failure, Measurement
from evomnas.executors import Executor
from evomnas.latency.protocol import Run, calibrate, compare
from evomnas.latency.runtimes import Prepared, checked_runner
from evomnas.machine import describe_machine, describe_versions, processor
from evomnas.registry import load


@dataclass
class Spent:
    """Wall-clock seconds by purpose: latency counts preparing and measuring, training the trainings."""

    latency: float = 0.0
    training: float = 0.0

    @contextmanager
    def on(self, purpose: str) -> Iterator[None]:
        """Add the time that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, purpose, getattr(self, purpose) + time.perf_counter() - started)


@dataclass
class Evaluator:
    """Evaluates architectures on one problem, each at most once per archive.

    Attributes:
        definition: The problem.
        dataset: Its images.
        archive: Where results are kept and looked up.
        executor: Where candidates are prepared and trained; idle while a latency is taken.
        on_progress: Called with `preparing`, `measuring` or `training` whenever something may have changed.
        spent: Where the time went.
    """

    definition: ProblemDefinition
    dataset: Dataset
    archive: Archive
    executor: Executor
    device: str = "auto"
    on_progress: Callable[[str], None] = lambda phase: None
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        self._runtime = load("runtimes", self.definition.latency.runtime)()
        self._reference_run: Run | None = None
        self._reference = self.definition.space.mobilenet_v2()
        self.proxy_key = self.archive.add_context(self._proxy_context())
        self.device_key = self.archive.add_context(self._device_context())

    def _proxy_context(self) -> dict[str, Any]:
        return {
            "data": self.dataset.fingerprint,
            "augment": list(self.definition.data.augment),
            "training": self.definition.training.model_dump(mode="json"),
            "device": choose_device(self.device),
        }

    def _device_context(self) -> dict[str, Any]:
        latency = self.definition.latency
        return {
            "runtime": latency.runtime,
            "version": self._runtime.version(),
            "threads": latency.threads,
            "shape": [latency.batch, self.dataset.channels, *[self.definition.latency_resolution] * 2],
            "classes": len(self.dataset.classes),
            "reference": str(self._reference),
            "target": "local",
            "processor": processor(),
            "host": describe_machine()["host"],
        }

    def known(self, architecture: Architecture) -> Evaluation:
        """What the archive has of an architecture."""
        return self.archive.evaluation(self.proxy_key, self.device_key, architecture)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Evaluation]:
        """Evaluate what is not known yet; returns one evaluation per architecture, in their order."""
        distinct = list(dict.fromkeys(architectures))
        missing = [one for one in distinct if self.known(one).measurement is None]
        if missing:
            with self.spent.on("latency"):
                self._measure(missing)
        missing = [one for one in distinct if self.known(one).status == "stopped"]
        if missing:
            with self.spent.on("training"):
                for architecture, result in self.executor.run("train", missing, lambda: self.on_progress("training")):
                    self.archive.add_training(self.proxy_key, architecture, result)
                    self.on_progress("training")
        found = {one: self.known(one) for one in distinct}
        return [found[architecture] for architecture in architectures]

    def _measure(self, architectures: list[Architecture]) -> None:
        prepared: dict[Architecture, tuple[Cost, Prepared]] = {}
        jobs = self.executor.run("prepare", architectures, lambda: self.on_progress("preparing"))
        for architecture, result in jobs:
            if isinstance(result, Failure):
                self.archive.add_measurement(self.device_key, architecture, result)
            else:
                prepared[architecture] = result
        for architecture in architectures:  # in the order of the asks, now that all workers are idle
            if architecture in prepared:
                self.on_progress("measuring")
                measured = self._time(*prepared.pop(architecture))
                self.archive.add_measurement(self.device_key, architecture, measured)

    def _time(self, cost: Cost, prepared: Prepared) -> Measurement | Failure:
        reference = self._reference_runner()
        try:
            candidate = checked_runner(self._runtime, prepared, self.definition.latency.threads)
            ratio = compare(candidate, reference)
        except Exception as error:
            return Failure.of(error)
        scale = self.reference_latency_ms
        interval = ratio.low * scale, ratio.high * scale
        return Measurement(cost, ratio.ratio * scale, *interval, ratio.ratio, ratio.samples, ratio.seconds)

    def _reference_runner(self) -> Run:
        """The reference network in the runtime; calibrated the first time that a machine meets it."""
        if self._reference_run is None:
            [(_, outcome)] = self.executor.run("prepare", [self._reference], lambda: None)
            if isinstance(outcome, Failure):
                raise RuntimeError(f"the reference network cannot be prepared: {outcome.message}")
            _, prepared = outcome
            self._reference_run = checked_runner(self._runtime, prepared, self.definition.latency.threads)
            if self.archive.calibration(self.device_key) is None:
                self.archive.add_calibration(self.device_key, calibrate(self._reference_run))
        return self._reference_run

    @property
    def reference_latency_ms(self) -> float:
        """The reference network's calibrated latency.

        Raises:
            LookupError: Nothing was measured on this device yet.
        """
        calibration = self.archive.calibration(self.device_key)
        if calibration is None:
            raise LookupError("the reference network has not been calibrated on this device yet")
        return calibration.latency_ms


def describe_environment() -> dict[str, Any]:
    """Machine and versions, as they stand in run.json."""
    return {"versions": describe_versions(), "machine": describe_machine()}
