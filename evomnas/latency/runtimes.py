"""The interface of a runtime: convert a network, prove that it computes the same, run it.

Converting happens anywhere, as often as one likes at a time; running happens alone. Register another
runtime as an entry point of the group `evomnas.runtimes`: a class without arguments that has the methods
of `Runtime`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from evomnas.evaluation import RuntimeMismatch

if TYPE_CHECKING:  # what measures needs no torch: only what makes networks ready does
    import torch

    from evomnas.network import Network

Floats = NDArray[np.float32]
TOLERANCE = 1e-3  # largest difference of logits, relative to the largest logit


@dataclass(frozen=True)
class Prepared:
    """A network in a runtime's own format, with an input and the logits that PyTorch gives for it."""

    model: bytes
    images: Floats
    logits: Floats


class Runtime(Protocol):
    """What runs a network on the device."""

    name: str

    def version(self) -> str:
        """The runtime's version, which is part of what a latency means."""
        ...

    def convert(self, network: Network, images: torch.Tensor) -> bytes:
        """The network in the runtime's format, for inputs of the shape of `images` (n, c, h, w)."""
        ...

    def load(self, model: bytes, images: Floats, threads: int) -> Callable[[], Floats]:
        """A function that runs the model once on `images` and returns its logits (n, classes)."""
        ...


def checked_runner(runtime: Runtime, prepared: Prepared, threads: int) -> Callable[[], Floats]:
    """The function that runs a prepared network once, after proof that its logits are the network's.

    Raises:
        RuntimeMismatch: They are not.
    """
    run = runtime.load(prepared.model, prepared.images, threads)
    logits = run()
    largest = float(np.abs(prepared.logits).max())
    difference = float(np.abs(logits - prepared.logits).max()) if logits.shape == prepared.logits.shape else np.inf
    if not difference <= TOLERANCE * max(largest, 1e-6):
        raise RuntimeMismatch(
            f"{runtime.name} computes other logits than PyTorch: they differ by {difference:.3g}, "
            f"the largest is {largest:.3g}"
        )
    return run
