"""Options that commands share, and what is made of them."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.core.errors import InputError, unknown

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.results.candidate_limits import CandidateLimits


class ExecutorKind(StrEnum):
    """Where candidates are trained."""

    LOCAL = "local"
    RAY = "ray"


BudgetOption = Annotated[int, typer.Option("--budget", help="Distinct networks to evaluate.")]
TimeOption = Annotated[str | None, typer.Option("--time", help="Stop after this long: 90s, 10m, 2h.", metavar="TIME")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", help="Worker processes; as many as cores by default, 0 for none.", show_default=False),
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the problem file.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Trains the networks: auto, cpu or cuda.")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", help="Where the run's images are now, if moved.", show_default=False),
]
CandidateTimeOption = Annotated[
    str | None,
    typer.Option(
        "--candidate-time", metavar="TIME", show_default=False,
        help="Give a candidate up after this long [default: 10 times the longest before it].",
    ),
]  # fmt: skip
CandidateMemoryOption = Annotated[
    float | None,
    typer.Option(
        "--candidate-memory", metavar="GIB", show_default=False,
        help="Memory that one candidate may take [default: an even share of the machine's].",
    ),
]  # fmt: skip
ExecutorOption = Annotated[
    ExecutorKind, typer.Option("--executor", help="Where candidates are trained: on this machine, or on a Ray cluster.")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address", metavar="HOST:PORT", show_default=False,
        help="The cluster's head, or auto for this machine's [default: RAY_ADDRESS, or one is started here].",
    ),
]  # fmt: skip
CandidateCpusOption = Annotated[
    float, typer.Option("--candidate-cpus", help="CPUs of the cluster for each candidate; a training uses one.")
]
CandidateGpusOption = Annotated[
    float, typer.Option("--candidate-gpus", help="GPUs of the cluster, or a share of one, for each candidate.")
]
TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--target-ms", metavar="MS", show_default=False,
        help="Latency that the goal is about, several as 0.5,1,2 for rl-weighted; a cost on tabular problems "
        "[default: the reference network's]",
    ),
]  # fmt: skip
RewardOption = Annotated[
    str | None,
    typer.Option(
        "--reward", help="Exponents by name: soft (both -0.07, the default) or hard (0, -1).", show_default=False
    ),
]
AlphaOption = Annotated[
    float | None, typer.Option("--alpha", help="The reward's exponent within the target.", show_default=False)
]
BetaOption = Annotated[
    float | None, typer.Option("--beta", help="The reward's exponent beyond it.", show_default=False)
]
PopulationOption = Annotated[
    int | None, typer.Option("--population", help="Of nsga2 and the evo algorithms [default: 20].", show_default=False)
]
TournamentOption = Annotated[
    int | None, typer.Option("--tournament", help="Of the evo algorithms [default: 5].", show_default=False)
]

BatchOption = Annotated[
    int | None,
    typer.Option("--batch", help="Networks that nsga2-surrogate asks for at a time [default: 8].", show_default=False),
]
AsyncOption = Annotated[
    bool,
    typer.Option(
        "--async",
        help="Breed whenever a worker is free, from what is known by then, and do not wait for a generation's slowest.",
    ),
]
EarlyStopOption = Annotated[
    bool,
    typer.Option(
        "--early-stop/--no-early-stop",
        help="Cut candidates off that their first epochs show to be dominated beyond doubt.",
    ),
]


def algorithm_options(
    target: str | None,
    reward: str | None,
    alpha: float | None,
    beta: float | None,
    population: int | None,
    tournament: int | None,
    batch: int | None,
) -> dict[str, Any]:
    """What was given of the algorithms' options."""
    from evomnas.algorithms.goals import REWARD_EXPONENTS

    given: dict[str, Any] = {"target_ms": None if target is None else _targets(target)}
    if reward is not None:
        if reward not in REWARD_EXPONENTS:
            raise unknown("reward", reward, REWARD_EXPONENTS)
        if alpha is not None or beta is not None:
            raise InputError(f"--reward {reward} stands for exponents of its own: drop --alpha and --beta, or --reward")
        alpha, beta = REWARD_EXPONENTS[reward]
    given |= {"alpha": alpha, "beta": beta, "population": population, "tournament": tournament, "batch": batch}
    return {name: value for name, value in given.items() if value is not None}


def candidate_limits(time_limit: str | None, memory: float | None) -> CandidateLimits:
    """What one candidate may take."""
    from evomnas.results.candidate_limits import CandidateLimits

    return CandidateLimits(seconds(time_limit), memory)


def seconds(text: str | None) -> float | None:
    """A time as people write it, `90s` or `10m`; None where none was given."""
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
