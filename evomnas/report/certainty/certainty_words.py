"""Sentences on how sure a front is."""

from __future__ import annotations

from collections.abc import Sequence

from evomnas.results.run import Result, Run


def certainty_line(run: Run, results: Sequence[Result]) -> str:
    """Return a sentence on which networks of a front are on it by luck, perhaps.

    Args:
        run: The run.
        results: Networks of its front, judged (`evomnas.results.certainty.judged`).

    Returns:
        The sentence; empty where nothing is known of that.
    """
    chances = {
        result.evaluation.architecture.id: result.front_chance
        for result in results
        if result.on_front and result.front_chance is not None
    }
    if not chances:
        return ""
    count, likely = len(chances), sum(chance >= 0.5 for chance in chances.values())
    least = min(chances, key=lambda name: chances[name])
    doubt = "" if count == 1 or chances[least] > 0.995 else f"; the least likely is {least} ({chances[least]:.0%})"
    networks, verb = f"{count} network{'s' * (count != 1)}", "is" if likely == 1 else "are"
    return (
        f"Luck: of the front's {networks}, {likely} {verb} more likely on it than not{doubt}. "
        "Expected: the "
        f"{run.definition.score_words} without the luck of the validation images, by what similar networks reached. On "
        "front: the chance that no other evaluated network truly beats it."
    )


def confirmed_line(run: Run, results: Sequence[Result]) -> str:
    """Return a sentence on the networks that were trained once more.

    Args:
        run: The run.
        results: Networks that people are shown.

    Returns:
        The sentence; empty where each of them was trained once.
    """
    again = [result for result in results if result.trainings > 1]
    if not again:
        return ""
    names = ", ".join(result.evaluation.architecture.id for result in again)
    which = f"{names} {'was' if len(again) == 1 else 'were'}" if len(again) < len(results) else "All of them were"
    return f"Trained once more: {which} trained with 2 seeds, and the {run.definition.score_words} is the mean of both."
