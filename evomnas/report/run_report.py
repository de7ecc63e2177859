"""The HTML report of a run: one file that opens without a network, written from the archive."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evomnas.problem.architecture import Architecture
from evomnas.report import run_words as facts
from evomnas.report.gene_preferences import Preferences, preferences
from evomnas.report.history import history
from evomnas.report.page_data import page_data
from evomnas.report.pages import svg, write_page
from evomnas.report.reproduce import problem_file, run_command
from evomnas.report.run_figures import hypervolume_figure, hypervolume_over_time_figure, metric_figure, pareto_figure
from evomnas.report.words import cut_line, failures, goal_lines, headline, result_table, reuse_line
from evomnas.results.run import Result, Run

NAME = "report.html"
SHARE = 0.005  # of a search's time that reports on the way may take
FIRST_S = 20.0  # of a search, after which there is one, whatever it takes


def write_report(
    run: Run, results: list[Result] | None = None, *, templates: Path | None = None, running: bool = False
) -> Path:
    """Write `report.html` into the run's folder, in one step; returns its path.

    Args:
        run: The run.
        results: Its results, if they are at hand.
        templates: A folder whose templates take the place of evomnas's own; see reports/README.md.
        running: The search goes on: a page that is open loads the next one by itself.
    """
    content = _content(run, run.results() if results is None else results, running)
    return write_page(run.folder / NAME, "report.html", content, templates)


class LiveReport:
    """Called after every generation of a search, it keeps the report up to date.

    After the first one, reports on the way may take `SHARE` of the search's time: where generations take
    milliseconds, as on tables, or reports a second, as with ten thousand networks, most generations have none. The
    last one has none either, since the search's own report follows.
    """

    def __init__(self) -> None:
        self._spent = self._longest = 0.0

    def __call__(self, run: Run) -> None:
        total, ends = run.manifest.seconds.total, run.manifest.evaluations >= run.manifest.budget
        if ends or total < FIRST_S or (self._spent and self._spent + self._longest > SHARE * total):
            return
        started = time.perf_counter()
        write_report(run, running=True)
        took = time.perf_counter() - started
        self._spent, self._longest = self._spent + took, max(self._longest, took)


def _content(run: Run, results: list[Result], running: bool) -> dict[str, Any]:
    front = run.front(results)
    header, cells = result_table(run, front)
    architectures = [result.evaluation.architecture for result in front]
    return {
        "run": run,
        "manifest": run.manifest,
        "tabular": run.shape is None,
        "running": running,
        "written": round(time.time()),
        "written_at": time.strftime("%H:%M"),
        "headline": headline(run, results),
        "goals": goal_lines(run),
        "header": header[:-1],
        "cells": [row[:-1] for row in cells],
        "drawn": any(isinstance(one, Architecture) for one in architectures),
        "pareto": None if running else svg(pareto_figure(run, results)),  # for those who run no scripts
        "counting": facts.counting_says(results),
        "finished": facts.finished_rows(run),
        "data": page_data(run, results),
        "plotly": Markup(resources.files("plotly").joinpath("package_data/plotly.min.js").read_text("utf-8")),
        **_why(run, results),
        **_how_it_went(run, results),
        **_trust(run, results),
    }


def _why(run: Run, results: list[Result]) -> dict[str, Any]:
    found = preferences(run, results)
    if found is None:
        return {"preferences": None}
    return {"preferences": found, "preferred": _preferred(found, len(run.front(results)))}


def _preferred(found: Preferences, networks: int) -> str:
    """What a front of so many networks prefers most, in a sentence."""
    parts = [
        f"{gene} {value} in {column} ({front:.0%} of the front, {everywhere:.0%} of all)"
        for column, gene, value, front, everywhere in found.strongest()
    ]
    who = f"the {networks} networks" if networks > 1 else "the one network"
    return f"Most preferred by {who} of the front: {'; '.join(parts)}." if parts else ""


def _how_it_went(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    past = history(run, results)
    series, explanations = past.series(), run.manifest.explanations or {}
    over_time = hypervolume_over_time_figure(past)
    return {
        "search": list(filter(None, (*facts.search_says(run, past), cut_line(run, results), reuse_line(run)))),
        "over_evaluations": svg(hypervolume_figure(past)),
        "over_time": None if over_time is None else svg(over_time),
        "metrics": [(name, svg(metric_figure(name, lines))) for name, lines in series.items()],
        "explained": [(name, explanations[name]) for name in series if name in explanations],
        "generations": facts.generation_rows(run, past),
        "cut": facts.cut_rows(run, results),
        "failed": failures(results),
    }


def _trust(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    device = run.archive.context(run.record.measurement_context)
    hidden = ("processor", "host", "classes", "reference")
    return {
        "settings": facts.search_settings(run),
        "source": run.definition.origin | run.manifest.data,
        "device": [(name, facts.plain(value)) for name, value in device.items() if name not in hidden],
        "noise": facts.noise(run, results),
        "again": run_command(run),
        "problem_file": problem_file(run),
    }
