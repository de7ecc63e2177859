"""What a run's figures are worth, in words: what counting would have said, how noisy they are, where its time went."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from scipy.stats import kendalltau

from evomnas.report.history import History
from evomnas.report.words import duration, format_quality
from evomnas.results.evaluation import Measurement
from evomnas.results.full_trainings import fully_trained
from evomnas.results.run import Result, Run


def counting_says(results: Sequence[Result]) -> str:
    """What MACs say about measured latencies, in words; empty where they are not known or too few."""
    known = [one.evaluation.quantities for one in results if one.evaluation.losses is not None]
    pairs = sorted((q["macs"], q["latency_ms"]) for q in known if {"macs", "latency_ms"} <= q.keys())
    if len(pairs) < 10:
        return ""
    macs, latencies = [float(one) for one, _ in pairs], [float(one) for _, one in pairs]
    tau = float(kendalltau(macs, latencies).statistic)
    wrong = f"in {(1 - tau) / 2:.0%} of all pairs (Kendall's tau {tau:.2f})"
    ratio = _widest(macs, latencies)
    alike = f" Among networks whose MACs agree within 5%, latency differs by up to {ratio:.1f} times." if ratio else ""
    return f"Of two networks, the one with fewer MACs is the slower one {wrong}.{alike}"


def _widest(macs: Sequence[float], latencies: Sequence[float]) -> float | None:
    """The largest ratio of latencies among networks whose ascending MACs agree within 5 %; None where none do."""
    ratios, end = [], 0
    for start, least in enumerate(macs):
        while end < len(macs) and macs[end] <= 1.05 * least:
            end += 1
        window = latencies[start:end]
        if len(window) > 1:
            ratios.append(max(window) / min(window))
    return max(ratios, default=None)


def noise(run: Run, results: Sequence[Result]) -> dict[str, str]:
    """How far the run's figures can be trusted, by what they are called."""
    measured = [result.evaluation.measured for result in results if result.evaluation.measured is not None]
    facts: dict[str, str] = {}
    calibration = run.reader.calibration
    if calibration is not None:
        facts["reference network"] = f"{run.definition.words.reference}, calibrated at {calibration.latency_ms:.4g} ms"
    if measured:
        widths = [(one.high_ms - one.low_ms) / 2 / one.latency_ms for one in measured]
        loads = [one.load for one in measured if one.load is not None]
        imprecise = sum(not one.precise for one in measured)
        facts["interval of a latency"] = f"± {median(widths):.1%} (median), at most ± {max(widths):.1%}"
        if any(one.samples for one in measured):  # sums of layers have none
            facts["rounds per network"] = f"{median(len(one.samples) for one in measured):.0f} (median)"
        if imprecise:
            facts["stopped by the time limit"] = f"{imprecise} of {len(measured)} measurements"
        if loads:
            facts["other load meanwhile"] = f"{median(loads):.2f} cores (median), at most {max(loads):.2f}"
    return facts


def search_says(run: Run, past: History) -> list[str]:
    """How the search went, in sentences."""
    seconds = run.manifest.seconds
    evaluated, total = run.manifest.evaluations, seconds.total
    count = len(past.generations)
    said = [f"{count} generation{'s' * (count != 1)} in {duration(total)}{_rate(evaluated, total)}."]
    if run.definition.trains and total > 0:
        named = (
            ("training", "training"),
            ("latency", "latency"),
            ("algorithm", "the algorithm"),
            ("other", "the rest"),
        )
        said.append(
            "Of that time " + ", ".join(f"{getattr(seconds, key) / total:.0%} {name}" for key, name in named) + "."
        )
    if past.repeated:
        saved = f", which saved {duration(past.saved_seconds)}" if past.saved_seconds >= 1 else ""
        said.append(f"{past.repeated:,} asks were for networks already evaluated and were answered at once{saved}.")
    beyond = sum(one.infeasible for one in past.generations)
    if beyond:
        said.append(f"{beyond:,} candidate{'s' * (beyond != 1)} were beyond the limits, and none of them was trained.")
    failed = sum(past.failures.values())
    if failed:
        causes = ", ".join(f"{number} {kind}" for kind, number in past.failures.items())
        said.append(f"{failed} candidate{'s' * (failed != 1)} failed ({causes}).")
    return said


def _rate(evaluated: int, seconds: float) -> str:
    if not evaluated or seconds <= 0:
        return ""
    rate = 60 * evaluated / seconds
    return f", {rate:,.0f} evaluations a minute" if rate >= 100 else f", {rate:.3g} evaluations a minute"


def generation_rows(run: Run, past: History) -> tuple[list[str], list[list[str]]]:
    """A header and a row of cells per generation."""
    names = list(dict.fromkeys(name for one in past.generations for name in one.metrics))
    quality, _ = run.definition.axes
    stops = run.mode.early_stop
    counts = ["asked", "new", "failed", *(["cut off"] if stops else []), "evaluated"]
    header = ["generation", *counts, f"best {quality}", "hypervolume", "time", *names]
    rows = [
        [
            str(one.number), str(one.asked), str(one.new), str(one.failed + one.infeasible),
            *([str(one.cut)] if stops else []), str(one.evaluated),
            "-" if one.loss is None else format_quality(run.definition, one.loss, 2), f"{one.hypervolume:.4f}",
            "-" if one.seconds is None else duration(one.seconds),
            *(f"{one.metrics[name]:.4g}" if name in one.metrics else "-" for name in names),
        ]
        for one in past.generations
    ]  # fmt: skip
    return header, rows


def cut_rows(run: Run, results: Sequence[Result]) -> tuple[list[str], list[list[str]]] | None:
    """A header and a row of cells per network that was cut off; None where none was."""
    rows = []
    for evaluation in (result.evaluation for result in results):
        if evaluation.cut is not None and evaluation.expected_losses is not None:
            losses, (error, latency) = evaluation.cut.losses, evaluation.expected_losses
            epochs = f"{len(losses)} of {run.definition.epochs}"
            rows.append([evaluation.architecture.id, epochs, f"{losses[-1]:.4g}", f"{1 - error:.1%}", f"{latency:.4f}"])
    return (["network", "epochs", "last loss", "accuracy foretold", "latency ms"], rows) if rows else None


def finished_rows(run: Run) -> tuple[list[str], list[list[str]]] | None:
    """A header and a row of cells per network that was trained in full; None where none was."""
    if not run.definition.trains:
        return None
    rows = []
    for one in fully_trained(run):
        low, high = one.result.score.interval
        cells = [one.name, f"{one.result.score.accuracy:.2%}", f"{low:.2%} to {high:.2%}"]
        if isinstance(one.measurement, Measurement):
            cost = one.measurement.cost
            cells += [f"{one.measurement.latency_ms:.4f}", f"{cost.params:,}", f"{cost.macs:,}"]
        rows.append(cells + ["-"] * (6 - len(cells)))
    header = ["network", "test accuracy", "95 % interval", "latency ms", "parameters", "MACs"]
    return (header, rows) if rows else None


def search_settings(run: Run) -> list[tuple[str, str]]:
    """What was searched with: the algorithm and its options, seed, budget, limits of candidates."""
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
    return [(name.replace("_", " "), plain(value)) for name, value in values.items()]


def plain(value: Any) -> str:
    """A setting's value as people write it: lists with commas, nothing as `not set`."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(one)}" for name, one in value.items() if one is not None)
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(one, dict) for one in value) else ", ").join(map(plain, value)) or "none"
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 and value.is_integer() else f"{value:g}"
    return str(value)
