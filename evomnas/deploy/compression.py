"""Compression of trained networks: fewer weights, fewer channels, smaller matrices, shorter codes.

- Magnitude pruning (Han et al., NIPS 2015): the smallest weights of all layers together become 0 and stay 0 while the
  other weights are fine-tuned. Runtimes with dense kernels do not get faster by it, but the file can be packed better.
- Channel pruning (Li et al., ICLR 2017): whole channels are dropped, the least important ones, and the others are
  fine-tuned. What is left is a narrower network with dense kernels, so that file and latency shrink.
- Low-rank factorization of the head (Denton et al., NIPS 2014): the last convolution and the classifier hold most
  weights of a small network. Each is replaced by two smaller layers, by its truncated singular value decomposition.
- Huffman coding of quantized weights (Han et al., ICLR 2016): only the size is computed that a file would have if its
  int8 weights were coded so.

References:
    Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017.
    Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015.
    Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation", NIPS 2014.
    Han, Mao and Dally, "Deep Compression", ICLR 2016.
    Huffman, "A Method for the Construction of Minimum-Redundancy Codes", 1952.
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
from torch.nn.utils import parametrize, prune

from evomnas.core.errors import InputError
from evomnas.deploy.full_training import FullTask
from evomnas.networks.narrowing import narrow_architecture, narrow_network
from evomnas.networks.network import Network

FINE_TUNING_SHARE = 0.3  # epochs of the fine-tuning, as a share of the full training's
FINE_TUNING_RATE = 0.25  # its first learning rate, relative to the full training's
CODE_TABLE_BYTES = 256  # a canonical Huffman code is stored as the length of the code of each of the 256 values


def prune_network(network: Network, share: float, task: FullTask) -> Network:
    """Set the smallest weights of a network's convolutions and classifier to 0, and fine-tune the others.

    Args:
        network: The trained network; it is not changed.
        share: The share of the weights that become 0, between 0 and 1.
        task: The images and the recipe of the fine-tuning.

    Returns:
        The pruned network, in evaluation mode.

    Raises:
        TrainingDiverged: The loss of the fine-tuning became infinite or not a number.
    """
    smaller = copy.deepcopy(network)
    weights = [(module, "weight") for module in smaller.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=share)
    for module, name in weights:
        mask = cast(Tensor, module.weight_mask)
        prune.remove(module, name)  # type: ignore[no-untyped-call]
        parametrize.register_parametrization(module, name, _Masked(mask))
    task.fine_tune(smaller, fine_tuning_epochs(task.recipe.epochs), FINE_TUNING_RATE)
    for module, name in weights:
        parametrize.remove_parametrizations(module, name)
    return smaller


def prune_channels(network: Network, share: float, task: FullTask) -> Network:
    """Drop the channels of a network that matter least, and fine-tune the others; see `evomnas.networks.narrowing`.

    Args:
        network: The trained network; it is not changed.
        share: The share of the filters that are dropped, between 0 and 1.
        task: The images on which channels are compared, and the recipe of the fine-tuning.

    Returns:
        The network with fewer channels, in evaluation mode.

    Raises:
        InputError: Its channels cannot be dropped.
        TrainingDiverged: The loss of the fine-tuning became infinite or not a number.
    """
    smaller = narrow_network(copy.deepcopy(network).to(task.device).eval(), share, task.calibration_parts())
    task.fine_tune(smaller, fine_tuning_epochs(task.recipe.epochs), FINE_TUNING_RATE)
    return smaller


def check_channels(network: nn.Module, share: float) -> None:
    """Check that channels of a network can be dropped.

    Args:
        network: The trained network.
        share: The share of the filters that are dropped, between 0 and 1.

    Raises:
        InputError: They cannot, or the network is none that evomnas builds.
    """
    if not isinstance(network, Network):
        raise InputError("--prune-channels takes a network of the search space, not one of torchvision's")
    narrow_architecture(network.architecture, share)


class _Masked(nn.Module):
    """Keeps weights at 0, wherever they are read."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def factorize_network(network: Network, share: float, task: FullTask) -> Network:
    """Replace the last convolution and the classifier of a network by two factors each, and fine-tune the network.

    A layer stays as it is if two factors with so few weights would have rank 0; see `check_ranks`.

    Args:
        network: The trained network; it is not changed.
        share: The largest share of their weights that the two layers keep, between 0 and 1.
        task: The images and the recipe of the fine-tuning.

    Returns:
        The factorized network, in evaluation mode.

    Raises:
        TrainingDiverged: The loss of the fine-tuning became infinite or not a number.
    """
    smaller = copy.deepcopy(network)
    convolution = cast(nn.Conv2d, smaller.head[0])
    factors = _factors(convolution.weight.flatten(1), share)
    if factors is not None:
        second, first = factors
        inner = nn.Conv2d(convolution.in_channels, len(first), 1, bias=False)
        outer = nn.Conv2d(len(first), convolution.out_channels, 1, bias=False)
        _set(inner, first[:, :, None, None])
        _set(outer, second[:, :, None, None])
        smaller.head = nn.Sequential(inner, outer, *smaller.head[1:])
    factors = _factors(smaller.classifier.weight, share)
    if factors is not None:
        second, first = factors
        lower = nn.Linear(first.shape[1], len(first), bias=False)
        upper = nn.Linear(len(first), len(second))
        _set(lower, first)
        _set(upper, second)
        upper.bias = smaller.classifier.bias
        smaller.classifier = nn.Sequential(lower, upper)  # type: ignore[assignment]
    task.fine_tune(smaller, fine_tuning_epochs(task.recipe.epochs), FINE_TUNING_RATE)
    return smaller


def check_ranks(network: nn.Module, share: float) -> None:
    """Check that two factors of the last convolution, and two of the classifier, can have so few weights.

    Args:
        network: The trained network.
        share: The largest share of their weights that the two layers keep, between 0 and 1.

    Raises:
        InputError: The factors of one of them would have rank 0, or the network is none that evomnas builds.
    """
    if not isinstance(network, Network):
        raise InputError("--factorize takes a network of the search space, not an off-the-shelf one of torchvision's")
    weights = {"head": cast(nn.Conv2d, network.head[0]).weight.flatten(1), "classifier": network.classifier.weight}
    empty = [name for name, weight in weights.items() if _rank(weight, share) < 1]
    if empty:
        least = max(sum(weight.shape) / weight.numel() for weight in weights.values())
        allowed = f"from {math.ceil(1000 * least) / 1000:g} on" if least < 1 else "none, it is too small for factors"
        names = " and ".join(empty)
        raise InputError(f"--factorize {share:g} leaves nothing of this network's {names}: it can have {allowed}")


def fine_tuning_epochs(epochs: int) -> int:
    """Return the epochs of a fine-tuning.

    Args:
        epochs: Those of the full training before it.
    """
    return max(1, round(FINE_TUNING_SHARE * epochs))


def _set(module: nn.Conv2d | nn.Linear, weight: Tensor) -> None:
    module.weight = nn.Parameter(weight.contiguous())


def _factors(weight: Tensor, share: float) -> tuple[Tensor, Tensor] | None:
    """Return the best two factors, (m, r) and (r, n), with at most `share` of the numbers of a matrix (m, n).

    Returns None if their rank r would be 0.
    """
    rank = _rank(weight, share)
    if rank < 1:
        return None
    left, values, right = torch.linalg.svd(weight.detach(), full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def _rank(weight: Tensor, share: float) -> int:
    """Return the largest rank of two factors that have at most `share` of the numbers of a matrix."""
    rows, columns = weight.shape
    return int(share * rows * columns / (rows + columns))


def huffman_bytes(weights: Sequence[NDArray[np.int8]]) -> int:
    """Return the size of weights in one Huffman code, with the table of the code.

    Args:
        weights: The int8 weights, arrays of any shapes.

    Returns:
        The size in bytes.
    """
    values = np.concatenate([array.ravel() for array in weights])
    counts = np.unique(values, return_counts=True)[1]
    lengths = code_lengths(counts.tolist())
    return CODE_TABLE_BYTES + -(-int(np.dot(counts, lengths)) // 8)


def code_lengths(counts: Sequence[int]) -> list[int]:
    """Return the lengths of the Huffman codes of symbols (Huffman 1952).

    Args:
        counts: How often each symbol occurs, at least once.

    Returns:
        The length of each symbol's code in bits; 1 if there is only one symbol.
    """
    if len(counts) == 1:
        return [1]
    lengths = [0] * len(counts)
    tie_breakers = itertools.count()
    heap = [(count, next(tie_breakers), [symbol]) for symbol, count in enumerate(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (count_a, _, symbols_a), (count_b, _, symbols_b) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in symbols_a + symbols_b:
            lengths[symbol] += 1
        heapq.heappush(heap, (count_a + count_b, next(tie_breakers), symbols_a + symbols_b))
    return lengths
