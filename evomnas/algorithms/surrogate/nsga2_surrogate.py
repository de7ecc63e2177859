"""NSGA-II on predictions: what was paid for decides what is paid for next.

Every generation, predictors of error and cost learn from all evaluations; NSGA-II searches their predictions for
candidates (`proposals`); costs of some of them are asked for where a cost is cheap beside an evaluation; and a batch is
chosen by its likely gain of hypervolume (`acquisition`), but for one network that is drawn at random, so that wrong
predictors cannot trap the search. The first batch covers the space's range of costs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from evomnas.algorithms.base import AskAndTell, Losses, check_whole
from evomnas.algorithms.random_search import draw_new
from evomnas.algorithms.surrogate.acquisition import Front, best_batch, staircase, worth
from evomnas.algorithms.surrogate.experience import Experience
from evomnas.algorithms.surrogate.features import Described, Describer, distinct, joined
from evomnas.algorithms.surrogate.first_batch import first_batch, first_candidates
from evomnas.algorithms.surrogate.predictors import GaussianProcess, Predictor, QuadraticRidge
from evomnas.algorithms.surrogate.proposals import POPULATION, visit
from evomnas.problem.search_space import Genomes, Space

FIRST = 10  # networks before the first prediction: 8 or 20 made searches of synthetic tables no better
EXPLORED = 1  # networks of each batch that are drawn at random
LEAST = 4  # results that predictions need
ENUMERATED = 10_000  # genomes up to which all are candidates
# Matrices are small, trainings want the cores, and one thread adds up in one order, so that a seed gives one sequence.
ONE_THREAD = ThreadpoolController()
MEASURED_SHARE = 0.1  # of what a batch's evaluations take, for costs of candidates that may not be evaluated
MOST_MEASURED = 64  # candidates per batch
CHOICE = 2  # as many per network of the batch, or none: the batch is chosen from these alone


class NSGA2Surrogate(AskAndTell):
    """NSGA-II on predictions: learns from every evaluation, so that fewer of them find the Pareto set.

    No network is asked for twice. Where nobody says what candidates cost (see `Weighing`), that is predicted, too.
    """

    steady = True
    explanations: ClassVar[Mapping[str, str]] = {
        "tau": "how well the predictors ranked the networks before a batch was chosen, each without being shown it "
        "(Kendall's tau: 1 where all pairs are right, 0 by chance; a little too high, as they are weighed by it).",
        "batch": "where the networks of each batch came from: the first one, which covers the range of costs; chosen "
        "among predicted ones; drawn at random.",
    }
    first = FIRST  # benchmarks/search_quality.py tries others of these
    explored = EXPLORED
    spread = True
    predictors: tuple[type[Predictor], ...] = (GaussianProcess, QuadraticRidge)

    def __init__(self, space: Space, seed: int, *, batch: int = 8) -> None:
        super().__init__(space)
        self._batch = check_whole("batch", batch, 2)
        self._rng = np.random.default_rng(seed)
        self._describe = Describer(space)
        self._experience = Experience(self._describe, self.predictors)
        self._seen: set[Hashable] = set()
        self._candidates: Described | None = None
        self._all: Described | None = None
        if np.prod(space.gene_sizes, dtype=np.float64) <= ENUMERATED:
            everything = np.array(list(np.ndindex(*map(int, space.gene_sizes))), dtype=np.int64)
            self._all = distinct(self._describe(everything))
        self._sources = {"first": 0, "predicted": 0, "drawn": 0}

    def metrics(self) -> dict[str, float]:
        """See `Introspective`: where the last batch came from, and how well the predictors ranked."""
        sources = {f"batch ({name})": float(count) for name, count in self._sources.items()}
        return sources | self._experience.taus

    def ask(self) -> Genomes:
        """See `Algorithm`."""
        with ONE_THREAD.limit(limits=1):
            return super().ask()

    def ask_more(self) -> Genomes:
        """See `SteadyState`."""
        with ONE_THREAD.limit(limits=1):
            return super().ask_more()

    def _waits(self) -> bool:
        return bool(self._pending) and not self._can_predict

    def consider(self, price: float) -> Genomes:
        """See `Weighing`."""
        if self._waits():
            return np.zeros((0, len(self.space.gene_sizes)), dtype=np.int64)
        with ONE_THREAD.limit(limits=1):
            return self._consider(price)

    def _consider(self, price: float) -> Genomes:
        self._candidates = candidates = self._propose()
        costs = self._experience.costs(candidates)
        unknown = np.flatnonzero(np.isnan(costs))
        if price > 0:
            most = min(MOST_MEASURED, int(MEASURED_SHARE * self._batch / price)) if self._can_predict else 0
            if most < CHOICE * self._batch:
                return candidates.genomes[:0]
            unknown = unknown[self._by_worth(candidates[unknown])[:most]]
            self._candidates = candidates[np.append(np.flatnonzero(~np.isnan(costs)), unknown)]
        return candidates.genomes[unknown]

    def weigh(self, genomes: Genomes, costs: NDArray[np.float64]) -> None:
        """See `Weighing`."""
        self._experience.weigh(self._describe(genomes), costs)

    @property
    def _can_predict(self) -> bool:
        return self._experience.results >= LEAST

    def _propose(self) -> Described:
        """Candidates, none of which was asked for."""
        if self._all is not None and (self._can_predict or len(self._all) == self.space.networks):
            return distinct(self._all, self._seen)
        if not self._can_predict:  # a table may lack most networks, but none that is drawn
            return distinct(first_candidates(self._describe, self._rng), self._seen)
        best = self._experience.best().genomes[:POPULATION]
        fill = [self.space.draw(self._rng) for _ in range(POPULATION - len(best))]
        start = np.concatenate([best, np.array(fill, dtype=np.int64).reshape(-1, best.shape[1])])
        found: list[Described] = []

        def predict(genomes: Genomes) -> NDArray[np.float64]:
            found.append(self._describe(genomes))
            expected = self._experience.predict(found[-1])
            return np.column_stack([expected.means - expected.deviations, expected.costs])

        visit(self.space, start, predict, int(self._rng.integers(2**31)))
        return distinct(joined(*found), self._seen)

    def _by_worth(self, candidates: Described) -> NDArray[np.int64]:
        """Their rows, those of the largest worth first."""
        expected = self._experience.predict(candidates)
        return np.argsort(-worth(self._experience.front(), expected), kind="stable")

    def _breed(self) -> Genomes:
        candidates = self._propose() if self._candidates is None else self._candidates
        self._candidates = None
        candidates = candidates[np.flatnonzero(~np.isinf(self._experience.costs(candidates)))]
        predicted = self._can_predict
        rows = self._choose(candidates) if len(candidates) else np.zeros(0, dtype=np.int64)
        self._seen.update(candidates[rows].keys)
        drawn = self._draw(self._batch - len(rows)) if predicted or not len(rows) else []
        self._sources = {"first": 0, "predicted": 0, "drawn": len(drawn)}
        self._sources["predicted" if predicted else "first"] = len(rows)
        genomes = [*candidates.genomes[rows], *drawn]
        return np.array(genomes, dtype=np.int64).reshape(-1, len(self.space.gene_sizes))

    def _choose(self, candidates: Described) -> NDArray[np.int64]:
        """Rows of those to evaluate."""
        if self._can_predict:
            count = self._batch - self.explored
            if not self.spread:
                return self._by_worth(candidates)[:count]
            return best_batch(count, self._expected_front(), self._experience.predict(candidates))
        known = self._experience.costs(candidates)
        costs: NDArray[np.float64] | None = known
        if np.isnan(known).any():  # sizes tell much the same, where there are any
            costs = candidates.sizes[:, 0] if candidates.sizes.shape[1] else None
        reference = self.space.reference()
        its_key = None if reference is None else self._describe.key(reference)
        return first_batch(candidates, costs, max(self.first, self._batch), self._rng, its_key)

    def _expected_front(self) -> Front:
        """That of the results, and of what is predicted of networks that are still being evaluated."""
        stairs, heights = self._experience.front()
        if not self._pending:
            return stairs, heights
        expected = self._experience.predict(self._describe(np.stack(self._pending)))
        return staircase(np.append(stairs, expected.costs), np.append(heights, expected.means))

    def _draw(self, count: int) -> list[NDArray[np.int64]]:
        """Up to `count` networks that were not asked for, each with the same chance; none that is ruled out."""
        drawn: list[NDArray[np.int64]] = []
        while len(drawn) < count:
            genome = draw_new(self.space, self._seen, self._rng, self._describe.key)
            if genome is None:
                break
            if not np.isinf(self._experience.costs(self._describe(genome[None])))[0]:
                drawn.append(genome)
        return drawn

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        self._experience.learn(self._describe(genomes), losses, violations)
