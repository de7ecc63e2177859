"""LEMONADE's samplings against densities that are computed otherwise, and its population."""

from __future__ import annotations

import numpy as np
import pytest
from playing import SPACE, losses_of
from scipy.stats import gaussian_kde

from evomnas.algorithms.lemonade import Lemonade, kernel_density
from evomnas.core.errors import InputError
from evomnas.problem.counting import count_architecture
from evomnas.problem.pareto import non_dominated
from evomnas.problem.tabular_space import TabularSpace

ROWS = np.array(list(np.ndindex(40, 3)))
TABLE = TabularSpace([[str(value) for value in range(40)], ["a", "b", "c"]], ROWS, 0)


def test_the_density_of_one_objective_is_that_of_scipy():
    rng = np.random.default_rng(1)
    points, at = rng.normal(size=30), rng.normal(size=7)
    factor = gaussian_kde(points, bw_method=30 ** (-1 / 5) * points.std() / points.std(ddof=1))
    ours = kernel_density(points[:, None], at[:, None])
    assert ours / ours[0] == pytest.approx(factor(at) / factor(at)[0])


def test_the_density_of_several_objectives_is_of_products_of_kernels():
    points, at = np.array([[0.0, 5.0, 1.0], [2.0, 5.0, 3.0]]), np.array([[1.0, 9.0, 2.0], [0.0, 5.0, 1.0]])
    width = 2 ** (-1 / 6)  # both spreads are 1; the second objective is constant and counts for nothing
    far, near = np.exp(-0.5 * (2 / width) ** 2 * 2), np.exp(-0.5 * (1 / width) ** 2 * 2)
    assert kernel_density(points, at) == pytest.approx([near, (1 + far) / 2])
    assert kernel_density(points[:, :0], at[:, :0]).tolist() == [1.0, 1.0]


def told(searcher: Lemonade, genomes: np.ndarray, losses: np.ndarray, violations: np.ndarray | None = None) -> None:
    searcher.adopt(genomes)
    searcher.tell(genomes, losses, np.zeros(len(genomes)) if violations is None else violations)


def test_the_population_is_the_front_of_all_results():
    searcher, everything = Lemonade(SPACE, 1), []
    for _ in range(6):
        genomes = searcher.ask()
        searcher.tell(genomes, losses_of(genomes), np.zeros(len(genomes)))
        everything.append(losses_of(genomes))
    front = np.concatenate(everything)[non_dominated(np.concatenate(everything))]
    assert sorted(member.losses.tolist() for member in searcher._population) == sorted(front.tolist())


def test_without_a_feasible_network_the_least_violation_survives():
    searcher = Lemonade(SPACE, 1)
    genomes = SPACE.sample(4, np.random.default_rng(1))
    nothing = np.full((4, 2), np.inf)
    told(searcher, genomes, nothing, np.array([2.0, 0.5, np.inf, 0.5]))
    assert [member.genome.tolist() for member in searcher._population] == genomes[[1, 3]].tolist()
    told(searcher, genomes[:1], np.array([[0.9, 9.0]]))
    assert [member.genome.tolist() for member in searcher._population] == genomes[:1].tolist()


def test_parents_and_children_come_from_where_the_front_is_sparse():
    """Nine networks of the front are close together by their costs, and one is far from them."""
    genomes = np.array([[gene, 0] for gene in [*range(9), 39]])
    searcher = Lemonade(TABLE, 1)
    costs = np.array([*np.linspace(1.0, 1.1, 9), 2.0])
    told(searcher, genomes, np.column_stack([np.linspace(0.5, 0.1, 10), costs]))
    chances = searcher._sparse_chances(genomes)
    assert chances.argmax() == 9
    assert chances[9] > 3 * chances[:9].max()
    assert chances.sum() == pytest.approx(1.0)


def test_a_network_far_from_all_others_has_no_more_than_a_thousand_times_their_chance():
    searcher, rng = Lemonade(SPACE, 1), np.random.default_rng(0)
    genomes = np.array([SPACE.draw(rng) for _ in range(40)])
    macs = [count_architecture(SPACE.decode(genome), 10, 3, 8).macs for genome in genomes]
    genomes = genomes[np.argsort(macs)]
    told(searcher, genomes[:4], np.column_stack([np.linspace(0.4, 0.1, 4), [1.0, 1.1, 1.2, 1.3]]))
    chances = searcher._sparse_chances(genomes[[0, -1]])
    assert chances[1] == pytest.approx(1000 * chances[0], rel=0.9)
    assert chances.sum() == pytest.approx(1.0)


def test_children_are_chosen_by_costs_that_are_free():
    """Costs beyond a limit are never paid for; of the others, those where the front has none come first."""
    searcher = Lemonade(TABLE, 3, children=2, proposals=30)
    start = np.array([[gene, 0] for gene in (3, 4, 5)])
    told(searcher, start, np.column_stack([[0.3, 0.2, 0.1], [1.0, 1.1, 1.2]]))
    assert len(searcher.consider(0.5)) == 0  # a cost that takes time is not cheap
    proposals = searcher.consider(0.0)
    assert len({TABLE.decode(genome) for genome in proposals}) == len(proposals) > 10
    costs = np.full(len(proposals), np.inf)
    costs[:3] = [1.1, 1.1, 100.0]
    searcher.weigh(proposals, costs)
    children = searcher.ask().tolist()
    assert all(child in proposals[:3].tolist() for child in children)
    assert proposals[2].tolist() in children


def test_children_have_parents_in_the_population_from_which_they_differ_in_few_genes():
    searcher = Lemonade(SPACE, 1, inherit=True)
    genomes = searcher.ask()
    assert searcher.parents(genomes) == [None] * len(genomes)
    assert searcher.fertile().shape == (0, len(SPACE.gene_sizes))
    for _ in range(4):
        searcher.tell(genomes, losses_of(genomes), np.zeros(len(genomes)))
        fertile = searcher.fertile().tolist()
        assert fertile == [member.genome.tolist() for member in searcher._population]
        genomes = searcher.ask()
        parents = searcher.parents(genomes)
        for genome, parent in zip(genomes, parents, strict=True):
            assert parent.tolist() in fertile
            assert 0 < (genome != parent).sum() < len(genome) / 2
    plain = play_like(Lemonade(SPACE, 1)), play_like(Lemonade(SPACE, 1, inherit=True))
    assert np.array_equal(*plain)  # inheriting changes nothing but what evaluations give


def play_like(searcher: Lemonade) -> np.ndarray:
    asked = []
    for _ in range(3):
        asked.append(searcher.ask())
        searcher.tell(asked[-1], losses_of(asked[-1]), np.zeros(len(asked[-1])))
    return np.concatenate(asked)


def test_macs_and_parameters_are_cheap_in_a_space_of_networks():
    searcher = Lemonade(SPACE, 1)
    genomes = SPACE.sample(3, np.random.default_rng(1))
    params = [count_architecture(SPACE.decode(genome), 1, 3, 8).params for genome in genomes]
    objectives = searcher._cheap_objectives(genomes)
    assert objectives.shape == (3, 2)
    assert np.exp(objectives[:, 1]) == pytest.approx(params)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"children": 1}, "children must be a whole number from 2"),
        ({"children": 9, "proposals": 8}, "proposals must be at least the children, 9, got 8"),
        ({"inherit": 1}, "inherit must be true or false, got 1"),
    ],
)
def test_wrong_numbers_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Lemonade(SPACE, 1, **options)
