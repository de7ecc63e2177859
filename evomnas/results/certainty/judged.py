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
    from evomnas.algorithms.surrogate.certainty import judge_front  # here: SciPy takes half a second

    evaluations = [results[place].evaluation for place in errors]
    space = run.definition.space
    genomes = np.stack([space.encode(evaluation.architecture) for evaluation in evaluations])
    losses = np.array([evaluation.losses for evaluation in evaluations], dtype=np.float64)
    certainty = judge_front(space, genomes, losses, np.array(list(errors.values()), dtype=np.float64))
    judged = list(results)
    if certainty is None:
        return judged
    for place, error, chance in zip(errors, certainty.errors.tolist(), certainty.chances.tolist(), strict=True):
        expected = None if np.isnan(error) else 1.0 - error
        judged[place] = replace(judged[place], expected_score=expected, front_chance=chance)
    return judged
