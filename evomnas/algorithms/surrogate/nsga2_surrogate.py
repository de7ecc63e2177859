"""NSGA-II on predictions: the results paid for so far decide which networks to pay for next.

Every generation goes as follows. Predictors of error and cost learn from all evaluations. NSGA-II searches their
predictions for candidates (`proposals`). Where a cost is cheap compared with an evaluation, the costs of some
candidates are asked for. A batch of candidates is chosen by its likely gain of hypervolume (`acquisition`). One network
of each batch is drawn at random instead, so that wrong predictors cannot trap the search. The first batch covers the
space's range of costs (`first_batch`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from evomnas.algorithms.base import AskAndTell, Lesson, Losses, Measure, check_whole_number
from evomnas.algorithms.random_search import draw_new_genome
from evomnas.algorithms.surrogate.acquisition import Gaining, best_batch, candidate_worth
from evomnas.algorithms.surrogate.experience import Experience
from evomnas.algorithms.surrogate.features import EncodedNetworks, NetworkEncoder, concatenate, drop_duplicates
from evomnas.algorithms.surrogate.first_batch import first_batch, first_candidates, promising_networks
from evomnas.algorithms.surrogate.predictors import GaussianProcess, Predictor, QuadraticRidge
from evomnas.algorithms.surrogate.proposals import PROPOSAL_POPULATION, search_predictions
from evomnas.algorithms.surrogate.relatives import Relatives
from evomnas.algorithms.weighing import measurable_candidates
from evomnas.problem.search_space import Genomes, Space

FIRST_BATCH_SIZE = 10  # networks before the first prediction; with 8 or 20, searches of synthetic tables were no better
PROMISING_SHARE = 0.5  # of the first batch where something is known from elsewhere; the rest covers the range of costs
RANDOM_PER_BATCH = 1  # networks of each batch that are drawn at random
MIN_RESULTS_TO_PREDICT = 4
MAX_ENUMERATED_GENOMES = 10_000  # in a space of at most so many, all networks are candidates
# The matrices are small and the trainings want the cores, so more threads would not help. And one thread adds up in one
# order, so that a seed always gives the same genomes.
ONE_THREAD = ThreadpoolController()


class NSGA2Surrogate(AskAndTell):
    """NSGA-II on predictions, which learns from every evaluation and so finds the Pareto set with fewer of them.

    It never asks for a network twice. Where nobody tells it the costs of candidates (see `Weighing`), it predicts them.

    Attributes:
        max_objectives: See `evomnas.algorithms.base.max_objectives`: gains of more take long to compute.
        rules: See `evomnas.algorithms.base.rules_version`: 1 maximised a hypervolume in logarithms of error and cost.
        explanations: Texts for the report, by the names of `metrics`.
        first_batch_size: Networks of the first batch, if other batches are not larger. benchmarks/search_quality.py
            tries other values of this attribute and of the next three.
        random_per_batch: Networks of each batch that are drawn at random.
        spreads_batches: True where a batch is chosen so that it spreads over the front; False where its networks are
            those of the largest worth by themselves.
        predictors: The kinds of predictors that are blended.
    """

    steady = True
    max_objectives = 4
    rules = 2
    explanations: ClassVar[Mapping[str, str]] = {
        "tau": "how well the predictors ranked the networks before a batch was chosen, each without being shown it "
        "(Kendall's tau: 1 where all pairs are right, 0 by chance; a little too high, as they are weighed by it).",
        "batch": "where the networks of each batch came from: the first one, which covers the range of costs; chosen "
        "among predicted ones; drawn at random.",
    }
    first_batch_size = FIRST_BATCH_SIZE
    random_per_batch = RANDOM_PER_BATCH
    spreads_batches = True
    predictors: tuple[type[Predictor], ...] = (GaussianProcess, QuadraticRidge)

    def __init__(self, space: Space, seed: int, *, batch: int = 8) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            batch: Number of networks per ask, at least 2.

        Raises:
            InputError: The batch is out of range.
        """
        super().__init__(space)
        self._batch = check_whole_number("batch", batch, 2)
        self._rng = np.random.default_rng(seed)
        self._encode = NetworkEncoder(space)
        self._experience = Experience(self._encode, self.predictors)
        self._relatives: Relatives | None = None  # what is known from elsewhere
        self._seen: set[Hashable] = set()  # keys of all networks asked for
        self._candidates: EncodedNetworks | None = None  # what `consider` proposed for the next ask
        self._all: EncodedNetworks | None = None  # all networks of a small space
        if np.prod(space.gene_sizes, dtype=np.float64) <= MAX_ENUMERATED_GENOMES:
            all_genomes = np.array(list(np.ndindex(*map(int, space.gene_sizes))), dtype=np.int64)
            self._all = drop_duplicates(self._encode(all_genomes))
        self._sources = {"first": 0, "predicted": 0, "drawn": 0}  # of the last batch's networks

    def learn_objectives(self, count: int) -> None:
        """See `ManyObjectives.learn_objectives`."""
        self._objectives = count
        self._experience.learn_objectives(count)

    def learn_measure(self, measure: Measure) -> None:
        """See `Measured.learn_measure`."""
        self._experience.learn_measure(measure)

    def learn_from(self, lessons: Sequence[Lesson]) -> None:
        """See `Learning.learn_from`."""
        with ONE_THREAD.limit(limits=1):
            self._relatives = Relatives(self._encode, lessons)
        self._experience.learn_from(self._relatives)

    def metrics(self) -> dict[str, float]:
        """See `Introspective.metrics`: where the last batch came from, and how well the predictors ranked."""
        sources = {f"batch ({name})": float(count) for name, count in self._sources.items()}
        return sources | self._experience.taus

    def ask(self) -> Genomes:
        """See `AskAndTell.ask`."""
        with ONE_THREAD.limit(limits=1):
            return super().ask()

    def ask_more(self) -> Genomes:
        """See `SteadyState.ask_more`."""
        with ONE_THREAD.limit(limits=1):
            return super().ask_more()

    def _waits(self) -> bool:
        return bool(self._pending) and not self._can_predict

    def consider(self, price: float) -> Genomes:
        """See `Weighing.consider`."""
        if self._waits():
            return np.zeros((0, len(self.space.gene_sizes)), dtype=np.int64)
        with ONE_THREAD.limit(limits=1):
            return self._consider(price)

    def _consider(self, price: float) -> Genomes:
        self._candidates = candidates = self._propose()
        costs = self._experience.known_costs(candidates)
        unknown = np.flatnonzero(np.isnan(costs))
        if price > 0:
            maximum = measurable_candidates(price, self._batch) if self._can_predict else 0
            if maximum == 0:
                return candidates.genomes[:0]
            unknown = unknown[self._rank_by_worth(candidates[unknown])[:maximum]]
            self._candidates = candidates[np.append(np.flatnonzero(~np.isnan(costs)), unknown)]
        return candidates.genomes[unknown]

    def weigh(self, genomes: Genomes, costs: NDArray[np.float64]) -> None:
        """See `Weighing.weigh`."""
        self._experience.add_costs(self._encode(genomes), costs)

    @property
    def _can_predict(self) -> bool:
        return self._experience.result_count >= MIN_RESULTS_TO_PREDICT

    def _propose(self) -> EncodedNetworks:
        """Return candidates that were not asked for before."""
        if self._all is not None and (self._can_predict or len(self._all) == self.space.networks):
            return drop_duplicates(self._all, self._seen)
        if not self._can_predict:  # drawn ones, since a table may lack most networks of its space
            return drop_duplicates(first_candidates(self._encode, self._rng), self._seen)
        best = self._experience.front_networks().genomes[:PROPOSAL_POPULATION]
        random_genomes = [self.space.draw(self._rng) for _ in range(PROPOSAL_POPULATION - len(best))]
        start = np.concatenate([best, np.array(random_genomes, dtype=np.int64).reshape(-1, best.shape[1])])
        visited: list[EncodedNetworks] = []

        def predict(genomes: Genomes) -> NDArray[np.float64]:
            visited.append(self._encode(genomes))
            predictions = self._experience.predict(visited[-1])
            losses = (predictions.errors, predictions.costs, *predictions.further)
            return np.column_stack([loss.means - loss.deviations for loss in losses])

        search_predictions(self.space, start, predict, int(self._rng.integers(2**31)), self._objectives)
        return drop_duplicates(concatenate(*visited), self._seen)

    def _rank_by_worth(self, candidates: EncodedNetworks) -> NDArray[np.int64]:
        """Return the candidates' rows, the largest worth first."""
        predictions = self._experience.predict(candidates)
        return np.argsort(-candidate_worth(self._experience.front(), predictions), kind="stable")

    def _breed(self) -> Genomes:
        candidates = self._propose() if self._candidates is None else self._candidates
        self._candidates = None
        candidates = candidates[np.flatnonzero(~np.isinf(self._experience.known_costs(candidates)))]
        can_predict = self._can_predict
        rows = self._choose_rows(candidates) if len(candidates) else np.zeros(0, dtype=np.int64)
        self._seen.update(candidates[rows].keys)
        random_genomes = self._draw_new(self._batch - len(rows)) if can_predict or not len(rows) else []
        self._sources = {"first": 0, "predicted": 0, "drawn": len(random_genomes)}
        self._sources["predicted" if can_predict else "first"] = len(rows)
        genomes = [*candidates.genomes[rows], *random_genomes]
        return np.array(genomes, dtype=np.int64).reshape(-1, len(self.space.gene_sizes))

    def _choose_rows(self, candidates: EncodedNetworks) -> NDArray[np.int64]:
        """Return the rows of the candidates to evaluate."""
        if self._can_predict:
            count = self._batch - self.random_per_batch
            if not self.spreads_batches:
                return self._rank_by_worth(candidates)[:count]
            return best_batch(count, self._expected_front(), self._experience.predict(candidates))
        known_costs = self._experience.known_costs(candidates)
        costs: NDArray[np.float64] | None = known_costs
        if np.isnan(known_costs).any():  # MACs, where the space has them, order networks much as costs do
            costs = candidates.sizes[:, 0] if candidates.sizes.shape[1] else None
        wanted = [self._encode.key(genome) for genome in self.space.landmarks()]
        count = max(self.first_batch_size, self._batch)
        if self._relatives is not None and costs is not None:
            expected = self._relatives.predict(candidates).mean(axis=1)
            wanted += promising_networks(candidates, costs, expected, int(PROMISING_SHARE * count))
        return first_batch(candidates, costs, count, self._rng, wanted)

    def _expected_front(self) -> Gaining:
        """Return the front of the results and of what is predicted for networks that are still being evaluated."""
        front = self._experience.front()
        if self._pending:
            predictions = self._experience.predict(self._encode(np.stack(self._pending)))
            for medians in predictions.medians().tolist():
                front = front.joined_by(*medians)
        return front

    def _draw_new(self, count: int) -> list[NDArray[np.int64]]:
        """Draw up to `count` networks that were not asked for and are not ruled out, each with the same chance."""
        genomes: list[NDArray[np.int64]] = []
        while len(genomes) < count:
            genome = draw_new_genome(self.space, self._seen, self._rng, self._encode.key)
            if genome is None:
                break
            if not np.isinf(self._experience.known_costs(self._encode(genome[None])))[0]:
                genomes.append(genome)
        return genomes

    def adopt(self, genomes: Genomes) -> None:
        """See `AskAndTell.adopt`."""
        super().adopt(genomes)
        self._seen.update(self._encode(genomes).keys)

    def adopt_more(self, genomes: Genomes) -> None:
        """See `AskAndTell.adopt_more`."""
        super().adopt_more(genomes)
        self._seen.update(self._encode(genomes).keys)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        self._experience.add_results(self._encode(genomes), losses, violations)
