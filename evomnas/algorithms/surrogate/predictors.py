"""Predictors of one objective from a network's genes and sizes. They give uncertainties, and they test themselves.

There are two of them, because tables differ in which one ranks better. They are blended by how well each ranks networks
that it was not shown.

- `GaussianProcess`: the kernel is k(x, x') = s exp(-sum_j w_j d_j(x, x')). For a gene, d_j is 0 where both networks
  have the same choice and 1 where they differ. For a size, d_j is the squared difference. The weights w_j tell which
  genes matter. They are the likeliest ones under a prior that holds them near each other, since thirty evaluations say
  little about forty genes.
- `QuadraticRidge`: every choice and every pair of choices has an effect, and small effects are likelier. This is a
  Gaussian process, too: its kernel counts the choices, and the pairs of choices, that two networks share.

Both compute in closed form what they would predict for each network if it were left out ([1], section 5.4.2), so a test
costs no second fit. They are written here because scikit-learn's Gaussian process has no weight per gene, and takes a
second for what has to take a tenth of one.

[1] Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

from evomnas.core.numbers.ranks import kendall_tau

Floats = NDArray[np.float64]

MAX_TUNING_NETWORKS = 128  # that hyperparameters are fitted to; with more, a fit is slow and its weights hardly better
TUNING_STEPS = 8  # of the optimizer, which goes on from the last fit's result; 25 steps gave the same searches
NOISE_PRIOR_MEDIAN, NOISE_PRIOR_SD = 1e-2, 1.5  # of the noise's share of the variance; the prior is lognormal
WEIGHT_PRIOR_SD = 1.0  # of the weights' logarithms around that of 1 / (genes and sizes)
RIDGE_NOISES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)  # values of the noise that the ridge tries
RIDGE_PAIR_SHARES = (0.1, 0.3, 0.6, 0.85)  # shares of the variance, explained by pairs of choices, that the ridge tries
RELATED_SHARES = (0.3, 0.7, 0.95)  # shares of the variance, explained by what is known from elsewhere, that are tried
RELATED_PAIR_SHARES = (0.1, 0.6)  # of the rest
BLEND_SOFTNESS = 0.02  # a predictor whose tau is lower by this gets a weight that is e times smaller
JITTER = 1e-8  # added to the diagonal, so that a kernel matrix of equal networks has a Cholesky factor


@dataclass(frozen=True, slots=True)
class Inputs:
    """The features of n networks, which are known before these are evaluated.

    Attributes:
        one_hot: The choices, shape (n, choices), with one 1 per gene.
        gene: The gene that each of these columns belongs to, shape (choices,).
        sizes: Standardised numbers, shape (n, k), such as the logarithm of a cost.
        relatives: Standardised predictions of what the networks would reach elsewhere, shape (n, r); None where nothing
            is known from elsewhere.
    """

    one_hot: Floats
    gene: NDArray[np.int64]
    sizes: Floats
    relatives: Floats | None = None

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Inputs:
        relatives = None if self.relatives is None else self.relatives[rows]
        return Inputs(self.one_hot[rows], self.gene, self.sizes[rows], relatives)

    def __len__(self) -> int:
        return len(self.one_hot)

    @property
    def genes(self) -> int:
        """The number of genes."""
        return int(self.gene[-1]) + 1

    @property
    def numbers(self) -> Floats:
        """The sizes, and behind them what is known from elsewhere, shape (n, k + r)."""
        return self.sizes if self.relatives is None else np.hstack([self.sizes, self.relatives])


class Predictor(Protocol):
    """A model that learns one objective.

    Attributes:
        left_out_means: For each network that the last fit learnt from, the mean that would be predicted without this
            network, shape (n,).
        true_means: For each of these networks, the mean of its value without the known noise, shape (n,).
        true_deviations: The standard deviations of these values, shape (n,); 0 where no noise is known.
    """

    left_out_means: Floats
    true_means: Floats
    true_deviations: Floats

    def fit(self, inputs: Inputs, values: Floats, noise: Floats | float = 0.0) -> None:
        """Learn from networks whose objective is known. An earlier fit is forgotten.

        Args:
            inputs: The n networks, n >= 2.
            values: Their values, shape (n,), all finite.
            noise: The known variances of the values around the true ones, shape (n,) or the same for all; 0 where none
                is known.
        """
        ...

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Predict the true values of n networks.

        Args:
            inputs: The networks.

        Returns:
            Means and standard deviations, both of shape (n,).
        """
        ...


class _Process(ABC):
    """The common part of both predictors: values in standard units, and predictions from a kernel matrix."""

    left_out_means: Floats
    true_means: Floats
    true_deviations: Floats
    _variance: float  # of a network before anything was learnt, in standard units

    def _standardise(self, inputs: Inputs, values: Floats, noise: Floats | float) -> tuple[Floats, Floats]:
        """Remember what is learnt from, and return the values with mean 0 and deviation 1, and their known noise."""
        self._inputs = inputs
        self._mean, self._scale = float(values.mean()), float(values.std()) or 1.0
        return (values - self._mean) / self._scale, np.broadcast_to(noise / self._scale**2, values.shape)

    def _condition(self, kernel: Floats, noise: float, known_noise: Floats, standard: Floats) -> None:
        """Learn from standardised values.

        Args:
            kernel: The kernel matrix of their networks, shape (n, n).
            noise: The variance by which networks deviate from what is learnt.
            known_noise: The known variances of the values around the true ones, shape (n,).
            standard: The values, shape (n,).
        """
        count = len(standard)
        self._noise = noise
        self._factor = np.linalg.cholesky(kernel + np.diag(known_noise + noise + JITTER))
        inverse = cho_solve((self._factor, True), np.eye(count))
        self._dual = inverse @ standard
        left_out = standard - self._dual / np.diag(inverse)  # [1], equation 5.12
        self.left_out_means = self._mean + self._scale * left_out
        self.true_means = self._mean + self._scale * (standard - known_noise * self._dual)  # [1], equation 2.25
        # With N for the known noise and A for all of the covariance: N - N A^-1 N, from equation 2.26.
        true_variance = known_noise - known_noise**2 * np.diag(inverse)
        self.true_deviations = self._scale * np.sqrt(np.maximum(true_variance, 0.0))

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Predictor.predict`. A network deviates from what is learnt by the noise that is not known, too."""
        across = self._kernel(inputs)
        solved = solve_triangular(self._factor, across.T, lower=True)
        variance = np.maximum(self._variance - (solved**2).sum(axis=0), JITTER) + self._noise
        return self._mean + self._scale * (across @ self._dual), self._scale * np.sqrt(variance)

    @abstractmethod
    def _kernel(self, inputs: Inputs) -> Floats:
        """Return the kernel between n networks and the m that were learnt from, shape (n, m)."""


class GaussianProcess(_Process):
    """A Gaussian process on genes and sizes, each with a weight of its own."""

    def __init__(self) -> None:
        self._tuned: Floats | None = None  # logarithms of weights, noise and variance, from which the next fit goes on

    def fit(self, inputs: Inputs, values: Floats, noise: Floats | float = 0.0) -> None:
        """See `Predictor.fit`."""
        standard, known = self._standardise(inputs, values, noise)
        rows = _tuning_rows(len(values))
        self._tuned = self._tune(_distances(inputs[rows]), standard[rows], known[rows])
        *_, own_noise, self._variance = np.exp(self._tuned)
        self._condition(self._kernel(inputs), own_noise, known, standard)

    def _kernel(self, inputs: Inputs) -> Floats:
        """See `_Process._kernel`.

        It takes one matrix product, because the weighted distances are squared Euclidean ones of scaled features.
        """
        assert self._tuned is not None
        roots = np.exp(self._tuned[:-2] / 2)
        first, second = (self._scale_features(networks, roots) for networks in (inputs, self._inputs))
        squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
        kernel: Floats = self._variance * np.exp(-np.maximum(squares, 0.0))
        return kernel

    @staticmethod
    def _scale_features(inputs: Inputs, roots: Floats) -> Floats:
        """Multiply features by the roots of their weights, which have the shape (genes + sizes,)."""
        genes = inputs.one_hot * (roots[inputs.gene] / np.sqrt(2))  # two different choices have a squared distance of 2
        return np.hstack([genes, inputs.numbers * roots[inputs.genes :]])

    def _tune(self, distances: Floats, standard: Floats, known_noise: Floats) -> Floats:
        """Return the logarithms of weights, noise and variance that are likeliest under their prior.

        Args:
            distances: Shape (genes + sizes, n, n).
            standard: The standardised values, shape (n,).
            known_noise: Their known noise, shape (n,).

        Returns:
            Shape (genes + sizes + 2,).
        """
        count = len(distances)
        middle = np.concatenate([np.full(count, -np.log(count)), [np.log(NOISE_PRIOR_MEDIAN), 0.0]])
        spread = np.concatenate([np.full(count, WEIGHT_PRIOR_SD), [NOISE_PRIOR_SD, 1.0]])
        start = middle if self._tuned is None else self._tuned
        flat = distances.reshape(count, -1)
        result = minimize(
            _loss, start, (flat, standard, known_noise, middle, spread), "L-BFGS-B", jac=True,
            bounds=list(zip(middle - 6 * spread, middle + 6 * spread, strict=True)), options={"maxiter": TUNING_STEPS},
        )  # fmt: skip
        tuned: Floats = result.x
        return tuned


def _tuning_rows(count: int) -> NDArray[np.int64]:
    """Return the rows, of `count`, that hyperparameters are fitted to: all, or evenly spread ones of many."""
    return np.unique(np.linspace(0, count - 1, MAX_TUNING_NETWORKS).astype(np.int64))


def _distances(inputs: Inputs) -> Floats:
    """Return the distances d_j of all pairs of networks, shape (genes + sizes, n, n)."""
    choices = np.stack(
        [np.where(inputs.gene == gene, inputs.one_hot, 0).argmax(axis=1) for gene in range(inputs.genes)]
    )
    genes = choices[:, :, None] != choices[:, None, :]
    sizes = (inputs.numbers.T[:, :, None] - inputs.numbers.T[:, None, :]) ** 2
    return np.concatenate([genes.astype(np.float64), sizes])


def _loss(
    logs: Floats, distances: Floats, standard: Floats, known_noise: Floats, middle: Floats, spread: Floats
) -> tuple[float, Floats]:
    """Return minus the log posterior density of hyperparameters, less a constant, and its gradient.

    See [1], equations 5.8 and 5.9.

    Args:
        logs: Logarithms of weights, noise and variance, shape (genes + sizes + 2,).
        distances: Shape (genes + sizes, n * n).
        standard: The standardised values, shape (n,).
        known_noise: Their known noise, shape (n,), which is added to the noise of `logs`.
        middle: Means of the normal prior of `logs`.
        spread: Standard deviations of the normal prior of `logs`.
    """
    count = len(standard)
    *weights, noise, variance = np.exp(logs)
    kernel = variance * np.exp(-(np.array(weights) @ distances)).reshape(count, count)
    try:
        factor = np.linalg.cholesky(kernel + np.diag(known_noise + noise + JITTER))
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(logs)
    inverse = cho_solve((factor, True), np.eye(count))
    dual = inverse @ standard
    pull = np.outer(dual, dual) - inverse
    kernel_pull = pull * kernel
    gradient = np.concatenate(
        [
            0.5 * (distances @ kernel_pull.ravel()) * np.array(weights),
            [-0.5 * np.trace(pull) * noise, -0.5 * kernel_pull.sum()],
        ]
    )
    deviation = (logs - middle) / spread
    loss = 0.5 * standard @ dual + np.log(np.diag(factor)).sum() + 0.5 * deviation @ deviation
    return float(loss), gradient + deviation / spread


class QuadraticRidge(_Process):
    """A ridge regression on choices and pairs of choices.

    The strengths of the pairs and of the noise are those that make the values likeliest.

    Attributes:
        mixes: The weights of the kernel's parts that are tried.
    """

    mixes: ClassVar[Sequence[tuple[float, ...]]] = [(1 - pairs, pairs) for pairs in RIDGE_PAIR_SHARES]

    def fit(self, inputs: Inputs, values: Floats, noise: Floats | float = 0.0) -> None:
        """See `Predictor.fit`. The noise that is found is more than the known one, which is taken off its mean."""
        standard, known = self._standardise(inputs, values, noise)
        rows = _tuning_rows(len(values))
        self._mix, whole_noise, self._variance = self._tune(inputs[rows], standard[rows])
        own_noise = max(whole_noise * self._variance - float(known.mean()), RIDGE_NOISES[0] * self._variance)
        self._condition(self._kernel(inputs), own_noise, known, standard)

    def _kernel(self, inputs: Inputs) -> Floats:
        """See `_Process._kernel`."""
        kernel: Floats = self._variance * _mixed(self._mix, self._parts(inputs, self._inputs))
        return kernel

    def _parts(self, first: Inputs, second: Inputs) -> tuple[Floats, ...]:
        """Return the parts of the kernel between n and m networks, each of shape (n, m)."""
        return _shared(first, second)

    def _tune(self, inputs: Inputs, standard: Floats) -> tuple[tuple[float, ...], float, float]:
        """Return the likeliest weights of the parts, noise relative to the variance, and variance.

        The first two are the best of a grid. The variance has a closed form.
        """
        count = len(standard)
        trials = []
        parts = self._parts(inputs, inputs)
        for mix in self.mixes:
            values, vectors = np.linalg.eigh(_mixed(mix, parts))
            squares = (vectors.T @ standard) ** 2
            for noise in RIDGE_NOISES:
                total = np.maximum(values, 0.0) + noise
                variance = max(float((squares / total).mean()), JITTER)
                trials.append((count * np.log(variance) + np.log(total).sum(), mix, noise, variance))
        return min(trials)[1:]


class RelatedRidge(QuadraticRidge):
    """A ridge regression on what networks would reach elsewhere, and on choices and pairs of choices beside that."""

    mixes = [
        ((1 - related) * (1 - pairs), (1 - related) * pairs, related)
        for related in RELATED_SHARES
        for pairs in RELATED_PAIR_SHARES
    ]

    def _parts(self, first: Inputs, second: Inputs) -> tuple[Floats, ...]:
        """See `QuadraticRidge._parts`. The last part is of straight lines through what is known from elsewhere."""
        assert first.relatives is not None
        assert second.relatives is not None
        lines = 1 + first.relatives @ second.relatives.T / first.relatives.shape[1]
        return *_shared(first, second), lines / 2


def _mixed(mix: Sequence[float], parts: Sequence[Floats]) -> Floats:
    """Return the weighted sum of a kernel's parts."""
    return functools.reduce(np.add, [weight * part for weight, part in zip(mix, parts, strict=True)])


def _shared(first: Inputs, second: Inputs) -> tuple[Floats, Floats]:
    """Return the shares of genes, and of pairs of genes, in which n and m networks agree, both of shape (n, m)."""
    genes = first.genes
    agreeing = first.one_hot @ second.one_hot.T
    return agreeing / genes, agreeing * (agreeing - 1) / max(genes * (genes - 1), 1)


class Blend:
    """A weighted mean of predictors. Each one weighs the more, the better it ranks networks that it was not shown.

    Attributes:
        true_means: As of `Predictor.true_means`.
        tau: Kendall's rank correlation between the values and the blend of `left_out_means`, after the last fit. None
            where there is none, as for equal values.
    """

    true_means: Floats
    tau: float | None = None

    def __init__(self, *predictors: Predictor) -> None:
        """Blend predictors.

        Args:
            *predictors: At least one.
        """
        self._predictors = predictors

    def fit(self, inputs: Inputs, values: Floats, noise: Floats | float = 0.0) -> None:
        """Fit all predictors, and weigh them.

        Args:
            inputs: As of `Predictor.fit`.
            values: As of `Predictor.fit`.
            noise: As of `Predictor.fit`.
        """
        for predictor in self._predictors:
            predictor.fit(inputs, values, noise)
        taus = np.array([_tau(predictor.left_out_means, values) or 0.0 for predictor in self._predictors])
        self._weights = np.exp((taus - taus.max()) / BLEND_SOFTNESS)
        self._weights /= self._weights.sum()
        left_out_means = self._weighted_mean([predictor.left_out_means for predictor in self._predictors])
        self.tau = _tau(left_out_means, values)
        self.true_means = self._weighted_mean([predictor.true_means for predictor in self._predictors])

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Predict the values of n networks. Where the predictors disagree, that counts as uncertainty, too.

        Args:
            inputs: The networks.

        Returns:
            Means and standard deviations, both of shape (n,).
        """
        means, deviations = zip(*(predictor.predict(inputs) for predictor in self._predictors), strict=True)
        blend = self._weighted_mean(means)
        variance = self._weighted_mean(
            [sd**2 + (mean - blend) ** 2 for mean, sd in zip(means, deviations, strict=True)]
        )
        return blend, np.sqrt(variance)

    @property
    def true_deviations(self) -> Floats:
        """As of `Predictor.true_deviations`. Where the predictors disagree, that counts as uncertainty, too."""
        variances = [one.true_deviations**2 + (one.true_means - self.true_means) ** 2 for one in self._predictors]
        return np.sqrt(self._weighted_mean(variances))

    def _weighted_mean(self, parts: Sequence[Floats]) -> Floats:
        mean: Floats = self._weights @ np.stack(parts)
        return mean


def _tau(predicted: Floats, values: Floats) -> float | None:
    """Return Kendall's rank correlation; None where either side is constant."""
    if np.ptp(predicted) == 0 or np.ptp(values) == 0:
        return None
    return kendall_tau(predicted, values)
