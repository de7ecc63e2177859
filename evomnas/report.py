"""The HTML report of a run: one file that opens without a network, written from the archive."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from evomnas.figures import architecture_figure, hypervolume_figure, pareto_figure, to_svg
from evomnas.runs import Result, Run, write_atomically

NAME = "report.html"


def write_report(run: Run) -> Path:
    """Write `report.html` into the run's folder, in one step; returns its path."""
    environment = Environment(loader=PackageLoader("evomnas.reports", "."), autoescape=True)
    path = run.folder / NAME
    write_atomically(path, environment.get_template("report.html").render(_content(run)))
    return path


def _content(run: Run) -> dict[str, Any]:
    results = run.results()
    rows = [result.to_dict() | {"generation": result.generation} for result in results]
    chosen = run.front(results)
    front = [result.to_dict() for result in chosen]
    drawings = [to_svg(architecture_figure(result.evaluation.architecture, **run.shape)) for result in chosen]
    failed = [_failure(result) for result in results if result.evaluation.failure is not None]
    return {
        "run": run,
        "manifest": run.manifest,
        "headline": headline(run, rows, front),
        "rows": rows,
        "front": front,
        "failed": failed,
        "reference_latency_ms": run.reference_latency_ms(),
        "reference_id": run.definition.space.mobilenet_v2().id,
        "settings": _flat(run.definition.model_dump(mode="json")),
        "device": run.archive.context(run.record.device),
        "drawings": [Markup(drawing) for drawing in drawings],
        "pareto_svg": Markup(to_svg(pareto_figure(run, results))),
        "hypervolume_svg": Markup(to_svg(hypervolume_figure(run, results))),
        "style": Markup(_resource("style.css")),
        "script": Markup(_resource("report.js")),
        "plotly": Markup(resources.files("plotly").joinpath("package_data/plotly.min.js").read_text("utf-8")),
    }


def headline(run: Run, rows: list[dict[str, Any]], front: list[dict[str, Any]]) -> str:
    """The result in one sentence."""
    seconds = run.manifest["seconds"]["total"]
    evaluated = sum(row["status"] != "stopped" for row in rows)
    work = f"{evaluated} networks in {duration(seconds)}"
    if not front:
        return f"No network on the front yet: {work}."
    fastest, best = front[0], front[-1]
    text = (
        f"{len(front)} networks on the Pareto front; the fastest takes {fastest['latency_ms']:.3g} ms at "
        f"{fastest['accuracy']:.1%} accuracy, the most accurate {best['latency_ms']:.3g} ms at {best['accuracy']:.1%}; "
    )
    reference = next((row for row in rows if row["id"] == run.definition.space.mobilenet_v2().id), None)
    if reference is not None and reference["status"] == "ok":
        rivals = [row for row in front if row["accuracy"] >= reference["accuracy"]]
        if rivals and rivals[0]["id"] != reference["id"]:
            factor = reference["latency_ms"] / rivals[0]["latency_ms"]
            if factor >= 1.05:
                accuracy = f"{reference['accuracy']:.1%}"
                text += f"{factor:.1f}x faster than MobileNetV2 at its accuracy of {accuracy} or better; "
    return f"{text}hypervolume {run.manifest['hypervolume']:.3f}; {work}."


def duration(seconds: float) -> str:
    """Seconds as people say them: `48 s`, `2 min 40 s`, `3 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _failure(result: Result) -> dict[str, Any]:
    failure = result.evaluation.failure
    assert failure is not None
    architecture = result.evaluation.architecture
    return {"id": architecture.id, "architecture": str(architecture), "kind": failure.kind, "message": failure.message}


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return pairs


def _resource(name: str) -> str:
    return resources.files("evomnas.reports").joinpath(name).read_text("utf-8")
