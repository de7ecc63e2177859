"""CondenseNet in its condensed form.

Huang et al., "CondenseNet: An Efficient DenseNet using Learned Group Convolutions", CVPR 2018, table 4: CondenseNet-74
with as many groups as its condensation, 4.8 million parameters with 4 and 2.9 million with 8. The indices, which
CondenseNet learns by pruning, are those of a shuffle in a new network; a state dict brings its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from evomnas.networks.channels import ChannelSelection, ChannelShuffle

_STAGES = ((4, 8), (6, 16), (8, 32), (10, 64), (8, 128))  # layers and growth
_BOTTLENECK = 4  # channels between a layer's two convolutions, relative to the growth
_KEPT = 2  # the classifier reads one of so many features


class _DenseLayer(nn.Module):
    """A layer whose output is put behind its input."""

    def __init__(self, in_filters: int, growth: int, groups: int) -> None:
        super().__init__()
        inner = _BOTTLENECK * growth
        self.body = nn.Sequential(
            ChannelSelection(in_filters, groups),
            nn.BatchNorm2d(in_filters),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_filters, inner, 1, groups=groups, bias=False),
            ChannelShuffle(inner, groups),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, growth, 3, padding=1, groups=groups, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


class CondenseNet(nn.Module):
    """CondenseNet-74."""

    index: Tensor

    def __init__(self, classes: int, channels: int, groups: int) -> None:
        """Create the network with weights of PyTorch's own initialisation.

        Args:
            classes: The number of logits.
            channels: The channels of the images.
            groups: The groups of all convolutions but the first, and the factor of the condensation.
        """
        super().__init__()
        filters = 2 * _STAGES[0][1]
        modules: list[nn.Module] = [nn.Conv2d(channels, filters, 3, stride=2, padding=1, bias=False)]
        for number, (layers, growth) in enumerate(_STAGES):
            modules += [nn.AvgPool2d(2, ceil_mode=True)] if number else []  # small images have odd sizes
            for _ in range(layers):
                modules.append(_DenseLayer(filters, growth, groups))
                filters += growth
        self.features = nn.Sequential(*modules, nn.BatchNorm2d(filters), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.register_buffer("index", torch.arange(0, filters, _KEPT))
        self.classifier = nn.Linear(filters // _KEPT, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits.

        Args:
            x: Normalised images, shape (n, channels, h, w).

        Returns:
            The logits, shape (n, classes).
        """
        features = self.pool(self.features(x)).flatten(1).index_select(1, self.index)
        logits: Tensor = self.classifier(features)
        return logits
