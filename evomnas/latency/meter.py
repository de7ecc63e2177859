"""Latencies of architectures on one device, all on the scale of one calibration.

Networks are compared with a reference network in interleaved rounds (`evomnas.latency.devices.protocol`). The latency
of the reference network itself is the calibration. It is measured once per machine, runtime and shape, and it is stored
in the user's own archive of the machine. All runs on a machine therefore share one scale.

`open_meter` opens a meter for a block. `measure_latency` measures a single architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Any, TypeVar

from evomnas.core.arguments import Count, checked
from evomnas.core.errors import InputError
from evomnas.core.resolution import Pixels, normalised
from evomnas.latency.devices import protocol
from evomnas.latency.devices.factory import open_device
from evomnas.latency.machine_archive import open_machine_archive
from evomnas.latency.runtimes.base import CPU, PreparedNetwork
from evomnas.latency.setting import IMAGES, Setting, default_reference
from evomnas.problem.architecture import Architecture
from evomnas.problem.sections import FLOAT, Precision
from evomnas.problem.target import LOCAL
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Failure, Measurement
from evomnas.results.timing import Calibration, Ratio

K = TypeVar("K")  # the caller's names of the networks

BATCH_NETWORKS = 20  # as many networks are compared in the same rounds, and are in memory at once,
BATCH_BYTES = 150 * 2**20  # or as many as fit into this


class Meter:
    """A connection to one device, on which latencies are measured.

    Attributes:
        setting: The device, the runtime and the shape of the images.
        context: Everything that a latency depends on beside the network: the setting, the machine, the versions.
        key: The key of that context in the archive.
    """

    def __init__(self, setting: Setting, prepare: Callable[[Architecture], PreparedNetwork], archive: Archive) -> None:
        """Connect to the device.

        Args:
            setting: The device, the runtime and the shape of the images.
            prepare: Converts the reference network for the runtime. It is called when a latency is first measured.
            archive: The archive that gets the context and the calibration.

        Raises:
            InputError: The device cannot be reached, or lacks the runtime.
        """
        setting.check()
        self.setting, self._prepare, self._archive = setting, prepare, archive
        self._device = open_device(setting.target, setting.runtime, setting.threads, setting.provider)
        self.context = self._context()
        self.key = archive.add_context(self.context)

    def _context(self) -> dict[str, Any]:
        setting = asdict(self.setting) | {"reference": str(self.setting.reference)}
        if self.setting.provider == CPU:
            del setting["provider"]  # as before there were others
        if self.setting.precision == FLOAT:
            del setting["precision"]
        if self.setting.kind == IMAGES:
            del setting["kind"]  # likewise
        return setting | self._device.describe() | {"protocol": protocol.VERSION}

    @cached_property
    def _reference(self) -> PreparedNetwork:
        return self._prepare(self.setting.reference)

    @property
    def is_calibrated(self) -> bool:
        """Whether `calibration` need not be measured, since an archive has it."""
        archives = (self._archive, self._machine_archive)
        return any(archive.calibration(self.key) is not None for archive in archives)

    @cached_property
    def calibration(self) -> Calibration:
        """The latency of the reference network: from the archive, from the machine's archive, or measured now."""
        calibration = self._archive.calibration(self.key)
        if calibration is not None:
            return calibration
        calibration = self._machine_archive.calibration(self.key) or self._device.calibrate(self._reference)
        return self._archive.add_calibration(self.key, self._machine_archive.add_calibration(self.key, calibration))

    def measure(
        self,
        prepared: Mapping[K, tuple[Cost, PreparedNetwork]],
        on_wait: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[K, Measurement | Failure]]:
        """Measure networks while nothing else of evomnas measures or trains on the machine.

        Args:
            prepared: For each network, under its architecture or any other key, its costs and the network in the
                runtime's format.
            on_wait: Called if another process is measuring or training and this one has to wait.

        Yields:
            A key and the network's measurement, or why it failed, as soon as each is known. The order may differ from
            that of `prepared`.

        Raises:
            InputError: The connection to the device is lost.
        """
        scale_ms = self.calibration.latency_ms
        for key, ratio in self.compare({key: network for key, (_, network) in prepared.items()}, on_wait):
            yield key, ratio if isinstance(ratio, Failure) else _measurement(prepared[key][0], ratio, scale_ms)

    def compare(
        self,
        prepared: Mapping[K, PreparedNetwork],
        on_wait: Callable[[], None] = lambda: None,
        time_limit_s: float = protocol.TIME_LIMIT_S,
        reference: PreparedNetwork | None = None,
    ) -> Iterator[tuple[K, Ratio | Failure]]:
        """Measure networks or parts of networks, relative to a reference.

        Args:
            prepared: The networks in the runtime's format, under any keys.
            on_wait: Called if another process is measuring or training and this one has to wait.
            time_limit_s: Seconds that each network may take, loading included.
            reference: The network to compare with; the reference network of the setting if None.

        Yields:
            A key and the ratio network / reference, or why it failed, as soon as each is known.

        Raises:
            InputError: The connection to the device is lost.
        """
        reference = self._reference if reference is None else reference
        for batch in _batches({key: len(network.model) for key, network in prepared.items()}):
            missing = dict.fromkeys(batch)
            candidates = [prepared[key] for key in batch]
            try:
                for index, ratio in self._device.compare(candidates, reference, on_wait, time_limit_s):
                    del missing[batch[index]]
                    yield batch[index], ratio
            except InputError:
                raise
            except Exception as error:
                yield from ((key, Failure.of(error)) for key in missing)

    def layer(self, key: str) -> float | None:
        """Return an entry of the device's layer table.

        Args:
            key: The layer's key in the table.

        Returns:
            The entry, a latency relative to the reference network; None if the table has no such entry.
        """
        return self._machine_archive.layer(self.key, key)

    def add_layer(self, key: str, ratio: float) -> None:
        """Add an entry to the device's layer table.

        Args:
            key: The layer's key in the table.
            ratio: Its latency relative to the reference network.
        """
        self._machine_archive.add_layer(self.key, key, ratio)

    @cached_property
    def _machine_archive(self) -> Archive:
        """The archive of what belongs to the machine and not to a run; the run's archive if there can be no other."""
        shared = open_machine_archive()
        if shared is None:
            return self._archive
        shared.add_context(self.context)
        return shared

    def close(self) -> None:
        """Disconnect from the device."""
        self._device.close()


def _batches(sizes: Mapping[K, int]) -> Iterator[list[K]]:
    """Split keys into batches of at most `BATCH_NETWORKS` keys and `BATCH_BYTES`, but of at least one key."""
    batch: list[K] = []
    free_bytes = BATCH_BYTES
    for key, size in sizes.items():
        if batch and (len(batch) == BATCH_NETWORKS or size > free_bytes):
            yield batch
            batch, free_bytes = [], BATCH_BYTES
        batch.append(key)
        free_bytes -= size
    if batch:
        yield batch


def _measurement(cost: Cost, ratio: Ratio, scale_ms: float) -> Measurement:
    return Measurement(
        cost=cost,
        latency_ms=ratio.ratio * scale_ms,
        low_ms=ratio.low * scale_ms,
        high_ms=ratio.high * scale_ms,
        ratio=ratio.ratio,
        samples=ratio.samples,
        seconds=ratio.seconds,
        precise=ratio.precise,
        load=ratio.load,
    )


@contextmanager
def open_meter(
    setting: Setting, archive: Archive | None = None, prepare: Callable[[Architecture], PreparedNetwork] | None = None
) -> Iterator[Meter]:
    """Open a meter for a block, and disconnect from the device when the block ends.

    Args:
        setting: The device, the runtime and the shape of the images.
        archive: The archive that gets the context and the calibration; one in memory if None.
        prepare: Converts the reference network for the runtime; by `prepare_here`, in this process, if None.

    Yields:
        The meter.

    Raises:
        InputError: The device cannot be reached, or lacks the runtime.
    """

    def prepare_in_this_process(architecture: Architecture) -> PreparedNetwork:
        from evomnas.latency.prepare import prepare_here  # it imports torch

        return prepare_here(setting, architecture)[1]

    meter = Meter(setting, prepare or prepare_in_this_process, Archive() if archive is None else archive)
    try:
        yield meter
    finally:
        meter.close()


@checked
def measure_latency(
    architecture: Architecture,
    *,
    runtime: str = "onnxruntime",
    target: str = LOCAL,
    threads: Count = 1,
    batch: Count = 1,
    channels: Count = 3,
    resolution: Pixels = 224,
    classes: Count = 1000,
    reference: Architecture | None = None,
    provider: str = CPU,
    precision: Precision = FLOAT,
) -> Measurement:
    """Measure the latency of one architecture, in milliseconds, with its interval and every sample.

    Args:
        architecture: The network, such as `published("mnasnet-a1")`; it is built with random weights.
        runtime: A registered runtime: `onnxruntime`, `executorch`, `litert`, `ncnn`, `openvino`, `torch`.
        target: `local`, `ssh://user@host:port` for another machine, `adb://SERIAL` for an Android phone, `ray://NAME`
            for a node of a Ray cluster.
        threads: Threads that one inference may use.
        batch: Images per inference.
        channels: Channels of the images.
        resolution: The size of the images in pixels: one number for squares, or (height, width).
        classes: Number of logits.
        reference: The network that it is compared with; MobileNetV2 if None.
        provider: What the runtime runs it on: `cpu`, or another provider that it has, such as `cuda`.
        precision: `int8` measures an int8 file of the network.

    Returns:
        The measurement.

    Raises:
        InputError: An argument is wrong, or the device cannot be reached.
        RuntimeError: The network could not be measured.
    """
    from evomnas.latency.prepare import prepare_here  # it imports torch

    size = normalised(resolution)
    reference = default_reference(size) if reference is None else reference
    setting = Setting(
        runtime, target, threads, batch, channels, size, classes, reference, provider=provider, precision=precision
    )
    with open_meter(setting) as meter:
        [(_, result)] = meter.measure({architecture: prepare_here(setting, architecture)})
    if isinstance(result, Failure):
        raise RuntimeError(f"{architecture} could not be measured: {result.message}")
    return result
