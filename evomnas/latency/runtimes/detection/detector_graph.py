"""A detector as a file, written module by module: the part that is the same in every format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar, cast

from torch import nn

from evomnas.networks.detection.boxes import Decoder
from evomnas.networks.detection.detector import Detector
from evomnas.networks.detection.features import Features, TappedLayer
from evomnas.networks.detection.heads import Head

DECODING = "decoding"  # the beginning of the names of what quantizers leave as it is
Value = TypeVar("Value")  # of a graph: a name in ONNX, a number in LiteRT


class DetectorGraph(ABC, Generic[Value]):
    """The way through a detector, behind normalised images. A format's graph of modules is its other base."""

    def detector(self, detector: Detector, decoder: Decoder, value: Value) -> tuple[Value, Value]:
        """Add a detector.

        Args:
            detector: The detector.
            decoder: Decodes its boxes.
            value: The normalised images.

        Returns:
            Its boxes and its scores.
        """
        maps = self._features(detector.features, value)
        answers = [self._head(cast(Head, head), place) for head, place in zip(detector.heads, maps, strict=True)]
        offsets, logits = (self.concatenate(list(parts), 1) for parts in zip(*answers, strict=True))
        return self.decoding(offsets, decoder), self.scores(logits)

    def _features(self, features: Features, value: Value) -> list[Value]:
        maps, value = [], self.module(features.stem, value)
        for layer in features.layers():
            if isinstance(layer, TappedLayer):
                tap, value = self._tapped_layer(layer, value)
                maps.append(tap)
            else:
                value = self.module(layer, value)
        maps.append(self.module(features.head, value))
        for extra in features.extras:
            maps.append(self.module(extra, maps[-1]))
        return maps

    def _tapped_layer(self, layer: TappedLayer, value: Value) -> tuple[Value, Value]:
        modules = list(layer.body)
        tap = self.sequence(modules[: layer.expansion], value)
        return tap, self.with_skip(layer.skip, value, self.sequence(modules[layer.expansion :], tap))

    def _head(self, head: Head, value: Value) -> tuple[Value, Value]:
        parts = (head.offsets, 4), (head.logits, head.outputs)
        offsets, logits = (self.by_anchor(self.module(part, value), values) for part, values in parts)
        return offsets, logits

    @abstractmethod
    def module(self, module: nn.Module, value: Value) -> Value:
        """Return the output of a module that is added.

        Args:
            module: The module.
            value: Its input.
        """

    @abstractmethod
    def sequence(self, modules: list[nn.Module], value: Value) -> Value:
        """Return the output of modules that are added one after another; of none, their input.

        Args:
            modules: The modules.
            value: Their input.
        """

    @abstractmethod
    def with_skip(self, skip: nn.Module | None, value: Value, output: Value) -> Value:
        """Return the output of a layer whose skip is added.

        Args:
            skip: The skip; None for none.
            value: The layer's input.
            output: The output of its operation.
        """

    @abstractmethod
    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """Return the join of values.

        Args:
            values: The values.
            axis: The axis along which they are joined.
        """

    @abstractmethod
    def by_anchor(self, value: Value, values: int) -> Value:
        """Return a map as rows, (n, h x w x anchors, values).

        Args:
            value: The map, in the order of the format.
            values: The numbers of each anchor.
        """

    @abstractmethod
    def decoding(self, offsets: Value, decoder: Decoder) -> Value:
        """Return the boxes, as `evomnas.networks.detection.boxes.decode` computes them.

        Args:
            offsets: The offsets of all anchors.
            decoder: Has the anchors.
        """

    @abstractmethod
    def scores(self, logits: Value) -> Value:
        """Return the probabilities of the classes, of which the first logit is none.

        Args:
            logits: The logits of all anchors.
        """
