"""Sentences about classes: what one answer for all images scores, and which score would count small classes."""

from __future__ import annotations

from evomnas.problem.definition import Definition
from evomnas.results.manifest import ImageData
from evomnas.results.run import Run

MAX_CLASS_RATIO = 3  # of the images of two classes, up to which accuracy is a fair score


def constant_answer_line(run: Run) -> str:
    """Return what one answer for all validation images of a run scores, as a sentence; empty if it is not known.

    Args:
        run: The run.
    """
    constant = None if run.image_data is None else run.image_data.constant_answer
    return "" if constant is None else constant.describe(run.trained_problem().data.test_score)


def score_proposal(definition: Definition, data: ImageData) -> str:
    """Return a line that proposes a score which counts all classes alike, where one class has far more images.

    Args:
        definition: The problem.
        data: Its images.

    Returns:
        The line; empty where the classes have similar numbers of images, or a score was chosen.
    """
    problem = definition.trained("a table has no classes")
    largest, smallest = data.largest, data.smallest
    if largest is None or smallest is None or "score" in problem.data.model_fields_set:
        return ""
    if problem.data.score != "accuracy" or largest.images <= MAX_CLASS_RATIO * smallest.images:
        return ""
    weights = ", and --set training.class_weights=balanced lets them weigh the same in training"
    return (
        f"Class {largest.name!r} has {largest.images:,} images and {smallest.name!r} {smallest.images:,}: accuracy "
        "hardly counts the small one. --set data.score=balanced-accuracy counts all classes alike"
        f"{weights if problem.training.class_weights != 'balanced' else ''}."
    )
