"""How sure a front is: errors without the luck of the validation images, and chances to be on the front.

A score that was counted on few images has a known standard error. Among many networks, those that seem best were lucky,
too. The predictors of `nsga2_surrogate` know other networks that are alike, so they say what each error is expected to
be, and how uncertain that is. Errors are then drawn many times, and each time the front is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from evomnas.algorithms.surrogate.features import NetworkEncoder, Standardizer
from evomnas.algorithms.surrogate.predictors import Blend, GaussianProcess, Inputs, QuadraticRidge
from evomnas.problem.pareto import non_dominated
from evomnas.problem.search_space import Genomes, Space

Floats = NDArray[np.float64]

MIN_NETWORKS = 10  # fewer say nothing about networks that are alike
MAX_NETWORKS = 1000  # the nearest to the front, where there are more
PLANE_DRAWS, WIDE_DRAWS = 4000, 400  # of all errors: with two objectives, and with more, where a draw takes longer
DRAWS_AT_ONCE = 250  # of the former: few enough that a thousand networks fit into a processor's cache
UNDECIDED = (0.1, 0.9)  # chances to be on the front that a second training may well change
ERROR_SHIFT = 1e-3  # added to errors before their logarithm


@dataclass(frozen=True, slots=True)
class Certainty:
    """The expected errors of n networks, and their chances to be on the front.

    Attributes:
        errors: The errors that are expected without the luck of the validation images, shape (n,); NaN where a network
            is far from the front of more than `MAX_NETWORKS`.
        chances: How likely each network is on the true front of these networks, shape (n,).
    """

    errors: Floats
    chances: Floats


def judge_front(space: Space, genomes: Genomes, losses: Floats, standard_errors: Floats) -> Certainty | None:
    """Say how sure a front is.

    The errors are taken as independent of each other, and costs as certain.

    Args:
        space: The search space.
        genomes: The evaluated networks, shape (n, n_var).
        losses: Their losses, all finite, shape (n, m).
        standard_errors: The standard errors of their errors, shape (n,).

    Returns:
        What is expected; None where there are fewer than `MIN_NETWORKS` networks.
    """
    if len(genomes) < MIN_NETWORKS:
        return None
    rows = nearest_to_front(losses)
    with ThreadpoolController().limit(limits=1):
        means, deviations = _expect(space, genomes[rows], losses[rows], standard_errors[rows])
    certainty = Certainty(np.full(len(losses), np.nan), np.zeros(len(losses)))
    certainty.errors[rows] = np.clip(np.exp(means + deviations**2 / 2) - ERROR_SHIFT, 0.0, 1.0)
    certainty.chances[rows] = front_chances(np.exp(means) - ERROR_SHIFT, deviations, losses[rows, 1:])
    return certainty


def nearest_to_front(losses: Floats) -> NDArray[np.int64]:
    """Return the networks that are judged: those whose errors are nearest to the front's at their costs.

    Args:
        losses: The losses of n networks, all finite, shape (n, m).

    Returns:
        Their rows, ascending: all n, or `MAX_NETWORKS` of them.
    """
    if len(losses) <= MAX_NETWORKS:
        return np.arange(len(losses))
    order = np.argsort(losses[:, 1], kind="stable")
    least = np.minimum.accumulate(losses[order, 0])
    rows: NDArray[np.int64] = np.sort(order[np.argsort(losses[order, 0] - least, kind="stable")[:MAX_NETWORKS]])
    return rows


def _expect(space: Space, genomes: Genomes, losses: Floats, standard_errors: Floats) -> tuple[Floats, Floats]:
    """Return means and standard deviations of the logarithms of the true errors, each plus `ERROR_SHIFT`."""
    encode = NetworkEncoder(space)
    networks = encode(genomes)
    numbers = np.column_stack([networks.sizes, np.log(np.maximum(losses[:, 1], np.finfo(float).tiny))])
    inputs = Inputs(networks.one_hot, encode.gene, Standardizer(numbers).standardize(numbers))
    blend = Blend(GaussianProcess(), QuadraticRidge())
    shifted = losses[:, 0] + ERROR_SHIFT
    blend.fit(inputs, np.log(shifted), (standard_errors / shifted) ** 2)
    return blend.true_means, blend.true_deviations


def undecided(chances: Floats) -> NDArray[np.int64]:
    """Return the networks whose place a second training would settle.

    Args:
        chances: How likely each network is on the front, shape (n,).

    Returns:
        The rows of those with a chance from `UNDECIDED[0]` to `UNDECIDED[1]`, the chance nearest to one half first.
    """
    low, high = UNDECIDED
    rows = np.flatnonzero((chances >= low) & (chances <= high))
    ordered: NDArray[np.int64] = rows[np.argsort(np.abs(chances[rows] - 0.5), kind="stable")]
    return ordered


def front_chances(errors: Floats, deviations: Floats, costs: Floats) -> Floats:
    """Return how often each network is on the front when errors are drawn.

    Args:
        errors: The medians of the errors, shape (n,).
        deviations: The standard deviations of the logarithms of the errors, each plus `ERROR_SHIFT`, shape (n,).
        costs: All other losses, shape (n, m - 1).

    Returns:
        Shares, shape (n,). They are the same every time.
    """
    rng = np.random.default_rng(0)
    if costs.shape[1] > 1:
        draws = _draw(rng, errors, deviations, WIDE_DRAWS)
        shares: Floats = np.mean([non_dominated(np.column_stack([drawn, costs])) for drawn in draws], axis=0)
        return shares
    order = np.argsort(costs[:, 0], kind="stable")
    errors, deviations, rising = errors[order], deviations[order], costs[order, 0]
    before, last = np.searchsorted(rising, rising, "left"), np.searchsorted(rising, rising, "right")
    counts = np.zeros(len(errors))
    for _ in range(PLANE_DRAWS // DRAWS_AT_ONCE):
        drawn = _draw(rng, errors, deviations, DRAWS_AT_ONCE)
        least = np.full((DRAWS_AT_ONCE, len(errors) + 1), np.inf)  # of the first k networks, in column k
        np.minimum.accumulate(drawn, axis=1, out=least[:, 1:])
        # A network is on the front if all that are cheaper are worse, and none that costs the same is better.
        counts += ((drawn < least[:, before]) & (drawn <= least[:, last])).sum(axis=0)
    chances = np.zeros(len(errors))
    chances[order] = counts / PLANE_DRAWS
    return chances


def _draw(rng: np.random.Generator, errors: Floats, deviations: Floats, count: int) -> Floats:
    """Draw the errors of n networks, each plus `ERROR_SHIFT`, so many times: shape (count, n)."""
    drawn: Floats = (errors + ERROR_SHIFT) * np.exp(deviations * rng.standard_normal((count, len(errors))))
    return drawn
