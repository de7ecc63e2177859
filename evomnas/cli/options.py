"""Options that several commands have, and the values that they stand for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.output import PlainFormat
from evomnas.core import defaults
from evomnas.core.errors import InputError, unknown
from evomnas.core.resolution import Resolution, parse_resolution
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.problem.definition import Definition
    from evomnas.results.candidate_limits import CandidateLimits


class ExecutorKind(StrEnum):
    """The places where candidates are trained."""

    LOCAL = "local"
    RAY = "ray"


ProblemArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[PROBLEM]",
        help="A built-in problem, a folder or a list of images (.csv, .parquet, .tar), an .npz or a .toml file. "
        f"[default: {defaults.PROBLEM}]",
        show_default=False,
        autocompletion=completion.problems,
    ),
]
MoreArguments = Annotated[list[str] | None, typer.Argument(hidden=True)]  # such as the rest of photos/*
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="PATH", show_default=False,
        help="Folder of images, list of them or npz file to search; of a problem that has a table, its file.",
    ),
]  # fmt: skip
ResolutionOption = Annotated[
    str | None,
    typer.Option(
        "--resolution",
        metavar="N|HxW",
        help="Image size in pixels, as 224, or 96x128 for height x width [default: 224, or the run's]",
        show_default=False,
    ),
]
FormatOption = Annotated[PlainFormat, typer.Option("--format", help="Output format.")]
BudgetOption = Annotated[int, typer.Option("--budget", help="Number of different networks to evaluate.")]
TimeOption = Annotated[
    str | None, typer.Option("--time", help="Stop after this time, such as 90s, 10m or 2h.", metavar="TIME")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Number of worker processes, 0 for none [default: as many as cores and memory allow]",
        show_default=False,
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a value of the problem file, as in training.epochs=8. Can be repeated."
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option("--epochs", help="Epochs of the full training [default: the problem's]", show_default=False),
]
TrainedPrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision", metavar="float|int8", show_default=False,
        help="int8: the last epochs of the full training compute as the int8 file will [default: the problem's]",
    ),
]  # fmt: skip
FullSettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", show_default=False,
        help="Set a value of the full training, as in full.learning_rate=0.01. Can be repeated.",
    ),
]  # fmt: skip
DeviceOption = Annotated[str, typer.Option("--device", help="Device that trains the networks: auto, cpu or cuda.")]
DonorOption = Annotated[
    str | None,
    typer.Option(
        "--donor",
        help="Start all trainings from the pretrained weights of this network. evomnas donors lists them.",
        autocompletion=completion.donors,
        show_default=False,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="PATH", help="Path of the run's images, or of its table, if moved.", show_default=False
    ),
]
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-changes", help="Go on with images that have changed since the search; the report says so."),
]
CandidateTimeOption = Annotated[
    str | None,
    typer.Option(
        "--candidate-time", metavar="TIME", show_default=False,
        help="Give up a candidate after this time [default: 10 times the longest one before it]",
    ),
]  # fmt: skip
CandidateMemoryOption = Annotated[
    float | None,
    typer.Option(
        "--candidate-memory", metavar="GIB", show_default=False,
        help="Memory for one candidate in GiB [default: an even share of the machine's]",
    ),
]  # fmt: skip
ExecutorOption = Annotated[
    ExecutorKind, typer.Option("--executor", help="Train candidates on this machine (local) or on a Ray cluster (ray).")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address", metavar="HOST:PORT", show_default=False,
        help="Address of the cluster's head, or auto for a cluster that runs on this machine [default: RAY_ADDRESS, or "
        "a new cluster on this machine]",
    ),
]  # fmt: skip
CandidateCpusOption = Annotated[
    float, typer.Option("--candidate-cpus", help="CPUs of the cluster per candidate. A training uses one.")
]
CandidateGpusOption = Annotated[
    float, typer.Option("--candidate-gpus", help="GPUs of the cluster per candidate. It may be a share, such as 0.5.")
]
TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--target-ms", metavar="MS", show_default=False,
        help="Latency to aim for, in milliseconds. rl-weighted takes several, as in 0.5,1,2. On a tabular problem it "
        "is a cost. [default: the reference network's]",
    ),
]  # fmt: skip
RewardOption = Annotated[
    str | None,
    typer.Option(
        "--reward", show_default=False,
        help="Exponents of the reward by name: soft (both -0.07) or hard (0 and -1) [default: soft]",
    ),
]  # fmt: skip
AlphaOption = Annotated[
    float | None,
    typer.Option("--alpha", help="Exponent of the reward within the target [default: -0.07]", show_default=False),
]
BetaOption = Annotated[
    float | None,
    typer.Option("--beta", help="Exponent of the reward beyond the target [default: -0.07]", show_default=False),
]
PopulationOption = Annotated[
    int | None,
    typer.Option(
        "--population", help="Population of nsga2 and of the evo algorithms [default: 20]", show_default=False
    ),
]
TournamentOption = Annotated[
    int | None,
    typer.Option("--tournament", help="Tournament size of the evo algorithms [default: 5]", show_default=False),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", help="Networks per batch of nsga2-surrogate and dpp-net [default: 8]", show_default=False),
]
AlgorithmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE",
        help="Set any option of the algorithm. Can be repeated. evomnas algorithms lists the options.",
    ),
]  # fmt: skip
AsyncOption = Annotated[
    bool,
    typer.Option(
        "--async",
        help="Breed a network whenever a worker is free. Do not wait for the slowest network of a generation.",
    ),
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track", metavar="NAME", show_default=False,
        help="Follow the search with tensorboard, mlflow, or a plug-in's tracker. Can be repeated.",
    ),
]  # fmt: skip
LearnFromOption = Annotated[
    Path | None,
    typer.Option(
        "--learn-from", metavar="ARCHIVE", show_default=False,
        help="Learn first from the networks of the same space in an archive, or in that of a run's folder.",
    ),
]  # fmt: skip
EarlierRunsOption = Annotated[
    bool,
    typer.Option(
        "--earlier-runs/--no-earlier-runs",
        help="Learn first from earlier runs of the archive, of the same space under other conditions.",
    ),
]
ConfirmOption = Annotated[
    float,
    typer.Option(
        "--confirm", metavar="SHARE", show_default=False,
        help="Keep this share of the budget, such as 0.1, to train networks again that may be on the front by luck.",
    ),
]  # fmt: skip
EarlyStopOption = Annotated[
    bool,
    typer.Option(
        "--early-stop/--no-early-stop",
        help="Cut off candidates whose first epochs show beyond doubt that they are dominated.",
    ),
]


def read_resolution(text: str | None) -> Resolution | None:
    """Return the size of images that somebody typed; None where nothing was.

    Args:
        text: What was typed.

    Raises:
        InputError: It is no size.
    """
    return None if text is None else parse_resolution(text)


def load_problem(
    problem: str | None,
    more: Sequence[str] | None,
    data: Path | None,
    settings: Sequence[str] | None,
    donor: str | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Definition:
    """Return the problem that was typed, once its images and its donor's weights proved to be where it says.

    Args:
        problem: What was typed as PROBLEM; None for nothing.
        more: What was typed behind it.
        data: Of `--data`; None without it.
        settings: Of each `--set`.
        donor: Of `--donor`; None without it.
        say: Told of settings that were chosen to suit somebody's images, a line each.

    Returns:
        The checked problem.

    Raises:
        InputError: There is no such problem, or there are no such images or weights; nothing was written.
    """
    from evomnas.data.first_look import check_images
    from evomnas.data.suited import load_definition
    from evomnas.problem.pretrained.files import donor_file

    if more:
        raise InputError(_explain_many([str(problem), *more]))
    definition = load_definition(
        problem, settings or [], data=data, donor=donor, on_suggestion=lambda found: say(f"Set {found.describe()}.")
    )
    check_images(definition)
    donor_file(getattr(definition, "weights", None))
    return definition


def _explain_many(names: Sequence[str]) -> str:
    """Return what to type in place of several problems, such as those that a shell makes of photos/*."""
    one = f"one problem at a time, and {len(names)} were given"
    if all(os.path.exists(os.path.expanduser(name)) for name in names):
        folder = os.path.commonpath([os.path.dirname(os.path.abspath(os.path.expanduser(name))) for name in names])
        return f"{one}: give the folder that holds them, {quote(os.path.relpath(folder))}"
    return f"{one}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def algorithm_options(
    target: str | None,
    reward: str | None,
    alpha: float | None,
    beta: float | None,
    population: int | None,
    tournament: int | None,
    batch: int | None,
    assignments: Sequence[str] | None,
) -> dict[str, Any]:
    """Return the options of algorithms that were typed.

    Args:
        target: Of `--target-ms`; None here and below where the flag is missing.
        reward: Of `--reward`, which stands for `alpha` and `beta`.
        alpha: Of `--alpha`.
        beta: Of `--beta`.
        population: Of `--population`.
        tournament: Of `--tournament`.
        batch: Of `--batch`.
        assignments: `KEY=VALUE` of each `--option`.

    Returns:
        The values by option. No algorithm was asked whether it has them.

    Raises:
        InputError: A value cannot be read, or an option is given twice.
    """
    flags: dict[str, Any] = {"target_ms": None if target is None else _targets(target)}
    if reward is not None:
        from evomnas.algorithms.goals import REWARD_EXPONENTS

        if reward not in REWARD_EXPONENTS:
            raise unknown("reward", reward, REWARD_EXPONENTS)
        if alpha is not None or beta is not None:
            raise InputError(f"--reward {reward} stands for exponents of its own: drop --alpha and --beta, or --reward")
        alpha, beta = REWARD_EXPONENTS[reward]
    flags |= {"alpha": alpha, "beta": beta, "population": population, "tournament": tournament, "batch": batch}
    options = {name: value for name, value in flags.items() if value is not None}
    for assignment in assignments or ():
        name, value = _parse_assignment(assignment)
        if name in options:
            flag = "--reward" if reward is not None and name in ("alpha", "beta") else defaults.flag(name)
            places = f", by {flag} and by --option" if flags.get(name) is not None else " by --option"
            raise InputError(f"{name} is given twice{places}: drop one of them")
        options[name] = value
    return options


def _parse_assignment(text: str) -> tuple[str, Any]:
    """Return key and value of `KEY=VALUE`; a value that could not be kept with the run, such as a date, is a text."""
    from evomnas.problem.typed.settings import parse_value

    name, equals, value_text = text.partition("=")
    name = name.strip().replace("-", "_")  # as of a flag: --target-ms is target_ms
    if not equals or not name:
        raise InputError(f"cannot read --option {text!r}: write it as KEY=VALUE, as in --option population=30")
    value = parse_value(value_text)
    try:
        json.dumps(value)
    except TypeError:
        value = value_text
    return name, value


def candidate_limits(time_limit: str | None, memory: float | None) -> CandidateLimits:
    """Return the limits for one candidate.

    Args:
        time_limit: Of `--candidate-time`, as people write it; None for the default.
        memory: Of `--candidate-memory`, in GiB; None for the default.

    Returns:
        The limits.

    Raises:
        InputError: The time cannot be read, or a limit is out of range.
    """
    from evomnas.results.candidate_limits import CandidateLimits

    return CandidateLimits(seconds(time_limit), memory)


def seconds(text: str | None) -> float | None:
    """Return a time in seconds.

    Args:
        text: The time as people write it, such as `90s` or `10m`; None where none was given.

    Returns:
        The seconds; None where none was given.

    Raises:
        InputError: The text is no time.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    number = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not number > 0:
        raise InputError(f"cannot read the time {text!r}: write seconds, minutes or hours as 90s, 10m or 2h")
    return number


def _targets(text: str) -> float | list[float]:
    try:
        targets = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"cannot read the targets {text!r}: write milliseconds, as 0.5, or several as 0.5,1,2"
        ) from None
    return targets[0] if len(targets) == 1 else targets


def full_settings(epochs: int | None, settings: Sequence[str] | None, precision: str | None = None) -> list[str]:
    """Return the settings of a full training that were typed.

    Args:
        epochs: The number of `--epochs`; None where it was not given.
        settings: Those of `--set`; None where there were none.
        precision: That of `--precision`; None where it was not given.

    Returns:
        All settings, `--epochs` and `--precision` as two of them.

    Raises:
        InputError: The epochs or the precision are given twice, or there is no such precision.
    """
    typed = list(settings or [])
    keys = [setting.partition("=")[0].strip() for setting in typed]
    flags = {name: value for name, value in (("epochs", epochs), ("precision", precision)) if value is not None}
    for name in flags:
        if f"full.{name}" in keys:
            raise InputError(f"--{name} and --set full.{name} say the same: drop one of them")
    if precision not in (None, "float", "int8"):
        raise InputError(f"--precision is float or int8, got {precision}")
    return [*(f"full.{name}={value}" for name, value in flags.items()), *typed]
