"""The HTML report of a run: one file that opens without a network, written from the archive."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from evomnas.architecture import Architecture
from evomnas.definition import TableDefinition
from evomnas.figures import architecture_figure, hypervolume_figure, pareto_figure, to_svg
from evomnas.presentation import amount, failures, generation_table, goal_lines, headline, result_table, said
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
    front = run.front(results)
    header, cells = result_table(run, front)
    reference, (quality, cost) = run.reference_cost(), run.definition.axes
    tabular = isinstance(run.definition, TableDefinition)
    architectures = [result.evaluation.architecture for result in front]
    built = [one for one in architectures if isinstance(one, Architecture)]  # a table's cannot be drawn
    drawings = [to_svg(architecture_figure(one, **run.shape)) for one in built]
    return {
        "run": run,
        "manifest": run.manifest,
        "tabular": tabular,
        "title": f"{quality[:1].upper()}{quality[1:]} against {cost}"
        if tabular
        else "Accuracy against measured latency",
        "headline": headline(run, results),
        "goals": goal_lines(run),
        "generations": generation_table(run),
        "header": header,
        "cells": list(zip(cells, map(str, architectures), strict=True)),
        "front": [result.to_dict() | {"said": said(run, result.evaluation.losses or ())} for result in front],
        "failed": failures(results),
        "reference_cost": "" if reference is None else amount(reference),
        "settings": _flat(run.definition.model_dump(mode="json")),
        "device": run.archive.context(run.record.device),
        "drawings": [Markup(drawing) for drawing in drawings],
        "pareto_svg": Markup(to_svg(pareto_figure(run, results))),
        "hypervolume_svg": Markup(to_svg(hypervolume_figure(run, results))),
        "plotted": _plotted(run, results),
        "style": Markup(resource("style.css")),
        "script": Markup(resource("report.js")),
        "plotly": Markup(resources.files("plotly").joinpath("package_data/plotly.min.js").read_text("utf-8")),
    }


def _plotted(run: Run, results: list[Result]) -> dict[str, Any]:
    """What the page's script draws."""
    done = [result for result in results if result.evaluation.losses is not None]
    true = sorted(run.manifest.get("true_front", {}).get("losses", []), key=lambda losses: float(losses[1]))
    return {
        "rows": [one.to_dict() | one.point(run.definition) | {"generation": one.generation} for one in done],
        "reference": run.reference_cost(),
        "referenceId": run.reference_id,
        "referenceName": run.definition.reference_name,
        "axes": run.definition.axes,
        "trueFront": [run.definition.shown(losses) for losses in true],
    }


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return pairs


def resource(name: str) -> str:
    """A text file of evomnas.reports."""
    return resources.files("evomnas.reports").joinpath(name).read_text("utf-8")
