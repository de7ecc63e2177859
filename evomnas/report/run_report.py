"""The HTML report of a run: one file that needs no network, written from the archive."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evomnas.core.arguments import checked
from evomnas.core.resolution import describe_resolution, format_resolution, normalised
from evomnas.data.photographs import describe_fit
from evomnas.report import run_words
from evomnas.report.findings.found_boxes import found_boxes
from evomnas.report.gene_preferences import Preferences, count_preferences
from evomnas.report.history import read_history, read_trend
from evomnas.report.page_data import page_data
from evomnas.report.pages import figure_markup, write_page
from evomnas.report.reproduce import problem_file, resume_command, run_command, train_command
from evomnas.report.run_figures import hypervolume_figure, hypervolume_over_time_figure, metric_figure, pareto_figure
from evomnas.report.shipping.network_files import network_files
from evomnas.report.words import cut_line, failure_rows, goal_lines, headline, lessons_line, result_table, reuse_line
from evomnas.results.certainty.judged import judge
from evomnas.results.run import Result, Run

REPORT_NAME = "report.html"
MAX_TIME_SHARE = 0.005  # the share of a search's time that its reports on the way may take
FIRST_REPORT_S = 20.0  # seconds of a search after which the first report is written, however long that takes


@checked
def write_report(
    run: Run, results: list[Result] | None = None, *, templates: Path | None = None, running: bool = False
) -> Path:
    """Write `report.html` into the folder of a run, in one step, so that no reader sees half of it.

    Args:
        run: The run.
        results: Its results. None where they are not at hand; then they are read from the archive.
        templates: A folder whose templates replace evomnas's own; see reports/README.md. None for evomnas's own.
        running: The search goes on. An open page then loads the next one by itself.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder has no template, or one of its templates is wrong.
    """
    content = _content(run, run.results() if results is None else results, running)
    return write_page(run.folder / REPORT_NAME, "report.html", content, templates)


class LiveReport:
    """A callback that keeps the report of a search up to date.

    It is called after every generation. The first report is written after `FIRST_REPORT_S`. Later reports may take
    `MAX_TIME_SHARE` of the search's time. So most generations have no report where generations take milliseconds, as on
    tables, or where a report takes a second, as with ten thousand networks. The last generation has none either, since
    the search writes a report when it ends.
    """

    def __init__(self) -> None:
        self._spent_s = self._longest_s = 0.0

    def __call__(self, run: Run) -> None:
        """Write the report of a search that goes on, if it is time for one.

        Args:
            run: The run of the search.
        """
        search_s, is_last = run.manifest.seconds.total, run.manifest.evaluations >= run.manifest.budget
        is_too_soon = self._spent_s > 0 and self._spent_s + self._longest_s > MAX_TIME_SHARE * search_s
        if is_last or search_s < FIRST_REPORT_S or is_too_soon:
            return
        started = time.perf_counter()
        write_report(run, running=True)
        report_s = time.perf_counter() - started
        self._spent_s, self._longest_s = self._spent_s + report_s, max(self._longest_s, report_s)


def _content(run: Run, results: list[Result], running: bool) -> dict[str, Any]:
    """Return the variables of the template. Users' templates may use any of them, so that their names must stay."""
    results = judge(run, results)
    front = run.front(results)
    header, cells = result_table(run, front)
    return {
        "run": run,
        "manifest": run.manifest,
        "tabular": run.shape is None,
        "running": running,
        "written": round(time.time()),
        "written_at": time.strftime("%H:%M"),
        "headline": headline(run, results),
        "trend": read_trend(results, run.definition.reference_point).describe(),
        "figure_notes": run_words.figure_notes(run, results),
        "train": train_command(run, results) if front and run.definition.trains else None,
        "resume": resume_command(run),
        "goals": goal_lines(run),
        "header": header[:-1],
        "cells": [row[:-1] for row in cells],
        "drawn": run.shape is not None and bool(front),
        "pareto": None if running else figure_markup(pareto_figure(run, results)),  # for browsers without scripts
        "counting": run_words.describe_counting(results),
        "finished": run_words.full_training_table(run),
        "files": network_files(run),
        "found_boxes": found_boxes(run, results),
        "baselines": run_words.baseline_table(run),
        "data": page_data(run, results),
        **_preference_content(run, results),
        **_history_content(run, results),
        **_settings_content(run, results),
    }


def _preference_content(run: Run, results: list[Result]) -> dict[str, Any]:
    preferences = count_preferences(run, results)
    if preferences is None:
        return {"preferences": None}
    return {"preferences": preferences, "preferred": _describe_preferences(preferences, len(run.front(results)))}


def _describe_preferences(preferences: Preferences, networks: int) -> str:
    """Return a sentence about the strongest preferences of a front of so many networks."""
    parts = [
        f"{gene} {value} in {column} ({front:.0%} of the front, {everywhere:.0%} of all)"
        for column, gene, value, front, everywhere in preferences.strongest()
    ]
    front_networks = f"the {networks} networks" if networks > 1 else "the one network"
    return f"Most preferred by {front_networks} of the front: {'; '.join(parts)}." if parts else ""


def _history_content(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    history = read_history(run, results)
    series, explanations = history.metric_series(), run.manifest.explanations or {}
    over_time = hypervolume_over_time_figure(history)
    sentences = [*run_words.describe_search(run, history), cut_line(run, results), reuse_line(run)]
    sentences.append(lessons_line(run))
    return {
        "search": [sentence for sentence in sentences if sentence],
        "over_evaluations": figure_markup(hypervolume_figure(history)),
        "over_time": None if over_time is None else figure_markup(over_time),
        "metrics": [
            (name, figure_markup(metric_figure(name, lines, run_words.chance_levels(history, name))))
            for name, lines in series.items()
        ],
        "explained": [(name, explanations[name]) for name in series if name in explanations],
        "predictors": run_words.describe_predictors(history),
        "hypervolume_note": run_words.hypervolume_note(run.definition),
        "generations": run_words.generation_table(run, history),
        "cut": run_words.cut_training_table(run, results),
        "failed": failure_rows(results),
    }


def _source(run: Run) -> dict[str, Any]:
    """Return what is known of the images or the table, as text by name."""
    known: dict[str, Any] = {**run.definition.origin, **run.manifest.data}
    known.pop("found", None)  # which has a section of its own
    data = run.image_data
    sizes = {} if data is None else {"largest": data.largest, "smallest": data.smallest, "majority": data.majority}
    words = {name: f"{size.name} ({size.images:,} images)" for name, size in sizes.items() if size is not None}
    if "resolution" in known:
        words["resolution"] = describe_resolution(normalised(known["resolution"]))
    if data is not None and data.fit is not None:
        words["fit"] = describe_fit(data.fit, run.trained_problem().data.resolution)
    names = {"largest": "largest class", "smallest": "smallest class", "majority": "most often validated class"}
    return {names.get(name, name): words.get(name, run_words.format_setting(value)) for name, value in known.items()}


def _format_device(name: str, value: Any) -> str:
    return format_resolution(normalised(value)) if name == "resolution" else run_words.format_setting(value)


def _settings_content(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    device = run.archive.context(run.record.measurement_context)
    hidden = ("processor", "host", "classes", "reference")
    return {
        "settings": run_words.search_settings(run),
        "source": _source(run),
        "found": None if run.image_data is None else run.image_data.found,
        "device": [(name, _format_device(name, value)) for name, value in device.items() if name not in hidden],
        "noise": run_words.describe_noise(run, results),
        "again": run_command(run),
        "problem_file": problem_file(run),
    }
