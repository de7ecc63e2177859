"""The tools that one would use instead, called as their users would call them, for `search_quality.py`.

Each is a function of the numbers of choices per gene, a seed, and what evaluates genomes; it asks until that raises.

    pip install '.[peers]'
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Genomes = NDArray[np.int64]
Evaluate = Callable[[Genomes], NDArray[np.float64]]
Search = Callable[[NDArray[np.int64], int, Evaluate], None]


def optuna_search(make_sampler: Callable[[Any, int], Any]) -> Search:
    """Optuna with a sampler of its own, a categorical parameter per gene."""

    def search(sizes: NDArray[np.int64], seed: int, evaluate: Evaluate) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = make_sampler(optuna.samplers, seed)
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        choices = [list(range(int(size))) for size in sizes]
        while True:
            trial = study.ask()
            genome = [trial.suggest_categorical(f"gene{gene}", values) for gene, values in enumerate(choices)]
            study.tell(trial, evaluate(np.array([genome]))[0].tolist())

    return search


def pymoo_search(integers: bool, population: int = 20) -> Search:
    """pymoo's NSGA-II as its documentation has it: for integers, or with a categorical `Choice` per gene."""

    def search(sizes: NDArray[np.int64], seed: int, evaluate: Evaluate) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
        from pymoo.core.problem import ElementwiseProblem
        from pymoo.core.variable import Choice
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling
        from pymoo.optimize import minimize

        names = [f"gene{gene}" for gene in range(len(sizes))]
        choices = {name: Choice(options=range(int(size))) for name, size in zip(names, sizes, strict=True)}
        bounds = {"n_var": len(sizes), "xl": 0, "xu": sizes - 1, "vtype": int}
        as_integers = {
            "sampling": IntegerRandomSampling(),
            "crossover": SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            "mutation": PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            "eliminate_duplicates": True,
        }
        as_choices = {
            "sampling": MixedVariableSampling(),
            "mating": MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
            "eliminate_duplicates": MixedVariableDuplicateElimination(),
        }

        class Searched(ElementwiseProblem):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(n_obj=2, **(bounds if integers else {"vars": choices}))

            def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
                genome = x if integers else [x[name] for name in names]
                out["F"] = evaluate(np.array([genome], dtype=np.int64))[0]

        algorithm = NSGA2(pop_size=population, **(as_integers if integers else as_choices))
        minimize(Searched(), algorithm, ("n_gen", 10_000), seed=seed)

    return search


def deap_search(sizes: NDArray[np.int64], seed: int, evaluate: Evaluate, population: int = 20) -> None:
    """NSGA-II of DEAP's example, with uniform crossover and mutation; a population of 20."""
    from deap import base, tools

    class Losses(base.Fitness):  # type: ignore[misc]
        weights = (-1.0, -1.0)

    class Individual(list[int]):
        def __init__(self, genes: Any) -> None:
            super().__init__(genes)
            self.fitness = Losses()

    def score(individuals: list[Individual]) -> None:
        fresh = [one for one in individuals if not one.fitness.valid]
        for one in fresh:
            one.fitness.values = tuple(evaluate(np.array([one]))[0])

    random.seed(seed)
    highest = [int(size) - 1 for size in sizes]
    toolbox = base.Toolbox()
    toolbox.register("mate", tools.cxUniform, indpb=0.5)
    toolbox.register("mutate", tools.mutUniformInt, low=0, up=highest, indpb=1 / len(highest))
    parents = [Individual(random.randint(0, high) for high in highest) for _ in range(population)]
    score(parents)
    parents = tools.selNSGA2(parents, population)  # gives them their crowding distances
    while True:
        children = [toolbox.clone(one) for one in tools.selTournamentDCD(parents, population)]
        for first, second in zip(children[::2], children[1::2], strict=True):
            if random.random() <= 0.9:
                toolbox.mate(first, second)
            for child in (first, second):
                toolbox.mutate(child)
                del child.fitness.values
        score(children)
        parents = tools.selNSGA2(parents + children, population)


def syne_tune_search(sizes: NDArray[np.int64], seed: int, evaluate: Evaluate) -> None:
    """Syne Tune's multi-objective regularized evolution with its defaults."""
    from syne_tune.config_space import choice
    from syne_tune.optimizer.schedulers.multiobjective import multi_objective_regularized_evolution as evolution

    space = {f"gene{gene}": choice(list(range(int(size)))) for gene, size in enumerate(sizes)}
    searcher = evolution.MultiObjectiveRegularizedEvolution(space, random_seed=seed)
    trial = 0
    while True:
        config = searcher.suggest()
        losses = evaluate(np.array([[config[name] for name in space]]))[0]
        searcher.on_trial_complete(trial, config, losses.tolist())
        trial += 1


def archai_like_search(sizes: NDArray[np.int64], seed: int, evaluate: Evaluate) -> None:
    """A stand-in for Archai's `EvolutionParetoSearch`, which does not install any more, with its default sizes.

    Ten random networks; then, in every iteration, a mutant of each network on the front, five crossovers of two of
    them, and five random networks. A mutant or child that was seen is left out.
    """
    rng = np.random.default_rng(seed)
    genes = len(sizes)
    batch = rng.integers(sizes, size=(10, genes))
    seen: dict[bytes, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    while True:
        for genome, losses in zip(batch, evaluate(batch), strict=True):
            seen[genome.tobytes()] = genome, losses
        genomes, known = (np.array(part) for part in zip(*seen.values(), strict=True))
        better = (known[:, None] <= known[None]).all(axis=2) & (known[:, None] < known[None]).any(axis=2)
        front = genomes[~better.any(axis=0)]
        children = [_unseen_mutant(parent, sizes, seen, rng) for parent in front]
        if len(front) > 1:
            pairs = (front[rng.choice(len(front), 2, replace=False)] for _ in range(5))
            children += [np.where(rng.random(genes) < 0.5, first, second) for first, second in pairs]
        new = {child.tobytes(): child for child in children if child is not None and child.tobytes() not in seen}
        batch = np.array([*new.values(), *rng.integers(sizes, size=(5, genes))])


def _unseen_mutant(
    parent: NDArray[np.int64], sizes: NDArray[np.int64], seen: Any, rng: np.random.Generator
) -> NDArray[np.int64] | None:
    for _ in range(20):
        mutant = parent.copy()
        gene = rng.integers(len(sizes))
        mutant[gene] = (mutant[gene] + rng.integers(1, sizes[gene])) % sizes[gene]
        if mutant.tobytes() not in seen:
            return mutant
    return None


PEERS: dict[str, Search] = {
    "Syne Tune MO-REA": syne_tune_search,
    "Optuna NSGA-II": optuna_search(lambda samplers, seed: samplers.NSGAIISampler(seed=seed)),
    "Optuna NSGA-II, population 20": optuna_search(
        lambda samplers, seed: samplers.NSGAIISampler(seed=seed, population_size=20)
    ),
    "Optuna TPE, multivariate": optuna_search(lambda samplers, seed: samplers.TPESampler(seed=seed, multivariate=True)),
    "Archai-like evolutionary Pareto": archai_like_search,
    "DEAP NSGA-II": deap_search,
    "pymoo NSGA-II, population 20, choices": pymoo_search(integers=False),
    "pymoo NSGA-II, population 20, integers": pymoo_search(integers=True),
}
