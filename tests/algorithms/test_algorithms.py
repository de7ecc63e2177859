"""One conformance suite for all registered algorithms; a new one joins by its entry point.

`tests/loop/test_search.py` plays each through the loop: resumed, with a budget below a population, on a table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from deap import base, creator, tools
from hypothesis import given
from hypothesis import strategies as st
from playing import SPACE, losses_of, make, play, play_ties
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from evomnas.core import registry
from evomnas.problem.search_space import SearchSpace

# Controllers sample a network again where they like it, and learn nothing from failures.
REPEATING = {"rl-weighted", "monas", "monas-constrained", "rena"}
INDIFFERENT = {"random"} | REPEATING
ROUNDS = {"nsga2-surrogate": 18, "dpp-net": 12}  # in which others need 40 to learn what to avoid


def _but(*dear: str) -> list[object]:
    """All algorithms; those whose long searches take seconds, and do what another one does as well, are thorough."""
    marks = dict.fromkeys(dear, (pytest.mark.thorough,))
    return [pytest.param(name, marks=marks.get(name, ())) for name in sorted(registry.available("algorithms"))]


@pytest.fixture(params=sorted(registry.available("algorithms")))
def name(request):
    return request.param


@pytest.fixture
def algorithm(name):
    return lambda space, seed: make(name, space, seed)


def test_genomes_are_valid_and_no_network_is_asked_for_twice(name, algorithm):
    genomes = play(algorithm(SPACE, 1), 6)
    assert genomes.dtype == np.int64
    architectures = [SPACE.decode(genome) for genome in genomes]
    assert len(set(architectures)) == len(architectures) or name in REPEATING


def test_the_seed_decides_the_sequence(algorithm):
    first, again, other = (play(algorithm(SPACE, seed), 2) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.fixture(scope="module")
def ties() -> list[dict[str, str]]:
    """What all ask for where every choice is a tie: in this process, and in a fresh one that hashes otherwise."""
    names = sorted(registry.available("algorithms"))
    code = "import sys, json; from playing import play_ties; print(json.dumps(play_ties(sys.argv[1:])))"
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    fresh = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return [play_ties(names), json.loads(fresh.stdout)]


def test_ties_are_played_the_same_in_a_fresh_process(name, ties):
    assert ties[0][name] == ties[1][name]


@pytest.mark.parametrize("name", _but("nsga2-surrogate", "dpp-net", "monas", "monas-constrained", "rena"))
def test_failures_are_survived_and_not_bred_from(name, algorithm):
    searcher = algorithm(SPACE, 3)

    def broken(genomes: np.ndarray) -> np.ndarray:
        return (genomes[:, 0] == 0).astype(float)

    def losses(genomes: np.ndarray) -> np.ndarray:
        return np.where(broken(genomes)[:, None] > 0, np.inf, losses_of(genomes))

    rounds = 10 if name in INDIFFERENT else ROUNDS.get(name, 40)
    genomes = play(searcher, rounds, losses, lambda genomes: np.where(broken(genomes) > 0, np.inf, 0.0))
    drawn = broken(SPACE.sample(300, np.random.default_rng(1))).mean()
    assert broken(genomes[-100:]).mean() < drawn / 2 or name in INDIFFERENT


@pytest.mark.parametrize(
    "name", _but("nsga2-surrogate", "rl-weighted", "monas", "monas-constrained", "rena", "dpp-net")
)
def test_networks_beyond_a_limit_are_bred_from_less_and_less(name, algorithm):
    def excess(genomes: np.ndarray) -> np.ndarray:
        """At most a third of the genes may stand on their last choice."""
        return np.maximum(0, (genomes == SPACE.gene_sizes - 1).mean(axis=1) * 3 - 1)

    def losses(genomes: np.ndarray) -> np.ndarray:
        return np.where(excess(genomes)[:, None] > 0, np.inf, losses_of(genomes))

    violations = excess(play(algorithm(SPACE, 3), ROUNDS.get(name, 40), losses, excess))
    drawn = excess(SPACE.sample(300, np.random.default_rng(1))).mean()
    # next to no network is within the target of monas-constrained, which rewards nothing else
    assert violations[-100:].mean() < drawn * 0.8 or name in ("random", "monas-constrained")


def test_a_generation_in_which_all_fail_is_survived(algorithm):
    searcher = algorithm(SPACE, 3)
    play(searcher, 3, lambda g: np.full((len(g), 2), np.inf), lambda g: np.full(len(g), np.inf))
    assert len(searcher.ask())


def test_a_wrong_tell_is_refused_and_changes_nothing(algorithm):
    searcher, twin = algorithm(SPACE, 4), algorithm(SPACE, 4)
    genomes, twin_genomes = searcher.ask(), twin.ask()
    losses, violations = losses_of(genomes), np.zeros(len(genomes))
    wrong = [
        (genomes[::-1], losses, violations, "the genomes that were asked for last"),
        (genomes, losses[:-1], violations, "losses of shape"),
        (genomes, losses, violations[:-1], "violations of shape"),
        (genomes, np.where(losses == losses[0], np.nan, losses), violations, "must not be NaN"),
    ]
    for bad_genomes, bad_losses, bad_violations, message in wrong:
        with pytest.raises(ValueError, match=message):
            searcher.tell(bad_genomes, bad_losses, bad_violations)
    searcher.tell(genomes, losses, violations)
    twin.tell(twin_genomes, losses_of(twin_genomes), np.zeros(len(twin_genomes)))
    assert np.array_equal(searcher.ask(), twin.ask())


def test_ask_and_tell_take_turns(algorithm):
    searcher = algorithm(SPACE, 1)
    with pytest.raises(RuntimeError, match="tell was called before ask"):
        searcher.tell(np.zeros((0, SPACE.gene_sizes.size)), np.zeros((0, 2)), np.zeros(0))
    searcher.ask()
    with pytest.raises(RuntimeError, match="ask was called twice"):
        searcher.ask()


def test_asked_genomes_are_the_caller_s_own(algorithm):
    searcher, twin = algorithm(SPACE, 2), algorithm(SPACE, 2)
    for _ in range(2):
        genomes, twin_genomes = searcher.ask(), twin.ask()
        assert np.array_equal(genomes, twin_genomes)
        kept = genomes.copy()
        genomes[:] = 0
        searcher.tell(kept, losses_of(kept), np.zeros(len(kept)))
        twin.tell(kept, losses_of(kept), np.zeros(len(kept)))


def test_the_global_generators_are_left_alone(algorithm):
    import random

    import torch

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    play(algorithm(SPACE, 1), 3)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_a_space_that_is_searched_through_ends_in_an_empty_ask(name, algorithm):
    if name in REPEATING:
        return  # the loop ends it where nothing new comes: see tests/loop/test_search.py
    space = SearchSpace(
        filters=(8,), layers=(1,), strides=(1,), stem=8, head=8, ops=("conv",), filter_multipliers=(1.0,)
    )
    searcher = algorithm(space, 1)
    asked = []
    for _ in range(60):
        genomes = searcher.ask()
        if len(genomes) == 0:
            break
        searcher.tell(genomes, np.ones((len(genomes), 2)), np.zeros(len(genomes)))
        asked += [space.decode(genome) for genome in genomes]
    else:
        pytest.fail("never ended")
    # 2 kernels x 2 SE x (1 layer: none, identity; 2 layers: none, identity; pool is identity here)
    assert len(asked) == len(set(asked)) == 2 * 2 * (2 + 2)


def test_nsga2_s_survivors_agree_with_deap_s_non_dominated_ranks():
    searcher = make("nsga2", SPACE, 6)
    population = play(searcher, 2)
    survivors = {genome.tobytes() for genome in searcher._algorithm.pop.get("X").astype(np.int64)}
    if not hasattr(creator, "Losses"):
        creator.create("Losses", base.Fitness, weights=(-1.0, -1.0))
        creator.create("Point", list, fitness=creator.Losses)
    individuals = []
    for genome, losses in zip(population, losses_of(population), strict=True):
        individual = creator.Point(genome.tolist())
        individual.fitness.values = tuple(losses)
        individuals.append(individual)
    for front in tools.sortNondominated(individuals, len(individuals)):
        alive = [np.array(one, dtype=np.int64).tobytes() in survivors for one in front]
        if not all(alive):  # the front that is cut by crowding; nothing behind it survives
            break
    behind = [one for rank in tools.sortNondominated(individuals, len(individuals)) for one in rank]
    ranked = behind[behind.index(front[-1]) + 1 :]
    assert not any(np.array(one, dtype=np.int64).tobytes() in survivors for one in ranked)
    assert len(survivors) == 20


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40))
def test_pymoo_s_and_deap_s_non_dominated_ranks_agree(points):
    """Each is the other's oracle, ties and duplicates included."""

    class Losses(base.Fitness):
        weights = (-1.0, -1.0)

    class Point(list):
        pass

    individuals = []
    for number, point in enumerate(points):
        individual = Point([number])
        individual.fitness = Losses(point)
        individuals.append(individual)
    ranks = [sorted(one[0] for one in front) for front in tools.sortNondominated(individuals, len(individuals))]
    fronts = NonDominatedSorting().do(np.array(points, dtype=float))
    assert [sorted(front.tolist()) for front in fronts] == ranks
