"""Published weights into a `Network`: torchvision's MNASNet and MobileNetV2, timm's MnasNets and MobileNetV2.

A state dict's names say which of the three layouts it has. Names and shapes are compared with the network's
before anything is copied, so that weights of another network leave it as it was.

What the weights were trained with comes along where it changes the function: BN epsilon is 1e-5 in both
libraries (the published TensorFlow code has 1e-3), and MobileNetV2 clips its activations at 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from evomnas.core.errors import InputError
from evomnas.networks.network import Network, clip_activations
from evomnas.problem.architecture import Architecture

BN_EPSILON = 1e-5  # of torchvision and timm


def import_weights(network: Network, state_dict: Mapping[str, Tensor], *, classifier: bool = True) -> None:
    """Copy published weights and running statistics into a network of the same architecture.

    Afterwards the network computes what the published one computes: its BN epsilon is 1e-5 and, where the
    architecture is a MobileNetV2, its activations are ReLU6. Neither stands in a state dict: whoever saves
    the network's own and loads it into a new one imports published weights into that one first. Nor do
    strides: that the architecture is the published one cannot be told from names and shapes alone.

    Args:
        network: Built by `build_network`, for example from `published("mnasnet-b1@0.5")`.
        state_dict: Of torchvision's `mnasnet*` or `mobilenet_v2`, or of timm's `mnasnet_*`, `semnasnet_*` or
            `mobilenetv2_*`; from a file, `torch.load(path, weights_only=True)`.
        classifier: False leaves the network's own classifier, for other classes than the published ones.

    Raises:
        InputError: Another layout, or weights of another network; the message names the place, and the
            network is unchanged.
    """
    if not isinstance(network, Network):
        raise InputError(f"import_weights takes a network of build_network, not {type(network).__name__}")
    if not isinstance(state_dict, Mapping):
        raise InputError(f"import_weights takes a state dict, as model.state_dict(), not {type(state_dict).__name__}")
    architecture = network.architecture
    modules = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    names = dict(zip([*modules, "classifier"], _layout(state_dict)(architecture), strict=True))
    own = network.state_dict()
    sources = {}
    for name, target in own.items():
        module, _, part = name.rpartition(".")
        theirs = f"{names[module]}.{part}"
        place = f"{_place(architecture, name)} needs {tuple(target.shape)}"
        optional = part == "num_batches_tracked"  # older files lack it
        source = state_dict.get(theirs, target if optional else None)
        if module == "classifier" and not classifier:
            source = target
        if source is None:
            raise InputError(f"weights of another network: there is no {theirs}, and {place}")
        if not _is_usable(source, target):
            kind = (
                f"{source.dtype}, {source.layout}, on {source.device}" if isinstance(source, Tensor) else type(source)
            )
            raise InputError(f"{theirs} is not a dense tensor of {target.dtype} or alike: {kind}")
        if source.shape != target.shape:
            hint = "; classifier=False keeps the network's own" if module == "classifier" else ""
            raise InputError(f"weights of another network: {theirs} has shape {tuple(source.shape)}, {place}{hint}")
        sources[name] = (theirs, source)
    known = {theirs for theirs, _ in sources.values()}
    for name in state_dict:
        if name not in known:
            raise InputError(f"weights of another network: {architecture} has no place for {name}")
    network.load_state_dict({name: source for name, (_, source) in sources.items()})
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = BN_EPSILON
    if _is_mobilenet_v2(architecture):
        clip_activations(network)


def _is_usable(source: object, target: Tensor) -> bool:
    """Whether a tensor's numbers are there and of the target's kind."""
    return (
        isinstance(source, Tensor)
        and source.layout == torch.strided
        and not source.is_meta
        and not source.is_quantized
        and source.is_floating_point() == target.is_floating_point()
        and not source.is_complex()
    )


def _place(architecture: Architecture, name: str) -> str:
    part, *rest = name.split(".")
    if part != "blocks":
        return f"the {part}"
    block, layer = int(rest[0]), int(rest[1])
    return f"layer {layer + 1} of block {block + 1} ({architecture.blocks[block]})"


def _is_mobilenet_v2(architecture: Architecture) -> bool:
    """Whether the operations are MobileNetV2's: kernels of 3, no SE, expansion 6 but in the first block.

    No published MnasNet is one, and nothing else in a state dict tells ReLU6 from ReLU.
    """
    operations = [(block.op, block.kernel, block.se) for block in architecture.blocks]
    return operations[0] == ("dconv", 3, 0) and set(operations[1:]) <= {("mbconv6", 3, 0)}


# --- layouts: how others name the modules that hold weights, in the order in which an image meets them --------

Names = Callable[[Architecture], Iterator[str]]


def _layout(state_dict: Mapping[str, Tensor]) -> Names:
    layouts: dict[str, Names] = {
        "layers.14.weight": _torchvision_mnasnet,
        "features.1.conv.0.0.weight": _torchvision_mobilenet_v2,
        "conv_stem.weight": _timm,
    }
    for name, layout in layouts.items():
        if name in state_dict:
            return layout
    first = next(iter(state_dict), None)
    found = "it is empty" if first is None else f"its first name is {str(first)[:60]!r}"
    if isinstance(first, str) and first.startswith("module."):
        found += "; strip 'module.'"
    elif any(isinstance(value, Mapping) for value in state_dict.values()):
        found += "; a checkpoint's state dict is inside it"
    raise InputError(
        "this state dict has none of the layouts that can be imported (torchvision's MNASNet and MobileNetV2, "
        f"timm's MnasNets and MobileNetV2): {found}"
    )


def _check_ops(architecture: Architecture, library: str, gates: bool) -> None:
    inputs = architecture.stem
    for number, block in enumerate(architecture.blocks, start=1):
        place = f"block {number} ({block})"
        if block.op == "conv" or (block.se and not gates):
            what = "plain convolutions" if block.op == "conv" else "squeeze-and-excite"
            raise InputError(f"weights of another network: {library} have no {what}, as {place} has")
        keeps_shape = block.stride == 1 and block.filters == inputs
        skip = "identity" if keeps_shape or block.layers > 1 else "none"
        if block.skip != skip:
            raise InputError(
                f"weights of another network: {library} have the skip {skip} where {place} has {block.skip}"
            )
        inputs = block.filters


def _torchvision_mnasnet(architecture: Architecture) -> Iterator[str]:
    _check_ops(architecture, "torchvision's", gates=False)
    yield from ("layers.0", "layers.1")
    for number, layer, block, _, _ in architecture.layers():
        prefix = f"layers.{6 + number}.{layer - 1}.layers."
        if number == layer == 1 and block.op == "dconv":
            yield from ("layers.3", "layers.4", "layers.6", "layers.7")
        else:
            yield from (f"{prefix}{part}" for part in (0, 1, 3, 4, 6, 7)[: 6 if block.expansion > 1 else 4])
    yield from ("layers.14", "layers.15", "classifier.1")


def _torchvision_mobilenet_v2(architecture: Architecture) -> Iterator[str]:
    _check_ops(architecture, "torchvision's", gates=False)
    yield from ("features.0.0", "features.0.1")
    layers = list(architecture.layers())
    for number, (_, _, block, _, _) in enumerate(layers, start=1):
        parts = ("0.0", "0.1", "1.0", "1.1", "2", "3") if block.expansion > 1 else ("0.0", "0.1", "1", "2")
        yield from (f"features.{number}.conv.{part}" for part in parts)
    yield from (f"features.{len(layers) + 1}.0", f"features.{len(layers) + 1}.1", "classifier.1")


def _timm(architecture: Architecture) -> Iterator[str]:
    _check_ops(architecture, "timm's", gates=True)
    yield from ("conv_stem", "bn1")
    for number, layer, block, _, _ in architecture.layers():
        gate = ("se.conv_reduce", "se.conv_expand") if block.se else ()
        if block.op == "dconv":
            parts = ("conv_dw", "bn1", *gate, "conv_pw", "bn2")
        else:
            parts = ("conv_pw", "bn1", "conv_dw", "bn2", *gate, "conv_pwl", "bn3")
        yield from (f"blocks.{number - 1}.{layer - 1}.{part}" for part in parts)
    yield from ("conv_head", "bn2", "classifier")
