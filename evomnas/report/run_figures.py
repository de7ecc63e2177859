"""Still figures of a run, for its report and for papers; they stay readable in grey and for the colour-blind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from evomnas.report.figures import ACCENT, GRID, INK, MUTED, STYLE, architecture_figure, save
from evomnas.report.gene_preferences import Preferences, preferences
from evomnas.report.history import History, history
from evomnas.results.run import Result, Run

MANY = 2000  # points, from which on they are drawn as pixels and generations are not marked
MOST_MARKS = 60  # of generations
DASHES = ("-", "--", ":", "-.")
WIDE, HALF = (6.4, 3.6), (4.9, 2.7)


def pareto_figure(run: Run, results: Sequence[Result]) -> Figure:
    """The two objectives: every evaluated network with its latency interval, and the Pareto front."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=WIDE, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        points = [result.point(run.definition) for result in results if result.evaluation.losses is not None]
        others = [one for one in points if not one["on_front"]]
        front = sorted((one for one in points if one["on_front"]), key=lambda one: float(one["x"]))
        xs, ys = [one["x"] for one in others], [one["y"] for one in others]
        axes.plot(xs, ys, "o", color=MUTED, ms=4, mfc="none", label="evaluated", ls="none", rasterized=len(xs) > MANY)
        if front:
            xs, ys = [one["x"] for one in front], [one["y"] for one in front]
            low, high = ([abs(one["x"] - one["interval"][end]) for one in front] for end in (0, 1))
            axes.errorbar(xs, ys, xerr=[low, high], fmt="o", color=ACCENT, ms=5, elinewidth=1.2, label="Pareto front")
            axes.step(xs, ys, where="post", color=ACCENT, lw=1.2)
        reference = run.reference_cost()
        if reference is not None:
            axes.axvline(reference, color=INK, lw=0.8, ls="--", label=f"as {run.definition.words.reference}")
        quality, cost = run.definition.axes
        axes.set(xlabel=cost, ylabel=quality)
        axes.legend(frameon=False, loc="lower right")
        return figure


def counting_figure(results: Sequence[Result]) -> Figure | None:
    """Measured latency against MACs: what counting operations would have said; None where one of them is not known."""
    known = [(one, one.evaluation.quantities) for one in results if one.evaluation.losses is not None]
    pairs = [(q["macs"], q["latency_ms"], one.on_front) for one, q in known if {"macs", "latency_ms"} <= q.keys()]
    if len(pairs) < 2:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=HALF, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        for wanted, style in ((False, {"color": MUTED, "mfc": "none", "ms": 4}), (True, {"color": ACCENT, "ms": 5})):
            chosen = [(macs / 1e6, latency) for macs, latency, on_front in pairs if on_front is wanted]
            xs, ys = [x for x, _ in chosen], [y for _, y in chosen]
            name = "Pareto front" if wanted else "evaluated"
            axes.plot(xs, ys, "o", ls="none", label=name, rasterized=len(xs) > MANY, **style)  # type: ignore[arg-type]
        axes.set(xlabel="MACs (millions)", ylabel="latency (ms)")
        axes.legend(frameon=False, loc="upper left")
        return figure


def hypervolume_figure(past: History) -> Figure:
    """Hypervolume after each evaluation, in the order in which the algorithm asked."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.add_subplot()
        alone = "o" if len(past.curve) == 1 else ""  # a step of one evaluation has no length
        axes.step(range(1, len(past.curve) + 1), past.curve, where="post", color=ACCENT, lw=1.4, marker=alone)
        axes.grid(visible=False, axis="x")
        marked = len(past.generations) <= MOST_MARKS
        for end in past.ends[:-1] if marked else ():
            axes.axvline(end + 0.5, color=GRID, lw=0.8)
        marks = " (vertical lines: generations)" if marked and len(past.ends) > 1 else ""
        _hypervolume(axes, f"networks evaluated{marks}")
        return figure


def hypervolume_over_time_figure(past: History) -> Figure | None:
    """Hypervolume at the end of each generation against the run's wall clock; None where that was not kept."""
    seconds, values = past.over_time()
    if len(seconds) < 2:
        return None
    scale, unit = next((s, u) for s, u in ((3600, "h"), (60, "min"), (1, "s")) if seconds[-1] >= 2 * s or s == 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.add_subplot()
        marker = "o" if len(seconds) <= MOST_MARKS else ""
        axes.step(np.append(0, seconds) / scale, np.append(0, values), where="post", color=ACCENT, lw=1.4)
        axes.plot(seconds / scale, values, marker=marker, color=ACCENT, ms=4, ls="none")
        _hypervolume(axes, f"time ({unit}; dots: ends of generations)" if marker else f"time ({unit})")
        axes.set_xlim(0, None)
        return figure


def _hypervolume(axes: Axes, label: str) -> None:
    axes.set(xlabel=label, ylabel="hypervolume", ylim=(0, None))


def metric_figure(name: str, lines: dict[str, list[tuple[int, float]]]) -> Figure:
    """What the algorithm said of itself, by generation: a line per end of its name."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.add_subplot()
        for number, (line, points) in enumerate(lines.items()):
            xs, ys = [x for x, _ in points], [y for _, y in points]
            marker = "o" if len(xs) <= MOST_MARKS else ""
            axes.plot(
                xs, ys, marker=marker, ms=3.5, color=(ACCENT, INK, MUTED)[number % 3], ls=DASHES[number % 4], label=line
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="generation", ylabel=name)
        if any(lines):  # a name without an end is the axis's
            axes.legend(frameon=False)
        return figure


def preferences_figure(found: Preferences) -> Figure:
    """How often each value of each gene was evaluated, and is on the front, block by block: two heat maps."""
    rows, columns = found.front.shape
    with matplotlib.rc_context(STYLE | {"axes.grid": False, "font.size": 8.0}):
        genes = [gene for gene, _ in found.rows]
        several = len(set(genes)) > 1
        names = [f"{gene}  {value}" if several and (not n or genes[n - 1] != gene) else value
                 for n, (gene, value) in enumerate(found.rows)]  # fmt: skip
        width = 2 * 0.46 * columns + 0.9 + 0.08 * max(map(len, names))
        figure = Figure(figsize=(width, 0.235 * rows + 0.75), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _heat_map(left, found.everywhere, "all evaluated", found)
        _heat_map(right, found.front, "Pareto front", found)
        left.set_yticks(range(rows), names)
        left.tick_params(axis="y", length=0)
        right.tick_params(axis="y", length=0)
        return figure


def _heat_map(axes: Axes, shares: NDArray[np.float64], title: str, found: Preferences) -> None:
    """Cells as dark as their share; the page shines through, and the text stays legible on both light and dark."""
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
        if found.rows[row][0] != found.rows[row - 1][0]:
            axes.axhline(row - 0.5, color=MUTED, lw=0.6)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_xticks(range(columns), found.numbers)
    axes.tick_params(axis="x", length=0)
    axes.set_title(f"{title} (%)", loc="left", fontsize=8.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def run_figures(run: Run, results: Sequence[Result]) -> Iterator[tuple[str, Figure]]:
    """All figures of a run for a paper, each with a name for its file; a drawing for every network of the front."""
    past, found = history(run, results), preferences(run, results)
    yield "pareto", pareto_figure(run, results)
    yield "hypervolume", hypervolume_figure(past)
    optional = {
        "hypervolume-over-time": hypervolume_over_time_figure(past),
        "latency-against-macs": counting_figure(results),
        "preferences": None if found is None else preferences_figure(found),
    }
    yield from ((name, figure) for name, figure in optional.items() if figure is not None)
    for name, lines in past.series().items():
        yield name.replace(" ", "-"), metric_figure(name, lines)
    if run.shape is not None:
        for architecture in (result.evaluation.architecture for result in run.front(list(results))):
            yield f"network-{architecture.id}", architecture_figure(architecture, **run.shape)


def write_figures(run: Run, folder: Path, extension: str) -> list[Path]:
    """Write all figures of a run into a folder, as `pdf`, `svg` or `png`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in run_figures(run, run.results()):
        paths.append(folder / f"{name}.{extension}")
        save(figure, paths[-1], outlines=True)
    return paths
