"""Quality against cost: the evaluated networks and their Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evomnas.core.showing.style import ACCENT, INK, MUTED, STYLE, ShownFigure
from evomnas.problem.definition import Definition

MAX_VECTOR_POINTS = 2000  # more points are drawn as pixels, which keeps a file small
SIZE = (6.4, 3.6)  # width and height in inches
# Left, bottom, width and height of the plot in its figure. To find them by the sizes of all texts takes as long as
# drawing.
PLACE = (0.115, 0.135, 0.865, 0.835)

Point = Mapping[str, Any]  # as `evomnas.results.run.Result.point` returns it


def front_figure(
    definition: Definition, points: Sequence[Point], reference: float | None, baselines: Sequence[Point] = ()
) -> Figure:
    """Draw quality against cost: all evaluated networks, and the Pareto front with its latency intervals.

    Args:
        definition: The problem.
        points: The networks.
        reference: The cost of the reference network; None where it is not known.
        baselines: Pretrained networks, which have a front of their own.

    Returns:
        The figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = ShownFigure(figsize=SIZE, dpi=150)
        axes = figure.add_axes(PLACE)
        _draw_networks(axes, points, steps=not definition.further)
        _draw_baselines(axes, baselines)
        if reference is not None:
            axes.axvline(reference, color=INK, lw=0.8, ls="--", label=f"as {definition.words.reference}")
        quality, cost = definition.axes
        axes.set(xlabel=cost, ylabel=quality)
        axes.legend(frameon=False, loc="lower right")
        return figure


def _draw_networks(axes: Axes, points: Sequence[Point], steps: bool) -> None:
    others = [point for point in points if not point["on_front"]]
    front = sorted((point for point in points if point["on_front"]), key=lambda point: float(point["x"]))
    xs, ys = [point["x"] for point in others], [point["y"] for point in others]
    as_pixels = len(xs) > MAX_VECTOR_POINTS
    axes.plot(xs, ys, "o", color=MUTED, ms=4, mfc="none", label="evaluated", ls="none", rasterized=as_pixels)
    if front:
        xs, ys = [point["x"] for point in front], [point["y"] for point in front]
        axes.errorbar(xs, ys, xerr=_reach(front), fmt="o", color=ACCENT, ms=5, elinewidth=1.2, label="Pareto front")
        if steps:  # of more than two objectives, the front is no line here
            axes.step(xs, ys, where="post", color=ACCENT, lw=1.2)


def _draw_baselines(axes: Axes, baselines: Sequence[Point]) -> None:
    """Draw the pretrained baselines as a front of their own, if there are any."""
    for is_front, style in ((False, {"alpha": 0.5}), (True, {"label": "pretrained baselines"})):
        points = [point for point in baselines if point["on_front"] is is_front]
        if not points:
            continue
        xs, ys = [point["x"] for point in points], [point["y"] for point in points]
        shape: dict[str, Any] = {"fmt": "s", "color": INK, "mfc": "none", "ms": 4.5, "elinewidth": 1.0}
        axes.errorbar(xs, ys, xerr=_reach(points), **shape, **style)
        if is_front:
            axes.step(xs, ys, where="post", color=INK, lw=1.0, ls="--")


def _reach(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Return how far the intervals of costs reach to the left and to the right."""
    low, high = ([abs(point["x"] - point["interval"][end]) for point in points] for end in (0, 1))
    return low, high
