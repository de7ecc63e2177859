"""A run in words and tables, for its report: its course, its settings, and how far its figures can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from scipy.stats import kendalltau

from evomnas.report.history import History
from evomnas.report.words import TextTable, format_duration, format_quality
from evomnas.results.evaluation import Measurement
from evomnas.results.full_trainings import fully_trained
from evomnas.results.run import Result, Run

MIN_COUNTED_NETWORKS = 10  # fewer pairs of MACs and latency do not show how the two agree


def describe_counting(results: Sequence[Result]) -> str:
    """Describe how well MACs rank networks by their measured latency.

    Args:
        results: The results of a run.

    Returns:
        One or two sentences; empty where MACs and latency of fewer than `MIN_COUNTED_NETWORKS` networks are known.
    """
    quantities = [result.evaluation.quantities for result in results if result.evaluation.losses is not None]
    pairs = sorted(
        (known["macs"], known["latency_ms"]) for known in quantities if {"macs", "latency_ms"} <= known.keys()
    )
    if len(pairs) < MIN_COUNTED_NETWORKS:
        return ""
    macs, latencies = [float(count) for count, _ in pairs], [float(latency) for _, latency in pairs]
    tau = float(kendalltau(macs, latencies).statistic)
    wrong = f"in {(1 - tau) / 2:.0%} of all pairs (Kendall's tau {tau:.2f})"
    ratio = _largest_latency_ratio(macs, latencies)
    alike = f" Among networks whose MACs agree within 5%, latency differs by up to {ratio:.1f} times." if ratio else ""
    return f"Of two networks, the one with fewer MACs is the slower one {wrong}.{alike}"


def _largest_latency_ratio(macs: Sequence[float], latencies: Sequence[float]) -> float | None:
    """Return the largest ratio of latencies among networks whose MACs agree within 5 %; None where no two agree.

    The networks are sorted by their MACs.
    """
    ratios, end = [], 0
    for start, least in enumerate(macs):
        while end < len(macs) and macs[end] <= 1.05 * least:
            end += 1
        window = latencies[start:end]
        if len(window) > 1:
            ratios.append(max(window) / min(window))
    return max(ratios, default=None)


def describe_noise(run: Run, results: Sequence[Result]) -> dict[str, str]:
    """Describe how noisy the latencies of a run are.

    Args:
        run: The run.
        results: Its results.

    Returns:
        Texts by the name under which the report shows them. Empty where nothing was calibrated, as on tables.
    """
    measured = [result.evaluation.measured for result in results if result.evaluation.measured is not None]
    texts: dict[str, str] = {}
    calibration = run.reader.calibration
    if calibration is not None:
        texts["reference network"] = f"{run.definition.words.reference}, calibrated at {calibration.latency_ms:.4g} ms"
    if measured:
        widths = [(latency.high_ms - latency.low_ms) / 2 / latency.latency_ms for latency in measured]
        loads = [latency.load for latency in measured if latency.load is not None]
        imprecise = sum(not latency.precise for latency in measured)
        texts["interval of a latency"] = f"± {median(widths):.1%} (median), at most ± {max(widths):.1%}"
        if any(latency.samples for latency in measured):  # sums of layers have none
            texts["rounds per network"] = f"{median(len(latency.samples) for latency in measured):.0f} (median)"
        if imprecise:
            texts["stopped by the time limit"] = f"{imprecise} of {len(measured)} measurements"
        if loads:
            texts["other load meanwhile"] = f"{median(loads):.2f} cores (median), at most {max(loads):.2f}"
    return texts


def describe_search(run: Run, history: History) -> list[str]:
    """Describe the course of a search.

    Args:
        run: The run.
        history: Its history.

    Returns:
        Sentences: generations and time, how the time was spent, networks that were asked for again, and candidates that
        were beyond the limits or failed. Sentences about nothing are left out.
    """
    seconds = run.manifest.seconds
    evaluated, total = run.manifest.evaluations, seconds.total
    count = len(history.generations)
    sentences = [f"{count} generation{'s' * (count != 1)} in {format_duration(total)}{_format_rate(evaluated, total)}."]
    if run.definition.trains and total > 0:
        purposes = {
            "training": seconds.training,
            "latency": seconds.latency,
            "the algorithm": seconds.algorithm,
            "the rest": seconds.other,
        }
        sentences.append(
            "Of that time " + ", ".join(f"{spent / total:.0%} {purpose}" for purpose, spent in purposes.items()) + "."
        )
    if history.repeated:
        saved = f", which saved {format_duration(history.saved_seconds)}" if history.saved_seconds >= 1 else ""
        sentences.append(
            f"{history.repeated:,} asks were for networks already evaluated and were answered at once{saved}."
        )
    beyond = sum(generation.infeasible for generation in history.generations)
    if beyond:
        sentences.append(
            f"{beyond:,} candidate{'s' * (beyond != 1)} were beyond the limits, and none of them was trained."
        )
    failed = sum(history.failures.values())
    if failed:
        causes = ", ".join(f"{number} {kind}" for kind, number in history.failures.items())
        sentences.append(f"{failed} candidate{'s' * (failed != 1)} failed ({causes}).")
    return sentences


def _format_rate(evaluated: int, seconds: float) -> str:
    if not evaluated or seconds <= 0:
        return ""
    rate = 60 * evaluated / seconds
    return f", {rate:,.0f} evaluations a minute" if rate >= 100 else f", {rate:.3g} evaluations a minute"


def generation_table(run: Run, history: History) -> TextTable:
    """Return a table of the generations of a run.

    Args:
        run: The run.
        history: Its history.

    Returns:
        A header, and a row of cells per generation. The last columns are the algorithm's own figures.
    """
    names = list(dict.fromkeys(name for generation in history.generations for name in generation.metrics))
    quality, _ = run.definition.axes
    stops_early = run.mode.early_stop
    counts = ("asked", "new", "failed", *(("cut off",) if stops_early else ()), "evaluated")
    header = ("generation", *counts, f"best {quality}", "hypervolume", "time", *names)
    rows = [
        (
            str(generation.number), str(generation.asked), str(generation.new),
            str(generation.failed + generation.infeasible),
            *((str(generation.cut),) if stops_early else ()), str(generation.evaluated),
            "-" if generation.best_loss is None else format_quality(run.definition, generation.best_loss, 2),
            f"{generation.hypervolume:.4f}",
            "-" if generation.seconds is None else format_duration(generation.seconds),
            *(f"{generation.metrics[name]:.4g}" if name in generation.metrics else "-" for name in names),
        )
        for generation in history.generations
    ]  # fmt: skip
    return header, rows


def cut_training_table(run: Run, results: Sequence[Result]) -> TextTable | None:
    """Return a table of the networks whose training was cut off.

    Args:
        run: The run.
        results: Its results.

    Returns:
        A header, and a row of cells per network; None where no training was cut off.
    """
    rows: list[tuple[str, ...]] = []
    for evaluation in (result.evaluation for result in results):
        if evaluation.cut is not None and evaluation.expected_losses is not None:
            losses, (error, latency) = evaluation.cut.losses, evaluation.expected_losses
            epochs = f"{len(losses)} of {run.definition.epochs}"
            rows.append((evaluation.architecture.id, epochs, f"{losses[-1]:.4g}", f"{1 - error:.1%}", f"{latency:.4f}"))
    return (("network", "epochs", "last loss", "predicted accuracy", "latency ms"), rows) if rows else None


def full_training_table(run: Run) -> TextTable | None:
    """Return a table of the networks that were trained in full.

    Args:
        run: The run.

    Returns:
        A header, and a row of cells per network, with `-` for what was not measured. None where no network was trained
        in full.
    """
    if not run.definition.trains:
        return None
    rows = []
    for network in fully_trained(run):
        low, high = network.result.score.interval
        cells = [network.name, f"{network.result.score.accuracy:.2%}", f"{low:.2%} to {high:.2%}"]
        if isinstance(network.measurement, Measurement):
            cost = network.measurement.cost
            cells += [f"{network.measurement.latency_ms:.4f}", f"{cost.params:,}", f"{cost.macs:,}"]
        rows.append((*cells, *["-"] * (6 - len(cells))))
    header = ("network", "test accuracy", "95 % interval", "latency ms", "parameters", "MACs")
    return (header, rows) if rows else None


def search_settings(run: Run) -> list[tuple[str, str]]:
    """Return the settings of a search.

    Args:
        run: The run.

    Returns:
        Names and values as text: the algorithm with its options, seed, budget, mode, limits of candidates and of the
        problem, start and status.
    """
    record = run.record
    options = {
        name if run.definition.trains else name.removesuffix("_ms"): value for name, value in run.options.items()
    }
    values = {"algorithm": record.algorithm, **options, "seed": record.seed, "budget": run.manifest.budget}
    values["breeds"] = "in steady state" if run.mode.asynchronous else "by generations"
    if run.definition.trains:
        values["early stop"] = run.mode.early_stop
    values |= {f"candidate {name}": value for name, value in run.manifest.candidates.items()}
    values |= run.definition.constraints.model_dump(exclude_none=True)
    values |= {"started": record.created, "status": run.manifest.status}
    return [(name.replace("_", " "), format_setting(value)) for name, value in values.items()]


def format_setting(value: Any) -> str:
    """Return the value of a setting as people write it.

    Args:
        value: A value as JSON has it.

    Returns:
        The text. Items of lists and mappings are separated by commas, mappings within a list by semicolons. None is
        `not set`, an empty list is `none`, and truth values are `yes` and `no`.
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {format_setting(inner)}" for name, inner in value.items() if inner is not None)
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(item, dict) for item in value) else ", "
        return separator.join(map(format_setting, value)) or "none"
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 and value.is_integer() else f"{value:g}"
    return str(value)
