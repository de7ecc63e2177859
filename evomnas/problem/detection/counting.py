"""Parameters and MACs of detectors in closed form.

What is counted is what `evomnas.problem.counting` counts, so that both figures of a network can be compared. Decoding
and suppression have no multiply-accumulates of convolutions, and are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from evomnas.problem.counting import Counts, count_convolution, count_gate_macs, count_parts
from evomnas.problem.detection.plan import DetectorPlan, FeatureMap


@dataclass(frozen=True, slots=True)
class DetectorCounts:
    """Parameters and MACs of a detector by its three parts, for one image.

    Attributes:
        backbone: The network without its classifier.
        extras: The extra layers.
        heads: The heads of all maps.
        gate_macs: The MACs of squeeze-and-excite, which the counts of the backbone leave out.
    """

    backbone: Counts
    extras: Counts
    heads: Counts
    gate_macs: int

    @property
    def params(self) -> int:
        """The parameters of the whole detector."""
        return (self.backbone + self.extras + self.heads).params

    @property
    def macs(self) -> int:
        """The MACs of the whole detector, those of squeeze-and-excite among them, as table 3 of the paper counts."""
        return (self.backbone + self.extras + self.heads).macs + self.gate_macs


def count_detector(plan: DetectorPlan, logits: int, channels: int = 3) -> DetectorCounts:
    """Count the parameters and MACs of a detector.

    Args:
        plan: Its plan.
        logits: The logits of each anchor: the number of classes, and one for the background.
        channels: Channels of the image.

    Returns:
        The counts of its parts.
    """
    without_classifier = count_parts(plan.architecture, 0, channels, plan.resolution)
    backbone = sum(without_classifier, Counts(0, 0))
    behind = plan.maps[len(plan.maps) - len(plan.extras) - 1 :]
    extras = sum((_count_extra(before, after) for before, after in pairwise(behind)), Counts(0, 0))
    heads = sum((_count_heads(feature_map, logits) for feature_map in plan.maps), Counts(0, 0))
    return DetectorCounts(backbone, extras, heads, count_gate_macs(plan.architecture))


def _count_extra(before: FeatureMap, after: FeatureMap) -> Counts:
    """Count the extra layer between two maps: 1x1, depthwise 3x3 with stride 2, 1x1."""
    middle = after.filters // 2
    reduce = count_convolution(before.filters, middle, 1, before.size)
    depthwise = count_convolution(middle, middle, 3, after.size, groups=middle)
    return reduce + depthwise + count_convolution(middle, after.filters, 1, after.size)


def _count_heads(feature_map: FeatureMap, logits: int) -> Counts:
    """Count the two heads of a map, each a depthwise 3x3 convolution and a biased 1x1 one without batch norm."""
    filters, size = feature_map.filters, feature_map.size
    total = Counts(0, 0)
    for outputs in (4 * feature_map.anchors, logits * feature_map.anchors):
        projection = count_convolution(filters, outputs, 1, size)
        unnormalised = Counts(projection.params - outputs, projection.macs)  # a bias in place of scale and shift
        total += count_convolution(filters, filters, 3, size, groups=filters) + unnormalised
    return total
