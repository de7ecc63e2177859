"""Networks with random weights in a runtime's own format, ready to be measured.

A latency does not depend on the values of the weights, so candidates are measured before they are trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from evomnas.core.resolution import Resolution, sides
from evomnas.core.seeding import torch_generator
from evomnas.latency.runtimes.base import PreparedNetwork, QuantizingRuntime, Runtime, open_runtime
from evomnas.latency.setting import Setting
from evomnas.networks.detection.detector import build_detector
from evomnas.networks.detection.object_detector import JoinedAnswers
from evomnas.networks.layer_costs import count_any_cost
from evomnas.networks.torchvision_models import AnyNetwork, build_any_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.counting import count_detector
from evomnas.problem.detection.definition import DetectionDefinition
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.sections import FLOAT, Precision
from evomnas.results.evaluation import Cost

PROBE_SEED = 0  # of the random weights and of the random images


def prepare_here(setting: Setting, network: AnyNetwork) -> tuple[Cost, PreparedNetwork]:
    """Count the costs of a network and convert it for the runtime of a setting, in this process.

    Args:
        setting: The runtime, and the shape of the images.
        network: An architecture or a network of torchvision's.

    Returns:
        Its costs for one image, and the network in the runtime's format.

    Raises:
        InputError: The architecture has too many strides for the resolution, or the runtime is not installed.
    """
    if isinstance(network, Architecture):
        network.check_resolution(setting.resolution)
    shape = setting.classes, setting.channels, setting.resolution
    runtime = open_runtime(setting.runtime)
    if setting.kind == DetectionDefinition.kind:
        assert isinstance(network, Architecture)
        return count_detector_cost(network, *shape), prepare_detector(runtime, network, *shape, setting.batch)
    return count_any_cost(network, *shape), prepare(runtime, network, *shape, setting.batch, setting.precision)


def prepare(
    runtime: Runtime,
    network: AnyNetwork,
    classes: int,
    channels: int,
    resolution: Resolution,
    batch: int = 1,
    precision: Precision = FLOAT,
) -> PreparedNetwork:
    """Build a network with random weights and convert it for a runtime.

    Its batch norm gets the statistics of random images first. Without them the signal of a deep untrained network dies
    out: its logits say nothing, and denormal numbers slow it down.

    Args:
        runtime: The runtime.
        network: An architecture or a network of torchvision's.
        classes: Number of logits.
        channels: Channels of the images.
        resolution: The size of the images in pixels, for a network without a resolution of its own.
        batch: Images per inference.
        precision: `int8` for an int8 file.

    Returns:
        The network in the runtime's format, with random images (batch, channels, h, w) and the logits
        (batch, classes) that PyTorch computes for them; for an int8 file those that the runtime computes here.
    """
    resolution = network.resolution or resolution
    module = build_any_network(network, classes, channels, dropout=0.0, bn_momentum=1.0, seed=PROBE_SEED)
    with probe_images(module, channels, resolution, batch) as images:
        prepared = convert_with_output(runtime, module, images)
    return prepared if precision == FLOAT else _quantized(cast(QuantizingRuntime, runtime), prepared)


def _quantized(runtime: QuantizingRuntime, prepared: PreparedNetwork) -> PreparedNetwork:
    model = runtime.quantize(prepared.model, [prepared.images])
    return PreparedNetwork(model, prepared.images, runtime.load(model, prepared.images, 1)().copy())


def count_detector_cost(architecture: Architecture, classes: int, channels: int, resolution: Resolution) -> Cost:
    """Return the costs of the detector on an architecture.

    Args:
        architecture: The architecture of the backbone.
        classes: The number of classes, without the background.
        channels: Channels of the images.
        resolution: The size of the images in pixels, for an architecture without a resolution of its own.
    """
    counts = count_detector(plan_detector(architecture, resolution), classes + 1, channels)
    return Cost(counts.params, counts.macs - counts.gate_macs, counts.gate_macs)


def prepare_detector(
    runtime: Runtime, architecture: Architecture, classes: int, channels: int, resolution: Resolution, batch: int = 1
) -> PreparedNetwork:
    """Build the detector on an architecture with random weights and convert it for a runtime.

    Decoding is part of it; the suppression of boxes is not, since its time depends on what is in an image.

    Args:
        runtime: The runtime.
        architecture: The architecture of the backbone.
        classes: The number of classes, without the background.
        channels: Channels of the images.
        resolution: The size of the images in pixels, for an architecture without a resolution of its own.
        batch: Images per inference.

    Returns:
        The detector in the runtime's format, with random images and the boxes and scores that PyTorch computes.
    """
    module = JoinedAnswers(
        build_detector(architecture, classes, resolution, channels, bn_momentum=1.0, seed=PROBE_SEED)
    )
    with probe_images(module, channels, architecture.resolution or resolution, batch) as images:
        return convert_with_output(runtime, module, images)


def convert_with_output(runtime: Runtime, module: nn.Module, images: torch.Tensor) -> PreparedNetwork:
    """Convert a module for a runtime, and compute in PyTorch what it should return there.

    Args:
        runtime: The runtime.
        module: A network or a part of one, in evaluation mode.
        images: Its input, shape (n, c, h, w).

    Returns:
        The module in the runtime's format, with the input and the output that PyTorch computes for it.
    """
    return PreparedNetwork(runtime.convert(module, images), images.numpy(), module(images).numpy())


@contextmanager
def probe_images(network: nn.Module, channels: int, resolution: Resolution, batch: int) -> Iterator[torch.Tensor]:
    """Give an untrained network the statistics of random images, and open a block in which it computes in one thread.

    Args:
        network: The network. Its batch norm layers are changed, and it is left in evaluation mode.
        channels: Channels of the images.
        resolution: The size of the images in pixels.
        batch: Number of images to yield.

    Yields:
        Random images for the network, shape (batch, channels, h, w).
    """
    generator = torch_generator(PROBE_SEED)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0  # torchvision's networks have a momentum of their own
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            size = sides(resolution)
            count = max(8, 256 // max(size))
            network.train()(torch.randn(count, channels, *size, generator=generator))
            network.eval()
            yield torch.randn(batch, channels, *size, generator=generator)
    finally:
        torch.set_num_threads(threads)
