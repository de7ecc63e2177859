"""The interface of a runtime: convert a network, run it, prove that it computes the same.

Converting happens anywhere, as often as one likes at a time; running happens alone. Register another
runtime as an entry point of the group `evomnas.runtimes`: a class without arguments that has the attributes
and methods of `Runtime`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.results.evaluation import RuntimeMismatch

if TYPE_CHECKING:  # what measures needs no torch: only what makes networks ready does
    import torch
    from torch import nn

Floats = NDArray[np.float32]
TOLERANCE = 1e-3  # largest difference of outputs, relative to the largest output


@dataclass(frozen=True)
class Prepared:
    """A network in a runtime's own format, with an input and the logits that PyTorch gives for it."""

    model: bytes
    images: Floats
    logits: Floats


class Runtime(Protocol):
    """What runs a network on the device.

    Attributes:
        name: As it is registered.
        package: The distribution whose version is the runtime's.
        install: The line that installs it.
        in_caller: Whether a run with one thread does all its work in the thread that calls it, so that this
            thread's processor time is the run's time.
    """

    name: str
    package: str
    install: str
    in_caller: bool

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """A `Network`, or a part of one, in the runtime's format, for inputs of the shape of `images`."""
        ...

    def load(self, model: bytes, images: Floats, threads: int) -> Callable[[], Floats]:
        """A function that runs the model once on `images` (n, c, h, w), as they are then, and returns its output."""
        ...


def open_runtime(name: str) -> Runtime:
    """The runtime of a name.

    Raises:
        InputError: It is not known or not installed.
    """
    runtime: Runtime = registry.load("runtimes", name)()
    if installed_version(runtime) is None:
        raise InputError(f"the runtime {name} is not installed: {runtime.install}")
    return runtime


def installed_version(runtime: Runtime) -> str | None:
    """The version of a runtime's package, which is part of what a latency means; None if it is missing."""
    try:
        return metadata.version(runtime.package)
    except metadata.PackageNotFoundError:
        return None


def check_output(runtime: str, output: Floats, expected: Floats) -> None:
    """Prove that a runtime computes what PyTorch computes.

    Raises:
        RuntimeMismatch: It does not.
    """
    largest = float(np.abs(expected).max())
    difference = float(np.abs(output - expected).max()) if output.shape == expected.shape else np.inf
    if not difference <= TOLERANCE * max(largest, 1e-6):
        raise RuntimeMismatch(
            f"{runtime} computes other logits than PyTorch: they differ by {difference:.3g}, "
            f"the largest is {largest:.3g}"
        )
