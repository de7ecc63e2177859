"""LiteRT files that take images of any size, or any number of them.

No size is a value of the graph here: the numbers of the rows are a running sum of ones that have the length of a side.
So all shapes are known as soon as the interpreter has resized its input, and XNNPACK runs what it can.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from evomnas.data.photographs import Preprocessing
from evomnas.deploy.formats.any_size.sampling import Calculator, Side, sampling_matrices
from evomnas.latency.runtimes.litert_graph import FILE_IDENTIFIER, LiteRTGraph, operator_code

ANY = -1
_KIND = schema.BuiltinOperator
_OPERATIONS = {
    "add": (_KIND.ADD, "AddOptions"),
    "subtract": (_KIND.SUB, "SubOptions"),
    "multiply": (_KIND.MUL, "MulOptions"),
    "divide": (_KIND.DIV, "DivOptions"),
    "minimum": (_KIND.MINIMUM, "MaximumMinimumOptions"),
    "maximum": (_KIND.MAXIMUM, "MaximumMinimumOptions"),
    "floor": (_KIND.FLOOR, ""),
    "rint": (_KIND.ROUND, ""),
    "absolute": (_KIND.ABS, "AbsOptions"),
}


def take_any(model: bytes, preprocessing: Preprocessing, any_size: bool, any_batch: bool) -> bytes:
    """Return a LiteRT file that takes images of any size, or any number of them.

    Args:
        model: A file with one graph, of one input and one output.
        preprocessing: The size of its images, and how those of other proportions get it.
        any_size: Whether it resizes its images itself.
        any_batch: Whether it takes any number of images.

    Returns:
        The content of the file.
    """
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    if any_size:
        _Front(content, preprocessing)
    if any_batch:
        _free_batch(content)
    builder = flatbuffers.Builder(len(model) + 2**16)
    builder.Finish(content.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _free_batch(content: Any) -> None:
    """Let a file take any number of images: no operation says how many there are."""
    graph = content.subgraphs[0]
    outputs = [graph.outputs[0]]
    for operator in graph.operators:
        kind = content.operatorCodes[operator.opcodeIndex].builtinCode
        if kind == _KIND.RESHAPE and graph.tensors[operator.inputs[0]].shape[0] == 1:
            shape = content.buffers[graph.tensors[operator.inputs[1]].buffer]
            sizes = shape.data.view(np.int32).copy()
            if sizes[0] == 1 and len(sizes) > 1:
                sizes[0] = ANY
                shape.data, operator.builtinOptions.newShape = sizes.view(np.uint8), sizes
        if kind == _KIND.SLICE:
            bound = content.buffers[graph.tensors[operator.inputs[2]].buffer]
            sizes = bound.data.view(np.int32).copy()
            sizes[0] = ANY  # all that is left
            bound.data = sizes.view(np.uint8)
            outputs.append(operator.outputs[0])  # which must have the shape that it says, or say none
    for place in (graph.inputs[0], *outputs):
        tensor = graph.tensors[place]
        signature = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        tensor.shapeSignature = np.array([ANY, *signature[1:]], dtype=np.int32)


class _Front(LiteRTGraph):
    """The operations that come before a network's first one, in the file that has the network."""

    def __init__(self, content: Any, preprocessing: Preprocessing) -> None:
        super().__init__()
        graph = content.subgraphs[0]
        self._tensors, self._buffers = graph.tensors, content.buffers
        self._codes = {code.builtinCode: place for place, code in enumerate(content.operatorCodes)}
        (height, width), channels = preprocessing.size, preprocessing.channels
        resized = int(graph.inputs[0])
        self._tensors[resized].name = b"resized"
        image = self.image(torch.empty(1, channels, height, width))
        self._tensors[image].shapeSignature = np.array([1, ANY, ANY, channels], dtype=np.int32)
        calculator = Calculator(self.constant, self._apply)
        sides = (self._side(image, 1, height), self._side(image, 2, width))
        rows, columns = sampling_matrices(calculator, *sides, preprocessing)
        shape = (1, channels, height, width)
        planes = self._transpose(image, (0, 3, 1, 2))
        product = self.operation(_KIND.BATCH_MATMUL, [rows, planes], shape, "BatchMatMulOptions")
        product = self.operation(_KIND.BATCH_MATMUL, [product, columns], shape, "BatchMatMulOptions", adjY=True)
        self.operation(_KIND.ROUND, [self._transpose(product, (0, 2, 3, 1))], self.shape(image))
        self._operators[-1].outputs = np.array([resized], dtype=np.int32)
        graph.operators = [*self._operators, *graph.operators]
        graph.inputs = np.array([image], dtype=np.int32)
        content.operatorCodes = [operator_code(kind) for kind in self._codes]
        for signature in content.signatureDefs:
            signature.inputs[0].tensorIndex = image

    def _side(self, image: int, place: int, size: int) -> Side[int]:
        """Return a side as the running sum of ones along it."""
        ends, shape = [1, 1, 1, 1], [1, 1, 1, 1]
        ends[place], shape[place] = 0, size  # all of that side, as the mask says
        bounds = [self._whole([0] * 4), self._whole(ends), self._whole([1] * 4)]
        line = self.operation(
            _KIND.STRIDED_SLICE, [image, *bounds], tuple(shape), "StridedSliceOptions", beginMask=15, endMask=1 << place
        )
        flat = np.array([ANY], dtype=np.int32)
        line = self.operation(_KIND.RESHAPE, [line, self._whole([ANY])], (size,), "ReshapeOptions", newShape=flat)
        zero, one = (self.constant(np.array([number], dtype=np.float32)) for number in (0, 1))
        ones = self._apply("add", self._apply("multiply", line, zero), one)
        axis = self.constant(np.array(0, dtype=np.int32))
        index = self.operation(_KIND.CUMSUM, [ones, axis], (size,), "CumsumOptions", exclusive=True)
        return Side(self._apply("sum", ones), index)

    def _transpose(self, value: int, order: tuple[int, ...]) -> int:
        shape = tuple(self.shape(value)[place] for place in order)
        return self.operation(_KIND.TRANSPOSE, [value, self._whole(list(order))], shape, "TransposeOptions")

    def _apply(self, name: str, *values: int) -> int:
        shapes = [self.shape(value) for value in values]
        if name == "sum":
            axis, shape = self._whole([len(shapes[0]) - 1]), (*shapes[0][:-1], 1)
            return self.operation(_KIND.SUM, [values[0], axis], shape, "ReducerOptions", keepDims=True)
        kind, options = _OPERATIONS[name]
        return self.operation(kind, list(values), np.broadcast_shapes(*shapes), options)

    def _whole(self, numbers: list[int]) -> int:
        return self.constant(np.array(numbers, dtype=np.int32))
