"""The search as a pymoo problem, with the operators that suit its genome.

The two objectives, error and latency in milliseconds, are minimised. A candidate that failed or exceeds a limit
violates the problem's one constraint. The objectives of a failure are infinite, so that no number stands for it.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.problem import Problem

from evomnas.algorithms.operators import make_operators
from evomnas.core.arguments import Natural, checked
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.interface import Evaluator
from evomnas.problem.definition import Definition
from evomnas.problem.loading import load_definition
from evomnas.problem.search_space import Genomes, Space
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Evaluation, losses_and_violations

Evaluate = Callable[[Sequence[Any]], list[Evaluation]]


class SearchProblem(Problem):  # type: ignore[misc]
    """A problem file as a pymoo problem: integer genomes in, (error, latency in ms) out.

    Attributes:
        definition: The problem file.
        space: Its search space.
    """

    @checked
    def __init__(self, definition: Definition, evaluate: Evaluate) -> None:
        """Wrap a problem; nothing is evaluated before pymoo asks for it.

        Args:
            definition: The problem file.
            evaluate: Turns networks into evaluations, in their order.
        """
        self.definition = definition
        self.space: Space = definition.space
        self._evaluate_architectures = evaluate
        sizes = self.space.gene_sizes
        super().__init__(n_var=len(sizes), n_obj=2, n_ieq_constr=1, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)

    def _evaluate(self, x: Genomes, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        evaluations = self._evaluate_architectures([self.space.decode(genome) for genome in x])
        losses, violations = losses_and_violations(evaluations)
        out["F"], out["G"] = losses, violations[:, None]

    def operators(self) -> dict[str, Any]:
        """Return keyword arguments for a genetic algorithm of pymoo: `NSGA2(pop_size=20, **problem.operators())`."""
        return make_operators(self.space)


@checked
def load_problem(
    problem: str | Path = "digits",
    overrides: Sequence[str] = (),
    *,
    archive: Path | str = ":memory:",
    workers: Natural = 0,
    device: str = "auto",
) -> SearchProblem:
    """Return a problem for pymoo. Images are read and networks trained when the first evaluation is asked for.

    Args:
        problem: A built-in name or the path of a problem file.
        overrides: `section.key=value` strings.
        archive: File in which evaluations are kept and looked up; in memory by default.
        workers: Worker processes for the trainings; 0 trains in this process.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        InputError: There is no such problem, its content is wrong, or an argument is.
    """
    definition = load_definition(problem, overrides)
    evaluators: list[Evaluator] = []

    def evaluate(architectures: Sequence[Any]) -> list[Evaluation]:
        if not evaluators:
            until_exit = contextlib.ExitStack()
            atexit.register(until_exit.close)
            opened = open_evaluator(definition, Archive(archive, late=True), workers, device)
            evaluators.append(until_exit.enter_context(opened))
            evaluators[0].archive.establish()
        return evaluators[0].evaluate(architectures)

    return SearchProblem(definition, evaluate)


# --- operators -------------------------------------------------------------------------------------------
