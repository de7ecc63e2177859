"""Use a network: the classes of pictures, or the things in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli.app import app, reported
from evomnas.cli.output import Format, one_line, print_columns, print_csv
from evomnas.cli.progress import ProgressDisplay
from evomnas.core.errors import InputError

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for it
    from evomnas.deploy.prediction import Answer


TOP, MIN_SCORE = 3, 0.5


@app.command()
@reported
def predict(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="File of evomnas export, or folder of a trained network.")
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of images.")],
    top: Annotated[
        int | None,
        typer.Option(
            "--top", help="Number of classes to print, the most probable ones. [default: 3]", show_default=False
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            show_default=False,
            help="How sure a detector must be of what it finds, from 0 to 1. [default: 0.5]",
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
) -> None:
    """Print the classes of images, or what a detector finds in them, by a trained network or an exported file."""
    if top is not None and top < 1:
        raise InputError(f"--top takes a number of classes from 1 on, got {top}")
    if min_score is not None and not 0 <= min_score <= 1:
        raise InputError(f"--min-score lies between 0 and 1, got {min_score:g}")
    with ProgressDisplay("opening", has_remaining_time=True) as display:
        from evomnas.deploy.prediction import find_pictures, is_detector, open_network
        from evomnas.deploy.prediction import predict as predict_classes

        pictures, answers = find_pictures(images), []
        finds = is_detector(network)
        if finds and top is not None:
            raise InputError(f"{network} is a detector, which finds things: --top is for classes, --min-score for it")
        if not finds and min_score is not None:
            raise InputError(f"{network} is no detector: --min-score is for those, --top for classes")
        if finds:
            from evomnas.deploy.detection.detector_prediction import find_things, open_detector

            work: Iterator[Any] = find_things(
                open_detector(network), pictures, MIN_SCORE if min_score is None else min_score
            )
        else:
            work = predict_classes(open_network(network), pictures, TOP if top is None else top)
        display.restart("images", len(pictures))
        for answer in work:
            answers.append(answer)
            display.show("images", len(answers), len(pictures), "")
    if finds:
        from evomnas.cli.detection.shipped import print_findings

        print_findings(answers, output)
    elif output is Format.JSON:
        typer.echo(json.dumps([answer.to_dict() for answer in answers], indent=2))
    elif output is Format.CSV:
        print_csv([row for answer in answers for row in _csv_rows(answer)])
    else:
        _print_table(answers)
    failed = [answer for answer in answers if answer.error is not None]
    for answer in failed:
        typer.echo(f"evomnas: {one_line(str(answer.error))}", err=True)
    if failed:
        raise typer.Exit(1)


def _print_table(answers: Sequence[Answer]) -> None:
    rows = []
    for answer in answers:
        shares = [(one_line(name), f"{probability:.2%}") for name, probability in answer.classes]
        name, probability = shares[0] if shares else ("failed", "-")
        others = ", ".join(f"{name} {share}" for name, share in shares[1:])
        rows.append((one_line(str(answer.image)), name, probability, others))
    width = 4 if any(row[3] for row in rows) else 3
    print_columns(("image", "class", "probability", "then")[:width], [row[:width] for row in rows], left=2)


def _csv_rows(answer: Answer) -> list[dict[str, Any]]:
    """Return a row for each class of an answer, with one value in each cell; one row for an error."""
    image = {"image": one_line(str(answer.image))}
    if answer.error is not None:
        return [image | {"rank": "", "class": "", "probability": "", "error": one_line(answer.error)}]
    return [
        image | {"rank": rank, "class": one_line(name), "probability": probability, "error": ""}
        for rank, (name, probability) in enumerate(answer.classes, 1)
    ]
