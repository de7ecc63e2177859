"""One conformance suite for all registered algorithms; a new one joins by its entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from deap import base, creator, tools

from evomnas import registry
from evomnas.space import SearchSpace

SPACE = SearchSpace(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)


@pytest.fixture(params=sorted(registry.available("algorithms")))
def algorithm(request):
    return registry.load("algorithms", request.param)


def losses_of(genomes: np.ndarray) -> np.ndarray:
    """Two objectives in conflict, any smooth function of the genes."""
    shares = genomes / np.maximum(SPACE.gene_sizes - 1, 1)
    return np.stack([1 - shares.mean(axis=1), 1 + shares[:, ::2].sum(axis=1)], axis=1)


def play(searcher, rounds: int, losses=losses_of, violations=lambda genomes: np.zeros(len(genomes))) -> np.ndarray:
    asked = []
    for _ in range(rounds):
        genomes = searcher.ask()
        searcher.tell(genomes, losses(genomes), violations(genomes))
        asked.append(genomes)
    return np.concatenate(asked)


def test_genomes_are_valid_and_no_network_is_asked_for_twice(algorithm):
    genomes = play(algorithm(SPACE, 1), 12)
    architectures = [SPACE.decode(genome) for genome in genomes]
    assert len(set(architectures)) == len(architectures)


def test_the_seed_decides_the_sequence(algorithm):
    first, again, other = (play(algorithm(SPACE, seed), 5) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_ties_are_played_the_same_in_fresh_processes(algorithm):
    """A constant objective makes every choice a tie; hash seeds differ from process to process."""
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); import numpy as np;"
        "from test_algorithms import SPACE, play; from evomnas import registry;"
        "searcher = registry.load('algorithms', sys.argv[2])(SPACE, 5);"
        "print(hashlib.sha256(play(searcher, 5, lambda g: np.ones((len(g), 2))).tobytes()).hexdigest())"
    )
    name = next(name for name in registry.available("algorithms") if registry.load("algorithms", name) is algorithm)
    root = str(Path(__file__).parent)
    runs = [
        subprocess.run([sys.executable, "-c", code, root, name], capture_output=True, text=True, check=True,
                       env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"}).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]


def test_failures_are_survived_and_not_bred_from(algorithm):
    searcher = algorithm(SPACE, 3)

    def broken(genomes: np.ndarray) -> np.ndarray:
        return (genomes[:, 0] == 0).astype(float)

    def losses(genomes: np.ndarray) -> np.ndarray:
        return np.where(broken(genomes)[:, None] > 0, np.inf, losses_of(genomes))

    genomes = play(searcher, 15, losses, broken)
    assert broken(genomes[-100:]).mean() < broken(genomes[:40]).mean() / 2


def test_a_generation_in_which_all_fail_is_survived(algorithm):
    searcher = algorithm(SPACE, 3)
    play(searcher, 3, lambda g: np.full((len(g), 2), np.inf), lambda g: np.ones(len(g)))
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


def test_a_space_that_is_searched_through_ends_in_an_empty_ask(algorithm):
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
    searcher = registry.load("algorithms", "nsga2")(SPACE, 6)
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
