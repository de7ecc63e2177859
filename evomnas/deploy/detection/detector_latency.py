"""The latency of detectors: backbone, extra layers, heads and decoding, without suppression.

What suppression takes depends on the image, and on the code that does it on a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from evomnas.core.resolution import Resolution, format_resolution
from evomnas.latency.meter import open_meter
from evomnas.latency.prepare import prepare_detector
from evomnas.latency.runtimes.base import open_runtime
from evomnas.latency.setting import Setting, problem_setting
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.plan import plan_detector
from evomnas.results.evaluation import Failure
from evomnas.results.run import Run


@dataclass(frozen=True, slots=True)
class DetectorLatency:
    """A measured latency.

    Attributes:
        latency_ms: The latency in milliseconds.
        low_ms: The lower end of its 95 % interval.
        high_ms: The upper end of its 95 % interval.
        setting: Runtime, threads and device, in words.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    setting: str


def measure_detectors(
    run: Run,
    architectures: list[Architecture],
    classes: int,
    channels: int,
    resolution: Resolution,
    say: Callable[[str], None],
) -> Mapping[Architecture, DetectorLatency | str]:
    """Measure the detectors of architectures with random weights, on the device on which a run measures.

    Args:
        run: The run.
        architectures: The backbones.
        classes: The number of classes, without the background.
        channels: The channels of the images.
        resolution: The size of the images in pixels, for networks without a resolution of their own.
        say: Called with words about what is done.

    Returns:
        The latency of each, or why there is none.

    Raises:
        InputError: The device cannot be reached, or its runtime is not installed.
    """
    own = problem_setting(run.trained_problem(), classes, channels)
    setting = replace(own, resolution=resolution, method="network")
    setting.check()
    prepared, runtime = {}, open_runtime(setting.runtime, setting.provider)
    for architecture in architectures:
        say(f"{architecture.id}: preparing the measurement")
        prepared[architecture] = prepare_detector(
            runtime, architecture, setting.classes, setting.channels, setting.resolution, setting.batch
        )
    say("measuring latencies")
    found: dict[Architecture, DetectorLatency | str] = {}
    with open_meter(setting) as meter:
        scale_ms = meter.calibration.latency_ms
        for architecture, ratio in meter.compare(prepared, lambda: say("waiting for another training or latency")):
            found[architecture] = ratio.message if isinstance(ratio, Failure) else DetectorLatency(
                scale_ms * ratio.ratio, scale_ms * ratio.low, scale_ms * ratio.high, _describe(setting, architecture)
            )  # fmt: skip
    return found


def _describe(setting: Setting, architecture: Architecture) -> str:
    size = format_resolution(plan_detector(architecture, setting.resolution).resolution)
    threads = f"{setting.threads} thread{'s' * (setting.threads > 1)}"
    return f"{setting.runtime}, {threads}, batch {setting.batch}, {size} pixels, {setting.target}, without suppression"
