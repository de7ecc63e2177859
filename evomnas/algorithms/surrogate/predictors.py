"""Predictors of one objective from a network's genes and sizes, with an uncertainty and a test by themselves.

Two of them, since tables differ in which ranks better, blended by how well each ranks networks that it was not shown:

- `GaussianProcess`: k(x, x') = s exp(-sum_j w_j d_j(x, x')), d_j being 0 or 1 for a gene, whether both have the same
  choice, and the squared difference for a size. The weights w_j say which genes matter; they are the likeliest ones
  under a prior that holds them near each other, as thirty evaluations say little about forty genes.
- `QuadraticRidge`: every choice and every pair of choices has an effect, and small effects are likelier, which is a
  Gaussian process, too: its kernel counts the choices, and the pairs of choices, that two networks share.

Both leave every network out once in closed form ([1], section 5.4.2), so that a test costs no second fit. They are
written here, since scikit-learn's process has no weight per gene and takes a second for what has to take a tenth.

[1] Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.stats import kendalltau

Floats = NDArray[np.float64]

TUNED_ON = 128  # networks that weights are fitted to; more of them make a fit slow and its weights hardly better
STEPS = 8  # of the optimizer, which goes on from the weights before: 25 gave the same searches
NOISE, NOISE_SD = 1e-2, 1.5  # prior of the noise's share of the variance, lognormal
WEIGHT_SD = 1.0  # of the weights' logarithms around 1 / (genes and sizes)
NOISES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)  # the ridge's
PAIRS = (0.1, 0.3, 0.6, 0.85)  # share of the variance that pairs of choices may explain
SOFTNESS = 0.02  # a predictor whose tau is lower by this has a weight e times smaller
JITTER = 1e-8


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of networks before they are evaluated.

    Attributes:
        one_hot: Their choices, shape (n, choices), with one 1 per gene.
        gene: Which gene each of these columns belongs to, shape (choices,).
        sizes: Standardised numbers, shape (n, k), such as the logarithm of a cost.
    """

    one_hot: Floats
    gene: NDArray[np.int64]
    sizes: Floats

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Inputs:
        return Inputs(self.one_hot[rows], self.gene, self.sizes[rows])

    def __len__(self) -> int:
        return len(self.one_hot)

    @property
    def genes(self) -> int:
        """How many genes there are."""
        return int(self.gene[-1]) + 1


class Predictor(Protocol):
    """Learns one objective.

    Attributes:
        left_out: What it says of each network that it learnt from without that network, shape (n,).
    """

    left_out: Floats

    def fit(self, inputs: Inputs, values: Floats) -> None:
        """Learn from values of shape (n,), all finite, n >= 2."""
        ...

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Mean and standard deviation, both of shape (n,)."""
        ...


class _Process:
    """What both share: values in standard units, and what follows from a kernel matrix's Cholesky factor."""

    left_out: Floats

    def _standardise(self, inputs: Inputs, values: Floats) -> Floats:
        self._inputs = inputs
        self._mean, self._scale = float(values.mean()), float(values.std()) or 1.0
        standard: Floats = (values - self._mean) / self._scale
        return standard

    def _condition(self, kernel: Floats, noise: float, standard: Floats) -> None:
        count = len(standard)
        self._factor = np.linalg.cholesky(kernel + (noise + JITTER) * np.eye(count))
        inverse = cho_solve((self._factor, True), np.eye(count))
        self._dual = inverse @ standard
        left_out = standard - self._dual / np.diag(inverse)  # [1], equation 5.12
        self.left_out = self._mean + self._scale * left_out

    def _posterior(self, across: Floats, prior: float) -> tuple[Floats, Floats]:
        """Mean and deviation where `across`, shape (n, learnt), is the kernel with what was learnt from."""
        solved = solve_triangular(self._factor, across.T, lower=True)
        variance = np.maximum(prior - (solved**2).sum(axis=0), JITTER)
        return self._mean + self._scale * (across @ self._dual), self._scale * np.sqrt(variance)


class GaussianProcess(_Process):
    """A Gaussian process on genes and sizes, each with a weight of its own."""

    def __init__(self) -> None:
        self._tuned: Floats | None = None  # logarithms: weights, noise, variance; where the next fit goes on

    def fit(self, inputs: Inputs, values: Floats) -> None:
        """See `Predictor`."""
        standard = self._standardise(inputs, values)
        some = np.unique(np.linspace(0, len(values) - 1, TUNED_ON).astype(np.int64))
        self._tuned = self._tune(_distances(inputs[some]), standard[some])
        *_, noise, self._variance = np.exp(self._tuned)
        self._condition(self._kernel(inputs), noise, standard)

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Predictor`."""
        return self._posterior(self._kernel(inputs), self._variance)

    def _kernel(self, inputs: Inputs) -> Floats:
        """The kernel with what was learnt from, through one matrix product: distances are Euclidean when scaled."""
        assert self._tuned is not None
        roots = np.exp(self._tuned[:-2] / 2)
        first, second = (self._scaled(one, roots) for one in (inputs, self._inputs))
        squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
        kernel: Floats = self._variance * np.exp(-np.maximum(squares, 0.0))
        return kernel

    @staticmethod
    def _scaled(inputs: Inputs, roots: Floats) -> Floats:
        genes = inputs.one_hot * (roots[inputs.gene] / np.sqrt(2))  # choices that differ are 2 apart, squared
        return np.hstack([genes, inputs.sizes * roots[inputs.genes :]])

    def _tune(self, distances: Floats, standard: Floats) -> Floats:
        """The logarithms of weights, noise and variance that are likeliest under their prior."""
        count = len(distances)
        middle = np.concatenate([np.full(count, -np.log(count)), [np.log(NOISE), 0.0]])
        spread = np.concatenate([np.full(count, WEIGHT_SD), [NOISE_SD, 1.0]])
        start = middle if self._tuned is None else self._tuned
        flat = distances.reshape(count, -1)
        found = minimize(
            _loss, start, (flat, standard, middle, spread), "L-BFGS-B", jac=True, options={"maxiter": STEPS},
            bounds=list(zip(middle - 6 * spread, middle + 6 * spread, strict=True)),
        )  # fmt: skip
        tuned: Floats = found.x
        return tuned


def _distances(inputs: Inputs) -> Floats:
    """d_j of all pairs, shape (genes + sizes, n, n)."""
    choices = np.stack(
        [np.where(inputs.gene == gene, inputs.one_hot, 0).argmax(axis=1) for gene in range(inputs.genes)]
    )
    genes = choices[:, :, None] != choices[:, None, :]
    sizes = (inputs.sizes.T[:, :, None] - inputs.sizes.T[:, None, :]) ** 2
    return np.concatenate([genes.astype(np.float64), sizes])


def _loss(logs: Floats, distances: Floats, standard: Floats, middle: Floats, spread: Floats) -> tuple[float, Floats]:
    """Minus the log posterior density of `logs`, less a constant, and its gradient ([1], equations 5.8 and 5.9).

    Distances have the shape (genes + sizes, n * n).
    """
    count = len(standard)
    *weights, noise, variance = np.exp(logs)
    kernel = variance * np.exp(-(np.array(weights) @ distances)).reshape(count, count)
    try:
        factor = np.linalg.cholesky(kernel + (noise + JITTER) * np.eye(count))
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(logs)
    inverse = cho_solve((factor, True), np.eye(count))
    dual = inverse @ standard
    pull = np.outer(dual, dual) - inverse
    of_kernel = pull * kernel
    gradient = np.concatenate(
        [
            0.5 * (distances @ of_kernel.ravel()) * np.array(weights),
            [-0.5 * np.trace(pull) * noise, -0.5 * of_kernel.sum()],
        ]
    )
    away = (logs - middle) / spread
    loss = 0.5 * standard @ dual + np.log(np.diag(factor)).sum() + 0.5 * away @ away
    return float(loss), gradient + away / spread


class QuadraticRidge(_Process):
    """Effects of choices and of pairs of choices; how strong pairs and noise are is what makes the values likeliest."""

    def fit(self, inputs: Inputs, values: Floats) -> None:
        """See `Predictor`."""
        standard = self._standardise(inputs, values)
        some = np.unique(np.linspace(0, len(values) - 1, TUNED_ON).astype(np.int64))
        self._pairs, noise, self._variance = self._tune(inputs[some], standard[some])
        self._condition(self._kernel(inputs), noise * self._variance, standard)

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Predictor`."""
        return self._posterior(self._kernel(inputs), self._variance)

    def _kernel(self, inputs: Inputs) -> Floats:
        single, pairs = _shared(inputs, self._inputs)
        kernel: Floats = self._variance * ((1 - self._pairs) * single + self._pairs * pairs)
        return kernel

    @staticmethod
    def _tune(inputs: Inputs, standard: Floats) -> tuple[float, float, float]:
        """The likeliest share of pairs, noise relative to the variance, and variance, which has a closed form."""
        count = len(standard)
        found = []
        single, pairs = _shared(inputs, inputs)
        for share in PAIRS:
            values, vectors = np.linalg.eigh((1 - share) * single + share * pairs)
            squares = (vectors.T @ standard) ** 2
            for noise in NOISES:
                total = np.maximum(values, 0.0) + noise
                variance = max(float((squares / total).mean()), JITTER)
                found.append((count * np.log(variance) + np.log(total).sum(), share, noise, variance))
        return min(found)[1:]


def _shared(first: Inputs, second: Inputs) -> tuple[Floats, Floats]:
    """Shares of genes, and of pairs of genes, in which networks agree, both of shape (n, m)."""
    genes = first.genes
    agreeing = first.one_hot @ second.one_hot.T
    return agreeing / genes, agreeing * (agreeing - 1) / max(genes * (genes - 1), 1)


class Blend:
    """Predictors, each weighted by how well it ranks what it was not shown.

    Attributes:
        tau: Kendall's rank correlation of what the blend says of networks left out with their values; None where
            there is none, as of equal values.
    """

    tau: float | None = None

    def __init__(self, *predictors: Predictor) -> None:
        self._predictors = predictors

    def fit(self, inputs: Inputs, values: Floats) -> None:
        """See `Predictor`."""
        for one in self._predictors:
            one.fit(inputs, values)
        taus = np.array([_tau(one.left_out, values) or 0.0 for one in self._predictors])
        self._weights = np.exp((taus - taus.max()) / SOFTNESS)
        self._weights /= self._weights.sum()
        self.tau = _tau(self._mean([one.left_out for one in self._predictors]), values)

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Predictor`; where predictors disagree, that is uncertainty, too."""
        means, deviations = zip(*(one.predict(inputs) for one in self._predictors), strict=True)
        mean = self._mean(means)
        variance = self._mean([sd**2 + (one - mean) ** 2 for one, sd in zip(means, deviations, strict=True)])
        return mean, np.sqrt(variance)

    def _mean(self, parts: Sequence[Floats]) -> Floats:
        mean: Floats = self._weights @ np.stack(parts)
        return mean


def _tau(predicted: Floats, values: Floats) -> float | None:
    if np.ptp(predicted) == 0 or np.ptp(values) == 0:
        return None
    return float(kendalltau(predicted, values).statistic)
