"""All that a search has learnt: results, costs, and predictions from them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from evomnas.algorithms.surrogate.acquisition import Front, Predicted, staircase
from evomnas.algorithms.surrogate.features import Described, Describer, joined
from evomnas.algorithms.surrogate.predictors import Blend, Inputs, Predictor

Floats = NDArray[np.float64]

ERROR_FLOOR = 1e-3  # added to errors before their logarithm: a validation split does not tell smaller ones apart
MOST = 1000  # evaluations that predictors learn from, so that a long search stays quick
TREES = 20  # choices leave them little to differ in: a hundred asked for as many failures, in twice the time


class Experience:
    """Results and costs of networks, and predictors that learn from them when they are asked."""

    def __init__(self, describe: Describer, predictors: Sequence[type[Predictor]]) -> None:
        """Nothing is known; the `predictors` are blended."""
        self._gene = describe.gene
        self._error, self._cost = (Blend(*(kind() for kind in predictors)) for _ in range(2))
        self._told = self._costed = describe(np.zeros((0, len(describe.space.gene_sizes)), dtype=np.int64))
        self._errors, self._log_costs = np.zeros(0), np.zeros(0)  # infinite where there is no result; of the costed
        self._known: dict[Hashable, float] = {}  # logarithms of costs by key; infinite where it is ruled out
        self._classifiers: list[Any] = []  # of networks with and without a result, as soon as there are both
        self._error_is_fresh = self._cost_is_fresh = False  # whether the predictors have learnt from all

    @property
    def results(self) -> int:
        """How many networks have a result."""
        return int(np.isfinite(self._errors).sum())

    @property
    def taus(self) -> dict[str, float]:
        """How well the predictors ranked errors and costs that they were not shown; only what is known."""
        found = {"tau (error)": self._error.tau, "tau (cost)": self._cost.tau}
        return {name: tau for name, tau in found.items() if tau is not None}

    def learn(self, networks: Described, losses: Floats, violations: Floats) -> None:
        """Take in results, as an algorithm is told them."""
        good = np.isfinite(losses).all(axis=1) & (violations <= 0)
        errors = np.where(good, np.log(np.where(good, losses[:, 0], 1.0) + ERROR_FLOOR), np.inf)
        self._told, self._errors = joined(self._told, networks), np.append(self._errors, errors)
        self.weigh(networks[np.flatnonzero(good)], losses[good, 1])
        self._error_is_fresh = False

    def weigh(self, networks: Described, costs: Floats) -> None:
        """Take in costs of networks, shape (n,); infinite where a network fails or is beyond a limit."""
        new = np.array([one not in self._known for one in networks.keys], dtype=bool)
        logs = np.log(np.maximum(costs, np.finfo(float).tiny))
        self._known |= dict(zip(networks.keys, logs.tolist(), strict=True))
        learnt = np.flatnonzero(new & np.isfinite(logs))[: max(0, MOST - len(self._costed))]
        if len(learnt):
            self._costed, self._log_costs = (
                joined(self._costed, networks[learnt]),
                np.append(self._log_costs, logs[learnt]),
            )
            self._cost_is_fresh = False

    def costs(self, networks: Described) -> Floats:
        """Logarithms of costs, shape (n,): NaN where one is unknown, infinite where a network is ruled out."""
        return np.array([self._known.get(one, np.nan) for one in networks.keys], dtype=np.float64)

    def front(self) -> Front:
        """The results' staircase of logarithms."""
        good = np.isfinite(self._errors)
        return staircase(self.costs(self._told)[good], self._errors[good])

    def best(self) -> Described:
        """The networks on it."""
        stairs, heights = self.front()
        costs = self.costs(self._told)
        on_front = np.isin(costs, stairs) & np.isin(self._errors, heights)
        return self._told[np.flatnonzero(on_front)]

    def predict(self, networks: Described) -> Predicted:
        """What is to be expected of candidates; there are at least two results."""
        costs = self.filled_costs(networks)
        if not self._error_is_fresh:
            self._learn_errors()
        means, deviations = self._error.predict(self._inputs(networks, self._error_scale, costs))
        return Predicted(costs, means, deviations, self._likely(networks))

    def filled_costs(self, networks: Described) -> Floats:
        """Logarithms of costs, known or predicted."""
        costs = self.costs(networks)
        unknown = np.flatnonzero(~np.isfinite(costs))
        if len(unknown):
            if not self._cost_is_fresh:
                self._learn_costs()
            costs[unknown], _ = self._cost.predict(self._inputs(networks[unknown], self._cost_scale))
        return costs

    def _inputs(self, networks: Described, scale: _Scale, *more: Floats) -> Inputs:
        return Inputs(networks.one_hot, self._gene, scale.applied(np.column_stack([networks.sizes, *more])))

    def _learn_costs(self) -> None:
        self._cost_scale = _Scale(self._costed.sizes)
        self._cost.fit(self._inputs(self._costed, self._cost_scale), self._log_costs)
        self._cost_is_fresh = True

    def _learn_errors(self) -> None:
        good = self._lesson(np.flatnonzero(np.isfinite(self._errors)))
        networks, costs = self._told[good], self.costs(self._told)[good]
        self._error_scale = _Scale(np.column_stack([networks.sizes, costs]))
        self._error.fit(self._inputs(networks, self._error_scale, costs), self._errors[good])
        self._learn_failures()
        self._error_is_fresh = True

    def _lesson(self, good: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of too many results, half those nearest the front, for detail, and half from all of the rest."""
        if len(good) <= MOST:
            return good
        stairs, heights = self.front()
        costs = self.costs(self._told)[good]
        below = heights[np.maximum(np.searchsorted(stairs, costs, side="right") - 1, 0)]
        order = np.argsort(self._errors[good] - below, kind="stable")
        rest = np.linspace(MOST // 2, len(good) - 1, MOST - MOST // 2).astype(np.int64)
        lesson: NDArray[np.int64] = np.sort(good[order[np.append(np.arange(MOST // 2), rest)]])
        return lesson

    def _learn_failures(self) -> None:
        """Trees find the one choice that fails; a linear model the sum of many that is beyond a limit."""
        good = np.isfinite(self._errors[-MOST:])
        if good.all() or not good.any():
            self._classifiers = []
            return
        self._classifiers = [
            ExtraTreesClassifier(TREES, max_features=None, random_state=0, n_jobs=1),
            LogisticRegression(C=10.0, max_iter=500),
        ]
        for one in self._classifiers:
            one.fit(self._told.one_hot[-MOST:], good)

    def _likely(self, networks: Described) -> Floats:
        """The chance of each to give a result: the lower one of those that the classifiers give it."""
        likely = np.ones(len(networks))
        for one in self._classifiers if len(networks) else ():
            likely = np.minimum(likely, one.predict_proba(networks.one_hot)[:, 1])
        likely[np.isinf(self.costs(networks))] = 0.0
        return likely


class _Scale:
    """Brings numbers of shape (n, k) to mean 0 and deviation 1 of those it was made from."""

    def __init__(self, numbers: Floats) -> None:
        self._mean, deviation = numbers.mean(axis=0), numbers.std(axis=0)
        self._deviation = np.where(deviation > 0, deviation, 1.0)

    def applied(self, numbers: Floats) -> Floats:
        """The numbers, brought there."""
        standard: Floats = (numbers - self._mean) / self._deviation
        return standard
