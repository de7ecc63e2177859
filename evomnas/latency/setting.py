"""What is timed, and how."""

from __future__ import annotations

from dataclasses import dataclass

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.published import fit_to_resolution, published
from evomnas.problem.target import SshTarget, parse_target


@dataclass(frozen=True)
class Setting:
    """What a latency depends on beside the network: where it runs and what it is given.

    Attributes:
        runtime: A registered runtime.
        target: `local`, an ssh or a ray target, see `evomnas.latency.devices.factory`.
        threads: Threads that one inference may use.
        batch, channels, resolution: Of its images.
        classes: Logits per image.
        reference: The network that all are compared with.
        method: `network` measures networks whole, `layers` adds up a table of layers.
    """

    runtime: str
    target: str
    threads: int
    batch: int
    channels: int
    resolution: int
    classes: int
    reference: Architecture
    method: str = "network"

    def check(self) -> None:
        """Raise InputError where a runtime cannot run on the target, or by layers."""
        if isinstance(parse_target(self.target), SshTarget) and self.runtime != "onnxruntime":
            raise InputError(f"on {self.target} only the runtime onnxruntime can measure, not {self.runtime}")
        if self.method == "layers" and self.runtime == "torch":
            raise InputError("the runtime torch runs whole networks alone: latency.method = 'layers' needs another")


def problem_setting(definition: ProblemDefinition, classes: int, channels: int) -> Setting:
    """What a problem measures its candidates with."""
    latency = definition.latency
    return Setting(
        runtime=latency.runtime,
        target=latency.target,
        threads=latency.threads,
        batch=latency.batch,
        channels=channels,
        resolution=definition.latency_resolution,
        classes=classes,
        reference=definition.space.mobilenet_v2(),
        method=latency.method,
    )


def default_reference(resolution: int) -> Architecture:
    """MobileNetV2, with strides that images of `resolution` pixels allow: what is compared with by default."""
    return fit_to_resolution(published("mobilenet-v2"), resolution)
