"""An algorithm as a loop uses it: on the stopwatch, and told the costs that it wants to know."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np

from evomnas.algorithms.base import (
    Algorithm,
    AskAndTell,
    Choosing,
    Counting,
    GoalSeeking,
    Inheriting,
    Introspective,
    Learning,
    Losses,
    ManyObjectives,
    Measure,
    Measured,
    SteadyState,
    Weighing,
    make_algorithm,
    max_objectives,
    option_defaults,
)
from evomnas.algorithms.goals import Goal
from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.evaluation.interface import Evaluator
from evomnas.loop.tally import Tally
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.search_space import Genomes
from evomnas.results.lessons import lessons_of_earlier_runs, to_lessons
from evomnas.results.run import Run


def check_steady(algorithm: str) -> None:
    """Check that an algorithm can breed while networks are still being evaluated.

    Args:
        algorithm: The name of a registered algorithm.

    Raises:
        InputError: It can only learn from whole generations.
    """
    if not is_steady(algorithm):
        able = [name for name in registry.available("algorithms") if is_steady(name)]
        raise InputError(f"{algorithm} learns from whole generations: drop --async, or search with {', '.join(able)}")


def check_learning(algorithm: str) -> None:
    """Check that an algorithm can learn from other searches.

    Args:
        algorithm: The name of a registered algorithm.

    Raises:
        InputError: It cannot.
    """
    if not learns(algorithm):
        able = filter(learns, registry.available("algorithms"))
        raise InputError(f"{algorithm} learns from its own results alone: drop --learn-from, or use {', '.join(able)}")


def learns(algorithm: str) -> bool:
    """Return whether an algorithm can learn from other searches.

    Args:
        algorithm: The name of a registered algorithm.
    """
    return issubclass(registry.load("algorithms", algorithm), Learning)


def lessons_from_archive(evaluator: Evaluator, algorithm: str) -> dict[str, Any] | None:
    """Return what an algorithm learns from earlier runs of an evaluator's archive; None where that is nothing.

    Args:
        evaluator: An evaluator of the problem.
        algorithm: The name of a registered algorithm.
    """
    definition = evaluator.definition
    if not learns(algorithm) or not isinstance(definition, ProblemDefinition):
        return None
    contexts = evaluator.training_context, evaluator.measurement_context
    return lessons_of_earlier_runs(evaluator.archive, definition, *contexts)


def settled_options(evaluator: Evaluator, algorithm: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an algorithm without its defaults, so that equal searches look alike.

    Args:
        evaluator: Knows the cost of the reference network: the target of an algorithm that wants one, where none is
            given.
        algorithm: A registered algorithm.
        options: Its options.
    """
    defaults_by_name = option_defaults(algorithm)
    needs_target = "target_ms" in defaults_by_name and "target_ms" not in options
    target = {"target_ms": evaluator.reference_cost()} if needs_target else {}
    return target | {
        name: value for name, value in options.items() if _as_kept(value) != _as_kept(defaults_by_name[name])
    }


def _as_kept(value: Any) -> Any:
    """Return the value of an option as the archive keeps it, where a tuple is a list."""
    return list(value) if isinstance(value, tuple) else value


def check_objectives(definition: Definition, algorithm: str) -> None:
    """Check that an algorithm can minimise all objectives of a problem.

    Args:
        definition: The problem.
        algorithm: The name of a registered algorithm.

    Raises:
        InputError: It minimises fewer.
    """
    objectives, most = 2 + len(definition.further), max_objectives(algorithm)
    if objectives > most:
        *able, last = (name for name in sorted(registry.available("algorithms")) if max_objectives(name) >= objectives)
        further = " and ".join(axis.name for axis in definition.further[most - 2 :])
        raise InputError(
            f"{algorithm} minimises {'error and cost alone' if most == 2 else f'up to {most} objectives'}, and "
            f"{definition.name} has {objectives}: search with {', '.join(able)} or {last}, or drop {further} from them"
        )


def is_steady(algorithm: str) -> bool:
    """Return whether an algorithm can breed while networks are still being evaluated.

    Args:
        algorithm: The name of a registered algorithm.
    """
    kind = registry.load("algorithms", algorithm)
    return issubclass(kind, SteadyState) and bool(getattr(kind, "steady", True))


class TimedAlgorithm:
    """The algorithm of a run; what it takes is counted for the purpose `algorithm`."""

    def __init__(self, run: Run, evaluator: Evaluator, tally: Tally) -> None:
        """Make the algorithm.

        Args:
            run: Names it, with its seed and options.
            evaluator: The run's evaluator.
            tally: What it has evaluated.

        Raises:
            InputError: There is no such algorithm, or an option is wrong.
        """
        record = run.record
        self._evaluator, self._tally, self._watch = evaluator, tally, evaluator.stopwatch
        self._space = evaluator.definition.space
        with self._watch.on("algorithm"):
            self._algorithm: Algorithm = make_algorithm(record.algorithm, self._space, record.seed, record.options)
        if run.objectives > 2:
            cast(ManyObjectives, self._algorithm).learn_objectives(run.objectives)
        if isinstance(self._algorithm, Measured):
            error, *relative_costs = run.definition.reference_point
            data = run.image_data
            images = 0 if data is None else data.validation
            costs = (share * own for share, own in zip(relative_costs, evaluator.reference_costs(), strict=True))
            self._algorithm.learn_measure(Measure((error, *costs), images))
        if isinstance(self._algorithm, Counting) and run.shape is not None:
            self._algorithm.learn_shape(run.shape)
        if record.mode.lessons is not None:
            with self._watch.on("algorithm"):
                lessons = to_lessons(run.archive.context(record.mode.lessons), run.trained_problem().space)
                cast(Learning, self._algorithm).learn_from(lessons)
        self._by_older_rules = deque(_asked_by_older_rules(run))

    @property
    def explanations(self) -> dict[str, str]:
        """What its metrics mean, by name."""
        return dict(getattr(self._algorithm, "explanations", {}))

    @property
    def goals(self) -> Sequence[Goal]:
        """The goals for each of which it looks for one network; none of most algorithms."""
        return self._algorithm.goals if isinstance(self._algorithm, GoalSeeking) else ()

    def ask(self) -> Genomes:
        """Return the next genomes, shape (n, n_var); see `Algorithm.ask`."""
        if self._by_older_rules:
            genomes = self._by_older_rules.popleft()
            cast(AskAndTell, self._algorithm).adopt(genomes)
            return genomes
        self._weigh()
        with self._watch.on("algorithm"):
            return self._algorithm.ask()

    def tell(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """Tell what came of them; see `Algorithm.tell`."""
        with self._watch.on("algorithm"):
            self._algorithm.tell(genomes, losses, violations)

    def ask_more(self) -> Genomes:
        """Return more genomes while others are under way; see `SteadyState.ask_more`."""
        if self._by_older_rules:
            genomes = self._by_older_rules.popleft()
            cast(AskAndTell, self._algorithm).adopt_more(genomes)
            return genomes
        self._weigh()
        with self._watch.on("algorithm"):
            return cast(SteadyState, self._algorithm).ask_more()

    def tell_some(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """Tell what came of some of them; see `SteadyState.tell_some`."""
        with self._watch.on("algorithm"):
            cast(SteadyState, self._algorithm).tell_some(genomes, losses, violations)

    def parents(self, genomes: Genomes) -> dict[Any, Any]:
        """Return from which network each of some networks inherits; None where it has no parent.

        Args:
            genomes: What was just asked for, shape (n, n_var).
        """
        parents = cast(Inheriting, self._algorithm).parents(genomes)
        decoded = (None if parent is None else self._space.decode(parent) for parent in parents)
        return dict(zip(map(self._space.decode, genomes), decoded, strict=True))

    def fertile(self) -> list[Any]:
        """Return the networks that may still become parents; see `Inheriting.fertile`."""
        return [self._space.decode(genome) for genome in cast(Inheriting, self._algorithm).fertile()]

    def choices(self) -> list[Any]:
        """Return the network that it holds to be the best for each of its goals; none where it does not choose."""
        if not isinstance(self._algorithm, Choosing):
            return []
        with self._watch.on("algorithm"):
            genomes = self._algorithm.choices()
        return [self._space.decode(genome) for genome in genomes]

    def metrics(self) -> dict[str, float]:
        """Return what it says of itself, by name; what is not finite is left out."""
        values: Mapping[str, float] = self._algorithm.metrics() if isinstance(self._algorithm, Introspective) else {}
        return {name: float(value) for name, value in values.items() if np.isfinite(value)}

    def _weigh(self) -> None:
        """Tell it what candidates cost, where it wants to know."""
        if not isinstance(self._algorithm, Weighing):
            return
        price = self._evaluator.price(list(self._tally.evaluations.values()))
        with self._watch.on("algorithm"):
            genomes = self._algorithm.consider(price)
        costs = self._evaluator.costs([self._space.decode(genome) for genome in genomes])
        with self._watch.on("algorithm"):
            self._algorithm.weigh(genomes, np.array(costs, dtype=np.float64))


def _asked_by_older_rules(run: Run) -> Iterator[Genomes]:
    """Yield what a run asked for by older rules of its algorithm than those of today, generation by generation."""
    later, definition = run.manifest.later_rules, run.definition
    asks = run.asks[: 0 if later is None else later.asks]
    for _, generation in groupby(asks, key=lambda ask: ask.generation):
        yield np.stack([definition.space.encode(definition.parse(ask.architecture)) for ask in generation])
