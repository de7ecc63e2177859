"""Smaller still: fewer weights, smaller matrices, shorter codes.

- Magnitude pruning (Han et al., NIPS 2015): the smallest weights of all layers together become 0 for good, and the
  rest is trained on. Runtimes with dense kernels run no faster for it; the file packs better.
- Low-rank factorization of the head (Denton et al., NIPS 2014): the last convolution and the classifier, which hold
  most weights of a small network, each become two smaller ones by their truncated singular value decomposition.
- Huffman coding of quantized weights (Han et al., ICLR 2016): what the file would take with its int8 weights coded so.
"""

from __future__ import annotations

import copy
import heapq
import itertools
import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import prune

from evomnas.core.errors import InputError
from evomnas.deploy.full_training import FullTask
from evomnas.networks.network import Network

FINE_TUNING = 0.3  # of the full training's epochs,
FINE_TUNING_RATE = 0.25  # from this share of its learning rate down to 0
CODE_LENGTHS_BYTES = 256  # a canonical Huffman code is known by the length of every value's code


def pruned(network: Network, share: float, task: FullTask) -> Network:
    """A copy without the `share` of convolution and classifier weights that are smallest, trained on."""
    made = copy.deepcopy(network)
    weights = [(module, "weight") for module in made.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=share)
    task.fine_tune(made, _epochs(task), FINE_TUNING_RATE)
    for module, name in weights:
        prune.remove(module, name)  # type: ignore[no-untyped-call]
    return made


def factorized(network: Network, share: float, task: FullTask) -> Network:
    """A copy whose head and classifier have at most `share` of their weights, where two factors can, trained on."""
    made = copy.deepcopy(network)
    convolution = cast(nn.Conv2d, made.head[0])
    factors = _factors(convolution.weight.flatten(1), share)
    if factors is not None:
        second, first = factors
        inner = nn.Conv2d(convolution.in_channels, len(first), 1, bias=False)
        outer = nn.Conv2d(len(first), convolution.out_channels, 1, bias=False)
        _set(inner, first[:, :, None, None])
        _set(outer, second[:, :, None, None])
        made.head = nn.Sequential(inner, outer, *made.head[1:])
    factors = _factors(made.classifier.weight, share)
    if factors is not None:
        second, first = factors
        lower = nn.Linear(first.shape[1], len(first), bias=False)
        upper = nn.Linear(len(first), len(second))
        _set(lower, first)
        _set(upper, second)
        upper.bias = made.classifier.bias
        made.classifier = nn.Sequential(lower, upper)  # type: ignore[assignment]
    task.fine_tune(made, _epochs(task), FINE_TUNING_RATE)
    return made


def check_ranks(network: nn.Module, share: float) -> None:
    """Raise InputError where a share leaves head or classifier nothing of what two factors need."""
    assert isinstance(network, Network)
    weights = {"head": cast(nn.Conv2d, network.head[0]).weight.flatten(1), "classifier": network.classifier.weight}
    empty = [name for name, weight in weights.items() if _rank(weight, share) < 1]
    if empty:
        least = max(sum(weight.shape) / weight.numel() for weight in weights.values())
        allowed = f"from {math.ceil(1000 * least) / 1000:g} on" if least < 1 else "none, it is too small for factors"
        names = " and ".join(empty)
        raise InputError(f"--factorize {share:g} leaves nothing of this network's {names}: it can have {allowed}")


def _epochs(task: FullTask) -> int:
    return max(1, round(FINE_TUNING * task.recipe.epochs))


def _set(module: nn.Conv2d | nn.Linear, weight: Tensor) -> None:
    module.weight = nn.Parameter(weight.contiguous())


def _factors(weight: Tensor, share: float) -> tuple[Tensor, Tensor] | None:
    """The best two factors, (m, r) and (r, n), with at most `share` of a matrix's m n numbers; None if r would be 0."""
    rank = _rank(weight, share)
    if rank < 1:
        return None
    left, values, right = torch.linalg.svd(weight.detach(), full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def _rank(weight: Tensor, share: float) -> int:
    rows, columns = weight.shape
    return int(share * rows * columns / (rows + columns))


def huffman_bytes(weights: Sequence[NDArray[np.int8]]) -> int:
    """Bytes of all weights in one Huffman code, the code's own table included."""
    values = np.concatenate([one.ravel() for one in weights])
    counts = np.unique(values, return_counts=True)[1]
    lengths = code_lengths(counts.tolist())
    return CODE_LENGTHS_BYTES + -(-int(np.dot(counts, lengths)) // 8)


def code_lengths(counts: Sequence[int]) -> list[int]:
    """Bits of every symbol's Huffman code by the symbols' positive counts (Huffman 1952); a lone symbol has 1."""
    if len(counts) == 1:
        return [1]
    lengths = [0] * len(counts)
    numbers = itertools.count()
    heap = [(count, next(numbers), [symbol]) for symbol, count in enumerate(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (one, _, first), (other, _, second) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in first + second:
            lengths[symbol] += 1
        heapq.heappush(heap, (one + other, next(numbers), first + second))
    return lengths
