"""The latency of a network's parts, estimated from measured latencies of whole networks.

Only whole networks are measured. All measurements of a run together give an estimate of the milliseconds of a part.
Latency is fitted as a sum over the parts. Dense MACs, depthwise MACs, weights, layers and squeeze-and-excite modules do
not take equally long, so each kind has a coefficient of its own. No coefficient is negative (Lawson and Hanson's NNLS).
The fit minimises relative errors. Cross-validation tells how far it is off for networks that it has not seen, and the
report shows that error beside the estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import Counts, NetworkShape, count_parts

FEATURES = ("dense", "depthwise", "weights", "layers", "gates")
MIN_NETWORKS = 20  # fewer measurements do not determine so many coefficients
MAX_NETWORKS = 500  # more measurements change nothing
FOLDS = 5
MAX_ERROR = 0.15  # a fit with a larger relative error explains nothing


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A fitted model of latency as a sum over the parts of a network.

    Attributes:
        coefficients: Milliseconds per unit of each of `FEATURES`, shape (5,).
        networks: Number of measured networks that it was fitted to.
        error: Mean relative error for networks that were left out of the fit.
    """

    coefficients: NDArray[np.float64]
    networks: int
    error: float

    def parts_ms(self, architecture: Architecture, parts: Sequence[Counts]) -> NDArray[np.float64]:
        """Return the estimated milliseconds of each part of a network.

        Args:
            architecture: The network.
            parts: The counts of its parts, from `evomnas.problem.counting.count_parts`.

        Returns:
            Milliseconds of the stem, each block and the head, shape (parts,). Their sum is an estimate too; it need not
            equal the network's measured latency.
        """
        ms: NDArray[np.float64] = part_features(architecture, parts) @ self.coefficients
        return ms


def part_features(architecture: Architecture, parts: Sequence[Counts]) -> NDArray[np.float64]:
    """Return the amounts of work of each part of a network.

    Args:
        architecture: The network.
        parts: The counts of its parts, from `evomnas.problem.counting.count_parts`.

    Returns:
        A row for the stem, for each block, and for the head with the classifier, shape (parts, 5). The columns are
        those of `FEATURES`.
    """
    layers = [1, *(block.layers for block in architecture.blocks), 2]
    gates = [0, *(block.layers * (block.se > 0) for block in architecture.blocks), 0]
    rows = [
        (counts.macs - counts.depthwise_macs, counts.depthwise_macs, counts.params, number, se)
        for counts, number, se in zip(parts, layers, gates, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def fit_breakdown(
    architectures: Sequence[Architecture], latencies: Sequence[float], shape: NetworkShape
) -> Breakdown | None:
    """Fit measured latencies as sums over the parts of the networks.

    Args:
        architectures: The measured networks.
        latencies: Their latencies in milliseconds, in the same order.
        shape: `classes`, `channels` and `resolution` of the networks.

    Returns:
        The fit. None where there are fewer than `MIN_NETWORKS` networks, or where the error of the fit is above
        `MAX_ERROR`.
    """
    if len(architectures) < MIN_NETWORKS:
        return None
    sample = np.random.default_rng(0).permutation(len(architectures))[:MAX_NETWORKS]
    networks = [architectures[index] for index in sample]
    features = np.array([part_features(network, count_parts(network, **shape)).sum(axis=0) for network in networks])
    measured = np.asarray(latencies, dtype=np.float64)[sample]
    scale = np.maximum(features.max(axis=0), 1e-12)  # so that all coefficients have about the same size
    relative = features / scale / measured[:, None]
    errors = []
    for fold in range(FOLDS):
        left_out = np.arange(len(sample)) % FOLDS == fold
        errors.append(np.abs(relative[left_out] @ _fit_coefficients(relative[~left_out]) - 1))
    error = float(np.concatenate(errors).mean())
    if error > MAX_ERROR:
        return None
    return Breakdown(_fit_coefficients(relative) / scale, len(sample), error)


def _fit_coefficients(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients, shape (5,), with which features relative to the latency, shape (n, 5), add up to 1."""
    coefficients: NDArray[np.float64] = nnls(relative, np.ones(len(relative)))[0]
    return coefficients
