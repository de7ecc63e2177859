"""What the report's script draws and lets one pick from: the run's networks as columns, and what they are made of.

Ten thousand networks share a few thousand blocks. So each distinct part, a stem, block or head behind its input, is
written once with all that is shown of it, and a network is the list of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_parts
from evomnas.problem.pareto import knees
from evomnas.report.figures import OP_COLOURS, SE_COLOUR, Box, boxes
from evomnas.report.latency_breakdown import Breakdown, break_down
from evomnas.report.references import references
from evomnas.report.reproduce import network_commands
from evomnas.results.run import Result, Run

SKIP_LETTERS = {"none": "-", "identity": "i", "pool": "p"}


def page_data(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    """All that the page's script needs, JSON-ready."""
    done = [result for result in results if result.evaluation.losses is not None]
    quality, cost = run.definition.axes
    true_front = run.manifest.true_front
    true = [] if true_front is None else sorted(true_front.losses, key=lambda losses: losses[1])
    found = _break_down(run, done)
    return {
        "run": run.record.id,
        "quality": quality,
        "cost": cost,
        "percent": quality.endswith("(%)"),
        "validation": run.manifest.data.get("validation"),
        "networks": _columns(run, done),
        "parts": _parts(run, done, found),
        "knees": _knees(done),
        "references": _references(run, list(results)),
        "reference": run.reference_id,
        "referenceName": run.definition.words.reference,
        "limits": run.definition.constraints.model_dump(exclude_none=True),
        "targets": _targets(run),
        "trueFront": [run.definition.plot_point(losses) for losses in true],
        "breakdown": None if found is None else {"networks": found.networks, "error": round(found.error, 4)},
        "colours": {name: list(one) for name, one in OP_COLOURS.items()} | {"se": [SE_COLOUR, 0.3]},
        "image": run.shape,
        "commands": network_commands(run),
    }


def _columns(run: Run, done: Sequence[Result]) -> dict[str, list[Any]]:
    """Networks with losses, one list per quantity, in the order in which they were asked for."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("id", "x", "y", "low", "high", "params", "macs", "generation", "front")
    }
    for result in done:
        point, quantities = result.point(run.definition), result.evaluation.quantities
        values = (
            result.evaluation.architecture.id,
            *(_short(one) for one in (point["x"], point["y"], *point["interval"])),
            *(quantities.get(name) for name in ("params", "macs")),
            result.generation,
            int(result.on_front),
        )
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return columns | _made_of(run, done)


def _made_of(run: Run, done: Sequence[Result]) -> dict[str, list[Any]]:
    if run.shape is None:
        return {"name": [str(result.evaluation.architecture) for result in done]}
    places: dict[tuple[str, int, int], int] = {}
    networks = [_keys(result.evaluation.architecture, run.shape) for result in done]
    return {"parts": [[places.setdefault(key, len(places)) for key in keys] for keys in networks]}


def _short(value: float) -> float:
    return float(f"{value:.6g}") if abs(value) < 100_000 else round(value)


def _keys(architecture: Architecture, shape: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """What each part of a network depends on: its notation, and the channels and pixels behind which it stands."""
    notations = str(architecture).split("-")
    side, channels = shape["resolution"], shape["channels"]
    strides = [architecture.stem_stride, *(block.stride for block in architecture.blocks), 1]
    filters = [architecture.stem, *(block.filters for block in architecture.blocks), architecture.head]
    keys = []
    for notation, stride, width in zip(notations, strides, filters, strict=True):
        keys.append((notation, channels, side))
        side, channels = -(-side // stride), width
    return keys


def _parts(run: Run, done: Sequence[Result], found: Breakdown | None) -> list[list[Any]]:
    """Each distinct part once, in the order of its place in `_made_of`."""
    if run.shape is None:
        return []
    parts: dict[tuple[str, int, int], list[Any]] = {}
    for architecture in (result.evaluation.architecture for result in done):
        keys = _keys(architecture, run.shape)
        if all(key in parts for key in keys):
            continue
        counts = count_parts(architecture, **run.shape)
        ms = [None] * len(keys) if found is None else map(_short, found.parts_ms(architecture, counts))
        for key, box, one, estimate in zip(keys, boxes(architecture), counts, ms, strict=True):
            parts.setdefault(key, [key[0], *_drawn(box, key[2]), one.params, one.macs, estimate])
    return list(parts.values())


def _drawn(box: Box, side: int) -> tuple[str, str, int, int, str, int]:
    """What the drawing of a part needs: text, operation, filters, SE or not, its layers' skips, pixels it hands on."""
    skips = "".join(SKIP_LETTERS[skip] for skip in box.skips)
    return box.text, box.op, box.filters, int(box.se), skips, -(-side // box.stride)


def _break_down(run: Run, done: Sequence[Result]) -> Breakdown | None:
    """How the run's measured latencies are made up."""
    measured = [
        (evaluation.architecture, evaluation.measured.latency_ms)
        for evaluation in (result.evaluation for result in done)
        if evaluation.measured is not None
    ]
    if run.shape is None:
        return None
    return break_down([network for network, _ in measured], [latency for _, latency in measured], run.shape)


def _knees(done: Sequence[Result]) -> list[int]:
    """The front's knees as places in the columns, the most marked one first."""
    front = [place for place, one in enumerate(done) if one.on_front]
    losses = [one.evaluation.losses for one in done if one.on_front and one.evaluation.losses is not None]
    return [front[knee] for knee in knees(losses)]


def _references(run: Run, results: list[Result]) -> list[dict[str, Any]]:
    shown = []
    for one in references(run, results):
        loss, cost = one.losses
        x, y = run.definition.plot_point((0.0 if loss is None else loss, cost))
        shown.append(
            {
                "name": one.name,
                "architecture": one.notation,
                "x": _short(x),
                "y": None if loss is None else _short(y),
                "interval": None if one.interval is None else [_short(end) for end in one.interval],
                **{name: one.quantities.get(name) for name in ("params", "macs")},
            }
        )
    return shown


def _targets(run: Run) -> list[float]:
    """Costs that the algorithm was told to aim at."""
    target = run.options.get("target_ms", [])
    return [float(one) for one in (target if isinstance(target, list) else [target])]
