"""Weights of a donor for another architecture: a pure function of the two.

Blocks correspond by their numbers, and layers by their numbers within the block.

- **Fewer channels** are the first ones of the donor, whose channels are sorted by importance. An expansion by 3 takes
  the more important half of an expansion by 6.
- **More channels** are copies of the donor's, from the first one on, that nothing reads yet: the weights of what reads
  them are zero. The function stays the same.
- **A larger kernel** is padded with zeros, so that the function stays the same. A smaller one is the middle.
- **Fewer layers** are the first ones of the block.
- **More layers** are copies of the block's last one. Where a layer has an identity skip, the last batch norm has a
  factor of 0: it passes its input on, so that the function stays the same.
- **New squeeze-and-excite** has a gate that is the same for every image, and the projection behind it makes up for it:
  the function stays the same. Dropped squeeze-and-excite is left out.

What has nothing to inherit is refused (`evomnas.problem.pretrained.heritage`). Batch norm's statistics are those of
the donor; a training takes them anew. Whoever changes these rules raises their version, `heritage.RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evomnas.core.seeding import torch_generator
from evomnas.networks.network import Network
from evomnas.networks.pretrained.parts import LayerNames, name_parts
from evomnas.networks.pretrained.sorting import NORM_PARTS
from evomnas.networks.pretrained.weights import DonorWeights
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.heritage import check_heritage

NEW_GATE_LOGIT = 3.0  # of a new squeeze-and-excite, whose gate is its sigmoid: nearly open
NEW_GATE_SEED = 0  # of the weights by which a new squeeze-and-excite reads the channels


@dataclass(frozen=True, slots=True)
class _Channels:
    """Channels that correspond: `target` ones that come from `source` ones of the donor."""

    source: int
    target: int

    def take(self, values: Tensor, dim: int = 0) -> Tensor:
        """Return values of the donor's channels for the target's; what is beyond the donor's are copies."""
        return values.index_select(dim, torch.arange(self.target) % self.source)

    def read(self, weight: Tensor) -> Tensor:
        """Return weights that read the channels, dimension 1; those of copies are zero."""
        taken = self.take(weight, 1)
        taken[:, self.source :] = 0
        return taken


def transplant(donor: DonorWeights, architecture: Architecture) -> dict[str, Tensor]:
    """Return the weights that an architecture inherits from a donor.

    Args:
        donor: The donor.
        architecture: The architecture, with as many blocks as the donor's and with its traits.

    Returns:
        The weights and statistics by their names in a `Network` for RGB images, with the donor's classifier. Those of
        the donor's own architecture are the donor's.

    Raises:
        InputError: The architecture has a part that has nothing to inherit. The message names it.
    """
    check_heritage(donor.architecture, architecture)
    source, target = name_parts(donor.architecture), name_parts(architecture)
    state: dict[str, Tensor] = {}
    stream = _Channels(donor.architecture.stem, architecture.stem)
    _Graft(donor.state, state).output(source.stem, target.stem, stream)
    for layer in target.layers:
        siblings = [one for one in source.layers if one.block_number == layer.block_number]
        _graft_layer(donor.state, state, siblings, layer)
    filters = _Channels(donor.architecture.blocks[-1].filters, architecture.blocks[-1].filters)
    head = _Channels(donor.architecture.head, architecture.head)
    _Graft(donor.state, state).output(source.head, target.head, head, filters)
    state["classifier.weight"] = head.read(donor.state["classifier.weight"])
    state["classifier.bias"] = donor.state["classifier.bias"].clone()
    return state


def plant(network: Network, donor: DonorWeights) -> None:
    """Give a network the weights that it inherits from a donor, in place. Its classifier stays its own.

    For grey images, the weights of the first convolution are summed over red, green and blue, so that it answers as to
    an image whose colours are equal.

    Args:
        network: A network of the images' channels and classes.
        donor: The donor.

    Raises:
        InputError: The architecture has a part that has nothing to inherit.
    """
    state = transplant(donor, network.architecture)
    stem = f"{name_parts(network.architecture).stem[0]}.weight"
    own = network.state_dict()
    if own[stem].shape[1] == 1:
        state[stem] = state[stem].sum(1, keepdim=True)
    kept = {name: own[name] for name in own if name.startswith("classifier.")}
    network.load_state_dict(state | kept)


@dataclass(frozen=True, slots=True)
class _Graft:
    """Copies weights from the donor's `source` into `target`."""

    source: Mapping[str, Tensor]
    target: dict[str, Tensor]

    def output(
        self, source: tuple[str, str], target: tuple[str, str], outputs: _Channels, inputs: _Channels | None = None
    ) -> None:
        """Copy a convolution and its batch norm; without `inputs` it reads what the donor's reads."""
        weight = outputs.take(self.source[f"{source[0]}.weight"])
        self.target[f"{target[0]}.weight"] = weight if inputs is None else inputs.read(weight)
        for part in NORM_PARTS:
            self.target[f"{target[1]}.{part}"] = outputs.take(self.source[f"{source[1]}.{part}"])
        counted = f"{source[1]}.num_batches_tracked"
        self.target[f"{target[1]}.num_batches_tracked"] = self.source[counted].clone()


def _graft_layer(
    source: Mapping[str, Tensor], state: dict[str, Tensor], siblings: list[LayerNames], layer: LayerNames
) -> None:
    """Give a layer the weights of the donor's layer of its number, or of the last one where there are fewer."""
    is_new = layer.number >= len(siblings)
    theirs = siblings[min(layer.number, len(siblings) - 1)]
    graft = _Graft(source, state)
    inputs = _Channels(theirs.in_filters, layer.in_filters)
    inner = _Channels(theirs.in_filters * theirs.block.expansion, layer.in_filters * layer.block.expansion)
    outputs = _Channels(theirs.block.filters, layer.block.filters)
    if theirs.expand is not None and layer.expand is not None:
        graft.output(theirs.expand, layer.expand, inner, inputs)
    graft.output(theirs.depthwise, layer.depthwise, inner)
    kernel = f"{layer.depthwise[0]}.weight"
    state[kernel] = _fit_kernel(state[kernel], layer.block.kernel)
    graft.output(theirs.project, layer.project, outputs, inner)
    if layer.gate is not None:
        _graft_gate(source, state, theirs, layer, inner)
    if is_new and layer.shortcut == "identity":
        for part in ("weight", "bias"):
            state[f"{layer.project[1]}.{part}"] = torch.zeros_like(state[f"{layer.project[1]}.{part}"])


def _fit_kernel(weight: Tensor, size: int) -> Tensor:
    """Return kernels of another size: the middle, or padded with zeros."""
    margin = (size - weight.shape[2]) // 2
    return F.pad(weight, [margin] * 4).contiguous()  # a negative margin crops


def _graft_gate(
    source: Mapping[str, Tensor], state: dict[str, Tensor], theirs: LayerNames, layer: LayerNames, inner: _Channels
) -> None:
    """Give a layer its squeeze-and-excite: the donor's, or one whose gate is the same for every image."""
    squeeze = layer.block.squeeze(layer.in_filters)
    reduce, expand = f"{layer.gate}.reduce", f"{layer.gate}.expand"
    if theirs.gate is not None:
        squeezed = _Channels(theirs.block.squeeze(theirs.in_filters), squeeze)
        state[f"{reduce}.weight"] = inner.read(squeezed.take(source[f"{theirs.gate}.reduce.weight"]))
        state[f"{reduce}.bias"] = squeezed.take(source[f"{theirs.gate}.reduce.bias"])
        state[f"{expand}.weight"] = squeezed.read(inner.take(source[f"{theirs.gate}.expand.weight"]))
        state[f"{expand}.bias"] = inner.take(source[f"{theirs.gate}.expand.bias"])
        return
    weight = torch.empty(squeeze, inner.target, 1, 1)
    nn.init.normal_(weight, std=math.sqrt(2 / inner.target), generator=torch_generator(NEW_GATE_SEED))
    state[f"{reduce}.weight"], state[f"{reduce}.bias"] = weight, torch.zeros(squeeze)
    state[f"{expand}.weight"] = torch.zeros(inner.target, squeeze, 1, 1)
    state[f"{expand}.bias"] = torch.full((inner.target,), NEW_GATE_LOGIT)
    state[f"{layer.project[0]}.weight"] = state[f"{layer.project[0]}.weight"] * (1 + math.exp(-NEW_GATE_LOGIT))
