"""What every device can do, and the first of them: this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, cast

from evomnas.core import lock
from evomnas.core.errors import InputError
from evomnas.core.machine import describe_machine
from evomnas.latency.devices.protocol import PROCESSOR, TIME_LIMIT_S, WALL, Copies, calibrate, compare, load_copies
from evomnas.latency.runtimes.base import Floats, Prepared, Runtime, check_output, installed_version
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration, Ratio

Measured = Iterator[tuple[int, "Ratio | Failure"]]


class Device(Protocol):
    """A runtime on a machine. Networks are compared with the `reference` that `calibrate` has timed."""

    def describe(self) -> dict[str, str]:
        """`host`, `processor`, and `version` of the runtime."""
        ...

    def calibrate(self, reference: Prepared) -> Calibration:
        """Time the reference network itself."""
        ...

    def compare(
        self, candidates: Sequence[Prepared], reference: Prepared, on_wait: Callable[[], None], time_limit_s: float
    ) -> Measured:
        """Time candidates relative to the reference, alone; yields (index, result) as each ends."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class LocalDevice:
    """This machine."""

    def __init__(self, runtime: Runtime, threads: int) -> None:
        self._runtime, self._threads = runtime, threads
        self._clock = PROCESSOR if threads == 1 and runtime.in_caller else WALL
        self._reference: tuple[Prepared, Copies] | None = None

    def describe(self) -> dict[str, str]:
        """`host`, `processor`, and `version` of the runtime."""
        machine = describe_machine()
        version = installed_version(self._runtime) or "unknown"
        return {"host": str(machine["host"]), "processor": str(machine["processor"]), "version": version}

    def _load(self, prepared: Prepared) -> Copies:
        copies = load_copies(partial(self._runtime.load, prepared.model, prepared.images, self._threads))
        check_output(self._runtime.name, cast(Floats, copies.runs[0]()), prepared.logits)
        return copies

    def _load_reference(self, reference: Prepared) -> Copies:
        if self._reference is None or self._reference[0] is not reference:
            self._reference = reference, self._load(reference)
        return self._reference[1]

    def calibrate(self, reference: Prepared) -> Calibration:
        """Time the reference network itself."""
        runs = self._load_reference(reference)
        with _alone():
            return calibrate(runs, self._clock)

    def compare(
        self,
        candidates: Sequence[Prepared],
        reference: Prepared,
        on_wait: Callable[[], None],
        time_limit_s: float = TIME_LIMIT_S,
    ) -> Measured:
        """Time candidates relative to the reference, alone; yields (index, result) as each ends."""
        runs: dict[int, Copies] = {}
        for index, prepared in enumerate(candidates):
            try:
                runs[index] = self._load(prepared)
            except Exception as error:
                yield index, Failure.of(error)
        indices, reference_runs = list(runs), self._load_reference(reference)
        with _alone(on_wait):
            for place, ratio in compare(list(runs.values()), reference_runs, self._clock, time_limit_s):
                yield indices[place], ratio

    def close(self) -> None:
        """Nothing stays behind anyway."""


@contextlib.contextmanager
def _alone(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`lock.measuring`, and a clear line where somebody else's file is in its way."""
    try:
        lock.lock_folder()
    except OSError as error:
        raise InputError(f"cannot lock this machine for measuring: {error}") from None
    with lock.measuring(on_wait):
        yield
