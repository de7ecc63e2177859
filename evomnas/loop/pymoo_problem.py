"""The search as a pymoo problem, with the operators that suit its genome.

The two objectives, error and latency in milliseconds, are minimised. Nothing stands for what a network lacks: by
default, a candidate that failed or exceeds a limit violates the problem's one constraint, and its objectives are
infinite. For algorithms that know no constraints, it gets penalties instead. These are told to pymoo alone; the archive
never has them.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem

from evomnas.algorithms.operators import SpaceSampling, make_operators
from evomnas.algorithms.suitability import check_algorithm, check_genomes, check_knows_constraints
from evomnas.core.arguments import Natural, checked
from evomnas.core.errors import unknown
from evomnas.core.showing.markup import heading, table
from evomnas.data.suited import load_definition
from evomnas.evaluation.on_demand import IN_MEMORY, EvaluatorOnDemand
from evomnas.problem.definition import Definition
from evomnas.problem.loading import flat
from evomnas.problem.search_space import Genomes, Space
from evomnas.results.evaluation import Evaluation, losses_and_violations

Evaluate = Callable[[Sequence[Any]], list[Evaluation]]

PENALTY_FACTOR = 10.0  # the least penalty's latency, relative to that of the hypervolume's reference point
_SHARED = ("definition", "space", "_evaluate_architectures", "_reference_costs")  # between copies: they never change


class SearchProblem(Problem):  # type: ignore[misc]
    """A problem file as a pymoo problem: integer genomes in, (error, latency in ms) and further objectives out.

    It can be copied and pickled, with or without the algorithm that searches it. Copies evaluate by the same function.
    Individuals get a `status` beside their objectives: `ok`, `failed` or `infeasible`.

    Attributes:
        definition: The problem file.
        space: Its search space.
    """

    @checked
    def __init__(
        self, definition: Definition, evaluate: Evaluate, reference_costs: Callable[[], Sequence[float]] | None = None
    ) -> None:
        """Wrap a problem; nothing is evaluated before pymoo asks for it.

        Args:
            definition: The problem file.
            evaluate: Turns networks into evaluations, in their order.
            reference_costs: Returns all losses of the reference network but the first, which penalties are relative to.
                With None, failures violate a constraint.
        """
        self.definition = definition
        self.space: Space = definition.space
        self._evaluate_architectures, self._reference_costs = evaluate, reference_costs
        sizes = self.space.gene_sizes
        constraints = 1 if reference_costs is None else 0
        bounds = {"xl": np.zeros_like(sizes), "xu": sizes - 1}
        self._objectives = 2 + len(definition.further)
        super().__init__(len(sizes), self._objectives, constraints, **bounds, vtype=int, requires_kwargs=True)

    def _evaluate(self, x: Genomes, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        check_algorithm(kwargs.get("algorithm"), len(x))
        check_genomes(np.asarray(x))
        evaluations = self._evaluate_architectures([self.space.decode(genome) for genome in x])
        losses, violations = losses_and_violations(evaluations, self._objectives)
        if self._reference_costs is None:
            out["G"] = violations[:, None]
        else:
            losses = self._penalised(losses, violations, self._reference_costs())
        out["F"], out["status"] = losses, [evaluation.status for evaluation in evaluations]

    def _penalised(
        self, losses: NDArray[np.float64], violations: NDArray[np.float64], reference_costs: Sequence[float]
    ) -> NDArray[np.float64]:
        """Return losses with penalties in the place of infinite ones.

        A penalty is (1, L) times a factor above 1, which rises with the excess over the limits and is 2 for a failure.
        L is `PENALTY_FACTOR` times the latency of the hypervolume's reference point, and likewise of further
        objectives. No network has an error above 1.
        """
        costs = PENALTY_FACTOR * np.array(self.definition.reference_point[1:]) * np.array(reference_costs)
        excess = np.where(np.isinf(violations), 1.0, violations / (1.0 + np.minimum(violations, np.finfo(float).max)))
        penalties = np.append(1.0, costs) * (1.0 + excess)[:, None]
        return np.where(np.isfinite(losses), losses, penalties)

    def has_constraints(self) -> bool:
        """Return whether there is a constraint.

        Raises:
            InputError: There is one, and the algorithm that asks knows none.
        """
        constrained: bool = super().has_constraints()
        if constrained:
            check_knows_constraints(sys._getframe(1))
        return constrained

    @checked
    def operators(self, *names: str) -> dict[str, Any]:
        """Return keyword arguments for a genetic algorithm of pymoo: `NSGA2(pop_size=20, **problem.operators())`.

        Args:
            names: Which of `sampling`, `crossover`, `mutation` and `eliminate_duplicates`; all of them if none is
                named. `MOEAD` takes the first three.

        Raises:
            InputError: There is no operator of a name.
        """
        operators = make_operators(self.space) | {"sampling": SpaceSampling(self.space, distinct=True)}
        for name in names:
            if name not in operators:
                raise unknown("operator", name, operators)
        return {name: operators[name] for name in names or operators}

    def __repr__(self) -> str:
        return f"SearchProblem({self._describe()})"

    __str__ = __repr__

    def _describe(self) -> str:
        """Return what is searched."""
        quality, cost = self.definition.axes
        size = f"{self.space.networks:,} networks, {len(self.space.gene_sizes)} genes"
        return f"{self.definition.name}: {size}; {quality}, {cost}"

    def _repr_html_(self) -> str:
        """Return the problem for a notebook: its space, and the settings of its sections."""
        settings = self.definition.model_dump(mode="json", exclude_none=True)
        rows = [(key, str(value)) for key, value in flat(settings) if key not in ("name", "summary")]
        title = heading(f"SearchProblem {self.definition.name}", self.definition.summary)
        return title + heading("", self._describe()) + table(("setting", "value"), rows, limit=len(rows))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        clone = copy.copy(self)
        memo[id(self)] = clone
        for name, value in vars(self).items():
            setattr(clone, name, value if name in _SHARED else copy.deepcopy(value, memo))
        return clone


@checked
def load_problem(
    problem: str | Path | Definition = "digits",
    overrides: Sequence[str] = (),
    *,
    archive: Path | str = IN_MEMORY,
    workers: Natural = 0,
    device: str = "auto",
    failures: Literal["constraint", "penalty"] = "constraint",
) -> SearchProblem:
    """Return a problem for pymoo. Images are read and networks trained when the first evaluation is asked for.

    Args:
        problem: A built-in name, a problem file, or a definition.
        overrides: `section.key=value` strings for the problem.
        archive: The file in which evaluations are kept and looked up; in memory by default.
        workers: Worker processes for the trainings; 0 trains in this process.
        device: `auto`, `cpu` or `cuda`.
        failures: What pymoo is told of networks that failed or exceed a limit: `constraint` for a violated constraint,
            `penalty` for objectives that are worse than any network's, where an algorithm knows no constraints.

    Raises:
        InputError: There is no such problem, its content is wrong, or an argument is.
    """
    definition = load_definition(problem, overrides) if isinstance(problem, str | Path) else problem
    evaluator = EvaluatorOnDemand(definition, archive, workers, device)
    return SearchProblem(definition, evaluator.evaluate, evaluator.reference_costs if failures == "penalty" else None)
