"""A `Network` as ncnn's two files, written layer by layer: a text of layers (`.param`) and their weights (`.bin`).

ncnn's own converter, pnnx, takes seconds for a network. A network here has no batch: ncnn runs one image at a time.
A value of the graph is read by one layer only, so values that several layers read are split first. Batch norm is folded
into the convolution before it, and activations are part of the layer before them.

The format and the numbers of the parameters are those of ncnn's documentation: "param and model file structure" and
"operators".
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from evomnas.core.errors import InputError
from evomnas.networks.channels import ChannelSelection, ChannelShuffle, Concatenated, shuffled
from evomnas.networks.fused import FusedConvolution, fuse
from evomnas.networks.network import Layer, Network, Parallel, PoolSkip, SqueezeExcite

MAGIC = 7767517
FLOAT32 = bytes(4)  # the mark of weights in float32
SAME = -233  # padding as little as needed, what is odd behind
RELU, CLIP_0_TO_6, SIGMOID = "9=1", "9=3 -23310=2,0.0,6.0", "9=4"
HARD_SWISH = f"9=6 -23310=2,{1 / 6},0.5"
_ACTIVATIONS = {nn.ReLU: RELU, nn.ReLU6: CLIP_0_TO_6, nn.Hardswish: HARD_SWISH}


class UnknownModule(InputError):
    """A module that cannot be written as layers of ncnn."""


def to_ncnn(network: nn.Module, images: Tensor) -> bytes:
    """Convert a network to ncnn's format.

    Args:
        network: A network in evaluation mode, or a part of one with its surroundings.
        images: An input, shape (n, channels, h, w). The network takes images of its size only.

    Returns:
        Both files in one: the size of the first in a line, the first and the second. The input is called `image`, the
        output `logits`.

    Raises:
        UnknownModule: The network has other modules than ours.
    """
    graph = _Graph()
    _, channels, height, width = images.shape
    image = graph.layer("Input", [], f"0={width} 1={height} 2={channels}", name="image")
    with torch.no_grad():
        graph.layer("Noop", [graph.module(network, image)], name="logits")
    layers = graph.text()
    return b"%d\n" % len(layers) + layers + b"".join(graph.weights)


class _Graph:
    """The layers and weights of a network, which grow from the input to the output.

    A value is represented by its name. Methods that add layers take that of their input and return that of their
    output.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._values = 0
        self._flat: set[str] = set()  # values without height and width
        self.weights: list[bytes] = []

    def text(self) -> bytes:
        return "\n".join([str(MAGIC), f"{len(self._lines)} {self._values}", *self._lines, ""]).encode()

    def layer(self, kind: str, inputs: list[str], parameters: str = "", name: str = "") -> str:
        """Add a layer with one output, which bears its name."""
        name = name or f"v{len(self._lines)}"
        self._values += 1
        self._lines.append(f"{kind} {name} {len(inputs)} 1 {' '.join([*inputs, name])} {parameters}")
        return name

    def split(self, value: str, count: int) -> list[str]:
        """Let several layers read a value."""
        outputs = [f"{value}_{number}" for number in range(count)]
        self._values += count
        self._lines.append(f"Split s{len(self._lines)} 1 {count} {value} {' '.join(outputs)}")
        return outputs

    def store(self, weight: Tensor, bias: Tensor | None) -> None:
        """Add the weights of the layer that was added last."""
        self.weights += [FLOAT32, weight.contiguous().numpy().tobytes()]
        self.weights += [] if bias is None else [bias.contiguous().numpy().tobytes()]

    def module(self, module: nn.Module | FusedConvolution, value: str) -> str:
        """Add the layers of a module; dropout has none."""
        if isinstance(module, FusedConvolution):
            return self.convolution(module, value)
        if isinstance(module, Network | nn.Sequential):
            return self.sequence(list(module.children()), value)
        if isinstance(module, Layer):
            return self.network_layer(module, value)
        if isinstance(module, nn.Conv2d):
            return self.convolution(FusedConvolution(module), value)
        if isinstance(module, SqueezeExcite):
            return self.squeeze_excite(module, value)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            pooled = self.layer("Pooling", [value], "0=1 4=1")
            self._flat.add(pooled)
            return pooled
        if isinstance(module, nn.Linear):
            return self.linear(module.weight, module.bias, value)
        if isinstance(module, nn.Flatten | nn.Dropout | nn.Identity):
            return value
        if isinstance(module, ChannelShuffle):
            return self.layer("ShuffleChannel", [value], f"0={module.groups}")
        if isinstance(module, ChannelSelection):
            return self.selection(module, value)
        if isinstance(module, Concatenated):
            values = self.split(value, len(module.branches))
            branches = zip(module.branches, values, strict=True)
            return self.layer("Concat", [self.module(branch, value) for branch, value in branches])
        if isinstance(module, PoolSkip):
            return self.pool_skip(module, value)
        if isinstance(module, Parallel):
            values = self.split(value, len(module.branches))
            outputs = [self.module(branch, value) for branch, value in zip(module.branches, values, strict=True)]
            return functools.reduce(self.add, outputs)
        raise UnknownModule(
            f"{type(module).__name__} cannot be written for ncnn: it runs networks of evomnas's own modules alone"
        )

    def sequence(self, modules: list[nn.Module], value: str) -> str:
        """Add modules one after another; padding, batch norm and activation become parts of their convolution."""
        for module in fuse(modules, tuple(_ACTIVATIONS)):
            value = self.module(module, value)
        return value

    def convolution(self, fused: FusedConvolution, value: str) -> str:
        conv = fused.conv
        weight, bias = fused.parameters()
        activation = "" if fused.activation is None else _ACTIVATIONS[type(fused.activation)]
        if value in self._flat:
            blocks = weight.flatten(1).chunk(conv.groups)  # one for each group
            matrix = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
            output = self.linear(matrix, bias, value, activation)
            self._flat.add(output)
            return output
        pads = (SAME, SAME) if fused.is_same else conv.padding
        parameters = (
            f"0={conv.out_channels} 1={conv.kernel_size[1]} 11={conv.kernel_size[0]} 3={conv.stride[1]} "
            f"13={conv.stride[0]} 4={pads[1]} 14={pads[0]} 5={int(bias is not None)} 6={weight.numel()}"
        )
        parameters += f" {activation}"
        if conv.groups > 1:
            parameters += f" 7={conv.groups}"
        self.store(weight, bias)
        return self.layer("Convolution" if conv.groups == 1 else "ConvolutionDepthWise", [value], parameters)

    def selection(self, module: ChannelSelection, value: str) -> str:
        """Add a shuffle, or for any other order a convolution whose weights are 0 and 1: ncnn has nothing for it."""
        if torch.equal(module.index.cpu(), shuffled(len(module.index), module.groups)):
            return self.layer("ShuffleChannel", [value], f"0={module.groups}")
        conv = nn.Conv2d(len(module.index), len(module.index), 1, bias=False)
        conv.weight.copy_(torch.eye(len(module.index))[module.index][:, :, None, None])
        return self.convolution(FusedConvolution(conv), value)

    def linear(self, weight: Tensor, bias: Tensor | None, value: str, activation: str = "") -> str:
        """Add a matrix of shape (outputs, inputs) that multiplies a flat value."""
        self.store(weight, bias)
        parameters = f"0={len(weight)} 1={int(bias is not None)} 2={weight.numel()} {activation}"
        return self.layer("InnerProduct", [value], parameters)

    def squeeze_excite(self, gate: SqueezeExcite, value: str) -> str:
        value, pooled = self.split(value, 2)
        factor = self.layer("Pooling", [pooled], "0=1 4=1")
        for conv, activation in ((gate.reduce, RELU), (gate.expand, SIGMOID)):
            factor = self.linear(conv.weight.flatten(1), conv.bias, factor, activation)
        return self.layer("BinaryOp", [value, factor], "0=2")

    def network_layer(self, layer: Layer, value: str) -> str:
        if layer.skip is None:
            return self.module(layer.body, value)
        value, shortcut = self.split(value, 2)
        output = self.module(layer.body, value)
        return self.add(output, self.pool_skip(layer.skip, shortcut) if isinstance(layer.skip, PoolSkip) else shortcut)

    def add(self, value: str, other: str) -> str:
        return self.layer("BinaryOp", [value, other], "0=0")

    def pool_skip(self, skip: PoolSkip, value: str) -> str:
        if isinstance(skip.pool, nn.AvgPool2d):  # over what is there; an image is never smaller than the stride
            value = self.layer("Pooling", [value], f"0=1 1={skip.pool.kernel_size} 2={skip.pool.stride}")
        if skip.extra_channels > 0:
            return self.layer("Padding", [value], f"8={skip.extra_channels}")
        if skip.extra_channels < 0:
            return self.layer("Crop", [value], f"-23309=1,0 -23310=1,{skip.extra_channels} -23311=1,0")
        return value
