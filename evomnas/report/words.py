"""Results as people read them: sentences, cells of tables, numbers with units. The command and the pages share them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evomnas.core.resolution import describe_resolution, sides
from evomnas.core.system.machine import memory_gib
from evomnas.data.photographs import describe_fit
from evomnas.evaluation.inheritance.lineage import child_recipe
from evomnas.loop.fidelity.ranking import MARGIN
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.sections import FITS, MAX_OBJECTIVES, SCORE_WORDS
from evomnas.problem.typed.paths import OWN_DATASETS
from evomnas.report.classes.class_words import constant_answer_line
from evomnas.results.constraints import KEYS, MEMORY
from evomnas.results.manifest import GoalAnswer, ImageData
from evomnas.results.run import Result, Run

if TYPE_CHECKING:  # it loads evaluators and devices, and a report needs neither
    from evomnas.loop.estimate import Estimate
    from evomnas.loop.fidelity.pilot import Pilot


STATUS_WORDS = {  # of networks that are not on the front
    "ok": "behind the front",
    "failed": "failed",
    "stopped": "not evaluated",
    "cut": "cut off",
    "infeasible": "beyond a limit",
}
MAX_NAMED_OBJECTIVES = 3  # in a headline; of more, error and cost alone are named
MAX_NAMED_SCORES = 3  # in a headline
DONOR = "efficientnet-lite0"  # which is proposed: its package needs no account and no download at run time
MIN_DONOR_SIDE, MAX_DONOR_IMAGES = 64, 20_000  # pixels and training images between which it is proposed

TextTable = tuple[tuple[str, ...], list[tuple[str, ...]]]  # a header, and rows of as many cells


def format_duration(seconds: float) -> str:
    """Return a duration as people write it.

    Args:
        seconds: The duration in seconds.

    Returns:
        A text such as `48 s`, `2 min 40 s` or `3 h 5 min`.
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_time_left(seconds: float | None) -> str:
    """Return an estimate of the time that is left, no finer than it is true.

    Args:
        seconds: The estimate in seconds; None where there is none yet.

    Returns:
        A text such as `about 4 min left`, `under 10 s left` or `time left not known yet`.
    """
    if seconds is None:
        return "time left not known yet"
    if seconds <= 10:
        return "under 10 s left"
    if seconds <= 50:
        return f"about {math.ceil(seconds / 10) * 10} s left"
    minutes = max(1, round(seconds / 60))
    if minutes < 100:
        return f"about {minutes} min left"
    return f"about {round(minutes / 10) * 10 // 60} h {round(minutes / 10) * 10 % 60} min left"


def format_losses(definition: Definition, losses: Sequence[float], most: int = MAX_OBJECTIVES) -> str:
    """Return losses as text.

    Args:
        definition: The problem, which gives the units.
        losses: The minimised objectives.
        most: How many objectives are named, where there are more: error, cost, and further ones.

    Returns:
        A text such as `97.8% at 0.0493 ms`, or `84.1% macro-F1 at 0.0493 ms` where the score is not the accuracy. With
        further objectives, `97.8% at 0.0493 ms and 12,345 parameters`.
    """
    cost, _ = definition.plot_point(losses)
    quality, words = format_quality(definition, losses[0]), definition.score_words
    named = quality if words == "accuracy" else f"{quality} {words}"
    further = list(zip(definition.further, losses[2:], strict=True))[: most - 2]
    costs = (format_cost(definition, cost), *(format_amount(value) + axis.unit for axis, value in further))
    return f"{named} at {' and '.join(costs)}"


def format_quality(definition: Definition, loss: float, digits: int = 1) -> str:
    """Return the quality of a network as text.

    Args:
        definition: The problem.
        loss: The first minimised objective.
        digits: Decimal places, where the quality is a percentage. Other qualities have four significant digits.

    Returns:
        A text such as `97.8%`.
    """
    _, quality = definition.plot_point((loss, 0.0))
    return f"{quality:.{digits}f}%" if definition.is_percent else f"{quality:.4g}"


def format_cost(definition: Definition, cost: float) -> str:
    """Return the cost of a network as text with its unit.

    Args:
        definition: The problem.
        cost: The cost, as `Definition.plot_point` returns it.

    Returns:
        A text such as `0.0493 ms`.
    """
    return format_amount(cost) + _unit(definition)


def format_amount(value: float) -> str:
    """Return a cost as text without its unit.

    Args:
        value: The cost.

    Returns:
        Three significant digits below 1,000, and all digits of the integer above.
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _unit(definition: Definition) -> str:
    units = {"latency (ms)": " ms", "parameters": " parameters", "MACs": " MACs"}
    return units.get(definition.axes[1], "")


def result_table(run: Run, results: Sequence[Result]) -> TextTable:
    """Return a table of results.

    Args:
        run: The run.
        results: Some of its results.

    Returns:
        A header, and a row of cells per result; a cell is `-` where nothing is known.
    """
    knee = next(iter(run.knees(list(results))), None)
    statuses = [_status(result, result is knee) for result in results]
    if run.definition.trains:
        words, is_detector = run.definition.score_words, run.definition.detects
        has_two = words != "accuracy" and not is_detector  # a detector has no accuracy
        judged = any(result.front_chance is not None for result in results)
        repeated = any(result.trainings > 1 for result in results)
        names = (words, "±", *("trainings",) * repeated, *("expected", "on front") * judged, *("accuracy",) * has_two)
        tested, test_key = (f"test {words}", "test_score") if is_detector else ("test accuracy", "test_accuracy")
        scored = (tested,) * any(result.training is not None for result in results)
        memory = limited_memory(run)
        costs = ("latency ms", "95 % interval", "parameters", "MACs", *memory.values())
        header = ("id", *names, *scored, *costs, "status")
        shown = ("score", "score_error", *("trainings",) * repeated, *("expected_score", "front_chance") * judged)
        shown += ("accuracy",) * has_two
        shown += (test_key,) * len(scored)
        rows = [_trained_cells(result.to_dict(), shown, list(memory)) for result in results]
    else:
        quality, cost = run.definition.axes
        header = ("id", "network", quality, cost, *(axis.label for axis in run.definition.further), "status")
        rows = [_looked_up_cells(run, result) for result in results]
    return header, [(*cells, status) for cells, status in zip(rows, statuses, strict=True)]


def limited_memory(run: Run) -> dict[str, str]:
    """Return the headings of the memory that a problem limits or minimises, by the key in a result's row.

    Args:
        run: A run of the problem.
    """
    limits, further = run.definition.constraints, {axis.name for axis in run.definition.further}
    return {
        name: heading for name, heading in MEMORY.items() if name in further or getattr(limits, KEYS[name]) is not None
    }


def _looked_up_cells(run: Run, result: Result) -> tuple[str, ...]:
    row, losses = result.to_dict(), result.evaluation.losses
    cost, quality = run.definition.plot_point(losses) if losses else (None, None)
    text = None if quality is None else f"{quality:.2f}" if run.definition.is_percent else f"{quality:.4g}"
    cells = (row["id"], row["architecture"], text, None if cost is None else format_amount(cost))
    further = ("-",) * (run.objectives - 2) if losses is None else map(format_amount, losses[2:])
    return (*(cell or "-" for cell in cells), *further)


def _trained_cells(row: dict[str, Any], shown: Sequence[str], memory: Sequence[str]) -> tuple[str, ...]:
    """Return the cells of a network; `shown` are the shares among them, `memory` what it needs, by their keys."""
    interval = row["latency_ci"] and f"{row['latency_ci'][0]:.4f} to {row['latency_ci'][1]:.4f}"
    digits = {"front_chance": 0}
    shares = [
        None if row[name] is None
        else str(row[name]) if name == "trainings" else f"{row[name]:.{digits.get(name, 2)}%}"
        for name in shown
    ]  # fmt: skip
    latency = None if row["latency_ms"] is None else f"{row['latency_ms']:.4f}"
    counts = [None if row[name] is None else f"{row[name]:,}" for name in ("params", "macs")]
    counts += [None if row[name] is None else f"{row[name]:,.1f}" for name in memory]
    return tuple(cell or "-" for cell in (row["id"], *shares, latency, interval, *counts))


def _status(result: Result, is_knee: bool) -> str:
    """Return what became of a network, in words; JSON has shorter ones."""
    if result.on_front:
        return "front, knee" if is_knee else "front"
    return STATUS_WORDS[result.evaluation.status]


def headline(run: Run, results: Sequence[Result]) -> str:
    """Return the result of a run in one sentence.

    Args:
        run: The run.
        results: All its results.

    Returns:
        The sentence: the ends of the front and the gain over the reference network, after how much training; what full
        trainings made of the front; the hypervolume; and the time. Behind it another one, where networks are trained:
        what one answer for all validation images scores.
    """
    front = run.front(list(results))
    evaluated = sum(result.evaluation.ended for result in results)
    work = f"{evaluated} network{'s' * (evaluated != 1)} in {format_duration(run.manifest.seconds.total)}"
    if not front:
        return f"No network on the front yet: {work}."
    named = run.objectives if run.objectives <= MAX_NAMED_OBJECTIVES else 2
    first, last = (
        format_losses(run.definition, result.evaluation.losses or (), named)
        for result in (front[0], run.best(list(results)))
    )
    others = f" (and {run.objectives - named} further objectives, in the table)" * (named < run.objectives)
    words, training = run.definition.words, format_training(run.definition, run.mode.inherits)
    if len(front) == 1:
        text = f"1 network on the Pareto front, with {first}{others}{training}"
    else:
        text = f"{len(front)} networks on the Pareto front{',' * bool(training)}{training}: "
        best = words.best if run.definition.score_words == "accuracy" else "best"
        text += f"the {words.cheapest} has {first}, the {best} {last}{others}"
    share = run.true_share()
    of_true = "" if share is None else f", {format_share(share)} of the true front's"
    hypervolume = f"hypervolume {run.manifest.hypervolume:.3f}{of_true}"
    parts = (text, _gain(run, results, front), _trained_scores(run, front), hypervolume, work)
    return f"{'; '.join(filter(None, parts))}. {constant_answer_line(run)}".rstrip()


def format_training(definition: Definition, inherits: bool = False) -> str:
    """Return after how much training a search scores its networks.

    Args:
        definition: The problem.
        inherits: Whether networks inherit the weights of others; these are trained less.

    Returns:
        A text such as ` after 5 epochs of training`; empty where the search trains none.
    """
    epochs = definition.epochs
    if not epochs:
        return ""
    recipe = definition.training if inherits and isinstance(definition, ProblemDefinition) else None
    heirs = "" if recipe is None else f", or {child_recipe(recipe).epochs} with the weights of a trained network"
    return f" after {epochs} epoch{'s' * (epochs != 1)} of training{heirs}"


def _trained_scores(run: Run, front: Sequence[Result]) -> str:
    """Return the test scores of networks of the front that were trained in full; empty where none was.

    They are in the order of the front: to name the best of them alone would be to choose by the test images.
    """
    trained = [result for result in front if result.training is not None]
    if not trained:
        return ""
    name = run.trained_problem().data.test_score
    unit = "" if name == "accuracy" else f" {SCORE_WORDS[name]}"
    qualities = [(result, result.training and result.training.quality(name)) for result in trained]
    scores = [f"{one.evaluation.architecture.id} has {known[0]:.1%}{unit}" for one, known in qualities if known]
    if not scores:
        return ""
    named, others = scores[-MAX_NAMED_SCORES:], len(scores) - MAX_NAMED_SCORES
    more = f" ({others} more in the table)" if others > 0 else ""
    return f"trained in full, {', '.join(named)} on the test images{more}"


def format_share(value: float) -> str:
    """Return a share as a percentage.

    Args:
        value: The share.

    Returns:
        A percentage with one decimal place. A share just below 1 is `more than 99.9%`, never `100.0%`.
    """
    return "more than 99.9%" if 0.9995 <= value < 1 else f"{value:.1%}"


def _gain(run: Run, results: Sequence[Result], front: Sequence[Result]) -> str:
    """Return how many times cheaper the front is than the reference network, at its quality or a better one."""
    evaluations = (result.evaluation for result in results)
    reference_losses = (known.losses for known in evaluations if known.architecture.id == run.reference_id)
    losses = next((known for known in reference_losses if known is not None), None)
    if losses is None:
        return ""
    front_losses = (result.evaluation.losses for result in front)
    rivals = [rival for rival in front_losses if rival is not None and rival[0] <= losses[0]]
    factor = losses[1] / rivals[0][1] if rivals and rivals[0][1] > 0 else 1.0
    if factor < 1.05:
        return ""
    words, quality = run.definition.words, format_quality(run.definition, losses[0])
    training = " after the same training" if run.definition.trains else ""
    good = words.good if run.definition.score_words == "accuracy" else "good"
    gain = f"{factor:.1f}x as {words.cheap} as {words.reference} and at least as {good}"
    return f"one is {gain} ({quality}{training})"


def reuse_line(run: Run) -> str:
    """Return a sentence about the networks that the archive knew from other runs, and about the time that saved.

    Args:
        run: The run.

    Returns:
        The sentence; empty where no network was known, or where less than a second was saved.
    """
    reused = run.manifest.reused
    if reused is None or not reused.networks or reused.seconds < 1:
        return ""
    known = f"{reused.networks} of the networks {'was' if reused.networks == 1 else 'were'} known from other runs"
    return f"{known}, which saved {format_duration(reused.seconds)} of training and measuring."


def lessons_line(run: Run) -> str:
    """Return a sentence about what a run learnt from before its first network.

    Args:
        run: The run.

    Returns:
        The sentence; empty where that was nothing.
    """
    if run.mode.lessons is None:
        return ""
    content = run.archive.context(run.mode.lessons)
    networks, trainings = sum(map(len, content["errors"])), len(content["errors"])
    runs = len(content.get("earlier_runs", ()))
    source = content.get("learn_from") or f"{runs} earlier run{'s' * (runs != 1)} of this archive"
    each = f", each in one of {trainings} trainings" if trainings > 1 else ""
    off = " (--no-earlier-runs begins without)" if runs else ""
    return f"Learns first from {networks:,} networks in {source}{each}{off}."


def cut_line(run: Run, results: Sequence[Result]) -> str:
    """Return a sentence about the trainings that were cut off, and about the time that saved.

    Args:
        run: The run.
        results: All its results.

    Returns:
        The sentence; empty where no training was cut off.
    """
    if not run.mode.early_stop:
        return ""
    cut = run.cut_trainings(results)
    count, saved = cut.networks, cut.saved_seconds
    if not count:
        return ""
    cut_off = f"{count} network{'s were' if count > 1 else ' was'} cut off after the first epochs"
    reason = "since it was clear by then that another one is as fast and more accurate"
    return f"{cut_off}, {reason}; that saved about {format_duration(saved)} of training."


def limits_line(run: Run, results: Sequence[Result]) -> str:
    """Return a sentence about the networks within the problem's limits, and beyond them.

    Args:
        run: The run.
        results: All its results.

    Returns:
        The sentence; empty where the problem has no limits.
    """
    limits = run.definition.constraints.model_dump(exclude_none=True)
    if not limits:
        return ""
    beyond = sum(result.evaluation.status == "infeasible" for result in results)
    named = " and ".join(f"{name} = {value:g}" for name, value in limits.items())
    left = f"{beyond} network{'s were' if beyond != 1 else ' was'} beyond it and could not join the front"
    return f"Limit: {named}; {left if beyond else 'all networks were within it'}."


def estimate_lines(estimate: Estimate, workers: int) -> list[str]:
    """Return what a search will cost, as lines of text.

    Args:
        estimate: The estimate.
        workers: The number of worker processes with which the estimate was made.

    Returns:
        Lines about the time of a training, the time of the search, memory and disk.
    """
    low, middle, high = estimate.training
    folds, images = estimate.data.get("folds"), estimate.data["validation"]
    lines = [
        *([f"Folds     {folds} trainings of each network, for a score of all {images:,} images"] if folds else []),
        f"Training  {middle:.3g} s a network ({low:.3g} to {high:.3g}), measuring it {estimate.latency:.2f} s; "
        f"from a short search of {estimate.networks} networks with {workers} worker{'s' * (workers != 1)}",
    ]
    for count, (short, usual, long) in estimate.seconds.items():
        processes = f"{count} worker{'s' * (count != 1)}"
        spread = f"{format_duration(short)} to {format_duration(long)}"
        lines.append(f"Search    {format_duration(usual)} for {estimate.budget} networks with {processes} ({spread})")
    memory = "not known on this system"
    if estimate.memory_gib:
        memory = f"up to {estimate.memory_gib:.1f} of {memory_gib():.1f} GiB"
    lines.append(f"Memory    {memory}; disk {estimate.disk_bytes / 2**20:.0f} MiB")
    return lines


def fidelity_table(pilot: Pilot) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the trainings of a pilot as a table.

    Args:
        pilot: The pilot.

    Returns:
        A header, and a row of cells for each number of epochs.
    """
    header = ("epochs", "s a network", "tau", "5 to 95 %", "more than all", "5 to 95 %", "as well")
    rows = []
    for fidelity in pilot.fidelities:
        ranking, is_whole = fidelity.ranking, fidelity is pilot.fidelities[-1]
        cells = [f"{fidelity.epochs}{' (all)' * is_whole}", f"{fidelity.seconds:.3g}"]
        cells += [f"{ranking.tau:.2f}", _format_range(ranking.interval)]
        compared = [f"{ranking.difference:+.2f}", _format_range(ranking.difference_interval), f"{ranking.chance:.0%}"]
        rows.append((*cells, *(["-"] * 3 if is_whole else compared)))
    return header, rows


def _format_range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def fidelity_lines(pilot: Pilot, definition: Definition) -> list[str]:
    """Return what a pilot has shown, and what it proposes, as lines of text.

    Args:
        pilot: The pilot.
        definition: The problem.

    Returns:
        A sentence on the ranking by whole trainings, and one on what is proposed.
    """
    whole = pilot.fidelities[-1]
    low, high = whole.ranking.interval
    failed = f" ({pilot.failed} more could not be trained)" if pilot.failed else ""
    lines = [
        f"{pilot.networks} random networks{failed}. Trained again with another seed, all {whole.epochs} epochs rank "
        f"them with tau {whole.ranking.tau:.2f} ({low:.2f} to {high:.2f}); shorter trainings can hardly do better."
    ]
    if not low > 0:
        is_detector = definition.detects
        ways = "more epochs" if is_detector else "--set data.score=likelihood"
        lines.append(
            "That may be chance: nothing shorter can be compared, and a search would rank by chance as well. More "
            f"validation images, --set data.folds=5 or {ways} tell more."
        )
        return lines
    if pilot.proposed == whole.epochs:
        lines.append(
            f"That fewer epochs rank as well is not shown: all {whole.epochs} stay. More --networks tell more."
        )
        return lines
    fidelity = next(one for one in pilot.fidelities if one.epochs == pilot.proposed)
    lines.append(
        f"Proposed: --set training.epochs={fidelity.epochs}, {fidelity.seconds:.3g} s a network instead of "
        f"{whole.seconds:.3g}. It ranks as well (tau less than {MARGIN:g} lower) with a chance of "
        f"{fidelity.ranking.chance:.0%}, as far as {pilot.networks} networks tell."
    )
    if pilot.worthwhile_budget is not None:
        lines.append(f"A pilot before the search pays from {pilot.worthwhile_budget} networks on.")
    return lines


def failure_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the candidates that failed, with the reason.

    Args:
        results: The results of a run.

    Returns:
        A dict per failed candidate: `id`, `architecture`, `kind`, `message`, `trace` and `tries`, as in
        `evomnas.results.evaluation.Failure`.
    """
    evaluations = [result.evaluation for result in results]
    return [
        {"id": architecture.id, "architecture": str(architecture), **asdict(failure)}
        for architecture, failure in ((evaluation.architecture, evaluation.failure) for evaluation in evaluations)
        if failure is not None
    ]


def goal_lines(run: Run) -> list[str]:
    """Return lines of text about the goals of a run's algorithm.

    Args:
        run: The run.

    Returns:
        For each goal its target, the best network that was found, and the network that the algorithm itself chose.
        Empty where the algorithm has no goals.
    """
    return [line for goal in run.manifest.goals or [] for line in _goal_lines(run, goal)]


def _goal_lines(run: Run, goal: GoalAnswer) -> list[str]:
    lines = [f"Target {format_cost(run.definition, goal.target)}, {goal.goal}:"]
    for answer, title in ((goal.best, "best found"), (goal.choice, "controller's own choice")):
        if answer is None:
            continue
        if answer.losses is None or answer.score is None:
            lines.append(f"  {title}: {answer.id}, which failed: {answer.architecture}")
            continue
        misses = answer is goal.best and goal.measure == "score" and answer.score < 0  # a hard goal
        heading = "none within the target; closest" if misses else title
        losses, score = format_losses(run.definition, answer.losses), f"{goal.measure} {answer.score:.4f}"
        lines.append(f"  {heading}: {answer.id}, {losses}, {score}")
    return lines


def fit_line(definition: Definition, data: ImageData) -> str:
    """Return the sentence that says which part of its pictures a search uses; empty where that is all of them.

    Args:
        definition: The problem.
        data: Its images.
    """
    if not definition.trains or data.fit is None:
        return ""
    resolution = definition.trained("networks of a table see no pictures").data.resolution
    others = " and ".join(repr(fit) for fit in FITS if fit != data.fit)
    return (
        f"Networks get {describe_fit(data.fit, resolution)}, as {describe_resolution(resolution)} "
        f"(data.fit = {data.fit!r}; there are {others} as well)."
    )


def donor_proposal(definition: Definition, data: ImageData) -> str:
    """Return the sentence that proposes pretrained weights for photographs of one's own; empty where they do not suit.

    Args:
        definition: The problem.
        data: Its images.
    """
    problem = definition.trained("only networks that are trained have weights") if definition.trains else None
    is_own = problem is not None and problem.data.dataset in OWN_DATASETS and problem.donor is None
    if (
        problem is None
        or not is_own
        or min(sides(problem.data.resolution)) < MIN_DONOR_SIDE
        or data.train > MAX_DONOR_IMAGES
    ):
        return ""
    return (
        f"From {data.train:,} training images, networks usually learn more if they start from pretrained weights: add "
        f"--donor {DONOR}; evomnas donors says how to get them."
    )
