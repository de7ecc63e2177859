"""Converts parts of a network for a runtime."""

from __future__ import annotations

from torch import nn

from evomnas.core.resolution import Resolution
from evomnas.latency.layers.stages import Parts
from evomnas.latency.layers.surroundings import surround
from evomnas.latency.prepare import PROBE_SEED, convert_with_output, probe_images
from evomnas.latency.runtimes.base import PreparedNetwork, Runtime
from evomnas.networks.network import build_network


def prepare_parts(
    runtime: Runtime, parts: Parts, classes: int, channels: int, resolution: Resolution, batch: int = 1
) -> list[PreparedNetwork]:
    """Convert stages of a network in their surroundings, or the surroundings alone, for a runtime.

    Args:
        runtime: The runtime.
        parts: The architecture and its stages to convert.
        classes: The number of logits.
        channels: The channels of the images.
        resolution: The size of the images in pixels, for a network without a resolution of its own.
        batch: The number of images per inference.

    Returns:
        The converted parts, in the order of `Parts.selection`.
    """
    prepared, resolution = [], parts.architecture.resolution or resolution
    network = build_network(parts.architecture, classes, channels, bn_momentum=1.0, seed=PROBE_SEED)
    with probe_images(network, channels, resolution, batch) as value:
        for index, stage in enumerate(network.stages()):
            for has_stage, module in ((True, stage.eval()), (False, nn.Identity())):
                if (index, has_stage) in parts.selection:
                    prepared.append(convert_with_output(runtime, *surround(module, value, is_first=index == 0)))
            value = stage(value)
    return prepared
