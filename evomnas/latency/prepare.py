"""From an architecture to a network that a runtime can run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from evomnas.core.seeding import torch_generator
from evomnas.latency.runtimes.base import Prepared, Runtime, open_runtime
from evomnas.latency.setting import Setting
from evomnas.networks.torchvision_models import AnyNetwork, build_any_network
from evomnas.problem.architecture import Architecture
from evomnas.results.evaluation import Cost

if TYPE_CHECKING:
    from evomnas.networks.torchvision_models import AnyNetwork


def prepare_here(setting: Setting, network: AnyNetwork) -> tuple[Cost, Prepared]:
    """Costs of a network and itself in the setting's runtime, made in this process."""
    from evomnas.networks.torchvision_models import count_any_cost

    if isinstance(network, Architecture):
        network.check_resolution(setting.resolution)
    shape = setting.classes, setting.channels, setting.resolution
    runtime = open_runtime(setting.runtime)
    return count_any_cost(network, *shape), prepare(runtime, network, *shape, setting.batch)


PROBE_SEED = 0


def prepare(
    runtime: Runtime, network: AnyNetwork, classes: int, channels: int, resolution: int, batch: int = 1
) -> Prepared:
    """Build the network with random weights and convert it for the runtime.

    Its batch statistics are taken from random images first: without them the signal of a deep untrained
    network dies out, its logits say nothing and denormal numbers slow it down.
    """
    module = build_any_network(network, classes, channels, dropout=0.0, bn_momentum=1.0, seed=PROBE_SEED)
    with _probe(module, channels, resolution, batch) as images:
        return _converted(runtime, module, images)


def _converted(runtime: Runtime, module: nn.Module, images: torch.Tensor) -> Prepared:
    return Prepared(runtime.convert(module, images), images.numpy(), module(images).numpy())


@contextmanager
def _probe(network: nn.Module, channels: int, resolution: int, batch: int) -> Iterator[torch.Tensor]:
    """Images for a network with random weights, which is made ready for inference; in one thread."""
    generator = torch_generator(PROBE_SEED)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0  # of torchvision's networks, too
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            count = max(8, 256 // resolution)
            network.train()(torch.randn(count, channels, resolution, resolution, generator=generator))
            network.eval()
            yield torch.randn(batch, channels, resolution, resolution, generator=generator)
    finally:
        torch.set_num_threads(threads)
