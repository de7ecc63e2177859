"""Search algorithms: they ask for genomes and are told losses, and know nothing else.

- `nsga2`: the whole Pareto set in one run (pymoo); `mating` makes its children, quickly.
- `surrogate`: NSGA-II on predictions; with `experience`, what was learnt, by the `predictors` from `features` of
  networks; `proposals`, the candidates; `first_batch` and `acquisition`, which of them to evaluate.
- `rl_weighted`, with `controller`: the paper's own search, an RNN controller and the weighted product (torch).
- `evolution`: aging evolution on the same scalar goals (DEAP).
- `random_search`: what all others must beat.

An algorithm is a class that is called with a `Space` and a seed and has the two methods of `Algorithm`. It
never evaluates, logs or touches files, and draws all randomness from its seed, so that it can be replayed
from an archive. Its options are its keyword-only arguments. Register another one as an entry point of the
group `evomnas.algorithms`; `AskAndTell` is a base that takes turns and checks what is told.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.goals import Goal
from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.problem.search_space import Genomes, Space

Losses = NDArray[np.float64]


class Algorithm(Protocol):
    """Ask and tell, in turn."""

    def ask(self) -> Genomes:
        """The next genomes, shape (n, n_var); none where the algorithm has nothing more to ask."""
        ...

    def tell(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """What came of the genomes asked last.

        Args:
            genomes: As asked, shape (n, n_var).
            losses: (error, latency in ms), shape (n, 2); infinite for candidates that failed or were not trained.
            violations: Shape (n,); 0 where a candidate is feasible, positive where it exceeds a limit, infinite
                where it failed.
        """
        ...


@runtime_checkable
class GoalSeeking(Protocol):
    """An algorithm that looks for one network per goal."""

    goals: tuple[Goal, ...]


@runtime_checkable
class Choosing(GoalSeeking, Protocol):
    """An algorithm that can say, without asking, which network it holds to be the best for each of its goals."""

    def choices(self) -> Genomes:
        """A genome per goal, shape (goals, n_var)."""
        ...


@runtime_checkable
class Introspective(Protocol):
    """An algorithm that can say how it is doing; the report draws each figure over the generations."""

    def metrics(self) -> Mapping[str, float]:
        """What it learned from what it was told last, by names that people read, such as `reward`.

        Figures of one name with different ends in parentheses, `reward (0.5)` and `reward (1)`, share a plot. What
        does not apply to this generation is left out. A class can say what each plot shows in `explanations`, by name.
        """
        ...


@runtime_checkable
class Weighing(Protocol):
    """An algorithm that wants to know what candidates cost before it asks for evaluations.

    Before every `ask`, `consider` is called once, and `weigh` with the answer.
    """

    def consider(self, price: float) -> Genomes:
        """Candidates whose costs are wanted, shape (n, n_var).

        Args:
            price: What a cost takes, relative to a whole evaluation: 0 where it is free, infinite where it cannot be
                known, or not yet.
        """
        ...

    def weigh(self, genomes: Genomes, costs: NDArray[np.float64]) -> None:
        """Costs of those, shape (n,), the second loss of each; infinite where it fails or is beyond a limit."""
        ...


@runtime_checkable
class SteadyState(Protocol):
    """An algorithm that breeds from what is known while networks that it asked for are still being evaluated.

    `ask_more` and `tell_some` take the place of `ask` and `tell`, and need not take turns. A `Weighing` one is asked
    what it considers before every `ask_more`.
    """

    def ask_more(self) -> Genomes:
        """Genomes to be evaluated one after the other, shape (n, n_var); none before more was told, if ever.

        Where there are none, nothing has changed: it may be asked again at any time.
        """
        ...

    def tell_some(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """What came of some of those asked for and not told yet; arguments as of `Algorithm.tell`."""
        ...


class AskAndTell(ABC):
    """Takes turns and checks what is told; a wrong tell changes nothing. Subclasses breed and learn.

    One that is `steady` learns from any part of what it asked for, and so is `SteadyState`; `_waits` says when it
    cannot breed before more is told.
    """

    steady = False

    def __init__(self, space: Space) -> None:
        self.space = space
        self._asked: Genomes | None = None
        self._pending: list[NDArray[np.int64]] = []  # of `ask_more`
        self._is_exhausted = False

    @abstractmethod
    def _breed(self) -> Genomes:
        """The next genomes, shape (n, n_var)."""

    @abstractmethod
    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """Take in what came of them."""

    def ask(self) -> Genomes:
        """The next genomes, shape (n, n_var); empty when there is nothing more to ask."""
        if self._asked is not None:
            raise RuntimeError("ask was called twice: tell the losses of the genomes asked before")
        genomes = self._breed()
        if len(genomes) == 0:
            return np.zeros((0, len(self.space.gene_sizes)), dtype=np.int64)
        self._asked = genomes
        return genomes.copy()

    def tell(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """What came of the genomes asked last; see `Algorithm`."""
        if self._asked is None:
            raise RuntimeError("tell was called before ask")
        if not np.array_equal(genomes, self._asked):
            raise ValueError("tell needs the genomes that were asked for last, in their order")
        _check_told(genomes, losses, violations)
        self._asked = None
        self._learn(genomes, losses, violations)

    def _waits(self) -> bool:
        """Whether it cannot breed before more of what is pending is told."""
        return False

    def ask_more(self) -> Genomes:
        """See `SteadyState`."""
        genomes = np.zeros((0, len(self.space.gene_sizes)), dtype=np.int64)
        if not self._is_exhausted and not self._waits():
            genomes = self._breed().reshape(-1, len(self.space.gene_sizes))
            self._is_exhausted = len(genomes) == 0  # for good: trying has drawn random numbers
        self._pending.extend(genomes)
        return genomes.copy()

    def tell_some(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        """See `SteadyState`."""
        _check_told(genomes, losses, violations)
        left = list(self._pending)
        for genome in genomes:
            place = next((index for index, one in enumerate(left) if np.array_equal(one, genome)), None)
            if place is None:
                raise ValueError("tell_some needs genomes that were asked for and not told yet")
            del left[place]
        self._pending = left
        self._learn(genomes, losses, violations)


def _check_told(genomes: Genomes, losses: Losses, violations: Losses) -> None:
    """Raise ValueError where results have a wrong shape or are not a number."""
    if losses.shape != (len(genomes), 2) or violations.shape != (len(genomes),):
        raise ValueError(
            f"tell needs losses of shape ({len(genomes)}, 2) and violations of shape ({len(genomes)},), "
            f"got {losses.shape} and {violations.shape}"
        )
    if np.isnan(losses).any() or np.isnan(violations).any():
        raise ValueError("losses and violations must not be NaN: a failure is infinite and violated")


def option_defaults(algorithm: str) -> dict[str, Any]:
    """The options of a registered algorithm, its keyword-only arguments, and their defaults."""
    parameters = inspect.signature(registry.load("algorithms", algorithm)).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}


def option_names(algorithm: str) -> list[str]:
    """The options of a registered algorithm."""
    return list(option_defaults(algorithm))


def make_algorithm(algorithm: str, space: Space, seed: int, options: Mapping[str, Any]) -> Algorithm:
    """A registered algorithm.

    Raises:
        InputError: There is none of that name, it lacks one of the options, or a value is wrong.
    """
    names = option_names(algorithm)
    for name in options:
        if name not in names:
            allowed = f"it takes {', '.join(names)}" if names else "it takes none"
            raise InputError(f"{algorithm} has no option {name}: {allowed}")
    made: Algorithm = registry.load("algorithms", algorithm)(space, seed, **options)
    return made


def check_whole(name: str, value: int, least: int) -> int:
    """`value` of an option, if it is a whole number of at least `least`; else InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10_000:
        raise InputError(f"{name} must be a whole number from {least} to 10000, got {value}")
    return value
