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
- **New squeeze-and-excite** has a gate that is the same for every image, and the convolution behind it makes up for it,
  or the batch norm before it: the function stays the same. Dropped squeeze-and-excite is left out.

Which layers have something to inherit is said by `evomnas.problem.pretrained.heritage`. From a donor all must have. In
a network that descends from another one, a layer that has nothing to inherit is new; where it has an identity skip, it
passes its input on at first.

Batch norm's statistics are those of the donor; a training takes them anew. Whoever changes these rules raises their
version, `heritage.RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evomnas.core.seeding import torch_generator
from evomnas.networks.network import Network
from evomnas.networks.pretrained.parts import LayerNames, name_parts
from evomnas.networks.pretrained.sorting import NORM_PARTS
from evomnas.networks.pretrained.weights import DonorWeights
from evomnas.problem.architecture import Architecture
from evomnas.problem.ops.base import Concatenation, Convolution, Gate, Step
from evomnas.problem.pretrained.heritage import check_heritage, is_alike, kind_of

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
    return _inherited(donor.architecture, donor.state, architecture)


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


def descend(network: Network, parent: Architecture, state: Mapping[str, Tensor]) -> None:
    """Give a network the weights that it inherits from a trained one, in place; an (approximate) network morphism.

    Args:
        network: The network. A layer that has nothing to inherit keeps its own weights.
        parent: The architecture of the trained network, for images of as many channels and classes.
        state: Its weights by their names in a `Network`.
    """
    network.load_state_dict(network.state_dict() | _inherited(parent, state, network.architecture))


def _inherited(parent: Architecture, weights: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Return the weights that an architecture inherits; those of layers that have nothing to inherit are left out."""
    source, target = name_parts(parent), name_parts(architecture)
    state: dict[str, Tensor] = {}
    graft = _Graft(weights, state)
    graft.output(source.stem, target.stem, _Channels(parent.stem, architecture.stem))
    for layer in target.layers:
        siblings = [one for one in source.layers if one.block_number == layer.block_number]
        theirs = siblings[min(layer.number, len(siblings) - 1)] if siblings else None
        inherits = theirs is not None and is_alike(theirs.steps, layer.steps)
        if theirs is not None and inherits:
            _graft_layer(graft, theirs, layer)
        if layer.shortcut == "identity" and (not inherits or layer.number >= len(siblings)):
            for norm, filters in _ends(layer):
                state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.zeros(filters), torch.zeros(filters)
    last = _Channels(parent.blocks[-1].filters, architecture.blocks[-1].filters)
    head = _Channels(parent.head, architecture.head)
    graft.output(source.head, target.head, head, last)
    state["classifier.weight"] = head.read(weights["classifier.weight"])
    state["classifier.bias"] = weights["classifier.bias"].clone()
    return state


@dataclass(frozen=True, slots=True)
class _Graft:
    """Copies weights from the donor's `source` into `target`."""

    source: Mapping[str, Tensor]
    target: dict[str, Tensor]

    def output(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        outputs: _Channels,
        inputs: _Channels | None = None,
        kernel: int | None = None,
    ) -> None:
        """Copy a convolution and its batch norm; without `inputs` it reads what the donor's reads."""
        weight = outputs.take(self.source[f"{source[0]}.weight"])
        weight = weight if inputs is None else inputs.read(weight)
        self.target[f"{target[0]}.weight"] = weight if kernel is None else _fit_kernel(weight, kernel)
        for part in NORM_PARTS:
            self.target[f"{target[1]}.{part}"] = outputs.take(self.source[f"{source[1]}.{part}"])
        counted = f"{source[1]}.num_batches_tracked"
        self.target[f"{target[1]}.num_batches_tracked"] = self.source[counted].clone()

    def steps(
        self,
        source: Sequence[Step],
        target: Sequence[Step],
        names: Iterator[tuple[tuple[str, str], tuple[str, str]]],
        channels: _Channels,
    ) -> _Channels:
        """Copy the convolutions of steps that are alike.

        Args:
            source: The donor's steps, without squeeze-and-excite.
            target: The steps, without squeeze-and-excite.
            names: The names of the donor's convolutions and of those that they correspond to.
            channels: The channels of the first one's input.

        Returns:
            The channels of the last one's output.
        """
        for theirs, step in zip(source, target, strict=True):
            if isinstance(theirs, Convolution) and isinstance(step, Convolution):
                kind = kind_of(step)
                outputs = channels if kind == "depthwise" else _Channels(theirs.filters, step.filters)
                self.output(*next(names), outputs, channels if kind == "dense" else None, step.kernel)
                channels = outputs
            elif isinstance(theirs, Concatenation) and isinstance(step, Concatenation):
                for branches in zip(theirs.branches, step.branches, strict=True):
                    self.steps(*branches, names, channels)
                channels = _Channels(theirs.filters, step.filters)
        return channels


def _graft_layer(graft: _Graft, theirs: LayerNames, layer: LayerNames) -> None:
    """Give a layer the weights of one of the donor's that it is alike to."""
    source, target = ([step for step in one.steps if not isinstance(step, Gate)] for one in (theirs, layer))
    gates = [number for number, step in enumerate(layer.steps) if isinstance(step, Gate)]
    names = zip(theirs.convolutions, layer.convolutions, strict=True)
    place = gates[0] if gates else len(target)
    inner = graft.steps(source[:place], target[:place], names, _Channels(theirs.in_filters, layer.in_filters))
    graft.steps(source[place:], target[place:], names, inner)
    for selection, ours in zip(theirs.selections, layer.selections, strict=True):
        graft.target[ours] = graft.source[selection].clone()
    if layer.gate is not None:
        _graft_gate(graft.source, graft.target, theirs, layer, inner)


def _ends(layer: LayerNames) -> list[tuple[str, int]]:
    """Return the last batch norms of a layer, that of every branch if it ends in branches, with their channels."""
    *_, last = (step for step in layer.steps if isinstance(step, Convolution | Concatenation))
    if isinstance(last, Convolution):
        return [(layer.convolutions[-1][1], last.filters)]
    norms = layer.convolutions[-sum(map(len, last.branches)) :]
    places = accumulate(map(len, last.branches))
    return [(norms[place - 1][1], branch[-1].filters) for place, branch in zip(places, last.branches, strict=True)]


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
    is_last = isinstance(layer.steps[-1], Gate)
    parts = [f"{norm}.{part}" for norm, _ in _ends(layer) for part in ("weight", "bias")]
    for name in parts if is_last else [f"{layer.convolutions[-1][0]}.weight"]:
        state[name] = state[name] * (1 + math.exp(-NEW_GATE_LOGIT))
