"""Still figures of a run (matplotlib), for papers and for readers without a script engine.

Every figure is drawn on its own canvas; matplotlib's global state is neither used nor changed.
"""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from evomnas.runs import Result, Run

INK, MUTED, ACCENT, GRID = "#1a1a1a", "#8a8a8a", "#0b6e99", "#dddddd"
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "svg.hashsalt": "evomnas",
}


def pareto_figure(run: Run, results: list[Result]) -> Figure:
    """Accuracy against latency: every evaluated network with its latency interval, and the Pareto front."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        rows = [row for row in (result.to_dict() for result in results) if row["status"] == "ok"]
        others = [row for row in rows if not row["on_front"]]
        front = sorted((row for row in rows if row["on_front"]), key=lambda row: row["latency_ms"])
        axes.plot(
            [r["latency_ms"] for r in others],
            [100 * r["accuracy"] for r in others],
            "o",
            color=MUTED,
            ms=4,
            mfc="none",
            label="evaluated",
            ls="none",
        )
        if front:
            latency = [r["latency_ms"] for r in front]
            spread = [
                [r["latency_ms"] - r["latency_ci"][0] for r in front],
                [r["latency_ci"][1] - r["latency_ms"] for r in front],
            ]
            axes.errorbar(
                latency,
                [100 * r["accuracy"] for r in front],
                xerr=spread,
                fmt="o",
                color=ACCENT,
                ms=5,
                elinewidth=1.2,
                label="Pareto front",
            )
            axes.step(latency, [100 * r["accuracy"] for r in front], where="post", color=ACCENT, lw=1.2)
        reference = run.reference_latency_ms()
        if reference is not None:
            axes.axvline(reference, color=INK, lw=0.8, ls="--", label="MobileNetV2's latency")
        axes.set(xlabel="latency (ms)", ylabel="validation accuracy (%)")
        axes.legend(frameon=False, loc="lower right")
        return figure


def hypervolume_figure(run: Run, results: list[Result]) -> Figure:
    """Hypervolume after each evaluation, in the order in which the algorithm asked."""
    values = [run.hypervolume(results[: count + 1]) for count in range(len(results))]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.4), layout="constrained")
        axes = figure.add_subplot()
        axes.step(range(1, len(values) + 1), values, where="post", color=ACCENT, lw=1.4)
        for result in results:
            if result.order and result.generation != results[result.order - 1].generation:
                axes.axvline(result.order + 1, color=GRID, lw=0.8)
        axes.set(xlabel="networks evaluated (vertical lines: generations)", ylabel="hypervolume", ylim=(0, None))
        return figure


def to_svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a web page: no XML prologue, no date, text as text."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
