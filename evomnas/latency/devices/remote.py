"""A device that can be lost in the middle: it is tried again, and a network that ends it twice fails alone."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from evomnas.core.errors import InputError
from evomnas.latency.devices.local import Measured
from evomnas.latency.devices.protocol import TIME_LIMIT_S
from evomnas.latency.runtimes.base import Prepared
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration

RETRIES_S = (1.0, 3.0, 9.0, 27.0)  # pauses before a lost device is tried again


class ConnectionLost(Exception):
    """The device was lost while an answer was expected; `index` is the candidate that was being loaded, if known."""

    index: int | None = None


class RemoteDevice(ABC):
    """Another machine."""

    def __init__(self) -> None:
        self._on_wait: Callable[[], None] = lambda: None
        self._suspects: set[int | None] = set()  # candidates with which it was lost in this comparison
        self._refusal = ""  # why it could not be reached again
        self._is_given_up = False
        self._machine = self._connect()

    def describe(self) -> dict[str, str]:
        """`host`, `processor`, and `version` of the runtime."""
        return self._machine

    @abstractmethod
    def _connect(self) -> dict[str, str]:
        """Reach the machine, again if need be; what it is. Raises InputError where it cannot be reached."""

    @abstractmethod
    def _calibrate(self, reference: Prepared) -> Calibration:
        """`calibrate`, or ConnectionLost."""

    @abstractmethod
    def _compare(self, candidates: dict[int, Prepared], reference: Prepared, time_limit_s: float) -> Measured:
        """`compare`, or ConnectionLost."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""

    def calibrate(self, reference: Prepared) -> Calibration:
        """Time the reference network itself."""
        pauses = list(RETRIES_S)
        while True:
            try:
                return self._calibrate(reference)
            except ConnectionLost as error:
                if not self._reconnect(pauses):
                    raise InputError(self._gave_up(error)) from None

    def compare(
        self,
        candidates: Sequence[Prepared],
        reference: Prepared,
        on_wait: Callable[[], None],
        time_limit_s: float = TIME_LIMIT_S,
    ) -> Measured:
        """Time candidates relative to the reference, alone; a lost connection is tried again after each of `RETRIES_S`.

        Where it stays lost, the candidates that are left fail: a device may be lost by what it was given.

        Raises:
            InputError: It stayed lost the last time, and still is.
        """
        self._on_wait = on_wait
        if self._is_given_up:
            self._connect()
            self._is_given_up = False
        self._suspects = set()
        waiting = dict(enumerate(candidates))
        pauses = list(RETRIES_S)
        while waiting:
            try:
                for index, result in self._compare(waiting, reference, time_limit_s):
                    del waiting[index]
                    yield index, result
            except ConnectionLost as error:
                if error.index is not None and error.index in self._suspects:  # twice lost by the same network
                    del waiting[error.index]
                    yield error.index, Failure("connection", f"{error} twice while this network was loaded")
                self._suspects.add(error.index)
                if not self._reconnect(pauses):
                    self._is_given_up = True
                    yield from ((index, Failure("connection", self._gave_up(error))) for index in waiting)
                    return

    def _reconnect(self, pauses: list[float]) -> bool:
        while pauses:
            self._on_wait()
            time.sleep(pauses.pop(0))
            try:
                self._connect()
                return True
            except InputError as refusal:
                self._refusal = f": {refusal}"
        return False

    def _gave_up(self, error: ConnectionLost) -> str:
        return f"{error}, and {len(RETRIES_S)} times it could not be taken up again{self._refusal}"
