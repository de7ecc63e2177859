"""A device whose connection can be lost.

A lost connection is tried again. If the device is lost twice while the same network is loaded, that network fails and
the others go on.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from evomnas.core.errors import InputError
from evomnas.latency.devices.local import IndexedResults
from evomnas.latency.devices.protocol import TIME_LIMIT_S
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration

RETRY_PAUSES_S = (1.0, 3.0, 9.0, 27.0)  # before each attempt to connect to a lost device again


class ConnectionLost(Exception):
    """The device was lost while an answer was expected.

    Attributes:
        index: The index of the candidate that was loaded at that moment; None if it is not known.
    """

    index: int | None = None


@contextlib.contextmanager
def killed_after(process: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Kill a client, which ends its connection, if a block takes longer than a time.

    Args:
        process: The client.
        seconds: The time.
    """
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Close a client's streams, which ends its connection, and wait for its end; kill it if that takes 5 seconds.

    Args:
        process: The client.
    """
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            stream.close()  # type: ignore[union-attr]
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class RemoteDevice(ABC):
    """Another machine as a device. A subclass connects to it, and calibrates and compares on it."""

    def __init__(self) -> None:
        """Connect to the machine.

        Raises:
            InputError: It cannot be reached.
        """
        self._on_wait: Callable[[], None] = lambda: None
        self._suspects: set[int | None] = set()  # candidates at whose loading the device was lost in this comparison
        self._refusal = ""  # why the last attempt to connect failed
        self._is_given_up = False
        self._machine = self._connect()

    def describe(self) -> dict[str, str]:
        """See `Device.describe`."""
        return self._machine

    @abstractmethod
    def _connect(self) -> dict[str, str]:
        """Connect to the machine, or connect again, and return its description as `describe` does.

        Raises:
            InputError: The machine cannot be reached.
        """

    @abstractmethod
    def _calibrate(self, reference: PreparedNetwork) -> Calibration:
        """Do what `calibrate` does, once.

        Raises:
            ConnectionLost: The device was lost.
        """

    @abstractmethod
    def _compare(
        self, candidates: dict[int, PreparedNetwork], reference: PreparedNetwork, time_limit_s: float
    ) -> IndexedResults:
        """Do what `compare` does, once, for candidates by their index.

        Raises:
            ConnectionLost: The device was lost.
        """

    @abstractmethod
    def close(self) -> None:
        """See `Device.close`."""

    def calibrate(self, reference: PreparedNetwork) -> Calibration:
        """Measure the reference network itself; see `Device.calibrate`. A lost connection is tried again.

        Args:
            reference: The reference network.

        Returns:
            Its latency in milliseconds, with all samples.

        Raises:
            InputError: The connection stays lost.
        """
        pauses = list(RETRY_PAUSES_S)
        while True:
            try:
                return self._calibrate(reference)
            except ConnectionLost as error:
                if not self._reconnect(pauses):
                    raise InputError(self._describe_loss(error)) from None

    def compare(
        self,
        candidates: Sequence[PreparedNetwork],
        reference: PreparedNetwork,
        on_wait: Callable[[], None],
        time_limit_s: float = TIME_LIMIT_S,
    ) -> IndexedResults:
        """Measure candidates relative to the reference network; see `Device.compare`.

        A lost connection is tried again after each of `RETRY_PAUSES_S`. If it stays lost, the remaining candidates
        fail, since one of them may be the cause.

        Args:
            candidates: The networks to measure.
            reference: The network with which each of them is compared.
            on_wait: Called when the device is busy with something else, and before each attempt to connect again.
            time_limit_s: The time for each candidate in seconds.

        Yields:
            A candidate's index, and its ratio or why it could not be measured.

        Raises:
            InputError: The connection stayed lost in the comparison before, and is still lost.
        """
        self._on_wait = on_wait
        if self._is_given_up:
            self._connect()
            self._is_given_up = False
        self._suspects = set()
        waiting = dict(enumerate(candidates))
        pauses = list(RETRY_PAUSES_S)
        while waiting:
            try:
                for index, result in self._compare(waiting, reference, time_limit_s):
                    del waiting[index]
                    yield index, result
            except ConnectionLost as error:
                if error.index is not None and error.index in self._suspects:  # the same one for the second time
                    del waiting[error.index]
                    yield error.index, Failure("connection", f"{error} twice while this network was loaded")
                self._suspects.add(error.index)
                if not self._reconnect(pauses):
                    self._is_given_up = True
                    yield from ((index, Failure("connection", self._describe_loss(error))) for index in waiting)
                    return

    def _reconnect(self, pauses: list[float]) -> bool:
        """Return whether the machine could be reached again. Every attempt takes one pause off the list."""
        while pauses:
            self._on_wait()
            time.sleep(pauses.pop(0))
            try:
                self._connect()
                return True
            except InputError as refusal:
                self._refusal = f": {refusal}"
        return False

    def _describe_loss(self, error: ConnectionLost) -> str:
        return f"{error}, and {len(RETRY_PAUSES_S)} times it could not be taken up again{self._refusal}"
