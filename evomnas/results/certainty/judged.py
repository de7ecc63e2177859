"""Results with the score that is expected of each network, and with its chance to be on the front.

Both follow from the run's results alone, so they are computed where people look at them and are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evomnas.problem.definition import Definition
from evomnas.results.evaluation import Evaluation
from evomnas.results.run import Result, Run


@dataclass(frozen=True, slots=True)
class Judgement:
    """The certainty of one network's place.

    Attributes:
        expected_score: The score that is expected of it; None where that was not worked out.
        front_chance: How likely it is on the true front.
    """

    expected_score: float | None
    front_chance: float


def judge(run: Run, results: Sequence[Result]) -> list[Result]:
    """Return results that say how sure they are; see `evomnas.algorithms.surrogate.certainty`.

    Args:
        run: The run.
        results: All its results; judged ones are not judged again.

    Returns:
        The same results. They are as they were if no standard error of a score is known, as on tables, or if there are
        too few of them.
    """
    judged = list(results)
    if any(result.front_chance is not None for result in results):
        return judged
    for place, one in judge_evaluations(run.definition, [result.evaluation for result in results]).items():
        judged[place] = replace(judged[place], expected_score=one.expected_score, front_chance=one.front_chance)
    return judged


def judge_evaluations(definition: Definition, evaluations: Sequence[Evaluation]) -> dict[int, Judgement]:
    """Return how sure the places of networks are, by their places among the evaluations.

    Args:
        definition: The problem.
        evaluations: All evaluations of a search.

    Returns:
        A judgement of each network whose losses and standard error are known; none if these are too few.
    """
    errors = {
        place: evaluation.score_error
        for place, evaluation in enumerate(evaluations)
        if evaluation.losses is not None and evaluation.score_error is not None
    }
    if not errors or not definition.trains:
        return {}
    from evomnas.algorithms.surrogate.certainty import judge_front, nearest_to_front  # here: SciPy takes half a second

    all_losses = np.array([evaluations[place].losses for place in errors], dtype=np.float64)
    rows = nearest_to_front(all_losses)  # the others are not even encoded
    places = np.array(list(errors))[rows].tolist()
    space = definition.space
    genomes = np.stack([space.encode(evaluations[place].architecture) for place in places])
    certainty = judge_front(space, genomes, all_losses[rows], np.array([errors[place] for place in places]))
    if certainty is None:
        return {}
    expected = zip(places, certainty.errors.tolist(), certainty.chances.tolist(), strict=True)
    return dict.fromkeys(errors, Judgement(None, 0.0)) | {
        place: Judgement(1.0 - error, chance) for place, error, chance in expected
    }
