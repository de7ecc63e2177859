"""MobileNetV1.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017, table 1:
4.2 million parameters. Unlike in the depthwise separable convolutions of later networks, an activation follows the 1x1
convolution, too. Activations are ReLU6, as in the published code (tensorflow/models, research/slim).
"""

from __future__ import annotations

from torch import Tensor, nn

_STEM = 32
_LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def _conv_bn(in_filters: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(in_filters, filters, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(filters), nn.ReLU6(inplace=True)]


class MobileNetV1(nn.Module):
    """MobileNetV1 at full width."""

    def __init__(self, classes: int, channels: int) -> None:
        """Create the network with weights of PyTorch's own initialisation.

        Args:
            classes: The number of logits.
            channels: The channels of the images.
        """
        super().__init__()
        modules, inputs = _conv_bn(channels, _STEM, 3, 2), _STEM
        for filters, stride in _LAYERS:
            modules += [*_conv_bn(inputs, inputs, 3, stride, inputs), *_conv_bn(inputs, filters, 1)]
            inputs = filters
        self.features = nn.Sequential(*modules)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits.

        Args:
            x: Normalised images, shape (n, channels, h, w).

        Returns:
            The logits, shape (n, classes).
        """
        logits: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return logits
