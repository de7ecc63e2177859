"""The setting of a latency: the device, the runtime, and the images that networks get."""

from __future__ import annotations

from dataclasses import dataclass

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution
from evomnas.latency.quantization.scoring import check_int8
from evomnas.latency.runtimes.base import CPU
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.published import fit_to_resolution, published
from evomnas.problem.sections import FLOAT, Precision
from evomnas.problem.target import AdbTarget, SshTarget, parse_target

IMAGES = ProblemDefinition.kind  # the kind of problem that older versions knew


@dataclass(frozen=True)
class Setting:
    """The settings on which a latency depends beside the network. The archive stores them by their names.

    Attributes:
        runtime: A registered runtime.
        target: `local`, an ssh, adb or ray target, see `evomnas.latency.devices.factory`.
        threads: Threads that one inference may use.
        batch: Images per inference.
        channels: Channels of the images.
        resolution: The size of the images in pixels.
        classes: Logits per image.
        reference: The network that all networks are compared with.
        method: `network` to measure whole networks, `layers` to add up the entries of a table of layers.
        provider: What the runtime runs the networks on: `cpu`, or another provider that it has, such as `cuda`.
        precision: `float`, or `int8` for networks as int8 files.
        kind: The kind of problem whose networks these are, such as `images` or `detection`.
    """

    runtime: str
    target: str
    threads: int
    batch: int
    channels: int
    resolution: Resolution
    classes: int
    reference: Architecture
    method: str = "network"
    provider: str = CPU
    precision: Precision = FLOAT
    kind: str = IMAGES

    def check(self) -> None:
        """Check that the runtime can be used on the target, with the method and in the precision.

        Raises:
            InputError: It cannot, or the target is misspelt.
        """
        only = runtime_of(self.target)
        if only not in (None, self.runtime):
            raise InputError(f"on {self.target} only the runtime {only} can measure, not {self.runtime}")
        if isinstance(parse_target(self.target), AdbTarget) and self.provider != CPU:
            raise InputError(f"on {self.target} only the CPU can measure, not {self.provider}")
        if self.method == "layers" and self.runtime == "torch":
            raise InputError("the runtime torch runs whole networks alone: latency.method = 'layers' needs another")
        if self.precision == "int8":
            check_int8(self.runtime)
            if self.method == "layers":
                raise InputError(
                    "layers are added up in float alone: latency.precision = 'int8' measures whole networks"
                )


def runtime_of(target: str) -> str | None:
    """Return the only runtime that can measure on a target; None if there are several.

    Args:
        target: The target.

    Raises:
        InputError: The target is misspelt.
    """
    address = parse_target(target)
    if isinstance(address, SshTarget):
        return "onnxruntime"
    return "litert" if isinstance(address, AdbTarget) else None


def problem_setting(definition: ProblemDefinition, classes: int, channels: int) -> Setting:
    """Return the setting by which a problem measures its candidates.

    Args:
        definition: The problem.
        classes: Number of classes of its images.
        channels: Channels of its images.

    Returns:
        The setting; the reference is MobileNetV2 as the problem's search space has it.
    """
    latency = definition.latency
    return Setting(
        runtime=latency.runtime,
        target=latency.target,
        threads=latency.threads,
        batch=latency.batch,
        channels=channels,
        resolution=definition.latency_resolution,
        classes=classes,
        reference=definition.space.reference_network(),
        method=latency.method,
        provider=latency.provider,
        precision=latency.precision,
        kind=definition.kind,
    )


def default_reference(resolution: Resolution) -> Architecture:
    """Return the reference network where none is named: MobileNetV2, with strides that suit the images.

    Args:
        resolution: The size of the images in pixels.

    Returns:
        MobileNetV2, with fewer strides if it would reduce such images to less than a pixel.
    """
    return fit_to_resolution(published("mobilenet-v2"), resolution)
