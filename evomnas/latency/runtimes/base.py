"""The interface of a runtime: it converts networks and runs them. Its output is compared with PyTorch's.

Several processes may convert networks at the same time, while timing is done by one at a time. Register another runtime
as an entry point of the group `evomnas.runtimes`: a class without arguments that has the attributes and methods of
`Runtime`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from evomnas.core import registry, requirements
from evomnas.core.errors import InputError
from evomnas.results.evaluation import RuntimeMismatch

if TYPE_CHECKING:  # measuring does not need torch; only converting does
    import torch
    from torch import nn

Float32Array = NDArray[np.float32]
CPU = "cpu"  # the provider that every runtime has
TOLERANCE = 1e-3  # the largest allowed difference of outputs, relative to the largest output


@dataclass(frozen=True)
class PreparedNetwork:
    """A network that is ready to be measured.

    Attributes:
        model: The network in the runtime's own format.
        images: An input, float32, shape (n, channels, h, w).
        logits: The output that PyTorch computes for it, float32, shape (n, classes). For a part of a network it is the
            part's output.
    """

    model: bytes
    images: Float32Array
    logits: Float32Array


class Runtime(Protocol):
    """A library that runs networks on a device.

    Attributes:
        name: The name under which it is registered.
        package: The installed package whose version is the runtime's.
        install: The command that installs it, for error messages.
        in_caller: True if an inference with one thread does all its work in the thread that calls it, so that this
            thread's processor time is the inference's time.

    A runtime whose `load` takes the content of any ONNX file says so with another attribute, `reads_onnx = True`. Then
    `evomnas measure` runs such files on it.

    A runtime that can also run networks on something else than the CPU has a static method `providers()`, which returns
    the names of what it can use here, and takes one of them as its argument `provider`. Its other providers may have a
    command that installs them in a dict `installs`.

    A runtime whose files can be made int8 is a `QuantizingRuntime`.
    """

    name: str
    package: str
    install: str
    in_caller: bool

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Convert a network, or a part of one, to the runtime's format.

        Args:
            network: The network in evaluation mode, on the CPU.
            images: An input; the model may be limited to inputs of its shape.

        Returns:
            The contents of a model file.
        """
        ...

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Load a model.

        Args:
            model: The contents of a model file, as `convert` returned them.
            images: The input, shape (n, channels, h, w). Each inference reads its current values, unless the array
                cannot be written to.
            threads: The threads that one inference may use.

        Returns:
            A function that runs the model once on the images and returns its output.
        """
        ...


class QuantizingRuntime(Runtime, Protocol):
    """A runtime whose files can be made int8.

    Attributes:
        quantizer: The module that makes them, which may be missing where the runtime is installed.
    """

    quantizer: str

    def quantize(self, model: bytes, calibration: Iterable[Float32Array]) -> bytes:
        """Make an int8 file of a float one.

        Args:
            model: The contents of a model file, as `convert` returned them.
            calibration: Inputs that show the range of the activations, each of the shape that the model takes.

        Returns:
            The contents of a model file that takes and returns float values as before.
        """
        ...


def open_runtime(name: str, provider: str = CPU) -> Runtime:
    """Return the runtime that is registered under a name.

    Args:
        name: The name, such as `onnxruntime`.
        provider: What runs the networks: `cpu`, or another provider of the runtime, such as `cuda`.

    Returns:
        The runtime.

    Raises:
        InputError: The runtime is unknown or not installed, or it has no such provider here.
    """
    kind = registry.load("runtimes", name)
    runtime: Runtime = kind()
    if installed_version(runtime) is None:
        raise InputError(f"the runtime {name} is not installed: {runtime.install}")
    if provider == CPU:
        return runtime
    providers = installed_providers(runtime)
    if provider not in providers:
        install = getattr(runtime, "installs", {}).get(provider)
        hint = f": {install}" if install else ""
        raise InputError(f"the runtime {name} cannot use {provider} here, only {', '.join(providers)}{hint}")
    return cast("Runtime", kind(provider=provider))


def installed_providers(runtime: Runtime) -> list[str]:
    """Return what a runtime can run networks on here.

    Args:
        runtime: The runtime, which is installed.

    Returns:
        The names of its providers; the first one is `cpu`.
    """
    providers = getattr(runtime, "providers", None)
    return [CPU] if providers is None else [CPU, *(name for name in providers() if name != CPU)]


def installed_version(runtime: Runtime) -> str | None:
    """Return the version of a runtime's package, on which latencies depend.

    Args:
        runtime: The runtime.

    Returns:
        The version, or None if the package is not installed.
    """
    return requirements.installed_version(runtime.package)


def check_output(runtime: str, output: Float32Array, expected: Float32Array) -> None:
    """Check that a runtime computes what PyTorch computes.

    Args:
        runtime: The runtime's name, for the message.
        output: The runtime's output.
        expected: PyTorch's output for the same input.

    Raises:
        RuntimeMismatch: The outputs differ in shape, or by more than `TOLERANCE`.
    """
    largest = float(np.abs(expected).max())
    difference = float(np.abs(output - expected).max()) if output.shape == expected.shape else np.inf
    if not difference <= TOLERANCE * max(largest, 1e-6):
        raise RuntimeMismatch(
            f"{runtime} computes other logits than PyTorch: they differ by {difference:.3g}, "
            f"the largest is {largest:.3g}"
        )
