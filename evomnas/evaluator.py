"""Architectures in, evaluations out: look up, prepare, measure alone, train, and keep each result at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from evomnas.architecture import Architecture
from evomnas.archive import Archive
from evomnas.data import Dataset
from evomnas.definition import ProblemDefinition
from evomnas.device import choose_device
from evomnas.evaluation import Cost, Evaluation, Failure, Measurement
from evomnas.executors import Executor
from evomnas.latency.runtimes import Prepared
from evomnas.layer_table import LayerTable, Parts
from evomnas.machine import describe_machine, describe_versions
from evomnas.meter import Meter, Setting


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
        on_progress: Called with `preparing`, `waiting`, `measuring` or `training` whenever something may have changed.
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
        latency = self.definition.latency
        setting = Setting(
            runtime=latency.runtime,
            target=latency.target,
            threads=latency.threads,
            batch=latency.batch,
            channels=self.dataset.channels,
            resolution=self.definition.latency_resolution,
            classes=len(self.dataset.classes),
            reference=self.definition.space.mobilenet_v2(),
            method=latency.method,
        )
        self.meter = Meter(setting, self._prepare_reference, self.archive)
        self._table = LayerTable(self.meter, self.definition.space, self._prepare, self._prepare_parts)
        self.device_key = self.meter.key
        self.proxy_key = self.archive.add_context(self._proxy_context())

    def _proxy_context(self) -> dict[str, Any]:
        return {
            "data": self.dataset.fingerprint,
            "augment": list(self.definition.data.augment),
            "training": self.definition.training.model_dump(mode="json"),
            "device": choose_device(self.device),
        }

    def _prepare_reference(self, reference: Architecture) -> Prepared:
        [(_, outcome)] = self.executor.run("prepare", [reference], lambda: None)
        if isinstance(outcome, Failure):
            raise RuntimeError(f"the reference network cannot be prepared: {outcome.message}")
        _, prepared = outcome
        return cast(Prepared, prepared)

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

    def _prepare(self, architectures: Sequence[Architecture]) -> Iterator[tuple[Architecture, Any]]:
        return self.executor.run("prepare", architectures, lambda: self.on_progress("preparing"))

    def _prepare_parts(self, parts: Sequence[Parts]) -> Iterator[tuple[Parts, Any]]:
        return self.executor.run("prepare_parts", parts, lambda: self.on_progress("preparing"))

    def _measure(self, architectures: list[Architecture]) -> None:
        results = self._add_up(architectures) if self.meter.setting.method == "layers" else self._time(architectures)
        for architecture, measured in results:
            self.archive.add_measurement(self.device_key, architecture, measured)
            self.on_progress("measuring")

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
        costs = dict(self.executor.run("cost", architectures, lambda: self.on_progress("preparing")))
        for architecture, measured in self._table.measure(architectures):
            result = costs[architecture]
            if isinstance(measured, Failure) or isinstance(result, Failure):
                yield architecture, measured if isinstance(measured, Failure) else result
            else:
                yield architecture, self._table.measurement(result, measured)

    def close(self) -> None:
        """Leave the device."""
        self.meter.close()


def describe_environment() -> dict[str, Any]:
    """Machine and versions, as they stand in run.json."""
    return {"versions": describe_versions(), "machine": describe_machine()}
