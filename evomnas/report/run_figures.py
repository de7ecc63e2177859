"""Still figures of a run, for its report and for papers. They stay readable in grey and for the colour-blind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from evomnas.core.showing.style import ACCENT, GRID, INK, MUTED, STYLE
from evomnas.report.figures import architecture_figure, save_figure
from evomnas.report.gene_preferences import Preferences, count_preferences
from evomnas.report.history import History, read_history
from evomnas.report.run_words import chance_levels
from evomnas.results.full_trainings import baseline_results
from evomnas.results.run import Result, Run
from evomnas.results.showing.front_figure import MAX_VECTOR_POINTS, front_figure

MAX_MARKED_GENERATIONS = 60  # more marks than that hide the curve
DASHES = ("-", "--", ":", "-.")
WIDE_SIZE, SMALL_SIZE = (6.4, 3.6), (4.2, 2.5)  # width and height in inches
PLACE = (0.19, 0.175, 0.76, 0.74)  # of a curve in its figure: finding it by the sizes of all texts costs as much again


def pareto_figure(run: Run, results: Sequence[Result]) -> Figure:
    """Draw quality against cost: all evaluated networks, the Pareto front, and the pretrained baselines.

    Args:
        run: The run.
        results: Its results.

    Returns:
        The figure.
    """
    baselines = [one.result for one in baseline_results(run)] if run.definition.trains else []
    points = [one.point(run.definition) for one in baselines]
    return front_figure(run.definition, run.points(results), run.reference_cost(), points)


def counting_figure(results: Sequence[Result]) -> Figure | None:
    """Draw measured latency against MACs.

    Args:
        results: The results of a run.

    Returns:
        The figure; None where latency and MACs are known of fewer than two networks.
    """
    complete = [(result, result.evaluation.quantities) for result in results if result.evaluation.losses is not None]
    networks = [
        (quantities["macs"] / 1e6, quantities["latency_ms"], result.on_front)
        for result, quantities in complete
        if {"macs", "latency_ms"} <= quantities.keys()
    ]
    if len(networks) < 2:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SMALL_SIZE, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        muted: dict[str, Any] = {"color": MUTED, "mfc": "none", "ms": 4, "label": "evaluated"}
        marked: dict[str, Any] = {"color": ACCENT, "ms": 5, "label": "Pareto front"}
        for is_front, style in ((False, muted), (True, marked)):
            points = [(millions, latency) for millions, latency, on_front in networks if on_front is is_front]
            xs, ys = [x for x, _ in points], [y for _, y in points]
            axes.plot(xs, ys, "o", ls="none", rasterized=len(xs) > MAX_VECTOR_POINTS, **style)
        axes.set(xlabel="MACs (millions)", ylabel="latency (ms)")
        axes.legend(frameon=False, loc="upper left")
        return figure


def hypervolume_figure(history: History) -> Figure:
    """Draw the hypervolume after each evaluation, in the order in which the algorithm asked.

    Args:
        history: The history of a run.

    Returns:
        The figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SMALL_SIZE)
        axes = figure.add_axes(PLACE)
        curve, ends = history.curve, history.generation_ends
        marker = "o" if len(curve) == 1 else ""  # a step of one evaluation has no length
        axes.step(range(1, len(curve) + 1), curve, where="post", color=ACCENT, lw=1.4, marker=marker)
        axes.grid(visible=False, axis="x")
        has_marks = len(ends) <= MAX_MARKED_GENERATIONS
        for end in ends[:-1] if has_marks else ():
            axes.axvline(end + 0.5, color=GRID, lw=0.8)
        marks = " (vertical lines: generations)" if has_marks and len(ends) > 1 else ""
        _label_hypervolume(axes, f"networks evaluated{marks}")
        return figure


def hypervolume_over_time_figure(history: History) -> Figure | None:
    """Draw the hypervolume at the end of each generation against the run's wall clock.

    Args:
        history: The history of a run.

    Returns:
        The figure; None where the times of fewer than two generations are known.
    """
    seconds, values = history.over_time()
    if len(seconds) < 2:
        return None
    scale, unit = next((s, u) for s, u in ((3600, "h"), (60, "min"), (1, "s")) if seconds[-1] >= 2 * s or s == 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SMALL_SIZE)
        axes = figure.add_axes(PLACE)
        marker = "o" if len(seconds) <= MAX_MARKED_GENERATIONS else ""
        axes.step(np.append(0, seconds) / scale, np.append(0, values), where="post", color=ACCENT, lw=1.4)
        axes.plot(seconds / scale, values, marker=marker, color=ACCENT, ms=4, ls="none")
        _label_hypervolume(axes, f"time ({unit}; dots: ends of generations)" if marker else f"time ({unit})")
        axes.set_xlim(0, None)
        return figure


def _label_hypervolume(axes: Axes, label: str) -> None:
    axes.set(xlabel=label, ylabel="hypervolume", ylim=(0, None))
    axes.locator_params(nbins=5)  # most of the time of a small figure is spent on its ticks


def metric_figure(
    name: str, lines: dict[str, list[tuple[int, float]]], chance: Sequence[tuple[int, float]] = ()
) -> Figure:
    """Draw a figure of the algorithm's own by generation.

    Args:
        name: Its name, which labels the axis.
        lines: Pairs of a generation's number and a value, by the name of the line. See `History.metric_series`.
        chance: Pairs of a generation's number and the value up to which a line may be chance; none where that is not
            known.

    Returns:
        The figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SMALL_SIZE)
        axes = figure.add_axes(PLACE)
        if chance:
            edges = [number + side for number, _ in chance for side in (-0.5, 0.5)]
            axes.fill_between(
                edges,
                [level for _, level in chance for _ in range(2)],
                color=MUTED,
                alpha=0.25,
                lw=0,
                label="may be chance",
            )
        for number, (line, points) in enumerate(lines.items()):
            xs, ys = [x for x, _ in points], [y for _, y in points]
            marker = "o" if len(xs) <= MAX_MARKED_GENERATIONS else ""
            axes.plot(
                xs, ys, marker=marker, ms=3.5, color=(ACCENT, INK, MUTED)[number % 3], ls=DASHES[number % 4], label=line
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="generation", ylabel=name)
        if any(lines):  # the name of the only line may be empty: then the axis says all
            axes.legend(frameon=False)
        return figure


def preferences_figure(preferences: Preferences) -> Figure:
    """Draw how often each value of each gene was evaluated, and how often it is on the front, as two heat maps.

    Args:
        preferences: The shares.

    Returns:
        The figure.
    """
    rows, columns = preferences.front.shape
    with matplotlib.rc_context(STYLE | {"axes.grid": False, "font.size": 8.0}):
        genes = [gene for gene, _ in preferences.rows]
        has_several = len(set(genes)) > 1
        names = [f"{gene}  {value}" if has_several and (not row or genes[row - 1] != gene) else value
                 for row, (gene, value) in enumerate(preferences.rows)]  # fmt: skip
        width = 2 * 0.46 * columns + 0.9 + 0.08 * max(map(len, names))
        figure = Figure(figsize=(width, 0.235 * rows + 0.75), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_heat_map(left, preferences.everywhere, "all evaluated", preferences)
        _draw_heat_map(right, preferences.front, "Pareto front", preferences)
        left.set_yticks(range(rows), names)
        left.tick_params(axis="y", length=0)
        right.tick_params(axis="y", length=0)
        return figure


def _draw_heat_map(axes: Axes, shares: NDArray[np.float64], title: str, preferences: Preferences) -> None:
    """Draw cells that are the darker, the larger their share is.

    The cells are transparent, so that their text stays legible on light and on dark pages.
    """
    rows, columns = shares.shape
    cells = []
    for row in range(rows):
        for column in range(columns):
            share = shares[row, column]
            if np.isfinite(share):
                colour = to_rgba(ACCENT, 0.04 + 0.6 * float(share))
                cells.append(Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, lw=0, fc=colour))
                text = axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", size=7)
                text.set_in_layout(False)  # it lies within its cell, and finding its size takes time
    axes.add_collection(PatchCollection(cells, match_original=True), autolim=False)
    for row in range(1, rows):
        if preferences.rows[row][0] != preferences.rows[row - 1][0]:
            axes.axhline(row - 0.5, color=MUTED, lw=0.6)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_xticks(range(columns), preferences.numbers)
    axes.tick_params(axis="x", length=0)
    axes.set_title(f"{title} (%)", loc="left", fontsize=8.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def run_figures(run: Run, results: Sequence[Result]) -> Iterator[tuple[str, Figure]]:
    """Draw all figures of a run for a paper.

    Args:
        run: The run.
        results: Its results.

    Yields:
        A name for the file, and the figure. On problems whose networks are built, the last figures are drawings of the
        networks of the front.
    """
    history, preferences = read_history(run, results), count_preferences(run, results)
    yield "pareto", pareto_figure(run, results)
    yield "hypervolume", hypervolume_figure(history)
    optional = {
        "hypervolume-over-time": hypervolume_over_time_figure(history),
        "latency-against-macs": counting_figure(results),
        "preferences": None if preferences is None else preferences_figure(preferences),
    }
    yield from ((name, figure) for name, figure in optional.items() if figure is not None)
    for name, lines in history.metric_series().items():
        yield name.replace(" ", "-"), metric_figure(name, lines, chance_levels(history, name))
    if run.shape is not None:
        detects = run.definition.detects
        for architecture in (result.evaluation.architecture for result in run.front(list(results))):
            yield f"network-{architecture.id}", architecture_figure(architecture, **run.shape, detects=detects)


def write_figures(run: Run, folder: Path, extension: str) -> list[Path]:
    """Write all figures of a run into a folder.

    Args:
        run: The run.
        folder: The folder. It is made where there is none.
        extension: `pdf`, `svg` or `png`.

    Returns:
        The paths of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in run_figures(run, run.results()):
        paths.append(folder / f"{name}.{extension}")
        save_figure(figure, paths[-1], outlines=True)
    return paths
