"""The experience of a search: results and costs of networks, and predictions from them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from evomnas.algorithms.base import Measure
from evomnas.algorithms.surrogate.acquisition import Front, Gaining, Lognormal, Predictions, staircase
from evomnas.algorithms.surrogate.features import EncodedNetworks, NetworkEncoder, Standardizer, concatenate
from evomnas.algorithms.surrogate.layers import LayeredFront
from evomnas.algorithms.surrogate.predictors import Blend, Inputs, Predictor, RelatedRidge
from evomnas.algorithms.surrogate.relatives import Relatives
from evomnas.problem.pareto import non_dominated

Floats = NDArray[np.float64]

ERROR_FLOOR = 1e-3  # added to errors before their logarithm: a validation split cannot tell smaller errors apart
FLOOR_IMAGES = 0.5  # the same as a number of images, where a split is so small that this is more
MAX_LESSONS = 1000  # networks that predictors learn from, so that a long search stays quick
# Trees on one-hot genes differ little. With a hundred of them searches asked for as many failures, in twice the time.
FAILURE_TREES = 20


class Experience:
    """Results and costs of networks, and predictors that learn from them when a prediction is needed."""

    def __init__(self, encode: NetworkEncoder, predictors: Sequence[type[Predictor]]) -> None:
        """Begin without any result or cost.

        Args:
            encode: Encodes the networks of the space.
            predictors: The kinds of predictors, which are blended; errors and costs each get their own.
        """
        self._gene, self._kinds = encode.gene, predictors
        self._relatives: Relatives | None = None
        self._measure: Measure | None = None
        self._error_shift = ERROR_FLOOR  # added to errors before their logarithm
        self._error, self._cost = (Blend(*(kind() for kind in predictors)) for _ in range(2))
        no_networks = encode(np.zeros((0, len(encode.space.gene_sizes)), dtype=np.int64))
        self._evaluated = self._with_cost = no_networks
        self._log_errors = np.zeros(0)  # of the evaluated networks; infinite where there is no result
        self._noise = np.zeros(0)  # variances of these logarithms by the choice of validation images
        self._true_log_errors = np.zeros(0)  # what is expected of them without this noise
        self._further: list[Blend] = []  # predictors of the objectives beside error and cost
        self._log_further = np.zeros((0, 0))  # of the evaluated networks
        self._log_costs = np.zeros(0)  # of the networks with a cost
        self._log_cost_by_key: dict[Hashable, float] = {}  # infinite where a network is ruled out
        self._classifiers: list[Any] = []  # tell networks with a result from others, as soon as there are both
        self._error_is_fresh = self._cost_is_fresh = False  # True where the predictors have learnt from everything

    @property
    def result_count(self) -> int:
        """The number of networks that have a result."""
        return int(np.isfinite(self._log_errors).sum())

    @property
    def taus(self) -> dict[str, float]:
        """Kendall's tau of the predictors for errors and for costs, as far as it is known; see `Blend.tau`."""
        further = {f"tau (objective {number})": blend.tau for number, blend in enumerate(self._further, start=3)}
        taus = {"tau (error)": self._error.tau, "tau (cost)": self._cost.tau, **further}
        return {name: tau for name, tau in taus.items() if tau is not None}

    def learn_objectives(self, count: int) -> None:
        """Learn how many objectives there are, before there are any results.

        Args:
            count: Their number.
        """
        self._further = [Blend(*(kind() for kind in self._kinds)) for _ in range(count - 2)]
        self._log_further = np.zeros((0, count - 2))

    def learn_measure(self, measure: Measure) -> None:
        """Learn what the problem says about its losses, before there are any results.

        Args:
            measure: The measure.
        """
        self._measure = measure
        if measure.images:
            self._error_shift = max(ERROR_FLOOR, FLOOR_IMAGES / measure.images)

    def learn_from(self, relatives: Relatives) -> None:
        """Learn what is known from elsewhere, before there are any results. Costs are not learnt from it.

        Args:
            relatives: Predicts what networks would reach there.
        """
        self._relatives = relatives
        kinds: list[type[Predictor]] = [*self._kinds, RelatedRidge]
        self._error = Blend(*(kind() for kind in kinds))

    def add_results(self, networks: EncodedNetworks, losses: Floats, violations: Floats) -> None:
        """Add results and, of the feasible networks, costs.

        Args:
            networks: n evaluated networks.
            losses: Their losses as of `Algorithm.tell`, shape (n, m).
            violations: Their violations as of `Algorithm.tell`, shape (n,).
        """
        good = np.isfinite(losses).all(axis=1) & (violations <= 0)
        errors = np.where(good, losses[:, 0], 1.0)
        log_errors = np.where(good, np.log(errors + self._error_shift), np.inf)
        self._evaluated = concatenate(self._evaluated, networks)
        self._log_errors = np.append(self._log_errors, log_errors)
        self._noise = np.append(self._noise, self._noise_of(errors))
        log_further = np.log(np.maximum(np.where(good[:, None], losses[:, 2:], 1.0), np.finfo(float).tiny))
        self._log_further = np.concatenate([self._log_further, log_further])
        self.add_costs(networks[np.flatnonzero(good)], losses[good, 1])
        self._error_is_fresh = False

    def _noise_of(self, errors: Floats) -> Floats:
        """Return the variances of the errors' logarithms by the choice of the validation images, shape (n,).

        An error of k among n images has the variance p (1 - p) / n with p = (k + 1) / (n + 2), so that no error is
        taken as certain. That of the logarithm follows to first order.
        """
        images = 0 if self._measure is None else self._measure.images
        if not images:
            return np.zeros(len(errors))
        shares = (errors * images + 1) / (images + 2)
        variances: Floats = shares * (1 - shares) / images / (errors + self._error_shift) ** 2
        return variances

    def add_costs(self, networks: EncodedNetworks, costs: Floats) -> None:
        """Add costs.

        Args:
            networks: n networks, evaluated or not.
            costs: Their costs, shape (n,); infinite where a network fails or is beyond a limit.
        """
        is_new = np.array([key not in self._log_cost_by_key for key in networks.keys], dtype=bool)
        log_costs = np.log(np.maximum(costs, np.finfo(float).tiny))
        self._log_cost_by_key |= dict(zip(networks.keys, log_costs.tolist(), strict=True))
        rows = np.flatnonzero(is_new & np.isfinite(log_costs))[: max(0, MAX_LESSONS - len(self._with_cost))]
        if len(rows):
            self._with_cost = concatenate(self._with_cost, networks[rows])
            self._log_costs = np.append(self._log_costs, log_costs[rows])
            self._cost_is_fresh = False

    def known_costs(self, networks: EncodedNetworks) -> Floats:
        """Return the logarithms of the known costs of n networks.

        Args:
            networks: The networks.

        Returns:
            Shape (n,): NaN where a cost is unknown, infinite where a network is ruled out.
        """
        return np.array([self._log_cost_by_key.get(key, np.nan) for key in networks.keys], dtype=np.float64)

    def front(self) -> Gaining:
        """Return the front of the results: of the errors that are expected without the known noise.

        There must be at least two results. Where noise is not known, the errors are those of the results. Else a
        network that was lucky in its validation images would hide others that are better than it. As long as no result
        lies within the problem's reference point, none is used.
        """
        log_costs, log_errors = self._known_points()
        costs, errors = np.exp(log_costs), np.exp(log_errors) - self._error_shift
        reference_point = None if self._measure is None else self._measure.reference_point
        losses = np.column_stack([errors, costs, np.exp(self._known_further())])
        if reference_point is not None and not (losses < reference_point).all(axis=1).any():
            reference_point = None
        if self._further:
            own = None if reference_point is None else tuple(_cost_first(np.array(reference_point)))
            return LayeredFront.of(_cost_first(losses), own)
        return Front(
            staircase(costs, errors), None if reference_point is None else (reference_point[0], reference_point[1])
        )

    def front_networks(self) -> EncodedNetworks:
        """Return the networks on the front of the results, as of `front`."""
        costs, log_errors = self._known_points()
        good = np.flatnonzero(np.isfinite(self._log_errors))
        if self._further:
            return self._evaluated[good[non_dominated(np.column_stack([costs, log_errors, self._known_further()]))]]
        stairs, heights = staircase(costs, log_errors)
        on_front = np.isin(costs, stairs) & np.isin(log_errors, heights)
        return self._evaluated[good[on_front]]

    def _known_further(self) -> Floats:
        """Return the logarithms of the further objectives of the results, shape (k, m - 2)."""
        return self._log_further[np.isfinite(self._log_errors)]

    def _known_points(self) -> tuple[Floats, Floats]:
        """Return the logarithms of the costs and of the expected true errors of the results, both of shape (k,)."""
        good = np.isfinite(self._log_errors)
        if not self._noise.any():
            return self.known_costs(self._evaluated)[good], self._log_errors[good]
        self._learn_errors()
        return self.known_costs(self._evaluated)[good], self._true_log_errors[good]

    def predict(self, networks: EncodedNetworks) -> Predictions:
        """Predict the results of n candidates. There must be at least two results to learn from.

        Args:
            networks: The candidates.

        Returns:
            The predictions, of shape (n,).
        """
        costs = self.estimated_costs(networks)
        self._learn_errors()
        means, deviations = self._error.predict(self._error_inputs(networks, costs.means))
        errors = Lognormal(means, deviations, self._error_shift)
        return Predictions(errors, costs, self._success_chances(networks), self._predict_further(networks))

    def _predict_further(self, networks: EncodedNetworks) -> tuple[Lognormal, ...]:
        if not self._further:
            return ()
        inputs = self._inputs(networks, self._further_scale)
        return tuple(Lognormal(*blend.predict(inputs)) for blend in self._further)

    def estimated_costs(self, networks: EncodedNetworks) -> Lognormal:
        """Return the costs of n networks: the known ones, which are certain, and predictions of the others.

        Args:
            networks: The networks.
        """
        costs = self.known_costs(networks)
        deviations = np.zeros(len(costs))
        unknown = np.flatnonzero(~np.isfinite(costs))
        if len(unknown):
            self._learn_costs()
            inputs = self._inputs(networks[unknown], self._cost_scale)
            costs[unknown], deviations[unknown] = self._cost.predict(inputs)
        return Lognormal(costs, deviations)

    def _inputs(self, networks: EncodedNetworks, scale: Standardizer, *more: Floats) -> Inputs:
        return Inputs(networks.one_hot, self._gene, scale.standardize(np.column_stack([networks.sizes, *more])))

    def _error_inputs(self, networks: EncodedNetworks, log_costs: Floats) -> Inputs:
        inputs = self._inputs(networks, self._error_scale, log_costs)
        return inputs if self._relatives is None else replace(inputs, relatives=self._relatives.predict(networks))

    def _learn_costs(self) -> None:
        """Let the predictors of costs learn from everything, unless they have."""
        if self._cost_is_fresh:
            return
        self._cost_scale = Standardizer(self._with_cost.sizes)
        inputs = self._inputs(self._with_cost, self._cost_scale)
        self._cost.fit(inputs, self._log_costs)
        self._cost_is_fresh = True

    def _learn_errors(self) -> None:
        """Let the predictors of errors and failures learn from everything, unless they have."""
        if self._error_is_fresh:
            return
        rows = self._lesson_rows(np.flatnonzero(np.isfinite(self._log_errors)))
        networks, costs = self._evaluated[rows], self.known_costs(self._evaluated)[rows]
        self._error_scale = Standardizer(np.column_stack([networks.sizes, costs]))
        self._error.fit(self._error_inputs(networks, costs), self._log_errors[rows], self._noise[rows])
        self._true_log_errors = self._log_errors.copy()
        self._true_log_errors[rows] = self._error.true_means
        self._learn_failures()
        self._learn_further(rows)
        self._error_is_fresh = True

    def _learn_further(self, rows: NDArray[np.int64]) -> None:
        """Let the predictors of the further objectives learn from results."""
        if not self._further:
            return
        self._further_scale = Standardizer(self._evaluated[rows].sizes)
        inputs = self._inputs(self._evaluated[rows], self._further_scale)
        for blend, values in zip(self._further, self._log_further[rows].T, strict=True):
            blend.fit(inputs, values)

    def _lesson_rows(self, good: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows to learn errors from: all that have a result, or `MAX_LESSONS` of them where there are more.

        Half of these are the ones nearest the front, for detail. The other half is spread over all the rest.
        """
        if len(good) <= MAX_LESSONS:
            return good
        costs = self.known_costs(self._evaluated)[good]
        stairs, heights = staircase(costs, self._log_errors[good])
        front_errors = heights[np.maximum(np.searchsorted(stairs, costs, side="right") - 1, 0)]
        order = np.argsort(self._log_errors[good] - front_errors, kind="stable")
        spread = np.linspace(MAX_LESSONS // 2, len(good) - 1, MAX_LESSONS - MAX_LESSONS // 2).astype(np.int64)
        rows: NDArray[np.int64] = np.sort(good[order[np.append(np.arange(MAX_LESSONS // 2), spread)]])
        return rows

    def _learn_failures(self) -> None:
        """Fit two classifiers of networks with and without a result.

        The trees find a single choice that fails. The linear model finds a sum of many choices that is beyond a limit.
        """
        good = np.isfinite(self._log_errors[-MAX_LESSONS:])
        if good.all() or not good.any():
            self._classifiers = []
            return
        self._classifiers = [
            ExtraTreesClassifier(FAILURE_TREES, max_features=None, random_state=0, n_jobs=1),
            LogisticRegression(C=10.0, max_iter=500),
        ]
        for classifier in self._classifiers:
            classifier.fit(self._evaluated.one_hot[-MAX_LESSONS:], good)

    def _success_chances(self, networks: EncodedNetworks) -> Floats:
        """Return each network's chance to give a result, shape (n,): the lowest one that a classifier gives it."""
        chances = np.ones(len(networks))
        for classifier in self._classifiers if len(networks) else ():
            chances = np.minimum(chances, classifier.predict_proba(networks.one_hot)[:, 1])
        chances[np.isinf(self.known_costs(networks))] = 0.0
        return chances


def _cost_first(losses: Floats) -> Floats:
    """Return losses, shape (..., m), with the cost before the error."""
    swapped: Floats = losses[..., [1, 0, *range(2, losses.shape[-1])]]
    return swapped
