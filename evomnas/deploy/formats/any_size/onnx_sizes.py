"""ONNX files that take images of any size, or any number of them."""

from __future__ import annotations

import numpy as np
import onnx

from evomnas.data.photographs import Preprocessing
from evomnas.deploy.formats.any_size.sampling import Calculator, Side, sampling_matrices
from evomnas.latency.runtimes.onnx_graph import OnnxGraph

BATCH, HEIGHT, WIDTH = "batch", "height", "width"  # the names of the sizes that are not fixed
RESIZED = "resized"
_OPERATIONS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "minimum": "Min", "maximum": "Max",
    "floor": "Floor", "rint": "Round", "absolute": "Abs",
}  # fmt: skip


def any_batch(model: onnx.ModelProto) -> None:
    """Let a file take any number of images.

    Args:
        model: The file, which is changed. It has one input and one output, whose first size is the number of images.
    """
    del model.graph.value_info[:]  # which says how large the values in between are
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def any_size(model: onnx.ModelProto, preprocessing: Preprocessing) -> None:
    """Let a file resize its images itself.

    Args:
        model: The file, which is changed. Its input is called `image`.
        preprocessing: The size of its images, and how those of other proportions get it.
    """
    front = _Front(preprocessing)
    for node in model.graph.node:
        node.input[:] = [front.output if name == "image" else name for name in node.input]
    nodes = [*front.nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(front.constants)
    shape = model.graph.input[0].type.tensor_type.shape
    shape.dim[2].dim_param, shape.dim[3].dim_param = HEIGHT, WIDTH


class _Front(OnnxGraph):
    """The nodes that come before a network's first one."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__(f"{RESIZED}/")
        shape = self.node("Shape", ["image"])
        calculator = Calculator(self.constant, self._apply)
        rows, columns = sampling_matrices(calculator, self._side(shape, 2), self._side(shape, 3), preprocessing)
        resized = self.node("MatMul", [rows, "image"])
        resized = self.node("MatMul", [resized, self.node("Transpose", [columns], perm=[1, 0])])
        self.output = self.node("Round", [resized])

    def _side(self, shape: str, place: int) -> Side[str]:
        length = self.node("Gather", [shape, self.constant(np.array([place], dtype=np.int64))])
        number = self.node("Cast", [length], to=onnx.TensorProto.FLOAT)
        start, step = (self.constant(np.array(bound, dtype=np.float32)) for bound in (0, 1))
        return Side(number, self.node("Range", [start, self.node("Squeeze", [number]), step]))

    def _apply(self, name: str, *values: str) -> str:
        if name == "sum":
            return self.node("ReduceSum", [*values, self.constant(np.array([-1], dtype=np.int64))], keepdims=1)
        return self.node(_OPERATIONS[name], list(values))
