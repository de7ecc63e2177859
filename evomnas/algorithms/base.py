"""Search algorithms: what they must offer, what they may offer, and how they are made by name.

An algorithm asks for genomes and is told their losses. It knows nothing else. It is a class that is called with a
`Space` and a seed, and it has the two methods of `Algorithm`. The other protocols here are optional: the loop checks
which of them an algorithm has.

An algorithm never evaluates, logs or touches files. It draws all random numbers from its seed, so that it can be
replayed from an archive. Its options are its keyword-only arguments.

To add one, register its class as an entry point of the group `evomnas.algorithms`. `AskAndTell` is a base class that
takes care of the turns and checks what it is told.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.goals import Goal
from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.problem.counting import NetworkShape
from evomnas.problem.search_space import Genomes, Space
from evomnas.problem.sections import MAX_OBJECTIVES

Losses = NDArray[np.float64]


class Algorithm(Protocol):
    """A search algorithm. `ask` and `tell` are called in turn.

    `n_var` is the number of genes of the space.
    """

    def ask(self) -> Genomes:
        """Return the genomes to evaluate next.

        Returns:
            Shape (n, n_var). An empty array, n = 0, means that there is nothing more to ask.
        """
        ...

    def tell(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """Learn the results of the genomes asked for last.

        Args:
            genomes: The genomes as `ask` returned them, shape (n, n_var).
            losses: (error, latency in ms) and, for `ManyObjectives`, further ones, shape (n, m). They are infinite for
                a candidate that failed or that was not trained.
            violations: Shape (n,): 0 where a candidate is feasible, positive where it exceeds a limit, infinite where
                it failed.
        """
        ...


@runtime_checkable
class GoalSeeking(Protocol):
    """An algorithm that looks for one network per goal.

    Attributes:
        goals: The goals, at least one. Their values are maximised.
    """

    goals: tuple[Goal, ...]


@runtime_checkable
class Choosing(GoalSeeking, Protocol):
    """An algorithm that knows, without asking, which network it holds to be the best for each of its goals."""

    def choices(self) -> Genomes:
        """Return the network that the algorithm holds to be the best for each goal.

        Returns:
            One genome per goal, shape (goals, n_var).
        """
        ...


@runtime_checkable
class ManyObjectives(Protocol):
    """An algorithm that can minimise more than two losses."""

    def learn_objectives(self, count: int) -> None:
        """Learn how many losses there are. It is called at most once, before anything else, where there are not two.

        Args:
            count: The number of losses, two or more.
        """
        ...


@runtime_checkable
class Introspective(Protocol):
    """An algorithm that reports how it is doing. The report draws each of its figures over the generations."""

    def metrics(self) -> Mapping[str, float]:
        """Return figures about the state of the search after the last results.

        Returns:
            Figures by names that people read, such as `reward`. Names that differ only in a part in parentheses at
            their end, `reward (0.5)` and `reward (1)`, share a plot. A figure that does not apply to this generation is
            left out. A class may explain its plots in a mapping `explanations`, by the names without parentheses.
        """
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """Errors of networks of the space elsewhere: on other images, with other trainings, or in an earlier search.

    Attributes:
        genomes: Shape (n, n_var).
        errors: Their errors there, shape (n,), all finite.
    """

    genomes: Genomes
    errors: NDArray[np.float64]


@runtime_checkable
class Learning(Protocol):
    """An algorithm that can learn from other searches before its own begins."""

    def learn_from(self, lessons: Sequence[Lesson]) -> None:
        """Learn what is known from elsewhere. It is called at most once, before the first `ask` or `consider`.

        Args:
            lessons: One for each training, or set of images, of which something is known; at least one.
        """
        ...


@runtime_checkable
class Weighing(Protocol):
    """An algorithm that wants to know the costs of candidates before it asks for evaluations.

    Before every `ask`, `consider` is called once, and then `weigh` with the answer.
    """

    def consider(self, price: float) -> Genomes:
        """Return candidates whose costs the algorithm wants to know.

        Args:
            price: The time that learning one cost takes, as a share of the time of a whole evaluation. It is 0 where
                costs are free, and infinite where they cannot be known, or not yet.

        Returns:
            Shape (n, n_var).
        """
        ...

    def weigh(self, genomes: Genomes, costs: NDArray[np.float64]) -> None:
        """Learn the costs of the candidates that `consider` returned.

        Args:
            genomes: The candidates, shape (n, n_var).
            costs: The second loss of each, shape (n,); infinite where a candidate fails or is beyond a limit.
        """
        ...


@runtime_checkable
class Inheriting(Protocol):
    """An algorithm whose networks may inherit the weights of trained ones.

    Attributes:
        inherits: Whether they do. Then what came of a network depends on those that it descends from.
    """

    inherits: bool

    def parents(self, genomes: Genomes) -> list[NDArray[np.int64] | None]:
        """Return from which network each of some networks inherits.

        Args:
            genomes: Genomes that were just asked for, shape (n, n_var).

        Returns:
            The parent's genome, shape (n_var,), which was asked for and told before; None where a network has none.
        """
        ...

    def fertile(self) -> Genomes:
        """Return the networks that may still become parents. The weights of all others may be forgotten.

        Returns:
            Shape (n, n_var).
        """
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """The measure of a problem's losses: how far networks count, and how noisy errors are.

    Attributes:
        reference_point: The reference point of the problem's hypervolume, in the units of the losses: error, latency in
            ms, and further ones. A network beyond it brings nothing.
        images: Number of validation images that an error is counted on; 0 where that is unknown, or where errors are
            exact.
    """

    reference_point: tuple[float, ...]
    images: int = 0


@runtime_checkable
class Measured(Protocol):
    """An algorithm that wants to know by which measure it is judged."""

    def learn_measure(self, measure: Measure) -> None:
        """Learn what the problem says about its losses. This is called once, before the first `ask`.

        Args:
            measure: The measure.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """An algorithm that counts parameters and MACs of networks itself."""

    def learn_shape(self, shape: NetworkShape) -> None:
        """Learn the numbers that counts depend on beside the architecture.

        This is called once, before the first `ask`, unless the networks are those of a table.

        Args:
            shape: Classes, channels and resolution.
        """
        ...


@runtime_checkable
class SteadyState(Protocol):
    """An algorithm that can go on asking while networks that it asked for are still being evaluated.

    `ask_more` and `tell_some` take the place of `ask` and `tell`. They need not be called in turn. If the algorithm is
    also `Weighing`, `consider` and `weigh` are called before every `ask_more`.
    """

    def ask_more(self) -> Genomes:
        """Return more genomes to evaluate, one after the other.

        Returns:
            Shape (n, n_var). An empty array, n = 0, means that there is nothing to ask before more results are told, or
            nothing ever. Such a call changes nothing, so the method may be called again at any time.
        """
        ...

    def tell_some(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """Learn the results of some of the genomes that were asked for and that have no result yet.

        Args:
            genomes: Any of these genomes in any order, shape (n, n_var).
            losses: As of `Algorithm.tell`, shape (n, m).
            violations: As of `Algorithm.tell`, shape (n,).
        """
        ...


class AskAndTell(ABC):
    """A base class for algorithms: it takes care of the turns and checks what is told. A wrong tell changes nothing.

    A subclass has the methods `_breed` and `_learn`. It may set `steady` if it can learn from any part of what it asked
    for; then it may be used as `SteadyState`, and `_waits` tells when it cannot breed before there are more results.

    Attributes:
        steady: True for a class that may be used as `SteadyState`.
        space: The search space.
    """

    steady = False

    def __init__(self, space: Space) -> None:
        """Begin a search.

        Args:
            space: The search space.
        """
        self.space = space
        self._objectives = 2  # a class that is `ManyObjectives` may learn of more
        self._asked_genomes: Genomes | None = None
        self._pending: list[NDArray[np.int64]] = []  # genomes that `ask_more` returned and that have no result yet
        self._is_exhausted = False

    @abstractmethod
    def _breed(self) -> Genomes:
        """Return the next genomes, shape (n, n_var); n = 0 where there is nothing more to ask."""

    @abstractmethod
    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """Learn the results of genomes; the arguments are those of `Algorithm.tell`, and were checked."""

    def ask(self) -> Genomes:
        """See `Algorithm.ask`.

        Raises:
            RuntimeError: The genomes asked for before were not told yet.
        """
        if self._asked_genomes is not None:
            raise RuntimeError("ask was called twice: tell the losses of the genomes asked before")
        genomes = self._breed()
        if len(genomes) == 0:
            return np.zeros((0, len(self.space.gene_sizes)), dtype=np.int64)
        self._asked_genomes = genomes
        return genomes.copy()

    def tell(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """See `Algorithm.tell`.

        Raises:
            RuntimeError: Nothing was asked for.
            ValueError: The genomes are not those asked for last, or the results have a wrong shape or are NaN.
        """
        if self._asked_genomes is None:
            raise RuntimeError("tell was called before ask")
        if not np.array_equal(genomes, self._asked_genomes):
            raise ValueError("tell needs the genomes that were asked for last, in their order")
        _check_results(genomes, losses, violations, self._objectives)
        self._asked_genomes = None
        self._learn(genomes, losses, violations)

    def adopt(self, genomes: Genomes) -> None:
        """Take genomes as asked for, in place of an `ask`: other rules of the algorithm asked for them.

        Args:
            genomes: Shape (n, n_var), n > 0.
        """
        self._asked_genomes = genomes.copy()

    def adopt_more(self, genomes: Genomes) -> None:
        """Take genomes as asked for, in place of an `ask_more`; see `adopt`.

        Args:
            genomes: Shape (n, n_var), n > 0.
        """
        self._pending.extend(genomes)

    def _waits(self) -> bool:
        """Return whether the algorithm cannot breed before more of the pending genomes have results."""
        return False

    def ask_more(self) -> Genomes:
        """See `SteadyState.ask_more`."""
        genomes = np.zeros((0, len(self.space.gene_sizes)), dtype=np.int64)
        if not self._is_exhausted and not self._waits():
            genomes = self._breed().reshape(-1, len(self.space.gene_sizes))
            self._is_exhausted = len(genomes) == 0  # for good, because the attempt drew random numbers
        self._pending.extend(genomes)
        return genomes.copy()

    def tell_some(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """See `SteadyState.tell_some`.

        Raises:
            ValueError: A genome was not asked for or has a result already; or the results have a wrong shape or are
                NaN.
        """
        _check_results(genomes, losses, violations, self._objectives)
        still_pending = list(self._pending)
        for genome in genomes:
            place = next((index for index, other in enumerate(still_pending) if np.array_equal(other, genome)), None)
            if place is None:
                raise ValueError("tell_some needs genomes that were asked for and not told yet")
            del still_pending[place]
        self._pending = still_pending
        self._learn(genomes, losses, violations)


def _check_results(genomes: Genomes, losses: Losses, violations: Losses, objectives: int) -> None:
    """Raise ValueError where results have a wrong shape or are NaN."""
    if losses.shape != (len(genomes), objectives) or violations.shape != (len(genomes),):
        raise ValueError(
            f"tell needs losses of shape ({len(genomes)}, {objectives}) and violations of shape ({len(genomes)},), "
            f"got {losses.shape} and {violations.shape}"
        )
    if np.isnan(losses).any() or np.isnan(violations).any():
        raise ValueError("losses and violations must not be NaN: a failure is infinite and violated")


def rules_version(algorithm: str) -> int:
    """Return the version of the rules by which an algorithm asks, its class attribute `rules`, or 1.

    A run is resumed by playing it again from its archive. An algorithm counts its version up where it asks for other
    networks than before with the same seed; then what a run asked for by older rules is told without being asked for.

    Args:
        algorithm: Name of a registered algorithm.

    Raises:
        InputError: There is no algorithm of that name.
    """
    return int(getattr(registry.load("algorithms", algorithm), "rules", 1))


def max_objectives(algorithm: str) -> int:
    """Return how many losses an algorithm can minimise at most.

    Args:
        algorithm: Name of a registered algorithm.

    Returns:
        2 where it is not `ManyObjectives`; else its class attribute `max_objectives`, or `MAX_OBJECTIVES`.

    Raises:
        InputError: There is no algorithm of that name.
    """
    kind = registry.load("algorithms", algorithm)
    return int(getattr(kind, "max_objectives", MAX_OBJECTIVES)) if issubclass(kind, ManyObjectives) else 2


def option_defaults(algorithm: str) -> dict[str, Any]:
    """Return the options of an algorithm, which are its keyword-only arguments, and their defaults.

    Args:
        algorithm: Name of a registered algorithm.

    Returns:
        The defaults by option; `inspect.Parameter.empty` where an option has none.

    Raises:
        InputError: There is no algorithm of that name.
    """
    parameters = inspect.signature(registry.load("algorithms", algorithm)).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def option_names(algorithm: str) -> list[str]:
    """Return the names of an algorithm's options.

    Args:
        algorithm: Name of a registered algorithm.

    Returns:
        The names, in the order of the arguments.

    Raises:
        InputError: There is no algorithm of that name.
    """
    return list(option_defaults(algorithm))


def make_algorithm(name: str, space: Space, seed: int, options: Mapping[str, Any]) -> Algorithm:
    """Make a registered algorithm.

    Args:
        name: Its name.
        space: The search space.
        seed: The source of all its random numbers.
        options: Values of its options; those that are missing have their defaults.

    Returns:
        The algorithm, which has asked for nothing yet.

    Raises:
        InputError: There is no algorithm of that name, it does not have one of the options, a value is wrong, or one is
            missing that has no default.
    """
    usual = option_defaults(name)
    for option in options:
        if option not in usual:
            allowed = f"it takes {', '.join(usual)}" if usual else "it takes none"
            raise InputError(f"{name} has no option {option}: {allowed}")
    for option, default in usual.items():
        if default is inspect.Parameter.empty and option not in options:
            raise InputError(f"{name} needs a value of {option}: add --option {option}=VALUE")
    try:
        algorithm: Algorithm = registry.load("algorithms", name)(space, seed, **options)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        if not options:
            raise
        values = ", ".join(f"{option}={value!r}" for option, value in options.items())
        raise InputError(f"{name} refuses its options {values}: {error}") from error
    return algorithm


def check_whole_number(name: str, value: int, minimum: int) -> int:
    """Check the value of an option that is a whole number.

    Args:
        name: Name of the option, for the message.
        value: The value.
        minimum: The least value that is allowed; the largest one is 10,000.

    Returns:
        The value.

    Raises:
        InputError: The value is no whole number or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= 10_000:
        raise InputError(f"{name} must be a whole number from {minimum} to 10000, got {value}")
    return value
