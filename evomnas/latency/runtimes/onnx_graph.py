"""A `Network` as an ONNX file, written node by node.

PyTorch's exporters trace a module, which takes 0.2 to 7 s per network. A search needs hundreds of networks, but all of
them consist of the dozen modules of `evomnas.networks.network`. So their nodes are written directly, which takes some
milliseconds. Batch norm is folded into the convolution before it, as every runtime for inference does. Networks of
other libraries are traced by PyTorch.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from evomnas.core.quiet import silence
from evomnas.networks.channels import ChannelSelection, ChannelShuffle, Concatenated
from evomnas.networks.classifier import Classifier, Normalise
from evomnas.networks.fused import FusedConvolution, fuse
from evomnas.networks.network import Layer, Network, Parallel, PoolSkip, SqueezeExcite

OPSET = 17
IR_VERSION = 8  # that of ONNX 1.12, so that older runtimes on small devices can read the files


class _UnknownModule(TypeError):
    """A module whose ONNX nodes are not known here."""


def to_onnx(network: nn.Module, images: Tensor) -> bytes:
    """Convert a network to an ONNX file.

    Args:
        network: A network in evaluation mode, or a part of one with its surroundings.
        images: An input, shape (n, channels, h, w). The file takes inputs of its shape only.

    Returns:
        The contents of the file. Its input is called `image`, its output `logits`.
    """
    try:
        return _write(network, images)
    except _UnknownModule:
        return _trace(network, images)


def _trace(network: nn.Module, images: Tensor) -> bytes:
    """Use PyTorch's older exporter, which takes half a second and needs no other package."""
    buffer = io.BytesIO()
    with silence():  # it warns that it is the older one
        names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
        torch.onnx.export(network, (images,), cast(Any, buffer), dynamo=False, opset_version=OPSET, **names)
    return buffer.getvalue()


def _write(network: nn.Module, images: Tensor) -> bytes:
    graph = OnnxGraph()
    with torch.no_grad():
        if isinstance(network, Network):  # the shape of its output is known without running it
            output = [images.shape[0], network.classifier.out_features]
        else:
            output = list(network(images).shape)
        value = graph.module(network, "image")
        if value == "image":  # a part of a network that computes nothing
            value = graph.node("Identity", [value])
    return graph.pack(list(images.shape), {"logits": (value, output)})


class OnnxGraph:
    """The nodes and constants of an ONNX graph, which grows from the input, `image`, to the output.

    A value of the graph is represented by its name. Methods that add nodes take the name of their input and return the
    name of their output.
    """

    def __init__(self, prefix: str = "") -> None:
        """Begin a graph.

        Args:
            prefix: The beginning of all names, where they must differ from those of another graph.
        """
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix

    def constant(self, value: Tensor | NDArray[np.generic]) -> str:
        """Return the name of a new constant.

        Args:
            value: Its value.
        """
        array = value.detach().cpu().contiguous().numpy() if isinstance(value, Tensor) else value
        name = f"{self._prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operation: str, inputs: list[str], **attributes: Any) -> str:
        """Return the output of a new node.

        Args:
            operation: Its operation.
            inputs: Its inputs.
            attributes: Its attributes, and its own `name`.
        """
        name = f"{self._prefix}v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def pack(
        self,
        image_shape: list[int],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
        whole_numbers: Collection[str] = (),
    ) -> bytes:
        """Return the file. Its input is called `image`.

        Args:
            image_shape: The shape of the input.
            outputs: The value and the shape of each output, by the output's name. A size that is not fixed has a name.
            whole_numbers: The outputs that are int64 and not float32.
        """
        names = {value: name for name, (value, _) in outputs.items()}
        for node in self.nodes:
            for values in (node.input, node.output):
                values[:] = [names.get(value, value) for value in values]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, image_shape)
        results = [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name in whole_numbers else TensorProto.FLOAT, shape
            )
            for name, (_, shape) in outputs.items()
        ]
        onnx_graph = helper.make_graph(self.nodes, "evomnas", [image], results, self.constants)
        model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="evomnas")
        model.ir_version = IR_VERSION
        return bytes(model.SerializeToString())

    def module(self, module: nn.Module | FusedConvolution, value: str) -> str:
        """Add the nodes of a module; dropout has none.

        Args:
            module: The module, or a convolution with its neighbours.
            value: The module's input.

        Returns:
            Its output.
        """
        if isinstance(module, FusedConvolution):
            return self._convolution(module, value)
        if isinstance(module, Classifier | Network | nn.Sequential):
            return self.sequence(list(module.children()), value)
        if isinstance(module, Layer):
            return self._layer(module, value)
        if isinstance(module, Normalise):
            centred = self.node("Sub", [value, self.constant(module.mean)])
            return self.node("Div", [centred, self.constant(module.std)])
        if isinstance(module, nn.Conv2d):
            return self._convolution(FusedConvolution(module), value)
        if isinstance(module, nn.ReLU6):
            bounds = [np.array(bound, dtype=np.float32) for bound in (0, 6)]
            return self.node("Clip", [value, *map(self.constant, bounds)])
        if isinstance(module, nn.ReLU):
            return self.node("Relu", [value])
        if isinstance(module, nn.Hardswish):
            return self.node("HardSwish", [value])
        if isinstance(module, ChannelSelection):
            return self.node("Gather", [value, self.constant(module.index)], axis=1)
        if isinstance(module, ChannelShuffle):
            return self.node("Gather", [value, self.constant(module.order)], axis=1)
        if isinstance(module, Concatenated):
            return self.node("Concat", [self.module(branch, value) for branch in module.branches], axis=1)
        if isinstance(module, PoolSkip):
            return self._pool_skip(module, value)
        if isinstance(module, SqueezeExcite):
            return self._squeeze_excite(module, value)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            return self.node("GlobalAveragePool", [value])
        if isinstance(module, nn.Flatten):
            return self.node("Flatten", [value], axis=1)
        if isinstance(module, nn.Linear):
            bias = [] if module.bias is None else [self.constant(module.bias)]
            return self.node("Gemm", [value, self.constant(module.weight), *bias], transB=1)
        if isinstance(module, nn.Dropout):
            return value
        if isinstance(module, Parallel):
            outputs = [self.module(branch, value) for branch in module.branches]
            return functools.reduce(lambda total, output: self.node("Add", [total, output]), outputs)
        raise _UnknownModule(f"no ONNX nodes are known for {type(module).__name__}")

    def sequence(self, modules: list[nn.Module], value: str) -> str:
        """Add modules one after another; padding and batch norm become parts of the convolution between them.

        Args:
            modules: The modules.
            value: The first one's input.

        Returns:
            The last one's output.
        """
        for module in fuse(modules):
            value = self.module(module, value)
        return value

    def _convolution(self, fused: FusedConvolution, value: str) -> str:
        conv = fused.conv
        weight, bias = fused.parameters()
        inputs = [value, self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        padding = [int(pad) for pad in conv.padding]
        return self.node(
            "Conv",
            inputs,
            kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride),
            group=conv.groups,
            **({"auto_pad": "SAME_UPPER"} if fused.is_same else {"pads": padding * 2}),
        )

    def _squeeze_excite(self, gate: SqueezeExcite, value: str) -> str:
        pooled = self.node("GlobalAveragePool", [value])
        squeezed = self.node("Relu", [self._convolution(FusedConvolution(gate.reduce), pooled)])
        factor = self.node("Sigmoid", [self._convolution(FusedConvolution(gate.expand), squeezed)])
        return self.node("Mul", [value, factor])

    def _layer(self, layer: Layer, value: str) -> str:
        return self.with_skip(layer.skip, value, self.module(layer.body, value))

    def with_skip(self, skip: nn.Module | None, value: str, output: str) -> str:
        """Add a layer's skip.

        Args:
            skip: The skip; None for none.
            value: The layer's input.
            output: The output of its operation.

        Returns:
            The layer's output.
        """
        if skip is None:
            return output
        shortcut = self._pool_skip(skip, value) if isinstance(skip, PoolSkip) else value
        return self.node("Add", [output, shortcut])

    def _pool_skip(self, skip: PoolSkip, value: str) -> str:
        if isinstance(skip.pool, nn.AvgPool2d):
            side = [int(cast(int, skip.pool.kernel_size))] * 2
            value = self.node("AveragePool", [value], kernel_shape=side, strides=side, ceil_mode=1)
        if skip.extra_channels > 0:
            pads = np.array([0, 0, 0, 0, 0, skip.extra_channels, 0, 0], dtype=np.int64)
            return self.node("Pad", [value, self.constant(pads)])
        if skip.extra_channels < 0:
            bounds = [np.array([bound], dtype=np.int64) for bound in (0, skip.extra_channels, 1)]
            return self.node("Slice", [value, *map(self.constant, bounds)])
        return value
