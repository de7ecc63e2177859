"""A run in words and tables: what its figures are, how far they can be trusted, its course and its settings."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from evomnas.core.numbers.ranks import kendall_tau
from evomnas.problem.definition import Definition
from evomnas.problem.sections import SCORE_WORDS, PrecisionName, ScoreName
from evomnas.report.certainty.certainty_words import certainty_line, confirmed_line
from evomnas.report.history import History
from evomnas.report.words import TextTable, format_duration, format_quality, format_training
from evomnas.results.detection.score import PRECISIONS
from evomnas.results.evaluation import FullTraining, Measurement
from evomnas.results.full_trainings import baseline_results, fully_trained
from evomnas.results.run import Result, Run

MIN_RANKED_NETWORKS = 10  # the ranking of fewer networks says nothing, whatever ranks them
NOISE_TAU, NOISE_DEVIATIONS = 0.16, 2.25  # of predictors with nothing to learn, see docs/algorithms.md
TAU = "tau"  # the plot of the algorithm's own figures that has Kendall's tau of predictors


def figure_notes(run: Run, results: Sequence[Result]) -> list[str]:
    """Return sentences on what the accuracies and latencies of a run's table are.

    Args:
        run: The run.
        results: The results that the table shows.

    Returns:
        The sentences; none where networks are looked up in a table.
    """
    if not run.definition.trains:
        return []
    trainings = [result.training for result in results if result.training is not None]
    after = "." if trainings else "; a full training usually brings more."
    device = run.archive.context(run.record.measurement_context)
    return [
        f"{_describe_quality(run)}{after}",
        *([f"{describe_test(trainings)}."] if trainings else []),
        *filter(None, [confirmed_line(run, results), certainty_line(run, results)]),
        f"Latency: {_describe_device(device)}.",
        *(one.describe() for one in run.accepted),
        *([] if run.manifest.later_rules is None else [run.manifest.later_rules.describe()]),
    ]


def _describe_quality(run: Run) -> str:
    score, trainings = run.definition.score_words, run.definition.trainings
    folds = f" ({trainings} folds)" if trainings > 1 else ""
    images = f"{run.manifest.data['validation']:,} validation images{folds}"
    training = format_training(run.definition, run.mode.inherits)
    return f"{score[0].upper()}{score[1:]} (± one standard error): of {images}{training}"


def describe_test(trainings: Sequence[FullTraining]) -> str:
    """Describe what the test accuracies of some full trainings are.

    Args:
        trainings: At least one training; all were scored on the same test images.

    Returns:
        Words such as `Test accuracy: of 360 test images after full training (60 epochs)`; of detectors, `Test AP`.
    """
    epochs = sorted({len(training.losses) for training in trainings})
    length = f"{epochs[0]} epochs" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
    words = "Test AP" if trainings[0].score is None else "Test accuracy"
    return f"{words}: of {trainings[0].images:,} test images after full training ({length})"


def _describe_device(device: Mapping[str, Any]) -> str:
    """Return in words where latencies were measured, from the archive's context of measurements."""
    threads, batch, target = device.get("threads", 1), device.get("batch", 1), device.get("target", "local")
    images = "one image" if batch == 1 else f"a batch of {batch} images"
    runtime = " ".join(
        str(device[name]) for name in ("runtime", "version", "provider", "precision") if device.get(name)
    )
    machine = device.get("accelerator") or device.get("processor") or "this machine"
    places = ([] if target == "local" else [target]) + [machine]
    method = ", as a sum over measured layers" if device.get("method") == "layers" else ""
    return f"of {images} in {runtime} on {', '.join(places)}, {threads} thread{'s' * (threads != 1)}{method}"


def hypervolume_note(definition: Definition) -> str:
    """Return a sentence on what the hypervolume is.

    Args:
        definition: The problem.
    """
    loss, *factors = definition.reference_point
    quality, cost = definition.axes
    error = "an error" if definition.is_percent else quality
    costs = (cost, *(axis.label for axis in definition.further))
    names = (re.sub(r" \(ms\)$| KiB$", "", name) for name in costs)
    *others, last = (f"{factor:g} times the {name}" for factor, name in zip(factors, names, strict=True))
    limits = " and ".join([*filter(None, [", ".join(others)]), last])
    extent = "area" if len(costs) == 1 else "volume"
    return (
        f"Hypervolume is the share of the {extent} up to {error} of {loss:g} and {limits} of "
        f"{definition.words.reference} that the front covers; more is better."
    )


def knee_line(run: Run, results: list[Result] | None = None) -> str:
    """Return a sentence on why a front has no knee.

    Args:
        run: The run.
        results: Its results, where they are at hand.

    Returns:
        The sentence; empty where the front has a knee, or no network.
    """
    front = run.front(results)
    if not front or run.knees(results):
        return ""
    points = len({result.evaluation.losses for result in front})
    if points < 3:
        return (
            f"The front has no knee: it has {points} network{'s' * (points != 1)}, and a knee lies between two others."
        )
    between = "the straight line between its ends" if run.objectives == 2 else "all mixes of its ends"
    return f"The front has no knee: none of its networks lies far enough below {between}."


def describe_counting(results: Sequence[Result]) -> str:
    """Describe how well MACs rank networks by their measured latency.

    Args:
        results: The results of a run.

    Returns:
        One or two sentences; empty where MACs and latency of fewer than `MIN_RANKED_NETWORKS` networks are known.
    """
    quantities = [result.evaluation.quantities for result in results if result.evaluation.losses is not None]
    pairs = sorted(
        (known["macs"], known["latency_ms"]) for known in quantities if {"macs", "latency_ms"} <= known.keys()
    )
    if len(pairs) < MIN_RANKED_NETWORKS:
        return ""
    macs, latencies = [float(count) for count, _ in pairs], [float(latency) for _, latency in pairs]
    tau = kendall_tau(np.array(macs), np.array(latencies))
    wrong = f"in {(1 - tau) / 2:.0%} of all pairs (Kendall's tau {tau:.2f}, {len(pairs)} networks)"
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
            "measuring": seconds.latency,
            "the algorithm": seconds.algorithm,
            "the rest": seconds.other,
        }
        sentences.append(
            f"Of that time {', '.join(f'{spent / total:.0%} went into {name}' for name, spent in purposes.items())}."
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
            *(_metric_cell(name, generation.metrics, history.lessons[generation.number]) for name in names),
        )
        for generation in history.generations
    ]  # fmt: skip
    return header, rows


def _metric_cell(name: str, metrics: Mapping[str, float], lessons: int) -> str:
    """Return a figure of the algorithm's own; of a tau also whether it means anything yet."""
    if name not in metrics:
        return "-"
    if not name.startswith(f"{TAU} ("):
        return f"{metrics[name]:.4g}"
    chance = chance_tau(lessons)
    if chance is None:
        return f"too few networks to tell ({lessons})"
    return f"{metrics[name]:.2f}{' (may be chance)' * (metrics[name] <= chance)}"


def chance_tau(networks: int) -> float | None:
    """Return the tau up to which a ranking by predictors may be chance.

    Where there is nothing to learn, Kendall's tau varies as if all rankings were equally likely (Kendall, 1938). But
    its mean is `NOISE_TAU`, since the predictors are tuned and weighed by the networks that they are tested with.

    Args:
        networks: Number of networks that were ranked.

    Returns:
        The tau; None for fewer than `MIN_RANKED_NETWORKS`, of which no tau means anything.
    """
    if networks < MIN_RANKED_NETWORKS:
        return None
    deviation = math.sqrt(2 * (2 * networks + 5) / (9 * networks * (networks - 1)))
    return min(1.0, NOISE_TAU + NOISE_DEVIATIONS * deviation)


def chance_levels(history: History, plot: str) -> list[tuple[int, float]]:
    """Return up to what value a figure of the algorithm's own may be chance.

    Args:
        history: The history of a run.
        plot: The name of the figure's plot, see `History.metric_series`.

    Returns:
        Pairs of a generation's number and the value; none of figures other than tau, or where nothing is known.
    """
    levels = {number: chance_tau(count) for number, count in history.lessons.items()} if plot == TAU else {}
    return [(number, level) for number, level in levels.items() if level is not None]


def describe_predictors(history: History) -> str:
    """Return sentences on whether an algorithm's predictors have learnt to rank networks by their error.

    Args:
        history: The history of a run.

    Returns:
        The sentences; empty where the algorithm has no predictors, or they ranked nothing yet.
    """
    series = history.metric_series().get(TAU, {}).get("error", [])
    if not series:
        return ""
    generation, tau = series[-1]
    networks = history.lessons[generation]
    chance = chance_tau(networks)
    if chance is None:
        return f"Whether the predictors rank networks well: too few networks to tell ({networks})."
    verdict = "which may be chance" if tau <= chance else "which is more than chance"
    return (
        f"At the end the predictors of the error had a tau of {tau:.2f}, {verdict}: with {networks} networks to learn "
        f"from, chance alone reaches {chance:.2f}."
    )


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
    header = ("network", "epochs", "last loss", f"predicted {run.definition.score_words}", "latency ms")
    return (header, rows) if rows else None


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
    first, *others = test_scores(run.trained_problem().data.test_score)
    header = (
        "network", f"test {SCORE_WORDS[first]}", "95 % interval", *(f"test {SCORE_WORDS[other]}" for other in others),
        "latency ms", "parameters", "MACs",
    )  # fmt: skip
    rows = []
    for network in fully_trained(run):
        qualities = [network.result.quality(name) for name in (first, *others)]
        interval = "-" if qualities[0] is None else f"{qualities[0][1]:.2%} to {qualities[0][2]:.2%}"
        score, *more = ("-" if quality is None else f"{quality[0]:.2%}" for quality in qualities)
        cells = [network.name, score, interval, *more]
        if isinstance(network.measurement, Measurement):
            cost = network.measurement.cost
            cells += [f"{network.measurement.latency_ms:.4f}", f"{cost.params:,}", f"{cost.macs:,}"]
        rows.append((*cells, *["-"] * (len(header) - len(cells))))
    return (header, rows) if rows else None


def test_scores(name: ScoreName | PrecisionName) -> tuple[ScoreName | PrecisionName, ...]:
    """Return the scores that tables show of full trainings, the one with an interval first.

    Args:
        name: The score by which the problem judges them.

    Returns:
        The accuracy, and `name` if it is another one; of detectors `name`, and the other average precision.
    """
    if name in PRECISIONS:
        return name, *(other for other in PRECISIONS if other != name)
    return ("accuracy",) if name == "accuracy" else ("accuracy", name)


def baseline_table(run: Run) -> TextTable | None:
    """Return a table of the pretrained baselines that were fine-tuned as a run's candidates were, the fastest first.

    Args:
        run: The run.

    Returns:
        A header, and a row of cells per network, with a star behind those on the front of the baselines, and `-` for
        what is not known. None where there are none.
    """
    results = baseline_results(run) if run.definition.trains else []
    if not results:
        return None
    score, words = run.trained_problem().data.test_score, run.definition.score_words
    header = (
        "network",
        "pixels",
        f"validation {words}",
        f"test {SCORE_WORDS[score]}",
        "latency ms",
        "parameters",
        "MACs",
    )
    rows: list[tuple[str, ...]] = []
    for one in results:
        quantities, found = one.result.evaluation.quantities, one.result.evaluation.score
        test = None if one.result.training is None else one.result.training.quality(score)
        rows.append(
            (
                f"{one.baseline.name}{' *' * one.result.on_front}", str(one.baseline.resolution),
                "-" if found is None else f"{found:.2%}", "-" if test is None else f"{test[0]:.2%}",
                f"{quantities['latency_ms']:.4f}", f"{quantities['params']:,}", f"{quantities['macs']:,}",
            )
        )  # fmt: skip
    return header, rows


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
