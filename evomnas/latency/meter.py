"""Latencies of architectures on one device, all on the scale of one calibration.

Networks are compared with a reference network in interleaved rounds (`evomnas.latency.devices.protocol`). What that
network itself takes is measured once per machine, runtime and shape, and kept in this user's own archive of
the machine, so that all runs on a machine share one scale.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from evomnas.core.errors import InputError
from evomnas.core.machine import user_folder
from evomnas.latency.devices import protocol
from evomnas.latency.devices.factory import open_device
from evomnas.latency.runtimes.base import Prepared, open_runtime
from evomnas.latency.setting import Setting, default_reference
from evomnas.problem.architecture import Architecture
from evomnas.problem.target import LOCAL
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Failure, Measurement
from evomnas.results.timing import Calibration, Ratio

K = TypeVar("K")

TOGETHER = 20  # networks that are compared in the same rounds, and in memory at once,
TOGETHER_BYTES = 150 * 2**20  # or as many as take this much


class Meter:
    """Takes latencies on one device.

    Attributes:
        setting: Where and with what.
        key: The device's context in the archive.
    """

    def __init__(self, setting: Setting, prepare: Callable[[Architecture], Prepared], archive: Archive) -> None:
        """Reach the device.

        Args:
            setting: Where and with what.
            prepare: Makes the reference network ready for the runtime.
            archive: Keeps the calibration and what the device is.

        Raises:
            InputError: The device cannot be reached, or lacks the runtime.
        """
        setting.check()
        self.setting, self._prepare, self._archive = setting, prepare, archive
        self._device = open_device(setting.target, open_runtime(setting.runtime), setting.threads)
        self.context = self._context()
        self.key = archive.add_context(self.context)

    def _context(self) -> dict[str, Any]:
        setting = asdict(self.setting) | {"reference": str(self.setting.reference)}
        return setting | self._device.describe() | {"protocol": protocol.VERSION}

    @cached_property
    def _reference(self) -> Prepared:
        return self._prepare(self.setting.reference)

    @cached_property
    def calibration(self) -> Calibration:
        """What the reference network takes: from the archive, the machine's own archive, or measured now."""
        known = self._archive.calibration(self.key)
        if known is not None:
            return known
        known = self._store.calibration(self.key) or self._device.calibrate(self._reference)
        return self._archive.add_calibration(self.key, self._store.add_calibration(self.key, known))

    def measure(
        self,
        prepared: Mapping[K, tuple[Cost, Prepared]],
        on_wait: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[K, Measurement | Failure]]:
        """Measure networks, alone on the machine; yields each result as it comes.

        Args:
            prepared: Costs and the network in the runtime's format, by architecture or whatever names it.
            on_wait: Called where another process measures or trains at the moment.
        """
        scale = self.calibration.latency_ms
        for architecture, ratio in self.compare({one: made for one, (_, made) in prepared.items()}, on_wait):
            if isinstance(ratio, Failure):
                yield architecture, ratio
            else:
                yield architecture, _measurement(prepared[architecture][0], ratio, scale)

    def compare(
        self,
        prepared: Mapping[K, Prepared],
        on_wait: Callable[[], None] = lambda: None,
        time_limit_s: float = protocol.TIME_LIMIT_S,
        reference: Prepared | None = None,
    ) -> Iterator[tuple[K, Ratio | Failure]]:
        """Measure whatever was made ready, relative to the reference network or another; yields each as it comes."""
        compared = self._reference if reference is None else reference
        for batch in _batches({key: len(made.model) for key, made in prepared.items()}):
            missing = dict.fromkeys(batch)
            candidates = [prepared[key] for key in batch]
            try:
                for index, ratio in self._device.compare(candidates, compared, on_wait, time_limit_s):
                    del missing[batch[index]]
                    yield batch[index], ratio
            except InputError:
                raise
            except Exception as error:
                yield from ((key, Failure.of(error)) for key in missing)

    def layer(self, key: str) -> float | None:
        """What the device's layer table has under a key."""
        return self._store.layer(self.key, key)

    def add_layer(self, key: str, ratio: float) -> None:
        """Keep an entry of the device's layer table."""
        self._store.add_layer(self.key, key, ratio)

    @cached_property
    def _store(self) -> Archive:
        """What belongs to the machine rather than to a run: this user's archive of it, if there can be one."""
        shared = _machine_archive()
        if shared is None:
            return self._archive
        shared.add_context(self.context)
        return shared

    def close(self) -> None:
        """Leave the device."""
        self._device.close()


def _batches(sizes: Mapping[K, int]) -> Iterator[list[K]]:
    """Lists of at most `TOGETHER` keys and `TOGETHER_BYTES`, but of one key at least."""
    batch: list[K] = []
    room = TOGETHER_BYTES
    for key, size in sizes.items():
        if batch and (len(batch) == TOGETHER or size > room):
            yield batch
            batch, room = [], TOGETHER_BYTES
        batch.append(key)
        room -= size
    if batch:
        yield batch


def _measurement(cost: Cost, ratio: Ratio, scale: float) -> Measurement:
    return Measurement(
        cost=cost,
        latency_ms=ratio.ratio * scale,
        low_ms=ratio.low * scale,
        high_ms=ratio.high * scale,
        ratio=ratio.ratio,
        samples=ratio.samples,
        seconds=ratio.seconds,
        precise=ratio.precise,
        load=ratio.load,
    )


def machine_archive_path() -> Path:
    """Where this user's calibrations of the machine are."""
    return user_folder() / "machine.sqlite"


def _machine_archive() -> Archive | None:
    """This user's archive of the machine; None where the home folder cannot be written."""
    path = machine_archive_path()
    with contextlib.suppress(OSError, InputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        return Archive(path)
    return None


@contextmanager
def open_meter(
    setting: Setting, archive: Archive | None = None, prepare: Callable[[Architecture], Prepared] | None = None
) -> Iterator[Meter]:
    """Open a meter for a block; it leaves the device with the block.

    Args:
        setting: What is timed, where and with what.
        archive: Keeps the calibration, and what the device is; one in memory if None.
        prepare: Makes the reference network ready for the runtime; in this process if None.

    Yields:
        The meter.

    Raises:
        InputError: The device cannot be reached, or lacks the runtime.
    """

    def prepare_in_this_process(architecture: Architecture) -> Prepared:
        from evomnas.latency.prepare import prepare_here  # it imports torch

        return prepare_here(setting, architecture)[1]

    meter = Meter(setting, prepare or prepare_in_this_process, archive or Archive())
    try:
        yield meter
    finally:
        meter.close()


def measure_latency(
    architecture: Architecture,
    *,
    runtime: str = "onnxruntime",
    target: str = LOCAL,
    threads: int = 1,
    batch: int = 1,
    channels: int = 3,
    resolution: int = 224,
    classes: int = 1000,
    reference: Architecture | None = None,
) -> Measurement:
    """Measure the latency of one architecture, in milliseconds, with its interval and every sample.

    Args:
        architecture: What is built, with random weights.
        runtime: A registered runtime: `onnxruntime`, `executorch`, `torch`.
        target: `local`, `ssh://user@host:port` for another machine, `ray://NAME` for a node of a Ray cluster.
        threads: Threads that one inference may use.
        batch: Images per inference.
        channels: Channels of the images.
        resolution: Height and width of the images in pixels.
        classes: Number of logits.
        reference: The network that it is compared with; MobileNetV2 by default.

    Returns:
        The measurement.

    Raises:
        InputError: Wrong arguments, or a device that cannot be reached.
        RuntimeError: The network could not be measured.
    """
    from evomnas.latency.prepare import prepare_here  # it imports torch

    compared = default_reference(resolution) if reference is None else reference
    setting = Setting(runtime, target, threads, batch, channels, resolution, classes, compared)
    with open_meter(setting) as meter:
        [(_, result)] = meter.measure({architecture: prepare_here(setting, architecture)})
    if isinstance(result, Failure):
        raise RuntimeError(f"{architecture} could not be measured: {result.message}")
    return result
