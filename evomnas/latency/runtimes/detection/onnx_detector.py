"""A detector as an ONNX file, written node by node: backbone, extra layers, heads, and decoding with constant anchors.

Suppression is a node of its own behind it, where it is wanted. Most runtimes of phones have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.latency.runtimes.detection.detector_graph import DECODING, DetectorGraph
from evomnas.latency.runtimes.onnx_graph import OnnxGraph, to_onnx
from evomnas.networks.detection.boxes import MAX_LOG_SIZE, PLACE_FACTOR, SIZE_FACTOR, Decoder
from evomnas.networks.detection.object_detector import JoinedAnswers, ObjectDetector
from evomnas.networks.detection.suppression import MAX_BOXES, MAX_OVERLAP, MIN_SCORE


def detector_to_onnx(network: ObjectDetector | JoinedAnswers, images: Tensor, suppress: bool = False) -> bytes:
    """Convert a detector to an ONNX file.

    Args:
        network: The detector in evaluation mode.
        images: An input, shape (n, channels, h, w). The file takes inputs of its shape only.
        suppress: Whether a third output says which boxes are left.

    Returns:
        The contents of the file. Its input is called `image`. The outputs of an `ObjectDetector` are `boxes`, shape
        (n, anchors, 4), and `scores`, shape (n, anchors, classes); with `suppress` also `kept`, int64, shape
        (m, 3): the numbers of image, class and anchor of each box that is left, for each class the surest first. The
        output of `JoinedAnswers` is `detections`.
    """
    graph = _DetectorGraph()
    plan, count = network.detector.plan, images.shape[0]
    with torch.no_grad():
        normalised = graph.module(network.normalise, "image") if isinstance(network, ObjectDetector) else "image"
        boxes, scores = graph.detector(network.detector, network.decoder, normalised)
    classes = network.detector.classes
    if isinstance(network, JoinedAnswers):
        joined = graph.concatenate([boxes, scores], 2)
        return graph.pack(list(images.shape), {"detections": (joined, [count, plan.boxes, 4 + classes])})
    outputs: dict[str, tuple[str, Sequence[int | str]]]
    outputs = {"boxes": (boxes, [count, plan.boxes, 4]), "scores": (scores, [count, plan.boxes, classes])}
    if suppress:
        outputs["kept"] = graph.suppression(boxes, scores), ["objects", 3]
    return graph.pack(list(images.shape), outputs, whole_numbers=["kept"])


def to_measured_onnx(network: nn.Module, images: Tensor) -> bytes:
    """Convert a network that is to be measured: a classifier, a part of one, or a detector.

    Args:
        network: The network in evaluation mode; a detector as `JoinedAnswers`.
        images: An input, shape (n, channels, h, w).

    Returns:
        The contents of the file.
    """
    return detector_to_onnx(network, images) if isinstance(network, JoinedAnswers) else to_onnx(network, images)


class _DetectorGraph(OnnxGraph, DetectorGraph[str]):
    """The graph of a detector; see `OnnxGraph` and `DetectorGraph`."""

    def concatenate(self, values: Sequence[str], axis: int) -> str:
        """See `DetectorGraph.concatenate`."""
        return self.node("Concat", list(values), axis=axis)

    def by_anchor(self, value: str, values: int) -> str:
        """Bring a map, (n, anchors x values, h, w), to rows, (n, h x w x anchors, values)."""
        channels_last = self.node("Transpose", [value], perm=[0, 2, 3, 1])
        return self.node("Reshape", [channels_last, self.constant(np.array([0, -1, values], dtype=np.int64))])

    def decoding(self, offsets: str, decoder: Decoder) -> str:
        """Add what `evomnas.networks.detection.boxes.decode` computes."""
        centres, sizes = decoder.anchors[:, :2], decoder.anchors[:, 2:]
        moves = self.step("Mul", self.part(offsets, 0, 2), sizes / PLACE_FACTOR)
        middles = self.step("Add", moves, centres)
        growth = self.step("Mul", self.part(offsets, 2, 4), np.array(1 / SIZE_FACTOR, dtype=np.float32))
        bounded = self.step("Min", growth, np.array(MAX_LOG_SIZE, dtype=np.float32))
        halves = self.step("Mul", self.step("Exp", bounded), sizes / 2)
        edges = self.step("Concat", self.step("Sub", middles, halves), self.step("Add", middles, halves), axis=2)
        return self.step("Clip", edges, *(np.array(bound, dtype=np.float32) for bound in (0, 1)))

    def scores(self, logits: str) -> str:
        """Add the probabilities of the classes, of which the first logit is none."""
        return self.part(self.step("Softmax", logits, axis=2), 1, np.iinfo(np.int64).max)

    def part(self, value: str, start: int, end: int) -> str:
        """Return some of the numbers of every row."""
        return self.step("Slice", value, *(np.array([bound], dtype=np.int64) for bound in (start, end, 2)))

    def suppression(self, boxes: str, scores: str) -> str:
        by_class = self.step("Transpose", scores, perm=[0, 2, 1])
        overlap, score = (np.array([share], dtype=np.float32) for share in (MAX_OVERLAP, MIN_SCORE))
        most = np.array([MAX_BOXES], dtype=np.int64)
        return self.step("NonMaxSuppression", boxes, by_class, most, overlap, score)

    def step(self, operation: str, *inputs: str | Tensor | NDArray[np.generic], **attributes: Any) -> str:
        """Add a node of the decoding; inputs that are no values are constants."""
        values = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        return self.node(operation, values, name=f"{DECODING}_{len(self.nodes)}", **attributes)
