"""A figure of a network's exported files: accuracy against latency, and accuracy against size."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from evomnas.core.showing.style import INK, MUTED, STYLE, to_svg
from evomnas.deploy.formats.exported_files import INT8, Export
from evomnas.problem.sections import FLOAT

MARKERS = "osD^v"  # of formats, in their order
COLOURS = tuple(map(to_hex, matplotlib.color_sequences["tab10"]))  # of variants
SIZE = (7.6, 4.2)  # width and height in inches


def tradeoff_figure(exports: Sequence[Export]) -> str | None:
    """Draw the test accuracy of measured files against their latency and against their size.

    A format has its marker and a variant its colour; files in int8 are filled. A line joins a format's files that no
    other file of it beats in both.

    Args:
        exports: The exported files of a network.

    Returns:
        The figure as SVG; None for fewer than two files with a latency.
    """
    files = [export for export in exports if export.latency_ms is not None]
    if len(files) < 2:
        return None
    variants = list(dict.fromkeys(map(_without_precision, files)))
    colours = {variant: COLOURS[place % len(COLOURS)] for place, variant in enumerate(variants)}
    markers = {
        name: MARKERS[place % len(MARKERS)] for place, name in enumerate(dict.fromkeys(one.format for one in files))
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        by_latency, by_size = figure.subplots(1, 2, sharey=True)
        points = [(float(one.latency_ms or 0), 100 * one.score.accuracy, one) for one in files]
        _draw(by_latency, points, markers, colours)
        _draw(by_size, [(one.bytes / 1024, accuracy, one) for _, accuracy, one in points], markers, colours)
        by_latency.set(xlabel="latency (ms)", ylabel="test accuracy (%)")
        by_size.set(xlabel="file (KiB)")
        marks = [
            Line2D([], [], color=INK, mfc="none", ls="none", marker=sign, label=name) for name, sign in markers.items()
        ]
        marks.append(Line2D([], [], color=INK, ls="none", marker="o", label="filled: int8"))
        marks += [Line2D([], [], color=colour, lw=3, label=variant) for variant, colour in colours.items()]
        figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False, fontsize=7.5)
        return to_svg(figure)


def _without_precision(export: Export) -> str:
    return export.variant.removesuffix(INT8).removesuffix(", ") or FLOAT


_Point = tuple[float, float, Export]  # cost, accuracy in per cent, and the file


def _draw(axes: Axes, points: Sequence[_Point], markers: dict[str, str], colours: dict[str, str]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")  # its own labels are formulas, which the style leaves as they are typed
    axes.xaxis.set_minor_formatter(NullFormatter())
    for name in markers:
        own = [point for point in points if point[2].format == name]
        best = sorted((cost, accuracy) for cost, accuracy, one in own if _is_best((cost, accuracy, one), own))
        axes.plot([cost for cost, _ in best], [accuracy for _, accuracy in best], color=MUTED, lw=0.7)
    for cost, accuracy, export in points:
        colour = colours[_without_precision(export)]
        fill = colour if export.variant.endswith(INT8) else "white"
        axes.plot([cost], [accuracy], markers[export.format], color=colour, mfc=fill, ms=6)


def _is_best(point: _Point, points: Sequence[_Point]) -> bool:
    """Return whether no other point is at least as good in both and better in one."""
    cost, accuracy, _ = point
    others = ((other, score) for other, score, _ in points)
    return not any(
        other <= cost and score >= accuracy and (other, score) != (cost, accuracy) for other, score in others
    )
