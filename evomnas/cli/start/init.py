"""Write a problem file for a folder of images."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evomnas.cli.app import app, reported
from evomnas.core.errors import InputError
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # numpy takes a moment, and --help needs none of it
    from evomnas.cli.start.questions import Answers
    from evomnas.problem.definition import ProblemDefinition
    from evomnas.problem.typed.suiting import Suggestion


@app.command()
@reported
def init(
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Folder or list of images, or an .npz file.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="Device that runs the network: local, ssh://user@host, or adb://SERIAL.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option("--limit-ms", metavar="MS", help="Longest latency in milliseconds, or none.", show_default=False),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(
            "--resolution", metavar="N|HxW", help="Image size in pixels, as 96 or 96x128.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write [default: DIR.toml, here]", show_default=False)
    ] = None,
) -> None:
    """Write a problem file for your own images, with settings that suit their number and size.

    What is not given as an option is asked for. Without a terminal nothing is asked, and the usual is taken.
    """
    from evomnas.cli.start.questions import ask
    from evomnas.core.files import check_place, write_atomically, writing
    from evomnas.loop.launch import folder_name
    from evomnas.problem.loading import builtin_problems, load_definition

    if not images.expanduser().exists():
        raise InputError(f"there is no folder or file {images}: give the one that holds your images")
    suited, _ = _suited(images, ())
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder_name(suited)).strip("-.") or "images"
    path = out or Path(f"{name}.toml")
    if path.exists():
        raise InputError(f"{path} exists already: give another file with --out FILE.toml, or remove it")
    if path.suffix.lower() != ".toml" or not path.absolute().parent.is_dir():
        raise InputError(f"cannot write {path}: give a name that ends in .toml, in a folder that exists")
    check_place(path, "--out FILE.toml")
    name = f"{name}-images" if name in builtin_problems() else name
    answers = ask(target, limit, resolution, suited.data.resolution)
    text = _problem_text(images, name, path, answers, answers.resolution != suited.data.resolution)
    with writing(path, "--out FILE.toml"):
        write_atomically(path, text)
    load_definition(path)
    typer.echo(f"Wrote {path}. Read it, and change what you like.")
    typer.echo(f"Next:    evomnas run {quote(str(path))} --dry-run  # what would happen")
    typer.echo(f"Then:    evomnas run {quote(str(path))}")


def _suited(images: Path, settings: tuple[str, ...]) -> tuple[ProblemDefinition, list[Suggestion]]:
    """Return the problem that searches images, and why its settings are what they are."""
    from evomnas.data.first_look import check_images
    from evomnas.data.suited import load_definition

    suggestions: list[Suggestion] = []
    problem = load_definition(None, settings, data=images, on_suggestion=suggestions.append)
    check_images(problem)
    return problem.trained(f"{images} holds no images"), suggestions


def _problem_text(images: Path, name: str, path: Path, answers: Answers, has_own_size: bool) -> str:
    """Return the file for somebody's answers; `has_own_size` where the size is not the one that suits the images."""
    from evomnas.cli.start.problem_file import write_problem
    from evomnas.latency.setting import runtime_of
    from evomnas.report.reproduce import format_toml

    settings = [f"latency.target={format_toml(answers.target)}"]
    runtime = runtime_of(answers.target)
    settings += [] if runtime is None else [f"latency.runtime={runtime}"]
    settings += [] if answers.limit_ms is None else [f"constraints.max_latency_ms={answers.limit_ms}"]
    if has_own_size:
        sides = format_toml(list(answers.resolution) if isinstance(answers.resolution, tuple) else answers.resolution)
        settings.append(f"data.resolution={sides}")
    problem, suggestions = _suited(images, tuple(settings))
    reasons = {next(iter(one.settings)): f"{one.reason[0].upper()}{one.reason[1:]}." for one in suggestions}
    place = Path(os.path.relpath(images.expanduser().resolve(), path.resolve().parent)).as_posix()
    return write_problem(problem, name, place, reasons)
