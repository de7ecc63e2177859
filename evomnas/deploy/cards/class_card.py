"""The part of a model card about classes: how well each is recognised, what it is taken for, and the worst mistakes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evomnas.data.pictures import PNG
from evomnas.deploy.cards.markdown import escape_markdown, markdown_table
from evomnas.results.answers.confusion import Confusion
from evomnas.results.answers.majority import Majority
from evomnas.results.answers.mistakes import Answers, Mistake
from evomnas.results.evaluation import FullTraining

CONFUSION_FILE, PICTURE = "confusion.csv", "mistake"  # a picture's number and suffix follow
MAX_COLUMNS = 10  # classes, up to which the whole matrix is shown
MAX_ROWS = 15  # classes, or pairs of classes, that are shown where there are more


class ClassCard(NamedTuple):
    """The part of a card about classes, and the files beside it.

    Attributes:
        text: The part in Markdown; empty where nothing is known.
        files: The content of the files that it refers to, by their names.
    """

    text: str
    files: dict[str, bytes | str]


def class_card(answers: Answers | None, names: Sequence[str], pictures: Mapping[int, bytes]) -> ClassCard:
    """Return the part of a card about classes.

    Args:
        answers: The answers to the test images; None where they are not known.
        names: The names of the classes.
        pictures: Small pictures of the test images that were answered worst, by their places.
    """
    if answers is None:
        return ClassCard("", {})
    files: dict[str, bytes | str] = {CONFUSION_FILE: confusion_csv(answers.confusion, names)}
    escaped = [escape_markdown(name) for name in names]
    parts = [_by_class(answers.confusion, escaped), _confusion(answers.confusion, escaped)]
    if answers.mistakes:
        paths = _picture_paths(answers.mistakes, pictures)
        files |= {path: pictures[place] for place, path in paths.items()}
        parts.append(_mistakes(answers.mistakes, escaped, paths))
    return ClassCard("\n\n".join(parts) + "\n\n", files)


def class_scores(result: object, names: Sequence[str]) -> dict[str, Any]:
    """Return what scripts see of a full training by class, where None stands for what is not known.

    Args:
        result: The full training, or why there is none.
        names: The names of the classes.
    """
    answers = result.answers if isinstance(result, FullTraining) else None
    confusion = None if answers is None else answers.confusion
    majority = None if confusion is None else Majority.of(confusion, names)
    recall = [] if confusion is None else confusion.recall.tolist()
    return {
        "test_balanced_accuracy": None if confusion is None else confusion.score("balanced-accuracy"),
        "test_macro_f1": None if confusion is None else confusion.score("macro-f1"),
        "majority_class": None if majority is None else majority.name,
        "majority_share": None if majority is None else majority.share,
        "recall": {name: None if share != share else share for name, share in zip(names, recall, strict=False)} or None,
    }


def confusion_csv(confusion: Confusion, names: Sequence[str]) -> str:
    """Return a confusion matrix as CSV: a line with class, answer and number of images for each cell that is not 0.

    Args:
        confusion: The matrix.
        names: The names of the classes.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("class", "answer", "images"))
    columns = confusion.labels.tolist(), confusion.answers.tolist(), confusion.counts.tolist()
    for label, answer, count in zip(*columns, strict=True):
        writer.writerow((names[label], names[answer], count))
    return buffer.getvalue()


def _by_class(confusion: Confusion, names: Sequence[str]) -> str:
    present = int((confusion.images > 0).sum())
    rows = []
    for label in confusion.hardest(MAX_ROWS):
        rival = confusion.rival(label)
        taken_for = "-" if rival is None else f"{names[rival[0]]} ({rival[1]})"
        rows.append((names[label], f"{confusion.images[label]:,}", f"{confusion.recall[label]:.1%}", taken_for))
    table = markdown_table(("class", "test images", "recall", "most often taken for"), rows)
    some = f" The {len(rows)} classes of {present} that are recognised least." if len(rows) < present else ""
    return f"## By class\n\nRecall: the share of a class's test images that is recognised.{some}\n\n{table}"


def _confusion(confusion: Confusion, names: Sequence[str]) -> str:
    whole = f"`{CONFUSION_FILE}` has the whole matrix."
    if confusion.classes <= MAX_COLUMNS:
        matrix = confusion.dense()
        rows = [(name, *map(str, row)) for name, row in zip(names, matrix.tolist(), strict=True)]
        table = markdown_table(("", *names), rows)
        return f"## Confusion\n\nRows are the classes of the test images, columns the answers.\n\n{table}"
    pairs = confusion.confused(MAX_ROWS)
    if not pairs:
        return f"## Confusion\n\nNo test image was given a wrong class. {whole}"
    rows = [(names[label], names[answer], f"{count} of {confusion.images[label]:,}") for label, answer, count in pairs]
    table = markdown_table(("class", "taken for", "test images"), rows, left=2)
    return f"## Confusion\n\nThe most frequent mistakes. {whole}\n\n{table}"


def _picture_paths(mistakes: Sequence[Mistake], pictures: Mapping[int, bytes]) -> dict[int, str]:
    """Return the path of each picture within the network's folder, by the place of the image."""
    suffixes = {place: "png" if content.startswith(PNG) else "jpg" for place, content in pictures.items()}
    return {
        mistake.image: f"{PICTURE}-{number}.{suffixes[mistake.image]}"
        for number, mistake in enumerate(mistakes, start=1)
        if mistake.image in pictures
    }


def _mistakes(mistakes: Sequence[Mistake], names: Sequence[str], paths: Mapping[int, str]) -> str:
    rows = []
    for mistake in mistakes:
        picture = f"![a test image]({paths[mistake.image]})" if mistake.image in paths else "-"
        rows.append((picture, names[mistake.label], names[mistake.answer], f"{mistake.confidence:.1%}"))
    table = markdown_table(("image", "it is", "answer", "probability"), rows, left=3)
    return f"## Worst mistakes\n\nThe wrong answers that the network gave the highest probability.\n\n{table}"
