"""A network as one Python file that needs torch alone: its modules spelled out, and its weights at the end.

The classes in it are those of `evomnas.networks`, in their own words, so both compute the same. Weights are the
numbers of the state dict, one after another, as base64.
"""

from __future__ import annotations

import base64
import inspect
import json
import runpy
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from evomnas.core.errors import InputError
from evomnas.networks.channels import Branches, ChannelSelection, ChannelShuffle, Concatenated, shuffled
from evomnas.networks.classifier import Classifier, Normalise
from evomnas.networks.network import Layer, Network, PoolSkip, SamePad, SqueezeExcite

LINE = 118  # characters of a line of weights

_HEAD = '''\
"""{network}

A network that evomnas found and trained. This file needs torch alone:

    from {module} import CLASSES, load

    network = load()  # a torch module in evaluation mode
    logits = network(pixels)  # pixel values from 0 to 255, shape (n, {channels}, {height}, {width})

Images: {input}.
"""

import base64
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = {classes}


'''
_LAYER = '''\
class Layer(nn.Module):
    """One layer of a block: an operation, and what is added to its output."""

    def __init__(self, body: nn.Module, skip: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return y if self.skip is None else y + self.skip(x)
'''
_NETWORK = '''\
class Network(nn.Module):
    """From pixel values to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise({mean}, {std})
{parts}

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(self.stem(self.normalise(images)))
        x = {head}
        return self.classifier(x.flatten(1))


def load() -> Network:
    """Return the trained network in evaluation mode."""
    network = Network()
    numbers = torch.frombuffer(bytearray(base64.b64decode(WEIGHTS)), dtype=torch.float32)
    values = [value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")]
    for value, part in zip(values, numbers.split([value.numel() for value in values]), strict=True):
        value.copy_(part.view_as(value))
    return network.eval()


# The state dict's numbers in their order, but for counts of batches: float32, little-endian, as base64.
WEIGHTS = """
{weights}
"""
'''


def write_module(classifier: Classifier, metadata: Mapping[str, str]) -> bytes:
    """Write a network as a Python file.

    Args:
        classifier: The network, on the CPU.
        metadata: Texts for the file's docstring: `network`, `input` and `module`, the name of the file without its
            suffix.

    Returns:
        The source.

    Raises:
        InputError: The network has a module that this writer does not know, such as those of torchvision's networks.
    """
    network = classifier.network
    if not isinstance(network, Network):
        raise InputError("--to python takes a network of the search space, not an off-the-shelf one")
    names = ("stem", "blocks", "head", "classifier")
    parts = {name: textwrap.indent(_expression(getattr(network, name)), " " * 8).strip() for name in names}
    present = {kind for module in network.modules() for kind in type(module).__mro__}
    kinds = (SamePad, SqueezeExcite, PoolSkip, ChannelShuffle, ChannelSelection, Branches, Concatenated)
    helpers = [inspect.getsource(kind) for kind in kinds if kind in present]
    if present & {ChannelShuffle, ChannelSelection}:
        helpers.insert(0, inspect.getsource(shuffled))
    is_late = network.architecture.traits.head == "late"
    height, width = classifier.preprocessing.size
    words = {name: metadata[name].replace("\\", "/").replace('"', "'") for name in ("network", "module", "input")}
    head = _HEAD.format(
        **words, channels=classifier.channels, height=height, width=width, classes=_literal(classifier.classes)
    )
    body = _NETWORK.format(
        head="self.head(x.mean((2, 3), keepdim=True))" if is_late else "self.head(x).mean((2, 3))",
        mean=_literal(classifier.normalise.mean.flatten().tolist()),
        std=_literal(classifier.normalise.std.flatten().tolist()),
        parts="\n".join(f"        self.{name} = {text}" for name, text in parts.items()),
        weights="\n".join(textwrap.wrap(_weights(classifier), LINE)),
    )
    return (head + "\n\n".join([inspect.getsource(Normalise), *helpers, _LAYER, body])).encode()


def load_module(path: Path) -> Callable[[Tensor], Tensor]:
    """Run a Python file that `write_module` has just written, and return its network.

    Args:
        path: The file.

    Returns:
        The network.
    """
    return cast(Callable[[Tensor], Tensor], runpy.run_path(str(path))["load"]())


def _literal(values: object) -> str:
    """Return a list of texts or numbers as Python writes it; JSON escapes what a file should not hold."""
    return json.dumps(values)


def _weights(classifier: Classifier) -> str:
    state = classifier.state_dict()
    values = [state[name] for name in _in_a_new_order(state) if not name.endswith("num_batches_tracked")]
    numbers = torch.cat([value.detach().cpu().float().flatten() for value in values]).numpy().astype("<f4")
    return base64.b64encode(numbers.tobytes()).decode()


def _in_a_new_order(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of a state dict as a new network has them; pruning puts weights behind their biases."""
    modules = {name.rpartition(".")[0]: place for place, name in reversed(list(enumerate(state)))}
    ranks = {"weight": 0, "bias": 1}

    def place(name: str) -> tuple[int, int]:
        module, _, own = name.rpartition(".")
        return modules[module], ranks.get(own, len(ranks))

    return sorted(state, key=place)


def _expression(module: nn.Module) -> str:
    """Return the Python expression that makes a module."""
    if isinstance(module, nn.Sequential):
        parts = "".join(textwrap.indent(f"{_expression(part)},\n", "    ") for part in module)
        return f"nn.Sequential(\n{parts})"
    if isinstance(module, Layer):
        skip = "" if module.skip is None else f", {_expression(module.skip)}"
        return f"Layer({_expression(module.body)}{skip})"
    if isinstance(module, SqueezeExcite):
        return f"SqueezeExcite({module.reduce.in_channels}, {module.reduce.out_channels})"
    if isinstance(module, PoolSkip):
        stride = module.pool.stride if isinstance(module.pool, nn.AvgPool2d) else 1
        return f"PoolSkip(0, {module.extra_channels}, {stride})"  # their difference counts
    if isinstance(module, SamePad):
        return f"SamePad({module.kernel}, {module.stride})"
    if isinstance(module, ChannelShuffle):
        return f"ChannelShuffle({module.channels}, {module.groups})"
    if isinstance(module, ChannelSelection):
        return f"ChannelSelection({len(module.index)}, {module.groups})"
    if isinstance(module, Concatenated):
        parts = "".join(textwrap.indent(f"{_expression(part)},\n", "    ") for part in module.branches)
        return f"Concatenated([\n{parts}])"
    return _torch_expression(module)


def _torch_expression(module: nn.Module) -> str:
    """Return the Python expression that makes a module of torch's own."""
    if isinstance(module, nn.Conv2d):
        shape = f"{module.in_channels}, {module.out_channels}, {module.kernel_size[0]}"
        padding = module.padding[0] if isinstance(module.padding, tuple) else 0
        place = f"stride={module.stride[0]}, padding={padding}, groups={module.groups}"
        return f"nn.Conv2d({shape}, {place}, bias={module.bias is not None})"
    if isinstance(module, nn.BatchNorm2d):
        return f"nn.BatchNorm2d({module.num_features}, eps={module.eps}, momentum={module.momentum})"
    if isinstance(module, nn.Linear):
        return f"nn.Linear({module.in_features}, {module.out_features}, bias={module.bias is not None})"
    if type(module) in (nn.ReLU, nn.ReLU6, nn.Hardswish):
        return f"nn.{type(module).__name__}(inplace=True)"
    if isinstance(module, nn.Identity):
        return "nn.Identity()"
    raise InputError(f"--to python does not know {type(module).__name__}: choose --to torch-export")
