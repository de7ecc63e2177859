"""Results with the score that is expected of each network, and with its chance to be on the front.

Both follow from the run's results alone, so they are computed where people look at them and are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evomnas.results.run import Result, Run


def judge(run: Run, results: Sequence[Result]) -> list[Result]:
    """Return results that say how sure they are; see `evomnas.algorithms.surrogate.certainty`.

    Args:
        run: The run.
        results: All its results; judged ones are not judged again.

    Returns:
        The same results. They are as they were if no standard error of a score is known, as on tables, or if there are
        too few of them.
    """
    errors = {
        place: result.evaluation.score_error
        for place, result in enumerate(results)
        if result.evaluation.losses is not None and result.evaluation.score_error is not None
    }
    is_judged = any(result.front_chance is not None for result in results)
    if is_judged or not errors or not run.definition.trains:
        return list(results)
    from evomnas.algorithms.surrogate.certainty import judge_front, nearest_to_front  # here: SciPy takes half a second

    all_losses = np.array([results[place].evaluation.losses for place in errors], dtype=np.float64)
    rows = nearest_to_front(all_losses)  # the others are not even encoded
    places = np.array(list(errors))[rows].tolist()
    space = run.definition.space
    genomes = np.stack([space.encode(results[place].evaluation.architecture) for place in places])
    certainty = judge_front(space, genomes, all_losses[rows], np.array([errors[place] for place in places]))
    if certainty is None:
        return list(results)
    judged = [replace(one, front_chance=0.0) if place in errors else one for place, one in enumerate(results)]
    for place, error, chance in zip(places, certainty.errors.tolist(), certainty.chances.tolist(), strict=True):
        judged[place] = replace(judged[place], expected_score=1.0 - error, front_chance=chance)
    return judged
