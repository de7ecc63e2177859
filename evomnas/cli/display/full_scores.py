"""The scores of full trainings as cells of tables: accuracies, or average precisions of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for them
    from evomnas.problem.sections import PrecisionName, ScoreName
    from evomnas.results.answers.majority import Majority


def score_header(name: ScoreName | PrecisionName) -> tuple[str, ...]:
    """Return the headings of the columns about test scores.

    Args:
        name: The score by which the problem judges full trainings.
    """
    from evomnas.problem.sections import SCORE_WORDS
    from evomnas.report.run_words import test_scores

    first, *others = (f"test {SCORE_WORDS[one]}" for one in test_scores(name))
    return first, "95 % interval", *others


def score_cells(result: object, name: ScoreName | PrecisionName) -> tuple[str, ...]:
    """Return the cells of these columns.

    Args:
        result: A full training, or why there is none.
        name: The score by which the problem judges it.
    """
    from evomnas.report.run_words import test_scores
    from evomnas.results.evaluation import FullTraining

    first, *others = test_scores(name)
    if not isinstance(result, FullTraining):
        return ("-" if result is None else "failed", "-", *["-"] * len(others))
    quality = result.quality(first)
    cells = ("-", "-") if quality is None else (f"{quality[0]:.2%}", f"{quality[1]:.2%} to {quality[2]:.2%}")
    return *cells, *(_other_cell(result, other) for other in others)


def _other_cell(result: object, name: ScoreName | PrecisionName) -> str:
    """Return a score without its interval; of networks that tell classes apart with its standard error."""
    from evomnas.results.evaluation import FullTraining

    assert isinstance(result, FullTraining)
    if name == "ap" or name == "ap50":
        quality = result.quality(name)
        return "-" if quality is None else f"{quality[0]:.2%}"
    if result.answers is None:
        return "-"
    confusion = result.answers.confusion
    return f"{confusion.score(name):.2%} ± {confusion.score_error(name):.2%}"


def print_constant_answer(majority: Majority, score: ScoreName) -> None:
    """Print what one answer for all test images scores.

    Args:
        majority: The answers to the test images, and the largest class.
        score: The score by which the problem judges full trainings.
    """
    typer.echo(majority.describe(score, f"{majority.total:,} test images"))
