"""A detector as a LiteRT file, written operation by operation: with decoding by constant anchors, without suppression.

Maps are channels-last there, so that the answers of a map need no transposition to become rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import Tensor

from evomnas.latency.runtimes.detection.detector_graph import DECODING, DetectorGraph
from evomnas.latency.runtimes.litert_graph import LiteRTGraph
from evomnas.networks.detection.boxes import MAX_LOG_SIZE, PLACE_FACTOR, SIZE_FACTOR, Decoder
from evomnas.networks.detection.object_detector import JoinedAnswers, ObjectDetector

_OPERATOR = schema.BuiltinOperator


def detector_to_litert(
    network: ObjectDetector | JoinedAnswers, images: Tensor, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Convert a detector to a LiteRT file.

    Args:
        network: The detector in evaluation mode.
        images: An input, shape (n, channels, h, w). The file takes inputs of its shape only.
        metadata: Texts by name that the file holds; None for none.

    Returns:
        The contents of the file. Its input `image` has the shape (n, h, w, channels). The outputs of an
        `ObjectDetector` are `boxes`, shape (n, anchors, 4), and `scores`, shape (n, anchors, classes); that of
        `JoinedAnswers` is `detections`.

    Raises:
        UnknownModule: The backbone has a module that cannot be written.
    """
    graph = _DetectorGraph()
    image = graph.image(images)
    with torch.no_grad():
        normalised = graph.module(network.normalise, image) if isinstance(network, ObjectDetector) else image
        boxes, scores = graph.detector(network.detector, network.decoder, normalised)
    if isinstance(network, JoinedAnswers):
        return graph.pack(image, {"detections": graph.concatenate([boxes, scores], 2)}, metadata or {})
    return graph.pack(image, {"boxes": boxes, "scores": scores}, metadata or {})


class _DetectorGraph(LiteRTGraph, DetectorGraph[int]):
    """The graph of a detector; see `LiteRTGraph` and `DetectorGraph`."""

    def by_anchor(self, value: int, values: int) -> int:
        """Bring a map, (n, h, w, anchors x values), to rows, (n, h x w x anchors, values)."""
        count, height, width, channels = self.shape(value)
        return self.reshape(value, (count, height * width * channels // values, values))

    def decoding(self, offsets: int, decoder: Decoder) -> int:
        """Add what `evomnas.networks.detection.boxes.decode` computes. Nothing but decoding follows."""
        self.prefix = f"{DECODING}_"
        centres, sizes = decoder.anchors[:, :2], decoder.anchors[:, 2:]
        moves = self.arithmetic("MUL", self.slice(offsets, 0, 2), sizes / PLACE_FACTOR)
        middles = self.arithmetic("ADD", moves, centres)
        growth = self.arithmetic("MUL", self.slice(offsets, 2, 2), torch.tensor(1 / SIZE_FACTOR))
        bounded = self.arithmetic("MINIMUM", growth, torch.tensor(MAX_LOG_SIZE))
        factors = self.operation(_OPERATOR.EXP, [bounded], self.shape(bounded), "ExpOptions")
        halves = self.arithmetic("MUL", factors, sizes / 2)
        edges = [self.arithmetic(kind, middles, halves) for kind in ("SUB", "ADD")]
        inside = self.arithmetic("MAXIMUM", self.concatenate(edges, 2), torch.tensor(0.0))
        return self.arithmetic("MINIMUM", inside, torch.tensor(1.0))

    def scores(self, logits: int) -> int:
        """Add the probabilities of the classes, of which the first logit is none."""
        shape = self.shape(logits)
        probabilities = self.operation(_OPERATOR.SOFTMAX, [logits], shape, "SoftmaxOptions", beta=1.0)
        return self.slice(probabilities, 1, shape[2] - 1)

    def arithmetic(self, kind: str, value: int, other: int | Tensor) -> int:
        """Add an operation on two values; a tensor is a constant that is repeated to the first one's shape."""
        options = {"MINIMUM": "MaximumMinimumOptions", "MAXIMUM": "MaximumMinimumOptions"}
        inputs = [value, self.constant(other) if isinstance(other, Tensor) else other]
        return self.operation(
            getattr(_OPERATOR, kind), inputs, self.shape(value), options.get(kind, f"{kind.capitalize()}Options")
        )

    def concatenate(self, values: Sequence[int], axis: int) -> int:
        """See `DetectorGraph.concatenate`."""
        if len(values) == 1:
            return values[0]
        shapes = np.array([self.shape(value) for value in values])
        shape = shapes[0].copy()
        shape[axis] = shapes[:, axis].sum()
        sizes = tuple(int(size) for size in shape)
        return self.operation(_OPERATOR.CONCATENATION, list(values), sizes, "ConcatenationOptions", axis=axis)
