"""The interface of a device, and this machine as a device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, cast

from evomnas.core.errors import InputError
from evomnas.core.system import lock
from evomnas.core.system.machine import accelerator, describe_machine
from evomnas.latency.devices.protocol import (
    TIME_LIMIT_S,
    LoadedCopies,
    calibrate,
    choose_timer,
    compare,
    load_copies,
)
from evomnas.latency.runtimes.base import (
    CPU,
    Float32Array,
    PreparedNetwork,
    Runtime,
    check_output,
    installed_version,
)
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration, Ratio

IndexedResults = Iterator[tuple[int, "Ratio | Failure"]]  # a candidate's index, and its result


class Device(Protocol):
    """A runtime on a machine, which times networks relative to a reference network."""

    def describe(self) -> dict[str, str]:
        """Return what latencies on the device depend on: `host`, `processor`, and the runtime's `version`.

        Also `accelerator`, the name of the GPU, if it is not the CPU that runs the networks.
        """
        ...

    def calibrate(self, reference: PreparedNetwork) -> Calibration:
        """Measure the latency of the reference network itself.

        Waits for other measurements and trainings on the device.

        Args:
            reference: The reference network.

        Returns:
            Its latency in milliseconds, with all samples.

        Raises:
            InputError: The device cannot be reached, or its lock cannot be taken.
            RuntimeMismatch: The runtime computes other logits than PyTorch.
        """
        ...

    def compare(
        self,
        candidates: Sequence[PreparedNetwork],
        reference: PreparedNetwork,
        on_wait: Callable[[], None],
        time_limit_s: float,
    ) -> IndexedResults:
        """Measure candidates relative to the reference network.

        Waits for other measurements and trainings on the device.

        Args:
            candidates: The networks to measure.
            reference: The network with which each of them is compared.
            on_wait: Called each time when the device is busy with something else or is connected to again.
            time_limit_s: The time for each candidate in seconds.

        Yields:
            A candidate's index, and its ratio or why it could not be measured, as soon as it is known.

        Raises:
            InputError: The device cannot be reached, or its lock cannot be taken.
        """
        ...

    def close(self) -> None:
        """Leave the device. Nothing of ours stays behind on it."""
        ...


class LocalDevice:
    """This machine as a device."""

    def __init__(self, runtime: Runtime, threads: int) -> None:
        """Choose the runtime.

        Args:
            runtime: The runtime that runs the networks.
            threads: The threads that one inference may use.
        """
        self._runtime, self._threads = runtime, threads
        self._provider = getattr(runtime, "provider", CPU)
        self._timer = choose_timer(threads == 1 and runtime.in_caller)
        self._reference: tuple[PreparedNetwork, LoadedCopies] | None = None

    def describe(self) -> dict[str, str]:
        """See `Device.describe`."""
        machine = describe_machine()
        version = installed_version(self._runtime) or "unknown"
        described = {"host": str(machine["host"]), "processor": str(machine["processor"]), "version": version}
        return described if self._provider == CPU else described | {"accelerator": accelerator()}

    def _load(self, prepared: PreparedNetwork) -> LoadedCopies:
        images = prepared.images.view()
        images.flags.writeable = False  # a runtime with another order of the values need not look at them again
        copies = load_copies(partial(self._runtime.load, prepared.model, images, self._threads))
        check_output(self._runtime.name, cast(Float32Array, copies.inferences[0]()), prepared.logits)
        return copies

    def _load_reference(self, reference: PreparedNetwork) -> LoadedCopies:
        if self._reference is None or self._reference[0] is not reference:
            try:
                self._reference = reference, self._load(reference)
            except RuntimeError as error:
                if self._provider == CPU:
                    raise
                raise InputError(f"nothing can be measured on {self._provider}: {error}") from error
        return self._reference[1]

    def calibrate(self, reference: PreparedNetwork) -> Calibration:
        """See `Device.calibrate`."""
        copies = self._load_reference(reference)
        with locked_machine():
            return calibrate(copies, self._timer)

    def compare(
        self,
        candidates: Sequence[PreparedNetwork],
        reference: PreparedNetwork,
        on_wait: Callable[[], None],
        time_limit_s: float = TIME_LIMIT_S,
    ) -> IndexedResults:
        """See `Device.compare`."""
        loaded: dict[int, LoadedCopies] = {}
        for index, prepared in enumerate(candidates):
            try:
                loaded[index] = self._load(prepared)
            except Exception as error:
                yield index, Failure.of(error)
        indices, reference_copies = list(loaded), self._load_reference(reference)
        with locked_machine(on_wait):
            for position, ratio in compare(list(loaded.values()), reference_copies, self._timer, time_limit_s):
                yield indices[position], ratio

    def close(self) -> None:
        """Do nothing: nothing stays behind on this machine."""


@contextlib.contextmanager
def locked_machine(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold `lock.measuring` for a block.

    Args:
        on_wait: Called each time when the machine is busy with something else.

    Raises:
        InputError: The locks belong to another user.
    """
    try:
        lock.lock_folder()
    except OSError as error:
        raise InputError(f"cannot lock this machine for measuring: {error}") from None
    with lock.measuring(on_wait):
        yield
