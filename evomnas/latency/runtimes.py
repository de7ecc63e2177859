"""The interface of a runtime: make a network ready, prove that it computes the same, run it.

Getting ready happens anywhere, as often as one likes at a time; running happens alone. Register another
runtime as an entry point of the group `evomnas.runtimes`: a class without arguments that has the methods
of `Runtime`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from evomnas.architecture import Architecture
from evomnas.network import Network, build_network, torch_generator

Floats = NDArray[np.float32]
PROBE_SEED = 0
TOLERANCE = 1e-3  # largest difference of logits, relative to the largest logit


class RuntimeMismatch(ArithmeticError):
    """The runtime computes other logits than the network."""


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


def prepare(
    runtime: Runtime, architecture: Architecture, classes: int, channels: int, resolution: int, batch: int = 1
) -> Prepared:
    """Build the network with random weights and convert it for the runtime.

    Its batch statistics are taken from random images first: without them the signal of a deep untrained
    network dies out, its logits say nothing and denormal numbers slow it down.
    """
    generator = torch_generator(PROBE_SEED)
    network = build_network(architecture, classes, channels, bn_momentum=1.0, seed=PROBE_SEED)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            count = max(8, 256 // resolution)
            network.train()(torch.randn(count, channels, resolution, resolution, generator=generator))
            network.eval()
            images = torch.randn(batch, channels, resolution, resolution, generator=generator)
            logits = network(images)
            return Prepared(runtime.convert(network, images), images.numpy(), logits.numpy())
    finally:
        torch.set_num_threads(threads)


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
