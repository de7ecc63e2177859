"""The data of the report's script: the networks of a run as columns, and their parts.

Ten thousand networks share a few thousand blocks. So each distinct part is written once, with all that the page shows
of it, and a network is a list of its parts. A part is a stem, a block or a head together with the shape of its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evomnas.core.resolution import Resolution, divided
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import NetworkShape, count_parts
from evomnas.report.classes.class_data import class_data
from evomnas.report.figures import OP_COLOURS, SE_COLOUR, Box, boxes
from evomnas.report.latency_breakdown import Breakdown, fit_breakdown
from evomnas.report.references import find_references
from evomnas.report.reproduce import network_commands
from evomnas.report.run_words import knee_line
from evomnas.report.words import format_training, limited_memory
from evomnas.results.full_trainings import baseline_results, fully_trained
from evomnas.results.run import Result, Run

PartKey = tuple[str, int, Resolution]  # all that a part depends on: notation, channels and pixels of its input
SKIP_LETTERS = {"none": "-", "identity": "i", "pool": "p"}


def page_data(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    """Return all that the script of the report needs.

    Args:
        run: The run.
        results: Its results.

    Returns:
        Values that JSON can hold, by name.
    """
    complete = [result for result in results if result.evaluation.losses is not None]
    quality, cost = run.definition.axes
    true_front = run.manifest.true_front
    true_losses = [] if true_front is None else sorted(true_front.losses, key=lambda losses: losses[1])
    breakdown = _fit_breakdown(run, complete)
    return {
        "run": run.record.id,
        "quality": quality,
        "cost": cost,
        "further": [{"label": axis.label, "unit": axis.unit} for axis in run.definition.further],
        "percent": quality.endswith("(%)"),
        "training": format_training(run.definition, run.mode.inherits),
        "score": run.definition.score_words,
        "validation": run.manifest.data.get("validation"),
        "classes": class_data(run, results, fully_trained(run) if run.definition.trains else []),
        "networks": _columns(run, complete),
        "parts": _parts(run, complete, breakdown),
        "knees": [complete.index(knee) for knee in run.knees(complete)],
        "noKnee": knee_line(run, complete),
        "references": _references(run, list(results)),
        "baselines": _baselines(run),
        "reference": run.reference_id,
        "referenceName": run.definition.words.reference,
        "memory": _memory(run, complete),
        "limits": run.definition.constraints.model_dump(exclude_none=True),
        "targets": _targets(run),
        "trueFront": [run.definition.plot_point(losses) for losses in true_losses],
        "breakdown": None if breakdown is None else _breakdown_summary(breakdown),
        "colours": {name: list(colour) for name, colour in OP_COLOURS.items()} | {"se": [SE_COLOUR, 0.3]},
        "image": run.shape,
        "detects": run.definition.detects,
        "commands": network_commands(run),
    }


def _breakdown_summary(breakdown: Breakdown) -> dict[str, float]:
    return {"networks": breakdown.networks, "error": round(breakdown.error, 4)}


def _columns(run: Run, complete: Sequence[Result]) -> dict[str, list[Any]]:
    """Return one list per quantity of the networks with losses, in the order in which they were asked for."""
    names = ("id", "x", "y", "low", "high", "params", "macs", "generation", "front", "test", "testLow", "testHigh")
    columns: dict[str, list[Any]] = {
        name: [] for name in (*names, "error", "accuracy", "expected", "chance", "trainings")
    }
    for result in complete:
        point, quantities = result.point(run.definition), result.evaluation.quantities
        values = (
            result.evaluation.architecture.id,
            *(_round(value) for value in (point["x"], point["y"], *point["interval"])),
            *(quantities.get(name) for name in ("params", "macs")),
            result.generation,
            int(result.on_front),
            *_test_values(run, result),
            *(_percent(value) for value in (result.evaluation.score_error, quantities.get("accuracy"))),
            *(_percent(value) for value in (result.expected_score, result.front_chance)),
            result.trainings,
        )
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    losses = [result.evaluation.losses or () for result in complete]
    columns["further"] = [[_round(own[place]) for own in losses] for place in range(2, run.objectives)]
    return columns | _composition(run, complete)


def _memory(run: Run, complete: Sequence[Result]) -> dict[str, list[float]]:
    """Return the memory that each network needs, in KiB, by the heading of what the problem limits."""
    limited = limited_memory(run)
    rows = [result.to_dict() for result in complete] if limited else []
    return {heading: [_round(row[name]) for row in rows] for name, heading in limited.items()}


def _test_values(run: Run, result: Result) -> tuple[float | None, ...]:
    """Return the test score and the ends of its interval in percent; None where there is none on the plot's axis."""
    if result.training is None:
        return None, None, None
    data = run.trained_problem().data
    if data.test_score != data.score:
        return None, None, None
    quality = result.training.quality(data.test_score)
    return (None, None, None) if quality is None else tuple(round(100 * value, 4) for value in quality)


def _composition(run: Run, complete: Sequence[Result]) -> dict[str, list[Any]]:
    """Return the column that says of which parts each network consists; on tables, the column of their names."""
    if run.shape is None:
        return {"name": [str(result.evaluation.architecture) for result in complete]}
    numbers: dict[PartKey, int] = {}
    networks = [_part_keys(result.evaluation.architecture, run.shape) for result in complete]
    return {"parts": [[numbers.setdefault(key, len(numbers)) for key in keys] for keys in networks]}


def _percent(value: float | None) -> float | None:
    return None if value is None else _round(100 * value)


def _round(value: float) -> float:
    return float(f"{value:.6g}") if abs(value) < 100_000 else round(value)


def _part_keys(architecture: Architecture, shape: NetworkShape) -> list[PartKey]:
    """Return the keys of a network's stem, blocks and head."""
    size, channels = architecture.resolution or shape["resolution"], shape["channels"]
    strides = [architecture.stem_stride, *(block.stride for block in architecture.blocks), 1]
    filters = [architecture.stem, *(block.filters for block in architecture.blocks), architecture.head]
    keys = []
    for notation, stride, width in zip(architecture.part_notations, strides, filters, strict=True):
        keys.append((notation, channels, size))
        size, channels = divided(size, stride), width
    return keys


def _parts(run: Run, complete: Sequence[Result], breakdown: Breakdown | None) -> list[list[Any]]:
    """Return each distinct part once, in the order of the numbers that `_composition` gives them.

    A part is a list: notation, the six values of `_drawing_values`, parameters, MACs, and estimated milliseconds.
    """
    if run.shape is None:
        return []
    parts: dict[PartKey, list[Any]] = {}
    for architecture in (result.evaluation.architecture for result in complete):
        keys = _part_keys(architecture, run.shape)
        if all(key in parts for key in keys):
            continue
        all_counts = count_parts(architecture, **run.shape)
        ms = [None] * len(keys) if breakdown is None else map(_round, breakdown.parts_ms(architecture, all_counts))
        for key, box, counts, estimate in zip(keys, boxes(architecture), all_counts, ms, strict=True):
            parts.setdefault(key, [key[0], *_drawing_values(box, key[2]), counts.params, counts.macs, estimate])
    return list(parts.values())


def _drawing_values(box: Box, size: Resolution) -> tuple[str, str, int, int, str, Resolution]:
    """Return text, operation, filters, SE (0 or 1), the skips of the layers, and the output's size in pixels."""
    skips = "".join(SKIP_LETTERS[skip] for skip in box.skips)
    return box.text, box.op, box.filters, int(box.se), skips, divided(size, box.stride)


def _fit_breakdown(run: Run, complete: Sequence[Result]) -> Breakdown | None:
    """Fit the run's measured latencies as sums over the parts of its networks."""
    measured = [
        (evaluation.architecture, evaluation.measured.latency_ms)
        for evaluation in (result.evaluation for result in complete)
        if evaluation.measured is not None
    ]
    if run.shape is None:
        return None
    return fit_breakdown([network for network, _ in measured], [latency for _, latency in measured], run.shape)


def _references(run: Run, results: list[Result]) -> list[dict[str, Any]]:
    rows = []
    for reference in find_references(run, results):
        loss, cost = reference.losses
        x, y = run.definition.plot_point((0.0 if loss is None else loss, cost))
        rows.append(
            {
                "name": reference.name,
                "architecture": reference.notation,
                "x": _round(x),
                "y": None if loss is None else _round(y),
                "interval": None if reference.interval is None else [_round(end) for end in reference.interval],
                **{name: reference.quantities.get(name) for name in ("params", "macs")},
            }
        )
    return rows


def _baselines(run: Run) -> list[dict[str, Any]]:
    """Return the pretrained baselines, the fastest first; those on their own front are marked."""
    rows = []
    for one in baseline_results(run) if run.definition.trains else ():
        point = one.result.point(run.definition)
        rows.append(
            {
                "name": one.baseline.label,
                "x": _round(point["x"]),
                "y": _round(point["y"]),
                "error": _percent(one.result.evaluation.score_error),
                "interval": [_round(end) for end in point["interval"]],
                "test": _test_values(run, one.result)[0],
                "front": one.result.on_front,
            }
        )
    return rows


def _targets(run: Run) -> list[float]:
    """Return the costs that the algorithm aims at; none where a plug-in has targets of another kind."""
    targets = run.options.get("target_ms", [])
    numbers = targets if isinstance(targets, list) else [targets]
    return [float(number) for number in numbers if isinstance(number, int | float)]
