"""Second trainings: the front's candidates are trained once more, with another seed, where that may change the front.

A score that was counted on few images is partly luck, and so is the front of many networks. When a search has spent its
budget but for a share, the networks that may or may not be on the front are trained again. The front is then that of
the mean scores. Where fewer networks are undecided than the share allows, the rest goes on to be searched with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from evomnas.core.errors import InputError
from evomnas.evaluation.interface import Evaluator
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.loop.tally import Tally
from evomnas.problem.definition import Definition
from evomnas.results.certainty.confirmed import Choice, add_choice, choices
from evomnas.results.certainty.judged import judge_evaluations
from evomnas.results.run import Run

MAX_SHARE = 0.5


def check_share(definition: Definition, share: float, inherits: bool) -> None:
    """Check the share of a budget that a search keeps for second trainings.

    Args:
        definition: The problem.
        share: The share.
        inherits: Whether networks inherit the weights of others.

    Raises:
        InputError: It is out of range, a table has but one result of each network, or they inherit weights.
    """
    if not 0 <= share <= MAX_SHARE:
        raise InputError(f"--confirm is a share of the budget from 0 to {MAX_SHARE:g}, not {share:g}: for example 0.1")
    if share:
        definition.trained(f"{definition.name} is a table, which has one result of each network: drop --confirm")
        if inherits:
            raise InputError("networks that inherit weights are trained once: drop --confirm, or the inheritance")


class SecondTrainings:
    """Keeps a share of a run's budget, chooses the networks that are trained once more, and trains them.

    All choices follow from the first trainings of the networks, so that a run that is resumed chooses the same.
    """

    def __init__(self, run: Run, evaluator: Evaluator, tally: Tally) -> None:
        """Begin a session.

        Args:
            run: The run. What it chose in earlier sessions stays chosen.
            evaluator: The run's evaluator.
            tally: What it has evaluated; counts the second trainings, too.
        """
        self._run, self._evaluator, self._tally = run, evaluator, tally
        self._budget = run.manifest.budget
        self._choices: list[Choice] = []
        self._kept, self._seen = 0, -1
        if run.mode.confirm:  # of networks that are trained
            self._choices = choices(run.archive, run.record.id)
            self._view = cast(NetworkEvaluator, evaluator).with_recipe(run.trained_problem().training.repeated)
            self._kept = max(int(run.mode.confirm * self._budget), len(self._chosen))
            tally.confirmed = len(self._chosen) - len(self._missing())

    def keep(self, left: int) -> int:
        """Return how many evaluations are kept for second trainings.

        Args:
            left: Evaluations that the budget has left. Where no more of them are left than are kept, it is worked out
                how many are needed.
        """
        if 0 < left <= self._kept and self._seen != self._tally.ended:
            self._seen = self._tally.ended
            self._kept = min(self._kept, len({*self._chosen, *self._undecided()}))
        return self._kept

    def run(self, asks: int) -> Iterator[Any]:
        """Choose networks by what is known after so many asks, unless that was done, and train them.

        Args:
            asks: How much the run has asked for.

        Yields:
            Each network when its second training has ended.
        """
        if not self._kept:
            return
        if all(choice.asks != asks for choice in self._choices):
            chosen = set(self._chosen)
            room = self._budget - self._tally.ended - len(chosen)
            networks = [name for name in self._undecided() if name not in chosen][: max(0, room)]
            if networks:
                self._choices.append(Choice(asks, tuple(networks)))
                add_choice(self._run.archive, self._run.record.id, self._choices[-1])
        missing = self._missing()
        self._tally.confirmed = len(self._chosen) - len(missing)  # other runs may have trained some
        for architecture in self._view.train(missing):
            self._tally.confirmed += 1
            yield architecture

    @property
    def _chosen(self) -> list[str]:
        return [name for choice in self._choices for name in choice.networks]

    def _missing(self) -> list[Any]:
        """Return the chosen networks that were not trained again yet."""
        networks: list[Any] = list(map(self._run.definition.parse, self._chosen))
        return [one for one in networks if self._view.training_of(one) is None]

    def _undecided(self) -> list[str]:
        """Return the networks that may or may not be on the front, the most undecided first."""
        from evomnas.algorithms.surrogate.certainty import undecided  # here: SciPy takes half a second

        evaluations = list(self._tally.evaluations.values())
        judgements = judge_evaluations(self._run.definition, evaluations)
        places = [place for place in judgements if self._is_repeatable(evaluations[place].architecture)]
        rows = undecided(np.array([judgements[place].front_chance for place in places]))
        return [str(evaluations[places[row]].architecture) for row in rows]

    def _is_repeatable(self, architecture: Any) -> bool:
        """Return whether a network was trained on the images of today: a run may go on with images that had changed."""
        earlier, now = self._run.training_contexts, self._evaluator.training_context
        before = earlier[: earlier.index(now)] if now in earlier else ()
        return not any(self._trained_on(context, architecture) for context in before)

    def _trained_on(self, context: str, architecture: Any) -> bool:
        archive, candidates = self._run.archive, self._evaluator.candidates
        known = archive.evaluation(context, self._evaluator.measurement_context, architecture, candidates)
        return known.training is not None
