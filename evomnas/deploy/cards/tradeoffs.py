"""A figure of a network's exported files: accuracy against latency, and accuracy against size."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evomnas.core.showing.style import ACCENT, INK, MUTED, STYLE, to_svg
from evomnas.deploy.formats.exported_files import INT8, Export

MARKERS = "osD^v"  # of formats, in their order
SIZE = (7.6, 3.4)  # width and height in inches


def tradeoff_figure(exports: Sequence[Export]) -> str | None:
    """Draw the test accuracy of measured files against their latency and against their size.

    Files in int8 are filled, others are not. A line joins a format's files that no other file of it beats in both.

    Args:
        exports: The exported files of a network.

    Returns:
        The figure as SVG; None for fewer than two files with a latency.
    """
    files = [export for export in exports if export.latency_ms is not None]
    if len(files) < 2:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        by_latency, by_size = figure.subplots(1, 2, sharey=True)
        _draw(by_latency, files, [float(export.latency_ms or 0) for export in files])
        _draw(by_size, files, [export.bytes / 1024 for export in files])
        by_latency.set(xlabel="latency (ms)", ylabel="test accuracy (%)")
        by_size.set(xlabel="file (KiB)")
        handles, labels = by_latency.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        return to_svg(figure)


def _draw(axes: Axes, files: Sequence[Export], costs: Sequence[float]) -> None:
    formats = list(dict.fromkeys(export.format for export in files))
    for place, name in enumerate(formats):
        points = [
            (cost, 100 * export.score.accuracy, export)
            for cost, export in zip(costs, files, strict=True)
            if export.format == name
        ]
        marker, colour = MARKERS[place % len(MARKERS)], (ACCENT, INK, MUTED)[place % 3]
        best = [point for point in sorted(points, key=lambda one: (one[0], -one[1])) if _is_best(point, points)]
        axes.plot([cost for cost, *_ in best], [accuracy for _, accuracy, _ in best], color=colour, lw=0.8)
        for cost, accuracy, export in points:
            fill = colour if export.variant.endswith(INT8) else "none"
            axes.plot([cost], [accuracy], marker, color=colour, mfc=fill, ms=5)
            axes.annotate(export.variant, (cost, accuracy), (4, 3), textcoords="offset points", fontsize=5.5)
        axes.plot([], [], marker, color=colour, mfc="none", ls="none", label=name)


def _is_best(point: tuple[float, float, Export], points: Sequence[tuple[float, float, Export]]) -> bool:
    """Return whether no other point is at least as good in both and better in one."""
    cost, accuracy, _ = point
    others = ((other, score) for other, score, _ in points)
    return not any(
        other <= cost and score >= accuracy and (other, score) != (cost, accuracy) for other, score in others
    )
