"""Where a network's milliseconds go: its measured latency, spread over its parts.

Only whole networks are measured. What each part takes is estimated from all of a run's measurements together:
latency is fitted as a sum over parts of what they compute, by kind, as dense MACs, depthwise MACs, weights, layers and
SE modules do not take equally long. No coefficient is negative (Lawson and Hanson's NNLS), relative errors count, and
how far the fit is off for networks that it has not seen is found by cross-validation and said beside what is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import Counts, count_parts

FEATURES = ("dense", "depthwise", "weights", "layers", "gates")
MIN_NETWORKS = 20  # fewer say nothing about so many coefficients
MAX_NETWORKS = 500  # more change nothing
FOLDS = 5
MAX_ERROR = 0.15  # a fit that is off by more explains nothing


@dataclass(frozen=True, slots=True)
class Breakdown:
    """How a run's latencies are made up.

    Attributes:
        coefficients: Milliseconds per unit of each of `FEATURES`, shape (5,).
        networks: How many measured networks it was fitted to.
        error: Mean relative error for networks that were left out.
    """

    coefficients: NDArray[np.float64]
    networks: int
    error: float

    def parts_ms(self, architecture: Architecture, parts: Sequence[Counts]) -> NDArray[np.float64]:
        """Estimated milliseconds of stem, blocks and head, shape (parts,); they add up to no measured latency."""
        ms: NDArray[np.float64] = part_features(architecture, parts) @ self.coefficients
        return ms


def part_features(architecture: Architecture, parts: Sequence[Counts]) -> NDArray[np.float64]:
    """What stem, each block, and head with classifier compute, shape (parts, 5) in the order of `FEATURES`.

    `parts` are what `evomnas.problem.counting.count_parts` says of the architecture.
    """
    layers = [1, *(block.layers for block in architecture.blocks), 2]
    gates = [0, *(block.layers * (block.se > 0) for block in architecture.blocks), 0]
    rows = [
        (counts.macs - counts.depthwise_macs, counts.depthwise_macs, counts.params, number, se)
        for counts, number, se in zip(parts, layers, gates, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def break_down(
    architectures: Sequence[Architecture], latencies: Sequence[float], shape: Mapping[str, int]
) -> Breakdown | None:
    """Fit measured latencies in milliseconds; None where there are too few, or what is fitted does not explain them."""
    if len(architectures) < MIN_NETWORKS:
        return None
    chosen = np.random.default_rng(0).permutation(len(architectures))[:MAX_NETWORKS]
    networks = [architectures[index] for index in chosen]
    features = np.array([part_features(one, count_parts(one, **shape)).sum(axis=0) for one in networks])
    measured = np.asarray(latencies, dtype=np.float64)[chosen]
    scale = np.maximum(features.max(axis=0), 1e-12)  # coefficients of one size
    relative = features / scale / measured[:, None]
    errors = []
    for fold in range(FOLDS):
        held = np.arange(len(chosen)) % FOLDS == fold
        errors.append(np.abs(relative[held] @ _fit(relative[~held]) - 1))
    error = float(np.concatenate(errors).mean())
    if error > MAX_ERROR:
        return None
    return Breakdown(_fit(relative) / scale, len(chosen), error)


def _fit(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    coefficients: NDArray[np.float64] = nnls(relative, np.ones(len(relative)))[0]
    return coefficients
