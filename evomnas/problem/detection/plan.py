"""The plan of an SSDLite detector on an architecture: feature maps, extra layers and anchors per place.

The papers leave the construction open. This one gives the published sizes of both networks that have any, MnasNet-A1
and MobileNetV2 at 320 pixels:

- The first map is the expansion of the last layer with a stride (its 1x1 convolution, before the depthwise one), so it
  has the resolution from before the stride. A layer without an expansion is tapped at its input.
- The second map is the output of the network's head.
- Up to four extra layers halve the size, with 512, 256, 256 and 128 channels. They end with the first map of a single
  place: more of those would add weights and no new place. An architecture without strides in its blocks has the head's
  map as its first one.
- The first map has three anchors per place, all others six.

References:
    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, section 6.2.
    Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, table 3.
    The layers that are tapped are those of tensorflow/models, ssd_mobilenet_v2_feature_extractor.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, area, describe_resolution, divided, sides
from evomnas.problem.architecture import Architecture

MIN_PIXELS, MAX_PIXELS = 96, 512  # of a side of the images
EXTRA_FILTERS = (512, 256, 256, 128)  # output channels of the extra layers
FIRST_ANCHORS, ANCHORS = 3, 6  # per place: of the first map, and of each other one


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """One of the maps on which a detector looks for objects.

    Attributes:
        filters: Its channels.
        size: Its size in places.
        anchors: The anchors at each place.
    """

    filters: int
    size: Resolution
    anchors: int

    @property
    def boxes(self) -> int:
        """The number of its anchors at all places."""
        return self.anchors * area(self.size)


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """The construction of a detector.

    Attributes:
        architecture: The network that is its backbone.
        resolution: The size of the images in pixels.
        tapped: The number of the layer whose expansion is the first map, from 0 in the order of
            `Architecture.layers`; None if no layer has a stride.
        maps: The feature maps, from the largest to the smallest.
        extras: The output channels of the extra layers; they make the last `len(extras)` of the maps.
    """

    architecture: Architecture
    resolution: Resolution
    tapped: int | None
    maps: tuple[FeatureMap, ...]
    extras: tuple[int, ...]

    @property
    def boxes(self) -> int:
        """The number of all anchors, which is that of the boxes that the detector answers with."""
        return sum(feature_map.boxes for feature_map in self.maps)


def check_detector_resolution(resolution: Resolution) -> None:
    """Check a size of images before anything is read or loaded.

    Args:
        resolution: The size in pixels.

    Raises:
        InputError: The images are too small or too large for a detector.
    """
    if not all(MIN_PIXELS <= side <= MAX_PIXELS for side in sides(resolution)):
        raise InputError(
            f"a detector takes images of {MIN_PIXELS} to {MAX_PIXELS} pixels a side, "
            f"not {describe_resolution(resolution)}: choose another resolution"
        )


def plan_detector(architecture: Architecture, resolution: Resolution) -> DetectorPlan:
    """Plan a detector on an architecture.

    Args:
        architecture: The architecture of the backbone.
        resolution: The size of the images in pixels, for a network without a resolution of its own.

    Returns:
        The plan.

    Raises:
        InputError: The images are too small or too large, or the network has too many strides for them.
    """
    resolution = architecture.resolution or resolution
    check_detector_resolution(resolution)
    architecture.check_resolution(resolution)
    tapped, filters_and_sizes = _backbone_maps(architecture, resolution)
    extras = list(_extra_maps(filters_and_sizes[-1][1]))
    maps = tuple(
        FeatureMap(filters, size, ANCHORS if number else FIRST_ANCHORS)
        for number, (filters, size) in enumerate([*filters_and_sizes, *extras])
    )
    return DetectorPlan(architecture, resolution, tapped, maps, tuple(filters for filters, _ in extras))


def _backbone_maps(
    architecture: Architecture, resolution: Resolution
) -> tuple[int | None, list[tuple[int, Resolution]]]:
    """Return the number of the tapped layer, and channels and size of the maps that the backbone gives."""
    size = divided(resolution, architecture.stem_stride)
    tapped, tap = None, []
    for number, (_, _, block, in_filters, stride) in enumerate(architecture.layers()):
        if stride > 1:
            tapped, tap = number, [(in_filters * block.expansion, size)]
        size = divided(size, stride)
    return tapped, [*tap, (architecture.head, size)]


def _extra_maps(size: Resolution) -> Iterator[tuple[int, Resolution]]:
    """Yield channels and size of the maps of the extra layers, behind a map of some size."""
    for filters in EXTRA_FILTERS:
        if area(size) == 1:
            return
        size = divided(size, 2)
        yield filters, size
