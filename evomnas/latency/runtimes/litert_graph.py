"""A `Network` as a LiteRT file (`.tflite`), written operation by operation.

litert-torch needs half a minute for a network and a gigabyte of packages. The operations of our networks are a dozen,
so their entries are written directly, which takes some milliseconds. The file format is that of TensorFlow Lite, a
FlatBuffer. Values are channels-last, (n, h, w, c). Batch norm is folded into the convolution before it, and activations
are part of the operation before them, as XNNPACK wants them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, cast

import flatbuffers
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.core.errors import InputError
from evomnas.networks.channels import ChannelSelection, ChannelShuffle, Concatenated
from evomnas.networks.classifier import Classifier, Normalise
from evomnas.networks.fused import FusedConvolution, fuse
from evomnas.networks.network import Layer, Network, Parallel, PoolSkip, SqueezeExcite

FILE_VERSION, FILE_IDENTIFIER = 3, b"TFL3"
SIGNATURE = "serving_default"  # the name under which quantizers and other tools look for inputs and outputs
_OPERATOR, _TYPE = schema.BuiltinOperator, schema.TensorType
_ACTIVATIONS = {
    nn.ReLU: schema.ActivationFunctionType.RELU,
    nn.ReLU6: schema.ActivationFunctionType.RELU6,
}


class UnknownModule(InputError):
    """A module that cannot be written as operations of LiteRT."""


def to_litert(network: nn.Module, images: Tensor, metadata: Mapping[str, str] | None = None) -> bytes:
    """Convert a network to a LiteRT file.

    Args:
        network: A network in evaluation mode, or a part of one with its surroundings.
        images: An input, shape (n, channels, h, w). The file takes inputs of its shape only.
        metadata: Texts by name that the file holds; None for none.

    Returns:
        The contents of the file. Its input `image` has the shape (n, h, w, channels), its output is called `logits`.

    Raises:
        UnknownModule: The network has other modules than ours.
    """
    graph = LiteRTGraph()
    image = graph.image(images)
    with torch.no_grad():
        output = graph.module(network, image)
    return graph.pack(image, {"logits": output}, metadata or {})


def read_metadata(model: bytes) -> dict[str, str]:
    """Return the texts that a LiteRT file holds, by name.

    Args:
        model: The contents of the file.
    """
    content = schema.Model.GetRootAs(model)
    entries = [content.Metadata(place) for place in range(content.MetadataLength())]
    texts = {entry.Name().decode(): content.Buffers(entry.Buffer()).DataAsNumpy() for entry in entries}
    return {name: bytes(text).decode(errors="replace") for name, text in texts.items() if not isinstance(text, int)}


class LiteRTGraph:
    """The tensors and operations of a file, which grow from the input to the output.

    A value is represented by the number of its tensor. Methods that add operations take that of their input, and return
    that of their output.

    Attributes:
        prefix: The beginning of the names of values that are added.
    """

    def __init__(self) -> None:
        self.prefix = "v"
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}  # the place of each kind of operation in the list of kinds
        self._buffers = [schema.BufferT()]  # the first one is empty, for all values that are computed

    def image(self, images: Tensor) -> int:
        """Return the input of the graph, which is added.

        Args:
            images: Images as they will come, shape (n, channels, h, w).
        """
        count, channels, height, width = images.shape
        return self._value((count, height, width, channels), "image")

    def _value(self, shape: tuple[int, ...], name: str = "", content: NDArray[np.generic] | None = None) -> int:
        """Add a tensor, and its content if it is a constant."""
        tensor = schema.TensorT()
        tensor.shape = np.array(shape, dtype=np.int32)
        tensor.type = _TYPE.INT32 if content is not None and content.dtype == np.int32 else _TYPE.FLOAT32
        tensor.name = (name or f"{self.prefix}{len(self._tensors)}").encode()
        tensor.buffer = 0
        if content is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(content).tobytes(), dtype=np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, content: Tensor | NDArray[np.generic]) -> int:
        """Return a new constant.

        Args:
            content: Its value.
        """
        array = content.detach().cpu().numpy() if isinstance(content, Tensor) else content
        return self._value(array.shape, content=array)

    def shape(self, value: int) -> tuple[int, ...]:
        """Return the shape of a value.

        Args:
            value: The value.
        """
        return tuple(int(size) for size in self._tensors[value].shape)

    def operation(
        self, kind: int, inputs: list[int], shape: tuple[int, ...], options: str = "", **attributes: Any
    ) -> int:
        """Return the output of a new operation.

        Args:
            kind: Its kind, of the schema's `BuiltinOperator`.
            inputs: Its inputs.
            shape: The shape of its output.
            options: The name of the schema's class of its options; empty for none.
            attributes: The values of the options.
        """
        output = self._value(shape)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(kind, len(self._codes))
        operator.inputs = np.array(inputs, dtype=np.int32)
        operator.outputs = np.array([output], dtype=np.int32)
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for name, attribute in attributes.items():
                setattr(operator.builtinOptions, name, attribute)
        self._operators.append(operator)
        return output

    def module(self, module: nn.Module | FusedConvolution, value: int) -> int:
        """Add the operations of a module; dropout has none.

        Args:
            module: The module, or a convolution with its neighbours.
            value: The module's input.

        Returns:
            Its output.

        Raises:
            UnknownModule: There are no operations for it.
        """
        if isinstance(module, FusedConvolution):
            return self._convolution(module, value)
        if isinstance(module, Classifier | Network | nn.Sequential):
            return self.sequence(list(module.children()), value)
        if isinstance(module, Layer):
            return self._layer(module, value)
        if isinstance(module, Normalise):
            return self._normalise(module, value)
        if isinstance(module, nn.Conv2d):
            return self._convolution(FusedConvolution(module), value)
        if isinstance(module, nn.ReLU | nn.ReLU6):
            kind = _OPERATOR.RELU6 if isinstance(module, nn.ReLU6) else _OPERATOR.RELU
            return self.operation(kind, [value], self.shape(value))
        if isinstance(module, nn.Hardswish):
            return self.operation(_OPERATOR.HARD_SWISH, [value], self.shape(value), "HardSwishOptions")
        if isinstance(module, ChannelSelection):
            inputs = [value, self.constant(module.index.to(torch.int32))]
            return self.operation(_OPERATOR.GATHER, inputs, self.shape(value), "GatherOptions", axis=3)
        if isinstance(module, ChannelShuffle):
            return self._shuffle(module, value)
        if isinstance(module, Concatenated):
            return self._concatenate([self.module(branch, value) for branch in module.branches])
        if isinstance(module, PoolSkip):
            return self._pool_skip(module, value)
        if isinstance(module, SqueezeExcite):
            return self._squeeze_excite(module, value)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            return self._global_average(value)
        if isinstance(module, nn.Flatten):
            return self._flatten(value)
        if isinstance(module, nn.Linear):
            inputs = [value, self.constant(module.weight)]
            inputs += [] if module.bias is None else [self.constant(module.bias)]
            shape = (self.shape(value)[0], module.out_features)
            return self.operation(_OPERATOR.FULLY_CONNECTED, inputs, shape, "FullyConnectedOptions")
        if isinstance(module, nn.Dropout | nn.Identity):
            return value
        if isinstance(module, Parallel):
            return functools.reduce(self._add, [self.module(branch, value) for branch in module.branches])
        raise UnknownModule(
            f"{type(module).__name__} cannot be written as a LiteRT file; networks of other libraries are converted by "
            "litert-torch (pip install litert-torch)"
        )

    def sequence(self, modules: list[nn.Module], value: int) -> int:
        """Add modules one after another; padding, batch norm and activation become parts of their convolution.

        Args:
            modules: The modules.
            value: The first one's input.

        Returns:
            The last one's output.
        """
        for module in fuse(modules, tuple(_ACTIVATIONS)):
            value = self.module(module, value)
        return value

    def _convolution(self, fused: FusedConvolution, value: int) -> int:
        conv = fused.conv
        weight, bias = fused.parameters()
        bias = torch.zeros(conv.out_channels) if bias is None else bias
        value, padding, (height, width) = self._pad(conv, value, fused.is_same)
        shape = (self.shape(value)[0], height, width, conv.out_channels)
        settings = {
            "padding": padding,
            "strideH": conv.stride[0],
            "strideW": conv.stride[1],
            "dilationHFactor": 1,
            "dilationWFactor": 1,
            "fusedActivationFunction": _ACTIVATIONS.get(type(fused.activation), 0),  # type: ignore[arg-type]
        }
        if conv.groups == 1 or conv.groups != conv.in_channels or conv.out_channels != conv.in_channels:
            inputs = [value, self.constant(weight.permute(0, 2, 3, 1)), self.constant(bias)]
            return self.operation(_OPERATOR.CONV_2D, inputs, shape, "Conv2DOptions", **settings)
        inputs = [value, self.constant(weight.permute(1, 2, 3, 0)), self.constant(bias)]
        settings["depthMultiplier"] = 1
        return self.operation(_OPERATOR.DEPTHWISE_CONV_2D, inputs, shape, "DepthwiseConv2DOptions", **settings)

    def _pad(self, conv: nn.Conv2d, value: int, is_same: bool) -> tuple[int, int, tuple[int, int]]:
        """Pad as PyTorch does: by the operation's own padding where that is the same, else by an operation before it.

        With stride 2 the operation's own padding begins later on even sizes: it adds as little as it can.

        Args:
            conv: The convolution.
            value: Its input.
            is_same: Whether the operation's own padding is what the network has.

        Returns:
            The value, the operation's padding, and the height and width of its output.
        """
        _, *sizes, _ = self.shape(value)
        pads = cast(tuple[int, int], conv.padding)
        sides = list(zip(sizes, conv.kernel_size, conv.stride, pads, strict=True))
        if is_same:
            height, width = (-(-size // stride) for size, _, stride, _ in sides)
            return value, schema.Padding.SAME, (height, width)
        outputs = [(size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in sides]
        if all(
            output == -(-size // stride) and max((output - 1) * stride + kernel - size, 0) // 2 == pad
            for (size, kernel, stride, pad), output in zip(sides, outputs, strict=True)
        ):
            return value, schema.Padding.SAME, (outputs[0], outputs[1])
        around = np.array([[0, 0], *([pad, pad] for *_, pad in sides), [0, 0]], dtype=np.int32)
        return self._pad_zeros(value, around), schema.Padding.VALID, (outputs[0], outputs[1])

    def _pad_zeros(self, value: int, around: NDArray[np.int32]) -> int:
        """Add zeros before and after in every dimension: shape (4, 2)."""
        shape = tuple(size + added for size, added in zip(self.shape(value), around.sum(1).tolist(), strict=True))
        return self.operation(_OPERATOR.PAD, [value, self.constant(around)], shape, "PadOptions")

    def _normalise(self, module: Normalise, value: int) -> int:
        mean, std = (statistic.permute(0, 2, 3, 1) for statistic in (module.mean, module.std))
        shape = self.shape(value)
        centred = self.operation(_OPERATOR.SUB, [value, self.constant(mean)], shape, "SubOptions")
        return self.operation(_OPERATOR.MUL, [centred, self.constant(1 / std)], shape, "MulOptions")

    def _global_average(self, value: int) -> int:
        count, *_, channels = self.shape(value)
        axes = self.constant(np.array([1, 2], dtype=np.int32))
        return self.operation(_OPERATOR.MEAN, [value, axes], (count, 1, 1, channels), "ReducerOptions", keepDims=True)

    def _flatten(self, value: int) -> int:
        count, height, width, channels = self.shape(value)
        if (height, width) != (1, 1):
            raise UnknownModule("values of several pixels are flattened in another order by LiteRT")
        return self.reshape(value, (count, channels))

    def reshape(self, value: int, shape: tuple[int, ...]) -> int:
        """Return a value in another shape.

        Args:
            value: The value.
            shape: The shape.
        """
        wanted = np.array(shape, dtype=np.int32)
        return self.operation(
            _OPERATOR.RESHAPE, [value, self.constant(wanted)], shape, "ReshapeOptions", newShape=wanted
        )

    def _squeeze_excite(self, gate: SqueezeExcite, value: int) -> int:
        squeezed = self._convolution(FusedConvolution(gate.reduce, activation=gate.relu), self._global_average(value))
        factor = self._convolution(FusedConvolution(gate.expand), squeezed)
        factor = self.operation(_OPERATOR.LOGISTIC, [factor], self.shape(factor))
        return self.operation(_OPERATOR.MUL, [value, factor], self.shape(value), "MulOptions")

    def _shuffle(self, shuffle: ChannelShuffle, value: int) -> int:
        """Transpose the groups with their channels, which are the last dimension."""
        shape = self.shape(value)
        pixels, groups = math.prod(shape[:-1]), shuffle.groups
        grouped = self.reshape(value, (pixels, groups, shape[-1] // groups))
        order = self.constant(np.array([0, 2, 1], dtype=np.int32))
        turned = (pixels, shape[-1] // groups, groups)
        return self.reshape(self.operation(_OPERATOR.TRANSPOSE, [grouped, order], turned, "TransposeOptions"), shape)

    def _concatenate(self, values: list[int]) -> int:
        channels = sum(self.shape(value)[-1] for value in values)
        shape = (*self.shape(values[0])[:-1], channels)
        return self.operation(_OPERATOR.CONCATENATION, values, shape, "ConcatenationOptions", axis=3)

    def _layer(self, layer: Layer, value: int) -> int:
        return self.with_skip(layer.skip, value, self.module(layer.body, value))

    def with_skip(self, skip: nn.Module | None, value: int, output: int) -> int:
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
        return self._add(output, self._pool_skip(skip, value) if isinstance(skip, PoolSkip) else value)

    def _add(self, value: int, other: int) -> int:
        return self.operation(_OPERATOR.ADD, [value, other], self.shape(value), "AddOptions")

    def _pool_skip(self, skip: PoolSkip, value: int) -> int:
        count, height, width, channels = self.shape(value)
        if isinstance(skip.pool, nn.AvgPool2d):
            side = int(cast(int, skip.pool.kernel_size))
            if side > 2:  # the pixels that are added would not all be at the end
                raise UnknownModule(f"average pooling over {side}x{side} pixels cannot be written as a LiteRT file")
            height, width = -(-height // side), -(-width // side)
            settings = dict.fromkeys(("strideH", "strideW", "filterHeight", "filterWidth"), side)
            value = self.operation(
                _OPERATOR.AVERAGE_POOL_2D, [value], (count, height, width, channels), "Pool2DOptions",
                padding=schema.Padding.SAME, **settings,
            )  # fmt: skip
        if skip.extra_channels > 0:
            return self._pad_zeros(value, np.array([[0, 0]] * 3 + [[0, skip.extra_channels]], dtype=np.int32))
        if skip.extra_channels < 0:
            return self.slice(value, 0, channels + skip.extra_channels)
        return value

    def slice(self, value: int, start: int, count: int) -> int:
        """Return a part of the last dimension.

        Args:
            value: The value.
            start: The first number that is kept.
            count: How many are kept.
        """
        shape = (*self.shape(value)[:-1], count)
        begin = [0] * (len(shape) - 1) + [start]
        bounds = [self.constant(np.array(bound, dtype=np.int32)) for bound in (begin, shape)]
        return self.operation(_OPERATOR.SLICE, [value, *bounds], shape, "SliceOptions")

    def pack(self, image: int, outputs: Mapping[str, int], metadata: Mapping[str, str]) -> bytes:
        """Return the file with one graph, its signature and texts.

        Args:
            image: The input.
            outputs: The outputs by their names.
            metadata: The texts by their names.
        """
        for name, output in outputs.items():
            self._tensors[output].name = name.encode()
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"main", self._tensors, self._operators
        graph.inputs, graph.outputs = (np.array(values, dtype=np.int32) for values in ([image], [*outputs.values()]))
        model = schema.ModelT()
        model.version, model.description, model.subgraphs = FILE_VERSION, b"evomnas", [graph]
        model.operatorCodes = [operator_code(kind) for kind in self._codes]
        model.signatureDefs = [_signature(image, outputs)]
        model.metadata = []
        for name, text in metadata.items():
            entry, buffer = schema.MetadataT(), schema.BufferT()
            entry.name, entry.buffer = name.encode(), len(self._buffers)
            buffer.data = np.frombuffer(text.encode(errors="surrogateescape"), dtype=np.uint8)
            model.metadata.append(entry)
            self._buffers.append(buffer)
        model.buffers = self._buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())


def operator_code(kind: int) -> Any:
    """Return the entry of a kind of operation in the list of a file's kinds.

    Args:
        kind: The kind, of the schema's `BuiltinOperator`.
    """
    code = schema.OperatorCodeT()
    code.builtinCode = kind
    code.deprecatedBuiltinCode = min(kind, 127)  # readers of before 2020 know this name alone
    code.version = 1
    return code


def _signature(image: int, outputs: Mapping[str, int]) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs = [_named("image", image)]
    signature.outputs = [_named(name, output) for name, output in outputs.items()]
    return signature


def _named(name: str, value: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), value
    return entry
