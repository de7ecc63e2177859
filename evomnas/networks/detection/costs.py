"""Parameters and MACs of a built detector, layer by layer; `evomnas.networks.layer_costs` says what is counted."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from evomnas.core.resolution import Resolution, sides
from evomnas.networks.detection.detector import Detector
from evomnas.networks.detection.heads import Head
from evomnas.networks.layer_costs import LayerCost, count_module, layer_costs
from evomnas.networks.network import Network
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.plan import plan_detector


def detector_costs(architecture: Architecture, classes: int, channels: int, resolution: Resolution) -> list[LayerCost]:
    """Count a detector layer by layer. No weights are created.

    Args:
        architecture: The architecture of the backbone.
        classes: The number of classes, without the background.
        channels: The number of channels of the image.
        resolution: The image's size in pixels, for a network without a resolution of its own.

    Returns:
        The costs of the backbone without its classifier, of the extra layers, and of the heads. A head's shape is
        (boxes, numbers per box).

    Raises:
        InputError: The images do not suit; see `evomnas.problem.detection.plan.plan_detector`.
    """
    plan = plan_detector(architecture, resolution)
    with torch.device("meta"):
        network = Network(architecture, 1, channels, dropout=0.0, bn_momentum=0.1)
        detector = Detector(network, plan, classes, bn_momentum=0.1).eval()
    height, width = sides(plan.resolution)
    with torch.inference_mode():
        maps = detector.features(torch.empty(1, channels, height, width, device="meta"))
    rows = layer_costs(architecture, 1, channels, plan.resolution)[:-1]
    places = maps[len(maps) - len(plan.extras) - 1 :]
    for number, extra in enumerate(detector.features.extras, start=1):
        rows.append(_row(f"extra {number}", "conv k1, k3 s2, k1", extra, places[number - 1]))
    for number, (head, feature_map) in enumerate(zip(detector.heads, maps, strict=True), start=1):
        anchors = f"{plan.maps[number - 1].anchors} anchors"
        head = cast(Head, head)
        rows.append(_row(f"boxes {number}", f"dconv k3, {anchors}", head.offsets, feature_map, 4))
        rows.append(_row(f"classes {number}", f"dconv k3, {anchors}", head.logits, feature_map, head.outputs))
    return rows


def _row(name: str, operation: str, module: nn.Module, x: torch.Tensor, values: int | None = None) -> LayerCost:
    """Count a module for an input; the output's shape is told by boxes if each has a number of `values`."""
    with torch.inference_mode():
        output = module(x)
    cost = count_module(module, tuple(x.shape[1:]))
    shape = tuple(output.shape[1:]) if values is None else (output.numel() // values, values)
    return LayerCost(name, operation, shape, cost.params, cost.macs, cost.se_macs)
