"""The feature maps of a detector: a network of the space as its backbone, and extra layers behind it."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from evomnas.networks.network import Layer, Network
from evomnas.problem.architecture import Block
from evomnas.problem.detection.plan import DetectorPlan

BN_EPSILON = 1e-3  # of extras and heads, as in both published SSDLites


def conv_bn_relu(in_filters: int, filters: int, kernel: int, bn_momentum: float, stride: int = 1) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU6, as SSDLite has it outside its backbone.

    Args:
        in_filters: Channels of the input.
        filters: Channels of the output.
        kernel: 1, or the size of a depthwise kernel; then `filters` equals `in_filters`.
        bn_momentum: The weight of the newest batch in the running statistics.
        stride: The stride.
    """
    groups = 1 if kernel == 1 else in_filters
    return nn.Sequential(
        nn.Conv2d(in_filters, filters, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(filters, eps=BN_EPSILON, momentum=bn_momentum),
        nn.ReLU6(inplace=True),
    )


class TappedLayer(nn.Module):
    """A layer of the backbone whose expansion is a feature map as well.

    It takes the place of a `Layer` and has its modules under the same names, so that the weights of a network fit.

    Attributes:
        body: The operation.
        skip: The module whose output is added to the operation's; None for no skip.
        expansion: The number of the operation's modules that belong to its expansion; 0 if it has none.
    """

    def __init__(self, layer: Layer, block: Block) -> None:
        """Take over the modules of a layer.

        Args:
            layer: The layer.
            block: The block that it belongs to.
        """
        super().__init__()
        self.body, self.skip = layer.body, layer.skip
        self.expansion = 3 if block.expansion > 1 else 0  # a 1x1 convolution, batch norm, activation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the layer.

        Args:
            x: Shape (n, in_filters, h, w).

        Returns:
            The expansion, or the input if there is none, shape (n, wide filters, h, w), and the layer's output, shape
            (n, filters, ceil(h / stride), ceil(w / stride)).
        """
        tap: Tensor = self.body[: self.expansion](x)
        y: Tensor = self.body[self.expansion :](tap)
        return tap, y if self.skip is None else y + self.skip(x)


class Features(nn.Module):
    """A backbone and the extra layers: from normalised images to feature maps.

    Attributes:
        stem: The backbone's first convolution.
        blocks: Its blocks; the tapped layer is a `TappedLayer`.
        head: Its last convolution.
        extras: The extra layers.
    """

    def __init__(self, network: Network, plan: DetectorPlan, bn_momentum: float) -> None:
        """Take over the modules of a network, but for its classifier, and create the extra layers.

        Args:
            network: A network of the plan's architecture. It cannot be used by itself any more.
            plan: The plan.
            bn_momentum: The weight of the newest batch in the running statistics of the extra layers.
        """
        super().__init__()
        self.stem, self.blocks, self.head = network.stem, network.blocks, network.head
        if plan.tapped is not None:
            number, layer_number, block, *_ = list(plan.architecture.layers())[plan.tapped]
            layers = cast(nn.Sequential, self.blocks[number - 1])
            layers[layer_number - 1] = TappedLayer(cast(Layer, layers[layer_number - 1]), block)
        filters = [plan.architecture.head, *plan.extras]
        self.extras = nn.ModuleList(
            nn.Sequential(
                conv_bn_relu(before, after // 2, 1, bn_momentum),
                conv_bn_relu(after // 2, after // 2, 3, bn_momentum, stride=2),
                conv_bn_relu(after // 2, after, 1, bn_momentum),
            )
            for before, after in pairwise(filters)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the feature maps.

        Args:
            x: Normalised images, shape (n, channels, h, w).

        Returns:
            The maps from the largest to the smallest, each of shape (n, filters, h, w).
        """
        maps, x = [], self.stem(x)
        for layer in self.layers():
            if isinstance(layer, TappedLayer):
                tap, x = layer(x)
                maps.append(tap)
            else:
                x = layer(x)
        maps.append(self.head(x))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps

    def layers(self) -> list[nn.Module]:
        """Return the layers of all blocks, from input to output."""
        return [layer for block in self.blocks for layer in cast(nn.Sequential, block)]
