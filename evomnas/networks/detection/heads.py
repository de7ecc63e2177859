"""The heads of a detector: what it says about every anchor of a feature map."""

from __future__ import annotations

from torch import Tensor, nn

from evomnas.networks.detection.features import conv_bn_relu
from evomnas.problem.detection.plan import FeatureMap


class Head(nn.Module):
    """The two heads of one feature map, each a depthwise convolution and a 1x1 one.

    Attributes:
        offsets: Makes the four numbers of a box from a map.
        logits: Makes the logits of the background and of the classes.
        outputs: The number of logits of an anchor.
    """

    def __init__(self, feature_map: FeatureMap, outputs: int, bn_momentum: float) -> None:
        """Create the heads.

        Args:
            feature_map: The map.
            outputs: The number of logits of an anchor: the classes and the background.
            bn_momentum: The weight of the newest batch in the running statistics.
        """
        super().__init__()
        filters, anchors = feature_map.filters, feature_map.anchors
        self.outputs = outputs
        self.offsets = self._predictor(filters, 4 * anchors, bn_momentum)
        self.logits = self._predictor(filters, outputs * anchors, bn_momentum)

    @staticmethod
    def _predictor(filters: int, outputs: int, bn_momentum: float) -> nn.Sequential:
        return nn.Sequential(conv_bn_relu(filters, filters, 3, bn_momentum), nn.Conv2d(filters, outputs, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answer for every anchor of a map, in the order of `evomnas.problem.detection.anchors.anchor_boxes`.

        Args:
            x: The map, shape (n, filters, h, w).

        Returns:
            The offsets, shape (n, boxes, 4), and the logits, shape (n, boxes, outputs).
        """
        return by_anchor(self.offsets(x), 4), by_anchor(self.logits(x), self.outputs)


def by_anchor(x: Tensor, values: int) -> Tensor:
    """Return what the channels of a map say as rows, one per anchor.

    Args:
        x: Shape (n, anchors x values, h, w).
        values: The numbers of an anchor.

    Returns:
        Shape (n, h x w x anchors, values).
    """
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)
