"""The networks of this folder by their names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from evomnas.networks.references.condensenet import CondenseNet
from evomnas.networks.references.mobilenet_v1 import MobileNetV1
from evomnas.networks.references.nasnet import NASNetA

REFERENCES: dict[str, Callable[[int, int], nn.Module]] = {  # from the classes and the channels of the images
    "mobilenet_v1": MobileNetV1,
    "nasnet_a_mobile": NASNetA,
    "condensenet_74_4": partial(CondenseNet, groups=4),
    "condensenet_74_8": partial(CondenseNet, groups=8),
}
