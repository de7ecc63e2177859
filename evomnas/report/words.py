"""Results as people read them: one sentence, a table's cells, durations. What the command and the pages share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evomnas.problem.definition import Definition
from evomnas.results.manifest import GoalAnswer
from evomnas.results.run import Result, Run

if TYPE_CHECKING:  # it loads evaluators and devices, and a report needs neither
    from evomnas.loop.estimate import Estimate


def duration(seconds: float) -> str:
    """Seconds as people say them: `48 s`, `2 min 40 s`, `3 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_losses(run: Run, losses: Sequence[float]) -> str:
    """Two losses in words: `97.8% at 0.0493 ms`."""
    cost, _ = run.definition.plot_point(losses)
    return f"{format_quality(run.definition, losses[0])} at {format_cost(run.definition, cost)}"


def format_quality(definition: Definition, loss: float, digits: int = 1) -> str:
    """The first objective in words: `97.8%`."""
    _, quality = definition.plot_point((loss, 0.0))
    return f"{quality:.{digits}f}%" if definition.is_percent else f"{quality:.4g}"


def format_cost(definition: Definition, cost: float) -> str:
    """The second objective in words: `0.0493 ms`."""
    return format_amount(cost) + _unit(definition)


def format_amount(value: float) -> str:
    """A cost with three to four digits that count; counts in full."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.3g}"


def _unit(definition: Definition) -> str:
    units = {"latency (ms)": " ms", "parameters": " parameters", "MACs": " MACs"}
    return units.get(definition.axes[1], "")


def result_table(run: Run, results: Sequence[Result]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A header and a row of cells per result; `-` for what is not known."""
    if run.definition.trains:
        header: tuple[str, ...] = ("id", "accuracy", "latency ms", "95 % interval", "parameters", "MACs", "status")
        return header, [_cells(result.to_dict()) for result in results]
    quality, cost = run.definition.axes
    return ("id", "network", quality, cost, "status"), [_looked_up_cells(run, result) for result in results]


def _looked_up_cells(run: Run, result: Result) -> tuple[str, ...]:
    row, losses = result.to_dict(), result.evaluation.losses
    cost, quality = run.definition.plot_point(losses) if losses else (None, None)
    shown = None if quality is None else f"{quality:.2f}" if run.definition.is_percent else f"{quality:.4g}"
    cells = (row["id"], row["architecture"], shown, None if cost is None else format_amount(cost), _status(row))
    return tuple(cell or "-" for cell in cells)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    interval = row["latency_ci"] and f"{row['latency_ci'][0]:.4f} to {row['latency_ci'][1]:.4f}"
    accuracy = None if row["accuracy"] is None else f"{row['accuracy']:.2%}"
    latency = None if row["latency_ms"] is None else f"{row['latency_ms']:.4f}"
    counts = [None if row[name] is None else f"{row[name]:,}" for name in ("params", "macs")]
    return tuple(cell or "-" for cell in (row["id"], accuracy, latency, interval, *counts, _status(row)))


def _status(row: dict[str, Any]) -> str:
    return "front" if row["on_front"] else str(row["status"])


def headline(run: Run, results: Sequence[Result]) -> str:
    """The result in one sentence."""
    front = run.front(list(results))
    evaluated = sum(result.evaluation.ended for result in results)
    work = f"{evaluated} network{'s' * (evaluated != 1)} in {duration(run.manifest.seconds.total)}"
    if not front:
        return f"No network on the front yet: {work}."
    first, last = (result.evaluation.losses or () for result in (front[0], front[-1]))
    words = run.definition.words
    if len(front) == 1:
        text = f"1 network on the Pareto front, with {format_losses(run, first)}; "
    else:
        text = f"{len(front)} networks on the Pareto front; the {words.cheapest} has {format_losses(run, first)}, "
        text += f"the {words.best} {format_losses(run, last)}; "
    text += _gain(run, results, front)
    share = run.true_share()
    of_true = "" if share is None else f", {format_share(share)} of the true front's"
    return f"{text}hypervolume {run.manifest.hypervolume:.3f}{of_true}; {work}."


def format_share(value: float) -> str:
    """A share that is not whole is never said to be."""
    return "more than 99.9%" if 0.9995 <= value < 1 else f"{value:.1%}"


def _gain(run: Run, results: Sequence[Result], front: Sequence[Result]) -> str:
    """How much less the front takes than the reference network where it is as good."""
    known = (one.evaluation for one in results if one.evaluation.architecture.id == run.reference_id)
    losses = next((one.losses for one in known if one.losses is not None), None)
    if losses is None:
        return ""
    rivals = [one for one in (result.evaluation.losses for result in front) if one is not None and one[0] <= losses[0]]
    factor = losses[1] / rivals[0][1] if rivals and rivals[0][1] > 0 else 1.0
    if factor < 1.05:
        return ""
    quality, words = format_losses(run, losses).partition(" at ")[0], run.definition.words
    return f"{factor:.1f}x {words.cheaper} than {words.reference} at its {quality} or better; "


def reuse_line(run: Run) -> str:
    """What the archive knew from other runs; empty where that was nothing, or no time."""
    reused = run.manifest.reused
    if reused is None or not reused.networks or reused.seconds < 1:
        return ""
    known = f"{reused.networks} of the networks were known from other runs"
    return f"{known}, which saved {duration(reused.seconds)} of training and measuring."


def cut_line(run: Run, results: Sequence[Result]) -> str:
    """Which trainings were cut off, and what that saved; empty where none was."""
    if not run.mode.early_stop:
        return ""
    cut = run.cut_trainings(results)
    count, saved = cut.networks, cut.saved_seconds
    if not count:
        return ""
    who = f"{count} network{'s were' if count > 1 else ' was'} cut off after the first epochs, dominated beyond doubt"
    return f"{who}, which saved about {duration(saved)} of training."


def estimate_lines(found: Estimate, workers: int) -> list[str]:
    """What a search will cost, in words."""
    low, middle, high = found.training
    lines = [
        f"Training  {middle:.3g} s a network ({low:.3g} to {high:.3g}), latency {found.latency:.2f} s; "
        f"from {found.networks} random networks, with {workers} worker{'s' * (workers != 1)}"
    ]
    for count, (short, usual, long) in found.seconds.items():
        who = f"{count} worker{'s' * (count != 1)}"
        spread = f"{duration(short)} to {duration(long)}"
        lines.append(f"Search    {duration(usual)} for {found.budget} networks with {who} ({spread})")
    lines.append(f"Memory    up to {found.memory_gib:.1f} GiB; disk {found.disk_bytes / 2**20:.0f} MiB")
    return lines


def failures(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The candidates that failed: id, architecture, kind, message, traceback, and how often they were tried."""
    failed = [(one.evaluation.architecture, one.evaluation.failure) for one in results]
    return [
        {"id": architecture.id, "architecture": str(architecture), **asdict(failure)}
        for architecture, failure in failed
        if failure is not None
    ]


def goal_lines(run: Run) -> list[str]:
    """Per goal of the run's algorithm: the best network found, beside the algorithm's own choice."""
    return [line for goal in run.manifest.goals or [] for line in _goal_lines(run, goal)]


def _goal_lines(run: Run, goal: GoalAnswer) -> list[str]:
    lines = [f"Target {format_cost(run.definition, goal.target)}, {goal.goal}:"]
    for answer, title in ((goal.best, "best found"), (goal.choice, "controller's own choice")):
        if answer is None:
            continue
        if answer.losses is None or answer.score is None:
            lines.append(f"  {title}: {answer.id}, which failed: {answer.architecture}")
            continue
        misses = answer is goal.best and answer.score < 0  # a hard goal
        shown = "none within the target; closest" if misses else title
        losses, score = format_losses(run, answer.losses), f"{goal.measure} {answer.score:.4f}"
        lines.append(f"  {shown}: {answer.id}, {losses}, {score}")
    return lines
