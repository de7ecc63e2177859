"""What surrounds a stage of a network while it is timed by itself.

Alone, a stage is not what it is in a network: a runtime that works in a layout of its own turns the stage's input
and output over, and the fixed cost of a call is most of a small stage's time. So copies of the stage run side by
side in one call, each between a convolution that makes its input, in the runtime's layout, and one that reads a
single pixel of its output. The same without the stage is timed as well, and the difference counts. All copies behind
one convolution would share what a runtime does to their input, which showed in the errors of small networks.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from evomnas.core.seeding import torch_generator
from evomnas.latency.layers.stages import COPIES
from evomnas.networks.network import Parallel

SEED = 0


def surround(stage: nn.Module, value: Tensor, is_first: bool) -> tuple[nn.Module, Tensor]:
    """Copies of a stage in their surroundings, and the images (n, c, h, w) that go in.

    Args:
        stage: In evaluation mode; `nn.Identity` leaves the surroundings alone.
        value: The stage's input in its network.
        is_first: Whether this is the stem, which has nothing before it; its input stays what it is.
    """
    generator = torch_generator(SEED)
    output = stage(value)
    images = value if is_first else torch.randn(len(value), 1, *value.shape[2:], generator=generator)
    branches = []
    for _ in range(COPIES):
        before = [] if is_first else [_convolution(1, value.shape[1], 1, 1, generator)]
        channels = output.shape[1]
        after = [_convolution(channels, channels, output.shape[2], channels, generator)] if output.dim() == 4 else []
        inside = [] if isinstance(stage, nn.Identity) else [copy.deepcopy(stage)]
        branches.append(nn.Sequential(*before, *inside, *after))
    return Parallel(branches).eval(), images


def _convolution(inputs: int, outputs: int, stride: int, groups: int, generator: torch.Generator) -> nn.Conv2d:
    with torch.device("meta"):  # without torch's own initialisation, which would use the global generator
        made = nn.Conv2d(inputs, outputs, 1, stride, groups=groups, bias=False)
    made.to_empty(device="cpu")
    nn.init.normal_(made.weight, generator=generator)
    return made
