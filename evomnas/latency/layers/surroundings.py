"""The surroundings of a network's stage while it is timed alone.

A stage that runs alone takes another time than in a network. A runtime that uses a memory layout of its own has to
convert the stage's input and output, and for a small stage most of the time is the fixed cost of a call.

So several copies of the stage run side by side in one call. Each copy is between two convolutions: one makes its input,
in the runtime's own layout, and one reads a single pixel of its output. The same surroundings without the stage are
timed as well, and the difference is the stage's latency.

Each copy has a convolution of its own for its input. With a common one, the copies would share what the runtime does
to their input, which showed in the errors of small networks.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from evomnas.core.seeding import torch_generator
from evomnas.latency.layers.stages import STAGE_COPIES
from evomnas.networks.network import Parallel

WEIGHTS_SEED = 0  # of the surrounding convolutions


def surround(stage: nn.Module, value: Tensor, is_first: bool) -> tuple[nn.Module, Tensor]:
    """Put copies of a stage into surroundings.

    Args:
        stage: The stage in evaluation mode; `nn.Identity` for the surroundings without a stage.
        value: The stage's input in its network, shape (n, channels, h, w).
        is_first: True for the stem. It gets its own input, and no convolution before it.

    Returns:
        The module, and its input: random images of shape (n, 1, h, w), or `value` for the stem.
    """
    generator = torch_generator(WEIGHTS_SEED)
    output = stage(value)
    images = value if is_first else torch.randn(len(value), 1, *value.shape[2:], generator=generator)
    branches = []
    for _ in range(STAGE_COPIES):
        before = [] if is_first else [_random_convolution(1, value.shape[1], 1, 1, generator)]
        channels, is_image = output.shape[1], output.dim() == 4
        after = [_random_convolution(channels, channels, output.shape[2], channels, generator)] if is_image else []
        inside = [] if isinstance(stage, nn.Identity) else [copy.deepcopy(stage)]
        branches.append(nn.Sequential(*before, *inside, *after))
    return Parallel(branches).eval(), images


def _random_convolution(
    in_channels: int, out_channels: int, stride: int, groups: int, generator: torch.Generator
) -> nn.Conv2d:
    with torch.device("meta"):  # skips PyTorch's own initialisation, which would use the global generator
        convolution = nn.Conv2d(in_channels, out_channels, 1, stride, groups=groups, bias=False)
    convolution.to_empty(device="cpu")
    nn.init.normal_(convolution.weight, generator=generator)
    return convolution
