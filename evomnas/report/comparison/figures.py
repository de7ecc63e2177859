"""Still figures of a comparison, by matplotlib. Algorithms differ in colour and in the dashes of their lines."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from evomnas.core.showing.style import MUTED, STYLE
from evomnas.report.comparison.comparison import Comparison, Floats, Group, Spread

# Okabe and Ito's colours without yellow and black, which cannot be seen on a light or a dark page.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.4)), (0, (7, 2, 1.5, 2)), (0, (4, 1.5, 1.5, 1.5, 1.5, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OUTSIDE_FACTOR = 10.0  # times the largest loss lies beyond the ends of any axis
FIGURE_SIZE, PANEL_SIZE = (4.2, 3.1), (3.9, 2.9)  # width and height in inches


def hypervolume_over_evaluations(comparison: Comparison) -> Figure:
    """Draw median and quartiles of the hypervolume after each evaluation, and the best known hypervolume.

    Args:
        comparison: The comparison.

    Returns:
        The figure.
    """
    counts = np.arange(1.0, comparison.evaluations + 1)
    curves = [(group, counts, group.curve) for group in comparison.groups]
    return _draw_curves(comparison, curves, "networks evaluated")


def hypervolume_over_time(comparison: Comparison) -> Figure | None:
    """Draw median and quartiles of the hypervolume against the time of the networks and of the algorithm.

    Args:
        comparison: The comparison.

    Returns:
        The figure; None on tables, whose networks take no time.
    """
    curves = [(group, *group.over_time) for group in comparison.groups if group.over_time is not None]
    if not curves:
        return None
    longest = max(float(times[-1]) for _, times, _ in curves)
    units = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))
    scale, unit = max(((seconds, name) for seconds, name in units if seconds <= longest / 2), default=(1.0, "s"))
    scaled = [(group, times / scale, values) for group, times, values in curves]
    return _draw_curves(comparison, scaled, f"time of networks and algorithm ({unit})")


def _draw_curves(comparison: Comparison, curves: Sequence[tuple[Group, Floats, Spread]], label: str) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=FIGURE_SIZE, layout="constrained")
        axes = figure.add_subplot()
        for group, xs, spread in curves:
            colour, dashes, _ = group_style(comparison, group)
            axes.fill_between(xs, spread.low, spread.high, step="post", color=colour, alpha=0.18, lw=0)
            axes.step(xs, spread.median, where="post", color=colour, ls=dashes, lw=1.6, label=group.name)
        axes.axhline(comparison.best_known, color=MUTED, lw=0.9, ls=":", label=_best_known_label(comparison))
        axes.set(xlabel=label, ylabel="hypervolume", ylim=_hypervolume_limits(curves, comparison.best_known))
        axes.margins(x=0.01)
        _legend(figure, axes)
        return figure


def _hypervolume_limits(curves: Sequence[tuple[Group, Floats, Spread]], best_known: float) -> tuple[float, float]:
    """Return limits of the axis between which the curves can be told apart.

    The lower one is somewhat below the 10 % quantile of the lowest curve. The upper one is just above the best known.
    """
    lowest = min(float(np.quantile(spread.low, 0.1)) for _, _, spread in curves)
    top = best_known if best_known > 0 else 1.0
    span = top - lowest or top  # flat curves at the best known
    return max(0.0, lowest - 0.1 * span), top + 0.04 * span


def fronts_figure(comparison: Comparison, surface: str) -> Figure:
    """Draw the fronts of all algorithms over each other, and the best known front.

    Args:
        comparison: The comparison.
        surface: Which of `Group.surfaces` is an algorithm's front: `best`, of all its runs together, or `median`, of
            half of its runs.

    Returns:
        The figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=FIGURE_SIZE, layout="constrained")
        axes = figure.add_subplot()
        _draw_best_front(comparison, axes)
        for group in comparison.groups:
            colour, dashes, marker = group_style(comparison, group)
            style: dict[str, object] = {
                "color": colour,
                "ls": dashes,
                "lw": 1.2,
                "marker": marker,
                "ms": 4,
                "mfc": "none",
            }
            _draw_surface(comparison, axes, group.surfaces[surface], **style, label=group.name)
        _set_axes(comparison, axes)
        title = {"best": "all runs together", "median": "half of the runs"}[surface]
        axes.set_title(title, loc="left", fontsize=9, color=MUTED)
        _legend(figure, axes)
        return figure


def attainment_panel(comparison: Comparison, group: Group) -> Figure:
    """Draw what at least one, at least half and all of an algorithm's runs attain.

    Args:
        comparison: The comparison.
        group: One of its groups.

    Returns:
        The figure. The figures of all groups of a comparison have the same axes.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=PANEL_SIZE, layout="constrained")
        axes = figure.add_subplot()
        colour, _, _ = group_style(comparison, group)
        _draw_best_front(comparison, axes)
        styles = {"best": ("one run", ":", 1.3), "median": ("half of the runs", "-", 1.9), "worst": ("all", "--", 1.1)}
        if len(group.seeds) == 1:
            styles = {"median": ("its only run", "-", 1.9)}
        for name, (label, dashes, width) in styles.items():
            _draw_surface(comparison, axes, group.surfaces[name], color=colour, ls=dashes, lw=width, label=label)
        _set_axes(comparison, axes)
        axes.legend(frameon=False, loc="best", fontsize=8)
        return figure


def group_style(comparison: Comparison, group: Group) -> tuple[str, str | tuple[int, tuple[float, ...]], str]:
    """Return the colour, the dashes and the marker of an algorithm.

    They follow from its place in the alphabet, so that they do not depend on which algorithm is ahead.

    Args:
        comparison: The comparison.
        group: One of its groups.

    Returns:
        A colour, a line style of matplotlib, and a marker.
    """
    number = sorted(other.name for other in comparison.groups).index(group.name)
    return COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)]


def _draw_best_front(comparison: Comparison, axes: Axes) -> None:
    label = _best_known_label(comparison)
    _draw_surface(comparison, axes, comparison.best_front, color=MUTED, lw=3.0, alpha=0.45, label=label)


def _draw_surface(comparison: Comparison, axes: Axes, losses: Floats, **style: object) -> None:
    """Draw a surface, given by its corners of shape (k, 2), as a staircase.

    It goes on beyond the axes on both sides, since all that is worse than a corner is attained as well.
    """
    if len(losses) == 0:
        axes.plot([], [], **style)  # type: ignore[arg-type]  # for the legend
        return
    corners = losses[np.argsort(losses[:, 1])]
    outside = OUTSIDE_FACTOR * (1 + losses.max(axis=0))
    ends = np.array([[outside[0], corners[0, 1]], [corners[-1, 0], outside[1]]])
    points = [comparison.definition.plot_point(corner) for corner in (ends[0], *corners, ends[1])]
    axes.step([x for x, _ in points], [y for _, y in points], where="post", **style)  # type: ignore[arg-type]


def _set_axes(comparison: Comparison, axes: Axes) -> None:
    """Label the axes, and let them span the part of the fronts that counts for the hypervolume."""
    error, relative = comparison.definition.reference_point[:2]
    cost = np.inf if comparison.reference_cost is None else relative * comparison.reference_cost
    losses = np.concatenate([comparison.best_front, *(group.surfaces["worst"] for group in comparison.groups)])
    inside = losses[(losses[:, 0] < error) & (losses[:, 1] < cost)]
    inside = inside if len(np.unique(inside, axis=0)) > 2 else losses
    points = np.array([comparison.definition.plot_point(pair) for pair in inside])
    quality_label, cost_label = comparison.definition.axes
    axes.set(xlabel=cost_label, ylabel=quality_label)
    axes.set(xlim=_padded_range(points[:, 0]), ylim=_padded_range(points[:, 1]))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if axes.get_xlim()[1] >= 10_000:  # counts: 20M rather than 2e7
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _padded_range(values: Floats) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _best_known_label(comparison: Comparison) -> str:
    return "true front" if comparison.complete else "best known, all runs"


def _legend(figure: Figure, axes: Axes) -> None:
    names = axes.get_legend_handles_labels()[1]
    columns = 1 if max(map(len, names)) > 34 else 2 if max(map(len, names)) > 19 else 3
    figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=8, handlelength=3)
