"""Prints how exported files answer to a folder of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from evomnas.cli.output import PlainFormat, one_line, print_columns
from evomnas.cli.progress import ProgressDisplay

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for it
    from evomnas.deploy.formats.checking import FileCheck


def check_files(files: Sequence[Path], folder: Path, output: PlainFormat) -> None:
    """Run files on a folder of images, each by its runtime alone, and print what they answer.

    Args:
        files: Files that `evomnas export` wrote.
        folder: The folder of images.
        output: How the answers are printed.

    Raises:
        InputError: The folder has no images.
        Exit: With 1, if something is wrong with a file, an image or a folder; a line on standard error says what.
    """
    with ProgressDisplay("opening", has_remaining_time=True) as display:
        from evomnas.deploy.formats.checking import check_file, find_images

        images = find_images(folder)

        def check(file: Path) -> FileCheck:
            display.restart(file.name, len(images))
            return check_file(
                file, folder, images, on_answer=lambda count: display.show(file.name, count, len(images), "")
            )

        checks = [check(file) for file in files]
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([check.to_dict() for check in checks], indent=2))
    else:
        _print(checks)
    faults = dict.fromkeys(f"{check.file.name}: {fault}" for check in checks for fault in check.faults)
    for fault in faults:
        typer.echo(f"evomnas: {one_line(fault)}", err=True)
    if faults:
        raise typer.Exit(1)


def _print(checks: Sequence[FileCheck]) -> None:
    rows = []
    for check in checks:
        for one in check.answers:
            name, probability = one.answer.classes[0] if one.answer.classes else ("failed", None)
            share = "-" if probability is None else f"{probability:.2%}"
            label, verdict = one.label or "-", {True: "yes", False: "no", None: "-"}[one.agrees]
            cells = (str(one.answer.image), label, name, share, verdict)
            rows.append((check.file.name, *map(one_line, cells)))
    if rows:
        print_columns(("file", "image", "label", "class", "probability", "agrees"), rows, left=4)
    for check in checks:
        score = check.score
        if score is not None:
            low, high = score.interval
            typer.echo(
                f"{check.file.name}: {score.correct:,} of {score.images:,} images get their label, "
                f"{score.accuracy:.2%} ({low:.2%} to {high:.2%})."
            )
        elif check.answers:
            typer.echo(f"{check.file.name}: no image has a label, a folder with the name of its class.")
