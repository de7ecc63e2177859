"""NSGA-II on predictions: what it asks the price of, what it asks for, and what cannot lead it astray."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from evomnas.algorithms.random_search import RandomSearch
from evomnas.algorithms.surrogate import nsga2_surrogate as module
from evomnas.algorithms.surrogate.acquisition import best_batch, candidate_worth
from evomnas.algorithms.surrogate.features import NetworkEncoder, drop_duplicates
from evomnas.algorithms.surrogate.first_batch import first_batch, first_candidates
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.algorithms.surrogate.predictors import Inputs
from evomnas.algorithms.weighing import MAX_CANDIDATES
from evomnas.core.errors import InputError
from evomnas.problem.counting import count_architecture
from evomnas.problem.pareto import hypervolume
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.tabular_space import TabularSpace

SPACE = SearchSpace(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)
GRID = np.array(list(itertools.product(range(3), repeat=6)), dtype=np.int64)  # 729 networks
TABLE = TabularSpace([list("abc")] * 6, GRID, 0)
WEIGHTS = np.array([5.0, 1, 3, 2, 4, 1])


def table_losses(genomes: np.ndarray) -> np.ndarray:
    """Genes pay off the less the more there is already, and cost what they weigh; two of them work together."""
    shares = genomes / 2
    capacity = shares @ WEIGHTS / WEIGHTS.sum() + 0.3 * shares[:, 0] * shares[:, 4] - 0.1 * (genomes[:, 1] == 1)
    return np.column_stack([0.05 + 0.6 * np.exp(-2 * capacity), 1 + genomes @ WEIGHTS[::-1]])


def space_losses(genomes: np.ndarray) -> np.ndarray:
    counts = [count_architecture(SPACE.decode(genome), classes=10, channels=3, resolution=16) for genome in genomes]
    macs, params = (np.array([getattr(one, name) for one in counts], dtype=float) for name in ("macs", "params"))
    return np.column_stack([0.05 + 100 / params, macs])


def play(searcher, rounds: int, losses, price: float | None = None) -> np.ndarray:
    asked = []
    for _ in range(rounds):
        if price is not None:
            candidates = searcher.consider(price)
            searcher.weigh(candidates, losses(candidates)[:, 1])
        genomes = searcher.ask()
        searcher.tell(genomes, losses(genomes), np.zeros(len(genomes)))
        asked.append(genomes)
    return np.concatenate(asked)


def share(genomes: np.ndarray) -> float:
    """Hypervolume relative to that of the whole table."""
    corner = table_losses(GRID).max(axis=0) * 1.1
    return hypervolume(table_losses(genomes), corner) / hypervolume(table_losses(GRID), corner)


@pytest.mark.parametrize("price", [0.0, None])
def test_a_table_s_front_is_found_in_a_fraction_of_what_random_search_needs(price):
    found = play(NSGA2Surrogate(TABLE, 1), 5, table_losses, price)
    assert len(found) == 10 + 4 * 8
    assert share(found) > 0.99
    random = play(RandomSearch(TABLE, 1), 8, table_losses)
    assert len(random) > 3 * len(found)
    assert share(random) < share(found)


def test_free_costs_are_all_asked_for_once():
    searcher = NSGA2Surrogate(TABLE, 2)
    candidates = searcher.consider(0.0)
    assert len(np.unique(candidates, axis=0)) == len(candidates) == 729
    searcher.weigh(candidates, table_losses(candidates)[:, 1])
    genomes = searcher.ask()
    costs = table_losses(candidates)[:, 1]
    assert {costs.min(), costs.max()} <= set(table_losses(genomes)[:, 1])  # the first batch covers their range
    searcher.tell(genomes, table_losses(genomes), np.zeros(len(genomes)))
    assert len(searcher.consider(0.0)) == 0


@pytest.mark.parametrize(("price", "most"), [(0.06, 0), (0.04, 20), (1e-4, MAX_CANDIDATES)])
def test_costs_are_asked_for_as_far_as_they_are_cheap_and_give_a_choice(price, most):
    searcher = NSGA2Surrogate(SPACE, 2)
    assert len(searcher.consider(price)) == 0  # nothing says yet which candidates are worth it
    play(searcher, 1, space_losses)
    wanted = searcher.consider(price)
    assert len(wanted) == most
    assert len({SPACE.decode(one) for one in wanted}) == len(wanted)
    searcher.weigh(wanted, space_losses(wanted)[:, 1])
    genomes = searcher.ask()
    assert len(genomes) == 8
    asked = {SPACE.decode(one) for one in genomes[:7]}  # the last one is drawn at random
    assert not most or asked <= {SPACE.decode(one) for one in wanted}


def test_costs_that_cannot_be_known_are_not_asked_for():
    searcher = NSGA2Surrogate(TABLE, 2)
    play(searcher, 2, table_losses)
    assert len(searcher.consider(np.inf)) == 0


def test_candidates_that_are_ruled_out_are_never_asked_for():
    searcher = NSGA2Surrogate(TABLE, 3)
    candidates = searcher.consider(0.0)
    costs = table_losses(candidates)[:, 1]
    searcher.weigh(candidates, np.where(candidates[:, 0] == 0, np.inf, costs))
    genomes = play(searcher, 12, table_losses)
    assert (genomes[:, 0] != 0).all()
    assert len(genomes) == 10 + 11 * 8


class Backwards:
    """A predictor that is sure of the opposite."""

    def fit(self, networks: Inputs, values: np.ndarray, noise: np.ndarray | float = 0.0) -> None:
        self._known, self._values, self.true_means = networks, values, values
        self.left_out_means = values.copy()  # it even claims to rank well

    def predict(self, networks: Inputs) -> tuple[np.ndarray, np.ndarray]:
        alike = (networks.one_hot @ self._known.one_hot.T).argmax(axis=1)
        return -self._values[alike], np.full(len(networks), 1e-3)


class Misled(NSGA2Surrogate):
    predictors = (Backwards,)


def test_a_wrong_predictor_cannot_trap_the_search():
    """What is drawn at random stays: in the long run no network of the space is out of reach."""
    found = play(Misled(TABLE, 4), 60, table_losses, 0.0)
    drawn = play(RandomSearch(TABLE, 4), 3, table_losses)  # 60: as many as are drawn here
    assert share(found) > share(drawn) - 0.02


def test_metrics_say_where_a_batch_came_from_and_how_well_predictors_rank():
    searcher = NSGA2Surrogate(SPACE, 5, batch=6)
    play(searcher, 1, space_losses)
    found = searcher.metrics()
    assert [found[f"batch ({name})"] for name in ("first", "predicted", "drawn")] == [10, 0, 0]
    play(searcher, 6, space_losses)
    found = searcher.metrics()
    assert [found[f"batch ({name})"] for name in ("first", "predicted", "drawn")] == [0, 5, 1]
    assert 0.6 < found["tau (error)"] <= 1
    assert 0.6 < found["tau (cost)"] <= 1


def test_a_search_among_failures_alone_goes_on_with_other_first_batches():
    searcher = NSGA2Surrogate(SPACE, 6)
    asked = []
    for _ in range(3):
        genomes = searcher.ask()
        searcher.tell(genomes, np.full((len(genomes), 2), np.inf), np.full(len(genomes), np.inf))
        asked += [SPACE.decode(one) for one in genomes]
    assert len(set(asked)) == len(asked) == 30


# --- what it is made of ----------------------------------------------------------------------------------


def test_genomes_of_one_network_are_encoded_alike():
    encode = NetworkEncoder(SPACE)
    genomes = SPACE.sample(300, np.random.default_rng(0))
    twins = genomes.copy()
    twins[:, 4] = np.array([1, 0, 2])[twins[:, 4]]  # of 8 filters, both 0.75 and 1 times as many are 8
    encoded = encode(np.concatenate([genomes, twins]))
    assert (encoded.one_hot.sum(axis=1) == len(SPACE.gene_sizes)).all()
    by_network: dict[object, set[object]] = {}
    for genome, *one in zip(encoded.genomes, encoded.keys, encoded.one_hot, encoded.sizes, strict=True):
        by_network.setdefault(SPACE.decode(genome), set()).add((one[0], one[1].tobytes(), one[2].tobytes()))
    assert len(by_network) == len(set(encoded.keys)) <= 300
    assert all(len(rows) == 1 for rows in by_network.values())
    assert len({next(iter(rows)) for rows in by_network.values()}) == len(by_network)
    once = drop_duplicates(encoded)
    assert list(once.keys) == list(dict.fromkeys(encoded.keys))
    assert len(drop_duplicates(encoded, set(once.keys[:5]))) == len(once) - 5


def test_encoded_sizes_are_those_of_whole_networks():
    genomes = SPACE.sample(50, np.random.default_rng(1))
    side = 4 * SPACE.mobilenet_v2().total_stride  # the output has four pixels
    for genome, sizes in zip(genomes, NetworkEncoder(SPACE)(genomes).sizes, strict=True):
        network = SPACE.decode(genome)
        counts = count_architecture(network, classes=1, channels=3, resolution=side)
        gated, skipping = (
            sum(one.layers for one in network.blocks if has(one))
            for has in (lambda b: b.se, lambda b: b.skip != "none")
        )
        layers = sum(one.layers for one in network.blocks)
        assert np.exp(sizes) == pytest.approx([counts.macs, counts.params, layers, 1 + gated, 1 + skipping])


def test_the_first_batch_takes_both_ends_and_one_of_each_band_of_costs():
    rng = np.random.default_rng(2)
    candidates = first_candidates(NetworkEncoder(SPACE), rng)
    costs = candidates.sizes[:, 0]
    rows = first_batch(candidates, costs, 10, rng)
    assert len(set(rows.tolist())) == 10
    order = np.argsort(np.argsort(costs, kind="stable"))
    inner = set(order[rows]) - {0, len(costs) - 1}
    assert len(inner) == 8  # all but the two ends
    assert sorted(place * 8 // len(costs) for place in inner) == list(range(8))
    # Random networks alone do not reach that far: mixes with the smallest and the largest choices do.
    drawn = NetworkEncoder(SPACE)(np.array([SPACE.draw(rng) for _ in range(len(costs))])).sizes[:, 0]
    assert np.ptp(costs) > np.ptp(drawn)


def test_a_first_batch_begins_with_the_reference_network_and_its_start_covers_the_costs():
    middles, encode = [], NetworkEncoder(SPACE)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        candidates = first_candidates(encode, rng)
        costs = candidates.sizes[:, 0]
        rows = first_batch(candidates, costs, 10, rng, [encode.key(SPACE.reference())])
        assert SPACE.decode(candidates.genomes[rows[0]]) == SPACE.mobilenet_v2()
        assert len(set(rows.tolist())) == 10
        middles.append(np.mean(costs[rows[1:4]]) - np.mean(costs[rows[7:]]))
    assert min(middles) < 0 < max(middles)


def test_a_table_that_lacks_most_networks_is_searched_among_those_that_it_has():
    genomes = GRID[::12]
    space = TabularSpace([["0", "1", "2"]] * 6, genomes, 0)
    asked = NSGA2Surrogate(space, 1).ask()
    assert len(asked) == 10
    assert {one.tobytes() for one in asked} <= {one.tobytes() for one in genomes}


def test_a_first_batch_without_costs_takes_distinct_networks():
    candidates = NetworkEncoder(TABLE)(GRID)
    rows = first_batch(candidates, None, 10, np.random.default_rng(3))
    assert len(set(rows.tolist())) == 10
    assert first_batch(candidates[np.arange(4)], None, 10, np.random.default_rng(3)).tolist() != []


# --- to the number ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "most"), [(0.0501, 0), (0.05, 16), (0.0126, 63), (0.0125, 64), (0.001, 64)])
def test_a_tenth_of_a_batch_s_time_goes_into_costs_if_it_is_enough_for_two_per_network(price, most):
    """Eight networks of price 1: at 0.05 sixteen costs take 0.8, a tenth; 64 are the most."""
    searcher = NSGA2Surrogate(SPACE, 2)
    play(searcher, 1, space_losses)
    assert len(searcher.consider(price)) == most


def test_predictions_begin_with_four_results():
    for results, source in ((3, "first"), (4, "predicted")):
        searcher = NSGA2Surrogate(TABLE, 1)
        genomes = searcher.ask()
        assert len(genomes) == 10
        failed = np.arange(10) >= results
        losses = np.where(failed[:, None], np.inf, table_losses(genomes))
        searcher.tell(genomes, losses, np.where(failed, np.inf, 0.0))
        after = searcher.ask()
        assert searcher.metrics()[f"batch ({source})"] > 0
        assert len(after) == (10 if source == "first" else 8)


def test_a_first_batch_is_no_smaller_than_the_others():
    for batch, first in ((2, 10), (10, 10), (12, 12)):
        searcher = NSGA2Surrogate(TABLE, 1, batch=batch)
        assert len(play(searcher, 1, table_losses)) == first
        assert len(searcher.ask()) == batch
        assert searcher.metrics()["batch (drawn)"] == 1


def test_a_space_of_ten_thousand_genomes_is_enumerated_and_a_larger_one_drawn_from():
    for sizes, candidates in (((100, 100), 10_000), ((73, 137), 400)):
        rows = np.array(list(np.ndindex(*sizes)), dtype=np.int64)
        space = TabularSpace([[str(value) for value in range(size)] for size in sizes], rows, 0)
        considered = NSGA2Surrogate(space, 1).consider(0.0)
        assert len(considered) == candidates if candidates > 400 else 350 < len(considered) <= 400


def test_candidates_of_a_large_space_are_those_that_nsga2_visits_on_predictions():
    """Some thousand, far better than random ones."""
    searcher = NSGA2Surrogate(SPACE, 3)
    play(searcher, 3, space_losses)
    considered = searcher.consider(0.0)
    assert 300 < len(considered) <= 1100
    assert len({SPACE.decode(genome) for genome in considered}) == len(considered)
    rng = np.random.default_rng(0)
    random = np.array([SPACE.draw(rng) for _ in range(len(considered))])
    corner = space_losses(random).max(axis=0) * 1.1
    assert hypervolume(space_losses(considered), corner) > hypervolume(space_losses(random), corner)


def test_nothing_is_considered_while_the_first_batch_is_under_way():
    searcher = NSGA2Surrogate(TABLE, 1)
    genomes = searcher.ask_more()
    assert len(searcher.consider(0.0)) == len(searcher.ask_more()) == 0
    assert searcher.consider(0.0).shape == (0, 6)
    for number, genome in enumerate(genomes[:4]):
        assert len(searcher.ask_more()) == 0
        searcher.tell_some(genome[None], table_losses(genome[None]), np.zeros(1))
        assert bool(len(searcher.consider(0.0))) == (number == 3)
    assert len(searcher.ask_more()) == 8


def test_what_is_under_way_is_taken_as_it_is_predicted():
    """So the next batch looks elsewhere: two batches one after the other cover more than one batch twice."""
    searcher = NSGA2Surrogate(TABLE, 1)
    known = play(searcher, 3, table_losses)
    first = searcher.ask_more()
    second = searcher.ask_more()
    assert len({genome.tobytes() for genome in [*first, *second]}) == 16
    corner = table_losses(GRID).max(axis=0) * 1.1
    gains = [
        hypervolume(table_losses(np.concatenate([known, batch])), corner)
        for batch in (first, second, np.concatenate([first, second]))
    ]
    assert gains[2] > max(gains[:2]) or gains[2] == pytest.approx(max(gains[:2]))


def test_a_network_that_is_ruled_out_is_not_even_drawn():
    """Whatever is drawn at random, too: only the costs of one gene's first choice are finite."""
    searcher = NSGA2Surrogate(TABLE, 1)
    searcher.weigh(GRID, np.where(GRID[:, 2] == 0, 1.0 + GRID.sum(axis=1), np.inf))
    asked = play(searcher, 31, table_losses)
    assert (asked[:, 2] == 0).all()
    assert len(asked) == 243  # all that are left: ten, 29 times eight, and one
    assert len(searcher.ask()) == 0


def test_a_batch_has_two_networks_at_least():
    with pytest.raises(InputError, match="batch must be a whole number from 2 to 10000, got 1"):
        NSGA2Surrogate(TABLE, 1, batch=1)


def test_proposals_begin_with_the_front_s_networks_among_a_hundred(monkeypatch):
    starts = []

    def search_predictions(space, start, predict, seed, objectives) -> None:
        starts.append(start)
        predict(start)

    monkeypatch.setattr(module, "search_predictions", search_predictions)
    searcher = NSGA2Surrogate(SPACE, 3)
    play(searcher, 3, space_losses)
    front = searcher._experience.front_networks().genomes
    searcher.consider(0.0)
    assert len(starts[-1]) == 100
    assert np.array_equal(starts[-1][: len(front)], front)


def test_where_no_cost_is_known_the_first_batch_covers_the_macs():
    searcher = NSGA2Surrogate(SPACE, 1)
    assert len(searcher.consider(np.inf)) == 0
    macs = space_losses(searcher._candidates.genomes)[:, 1]
    asked = space_losses(searcher.ask())[:, 1]
    assert {macs.min(), macs.max()} <= set(asked)


@pytest.mark.parametrize("spreads", [True, False])
def test_a_batch_spreads_over_the_front_or_takes_the_worthiest_by_themselves(spreads):
    """A known front, and predictions of all candidates: in the one case each joins it before the next is chosen."""
    searcher = NSGA2Surrogate(TABLE, 1)
    searcher.spreads_batches = spreads
    play(searcher, 2, table_losses)
    searcher.consider(np.inf)
    candidates = searcher._candidates
    predictions, front = searcher._experience.predict(candidates), searcher._experience.front()
    if spreads:
        rows = best_batch(7, front, predictions)
    else:
        rows = np.argsort(-candidate_worth(front, predictions), kind="stable")[:7]
    assert searcher.ask()[:7].tolist() == candidates.genomes[rows].tolist()


def test_before_anything_was_asked_for_no_network_has_a_source():
    assert NSGA2Surrogate(TABLE, 1).metrics() == {f"batch ({name})": 0.0 for name in ("first", "predicted", "drawn")}


def test_matrices_are_computed_in_one_thread_and_the_others_are_given_back():
    """Trainings want the cores; and one thread adds up in one order, so that a seed gives one sequence."""
    draws, threads = [], []

    class Watched(SearchSpace):
        def draw(self, rng: np.random.Generator) -> np.ndarray:
            draws.append(rng)
            if len(draws) % 50 == 1:  # looking takes longer than drawing
                threads.append({one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"})
            return super().draw(rng)

    space = Watched(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)
    with threadpool_limits(2):
        before = threadpool_info()
        searcher = NSGA2Surrogate(space, 1)
        searcher.consider(0.0)
        NSGA2Surrogate(space, 1).ask()
        NSGA2Surrogate(space, 1).ask_more()
        assert threadpool_info() == before
    assert len(draws) >= 3 * 400
    assert threads.count({1}) == len(threads)
