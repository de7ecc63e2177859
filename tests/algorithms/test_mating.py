"""Mating on arrays against pymoo's own: child by child the same."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem

from evomnas.algorithms.mating import ArrayMating
from evomnas.algorithms.operators import make_operators
from evomnas.problem.search_space import SearchSpace


def evolved(space: SearchSpace, ours: bool, forget: bool, generations: int) -> list[list[tuple[int, ...]]]:
    """The genomes of each generation, with a limit that some networks exceed."""
    sizes = space.gene_sizes
    chosen = make_operators(space)
    duplicates = chosen["eliminate_duplicates"]
    algorithm = NSGA2(pop_size=8, **chosen)
    if ours:
        algorithm.mating = ArrayMating(algorithm, duplicates.decode, duplicates.history)
    problem = Problem(len(sizes), 2, 1, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
    algorithm.setup(problem, termination=NoTermination(), seed=3)
    found = []
    for _ in range(generations):
        offspring = algorithm.ask()
        if offspring is None or len(offspring) == 0:
            break
        genomes = offspring.get("X").astype(np.int64)
        found.append([tuple(genome) for genome in genomes.tolist()])
        if not forget:
            duplicates.remember([space.decode(genome) for genome in genomes])
        losses = np.column_stack([genomes.sum(1), (3 - genomes).sum(1) ** 2 + genomes[:, 0]])
        limit = genomes.sum(1, keepdims=True) - 0.8 * (sizes - 1).sum()
        Evaluator().eval(StaticProblem(problem, F=losses, G=limit), offspring)
        algorithm.tell(infills=offspring)
    return found


TINY = SearchSpace(
    filters=(16, 24), layers=(1, 2), strides=(1, 2), ops=("conv", "dconv"), se_ratios=(0.0,), filter_multipliers=(1.0,)
)  # fmt: skip


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("space", [SearchSpace(), TINY], ids=["MnasNet's", "a tiny one"])
def test_children_are_those_of_pymoo_s_mating(space, forget):
    ours = evolved(space, True, forget, 40)
    assert ours == evolved(space, False, forget, 40)
    assert len(ours) > 1


@pytest.mark.thorough
def test_it_ends_where_no_child_is_new():
    found = evolved(TINY, True, False, 1000)
    assert len(found) < 1000
    networks = [TINY.decode(np.array(genome)) for generation in found for genome in generation]
    assert len(set(networks)) == len(networks)


def test_it_gives_up_after_a_hundred_rounds_without_enough_new_children():
    """All are known: in each round as many are bred as are missing, two per mating."""
    operators = make_operators(TINY)
    algorithm = NSGA2(pop_size=8, **operators)
    sizes = TINY.gene_sizes
    problem = Problem(len(sizes), 2, 1, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
    algorithm.setup(problem, termination=NoTermination(), seed=3)
    mating = ArrayMating(algorithm, lambda genome: "the same")
    matings, selection = [], mating.selection

    def counting(problem, pop, count, **options):
        matings.append(count)
        return selection(problem, pop, count, **options)

    mating.selection = counting
    pop = algorithm.ask()
    Evaluator().eval(StaticProblem(problem, F=np.ones((8, 2)), G=np.zeros((8, 1))), pop)
    algorithm.tell(infills=pop)
    children = mating.do(problem, algorithm.pop, 5, random_state=np.random.default_rng(0), algorithm=algorithm)
    assert len(children) == 0
    assert matings == [3] * 100
