"""Networks that are scored as the int8 files that would ship, in the runtime that measures them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

import numpy as np

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.latency.runtimes.base import Float32Array, QuantizingRuntime, open_runtime
from evomnas.problem.definition import ProblemDefinition

if TYPE_CHECKING:
    from torch import nn

    from evomnas.training.proxy_task import Quantize


def check_int8(name: str) -> None:
    """Check that a runtime has int8 files, and that what makes them is installed.

    Args:
        name: A registered runtime.

    Raises:
        InputError: It has none, or a package is missing.
    """
    kind = registry.load("runtimes", name)
    if not hasattr(kind, "quantizer"):
        able = [one for one in registry.available("runtimes") if hasattr(registry.load("runtimes", one), "quantizer")]
        raise InputError(f"evomnas makes no int8 files for the runtime {name}, but for {' and '.join(able)}")
    if find_spec(kind.quantizer) is None:
        raise InputError(f"int8 files for the runtime {name} need {kind.quantizer}: {kind.install}")


def quantizer_for(definition: ProblemDefinition) -> Quantize | None:
    """Return what makes int8 files of trained networks, in the runtime of a problem; None if they are scored in float.

    Args:
        definition: The problem.

    Raises:
        InputError: The runtime is not installed, or has no int8 files.
    """
    if definition.training.precision == "float":
        return None
    check_int8(definition.latency.runtime)
    runtime = cast(QuantizingRuntime, open_runtime(definition.latency.runtime))
    return lambda network, calibration: _quantize(runtime, network, calibration)


def _quantize(
    runtime: QuantizingRuntime, network: nn.Module, calibration: Float32Array
) -> Callable[[Float32Array], Float32Array]:
    """Return the function that a network's int8 file computes, image by image, as on the device."""
    import torch

    first = torch.from_numpy(calibration[:1])
    model = runtime.quantize(runtime.convert(network, first), np.split(calibration, len(calibration)))
    buffer = np.zeros_like(calibration[:1])
    run = runtime.load(model, buffer, 1)

    def compute(images: Float32Array) -> Float32Array:
        logits = []
        for image in images:
            buffer[0] = image  # the runtime reads its input anew at every run
            logits.append(run()[0].copy())
        return np.stack(logits)

    return compute
