"""What all algorithms share: options, turns, whole numbers; and random search, which has nothing else."""

from __future__ import annotations

import inspect
import itertools
from collections import Counter

import numpy as np
import pytest
from playing import SPACE, losses_of, make
from scipy.stats import chisquare

from evomnas.algorithms.base import (
    AskAndTell,
    check_whole_number,
    make_algorithm,
    option_defaults,
    option_names,
    rules_version,
)
from evomnas.algorithms.nsga2 import NSGA2
from evomnas.algorithms.random_search import RandomSearch, draw_new_genome
from evomnas.core.errors import InputError
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.tabular_space import TabularSpace

ONE_BLOCK = SearchSpace(
    filters=(8,), layers=(1,), strides=(2,), stem=8, head=8, ops=("conv", "dconv"), se_ratios=(0.0,)
)


def test_options_are_the_keyword_only_arguments_with_their_defaults():
    assert option_defaults("nsga2") == {"population": 20}
    assert option_defaults("nsga2-surrogate") == {"batch": 8}
    assert option_defaults("random") == {}
    assert option_names("evo-weighted") == ["target_ms", "alpha", "beta", "population", "tournament"]
    defaults = option_defaults("evo-weighted")
    assert defaults["target_ms"] is inspect.Parameter.empty
    assert [defaults[name] for name in option_names("evo-weighted")[1:]] == [-0.07, -0.07, 20, 5]
    assert option_defaults("evo-constrained") | {"target_ms": None} == {
        "target_ms": None, "population": 20, "tournament": 5,
    }  # fmt: skip
    assert option_defaults("rl-weighted") | {"target_ms": None} == {"target_ms": None, "alpha": -0.07, "beta": -0.07}


def test_the_rules_of_an_algorithm_have_a_version():
    assert rules_version("nsga2") == 1
    assert rules_version("nsga2-surrogate") == 2
    with pytest.raises(InputError, match="nsga9"):
        rules_version("nsga9")


@pytest.mark.parametrize(
    ("algorithm", "options", "message"),
    [
        ("nsga2", {"batch": 3}, "nsga2 has no option batch: it takes population"),
        ("random", {"batch": 3}, "random has no option batch: it takes none"),
        ("nsga22", {}, "unknown algorithm 'nsga22'.*did you mean nsga2"),
        ("nsga2", {"population": 3}, "population must be a whole number from 4 to 10000, got 3"),
    ],
)
def test_wrong_options_are_named_with_what_there_is(algorithm, options, message):
    with pytest.raises(InputError, match=message):
        make_algorithm(algorithm, SPACE, 1, options)


def test_options_reach_the_algorithm():
    assert len(make_algorithm("nsga2", SPACE, 1, {"population": 4}).ask()) == 4


def test_whole_numbers_from_the_least_to_ten_thousand_are_taken():
    assert [check_whole_number("n", value, 2) for value in (2, 3, 10_000)] == [2, 3, 10_000]
    for value in (1, 10_001, 2.0, True, "2"):
        with pytest.raises(InputError, match=f"n must be a whole number from 2 to 10000, got {value}"):
            check_whole_number("n", value, 2)


class Counting(AskAndTell):
    """Asks for so many genomes, and keeps what it was told."""

    steady = True

    def __init__(self, sizes: list[int]) -> None:
        super().__init__(SPACE)
        self.sizes, self.told, self.is_waiting = sizes, [], False

    def _breed(self) -> np.ndarray:
        count = self.sizes.pop(0) if self.sizes else 0
        return np.array([SPACE.draw(np.random.default_rng(len(self.sizes))) for _ in range(count)], dtype=np.int64)

    def _learn(self, genomes, losses, violations) -> None:
        self.told.append((genomes.tolist(), losses.tolist(), violations.tolist()))

    def _waits(self) -> bool:
        return self.is_waiting


def test_what_is_told_is_learnt_as_it_came():
    searcher = Counting([2])
    genomes = searcher.ask()
    searcher.tell(genomes, np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, 0.5]))
    assert searcher.told == [(genomes.tolist(), [[1.0, 2.0], [3.0, 4.0]], [0.0, 0.5])]
    assert searcher.ask().shape == (0, 18)
    assert searcher.ask().shape == (0, 18)  # nothing was asked for, so it may be asked again


def test_who_has_nothing_more_in_steady_state_is_not_asked_again():
    """An attempt may have drawn random numbers, so that a second one would not be what is replayed."""
    searcher = Counting([2, 0, 5])
    assert len(searcher.ask_more()) == 2
    assert searcher.ask_more().shape == (0, 18)
    assert len(searcher.ask_more()) == 0
    assert searcher.sizes == [5]


def test_who_waits_is_not_bred_from_and_goes_on_afterwards():
    searcher = Counting([1, 1])
    searcher.is_waiting = True
    assert searcher.ask_more().shape == (0, 18)
    assert searcher.sizes == [1, 1]
    searcher.is_waiting = False
    assert len(searcher.ask_more()) == 1


def test_results_may_come_in_any_order_and_each_once():
    searcher = Counting([3])
    genomes = searcher.ask_more()
    genomes[1] = 0  # the caller's own copy
    searcher = Counting([3])
    genomes = searcher.ask_more()
    for number in (2, 0):
        searcher.tell_some(genomes[[number]], np.ones((1, 2)), np.zeros(1))
    with pytest.raises(ValueError, match="not told yet"):
        searcher.tell_some(np.concatenate([genomes, genomes[:1]]), np.ones((4, 2)), np.zeros(4))
    searcher.tell_some(genomes[[1]], np.ones((1, 2)), np.zeros(1))
    assert len(searcher.told) == 3


@pytest.mark.parametrize(
    ("losses", "violations", "message"),
    [
        (np.ones((2, 3)), np.zeros(2), r"losses of shape \(2, 2\).* got \(2, 3\) and \(2,\)"),
        (np.ones((3, 2)), np.zeros(2), "got"),
        (np.ones((2, 2)), np.zeros(3), "got"),
        (np.ones((2, 2)), np.zeros((2, 1)), "got"),
        (np.array([[1.0, np.nan], [1.0, 1.0]]), np.zeros(2), "must not be NaN"),
        (np.ones((2, 2)), np.array([0.0, np.nan]), "must not be NaN"),
    ],
)
def test_results_of_a_wrong_shape_and_nan_are_refused(losses, violations, message):
    searcher = Counting([2])
    genomes = searcher.ask()
    with pytest.raises(ValueError, match=message):
        searcher.tell(genomes, losses, violations)
    searcher.tell(genomes, np.full((2, 2), np.inf), np.full(2, np.inf))  # which failures are
    assert len(searcher.told) == 1


# --- random search and NSGA-II ---------------------------------------------------------------------------


def test_random_search_asks_for_twenty_networks_at_a_time_until_there_are_none():
    rows = np.arange(50, dtype=np.int64)[:, None]
    space = TabularSpace([[str(number) for number in range(50)]], rows, 0)
    searcher, asked = RandomSearch(space, 1), []
    while len(genomes := searcher.ask()):
        asked.append(genomes[:, 0].tolist())
        searcher.tell(genomes, np.ones((len(genomes), 2)), np.zeros(len(genomes)))
    assert [len(batch) for batch in asked] == [20, 20, 10]
    assert sorted(itertools.chain(*asked)) == list(range(50))


def test_new_networks_are_drawn_evenly_and_added_to_those_that_were_seen(rng):
    networks = {ONE_BLOCK.decode(ONE_BLOCK.draw(rng)) for _ in range(2000)}
    assert len(networks) == ONE_BLOCK.networks
    left = sorted(networks, key=str)[:5]
    counts: Counter[object] = Counter()
    for _ in range(500):
        seen = set(networks) - set(left)
        genome = draw_new_genome(ONE_BLOCK, seen, rng)
        counts[ONE_BLOCK.decode(genome)] += 1
        assert len(seen) == len(networks) - 4
    assert set(counts) == set(left)
    assert chisquare(list(counts.values())).pvalue > 1e-4
    assert draw_new_genome(ONE_BLOCK, set(networks), rng) is None


def test_networks_are_told_apart_by_a_key_if_there_is_one(rng):
    keys: set[object] = set()
    for _ in range(6):
        draw_new_genome(ONE_BLOCK, keys, rng, key=lambda genome: str(ONE_BLOCK.decode(genome)))
    assert len(keys) == 6
    assert all(isinstance(key, str) for key in keys)


def test_nsga2_breeds_one_by_one_as_soon_as_half_of_its_first_population_is_known():
    searcher = NSGA2(SPACE, 1, population=8)
    genomes = searcher.ask_more()
    assert len(genomes) == 8
    for number in range(4):
        assert len(searcher.ask_more()) == 0
        genome = genomes[number][None]
        searcher.tell_some(genome, losses_of(genome), np.zeros(1))
    for _ in range(5):
        assert len(searcher.ask_more()) == 1
    twin = NSGA2(SPACE, 1, population=8)
    assert len(twin.ask()) == 8
    twin.tell(genomes, losses_of(genomes), np.zeros(8))
    assert len(twin.ask()) == 8


def test_nsga2_survivors_of_a_generation_are_chosen_by_violations_before_losses():
    """Half exceed a limit: whatever their losses, none of them is left when there is one within for every place."""
    searcher = NSGA2(SPACE, 2, population=10)
    within = []
    for _ in range(6):
        genomes = searcher.ask()
        violations = np.where(np.arange(len(genomes)) % 2, 0.5, 0.0)
        losses = losses_of(genomes) - violations[:, None]  # better, too
        within += genomes[violations == 0].tolist()
        searcher.tell(genomes, losses, violations)
    assert all(genome in within for genome in searcher._algorithm.pop.get("X").astype(int).tolist())


def test_nsga2_takes_the_rest_of_a_space_whose_networks_are_nearly_all_known():
    searcher, seen = make("nsga2", ONE_BLOCK, 1), []
    while len(genomes := searcher.ask()):
        seen += [ONE_BLOCK.decode(genome) for genome in genomes]
        searcher.tell(genomes, np.column_stack([genomes.sum(axis=1), -genomes.sum(axis=1)]), np.zeros(len(genomes)))
    assert len(seen) == len(set(seen)) > 0.9 * ONE_BLOCK.networks
    assert searcher.ask().shape == (0, 6)
