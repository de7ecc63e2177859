"""Parts of a network, made ready for a runtime."""

from __future__ import annotations

from torch import nn

from evomnas.latency.layers.stages import Parts
from evomnas.latency.layers.surroundings import surround
from evomnas.latency.prepare import PROBE_SEED, convert_with_output, probe_images
from evomnas.latency.runtimes.base import Prepared, Runtime
from evomnas.networks.network import build_network


def prepare_parts(
    runtime: Runtime, parts: Parts, classes: int, channels: int, resolution: int, batch: int = 1
) -> list[Prepared]:
    """Stages of a network in their surroundings, or these alone, converted for the runtime, in the order wanted."""
    prepared = []
    network = build_network(parts.architecture, classes, channels, bn_momentum=1.0, seed=PROBE_SEED)
    with probe_images(network, channels, resolution, batch) as value:
        for place, stage in enumerate(network.stages()):
            for inside, module in ((True, stage.eval()), (False, nn.Identity())):
                if (place, inside) in parts.wanted:
                    prepared.append(convert_with_output(runtime, *surround(module, value, is_first=place == 0)))
            value = stage(value)
    return prepared
