"""Still figures of a comparison (matplotlib). Algorithms differ in colour and in the dashes of their lines."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from evomnas.report.comparison.comparison import Comparison, Floats, Group, Spread
from evomnas.report.figures import MUTED, STYLE

# Okabe and Ito's colours, but for yellow and black, which one of a light and a dark page would swallow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.4)), (0, (7, 2, 1.5, 2)), (0, (4, 1.5, 1.5, 1.5, 1.5, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FAR = 10.0  # beyond any axis
SIZE, PANEL_SIZE = (4.9, 3.3), (3.9, 2.9)


def hypervolume_over_evaluations(comparison: Comparison) -> Figure:
    """Median and quartiles of the hypervolume after each evaluation, and the best known."""
    counts = np.arange(1.0, comparison.evaluations + 1)
    curves = [(group, counts, group.curve) for group in comparison.groups]
    return _hypervolume(comparison, curves, "networks evaluated")


def hypervolume_over_time(comparison: Comparison) -> Figure | None:
    """The same against what the networks and the algorithm took; None on tables, whose networks take no time."""
    curves = [(group, *group.over_time) for group in comparison.groups if group.over_time is not None]
    if not curves:
        return None
    scale, unit = max(((s, u) for s, u in ((1.0, "s"), (60.0, "min"), (3600.0, "h")) if s <= _longest(curves) / 2),
                      default=(1.0, "s"))  # fmt: skip
    scaled = [(group, times / scale, values) for group, times, values in curves]
    return _hypervolume(comparison, scaled, f"time of networks and algorithm ({unit})")


def _longest(curves: Sequence[tuple[Group, Floats, Spread]]) -> float:
    return max(float(times[-1]) for _, times, _ in curves)


def _hypervolume(comparison: Comparison, curves: Sequence[tuple[Group, Floats, Spread]], label: str) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        for group, xs, spread in curves:
            colour, dashes, _ = look(comparison, group)
            axes.fill_between(xs, spread.low, spread.high, step="post", color=colour, alpha=0.18, lw=0)
            axes.step(xs, spread.median, where="post", color=colour, ls=dashes, lw=1.6, label=group.name)
        axes.axhline(comparison.best_known, color=MUTED, lw=0.9, ls=":", label=_known(comparison))
        axes.set(xlabel=label, ylabel="hypervolume", ylim=_from(curves, comparison.best_known))
        axes.margins(x=0.01)
        _legend(figure, axes)
        return figure


def _from(curves: Sequence[tuple[Group, Floats, Spread]], best_known: float) -> tuple[float, float]:
    """Limits in which the curves can be told apart: from where the higher half of them lies, up to the best known."""
    lowest = min(float(np.quantile(spread.low, 0.1)) for _, _, spread in curves)
    top = best_known if best_known > 0 else 1.0
    span = top - lowest or top  # flat curves at the best known
    return max(0.0, lowest - 0.1 * span), top + 0.04 * span


def fronts(comparison: Comparison, surface: str) -> Figure:
    """The fronts over each other, and the best known: of each algorithm one of the `surfaces` of its runs."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        _step(comparison, axes, comparison.best_front, color=MUTED, lw=3.0, alpha=0.45, label=_known(comparison))
        for group in comparison.groups:
            colour, dashes, marker = look(comparison, group)
            _step(comparison, axes, group.surfaces[surface], color=colour, ls=dashes, lw=1.2, marker=marker, ms=4,
                  mfc="none", label=group.name)  # fmt: skip
        _frame(comparison, axes)
        title = {"best": "all runs together", "median": "half of the runs"}[surface]
        axes.set_title(title, loc="left", fontsize=9, color=MUTED)
        _legend(figure, axes)
        return figure


def attainment_panel(comparison: Comparison, group: Group) -> Figure:
    """What at least one, at least half and all of an algorithm's runs attain; all panels have the same axes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=PANEL_SIZE, layout="constrained")
        axes = figure.add_subplot()
        colour, _, _ = look(comparison, group)
        _step(comparison, axes, comparison.best_front, color=MUTED, lw=3.0, alpha=0.45, label=_known(comparison))
        styles = {"best": ("one run", ":", 1.3), "median": ("half of the runs", "-", 1.9), "worst": ("all", "--", 1.1)}
        if len(group.seeds) == 1:
            styles = {"median": ("its only run", "-", 1.9)}
        for name, (label, dashes, width) in styles.items():
            _step(comparison, axes, group.surfaces[name], color=colour, ls=dashes, lw=width, label=label)
        _frame(comparison, axes)
        axes.legend(frameon=False, loc="best", fontsize=8)
        return figure


def look(comparison: Comparison, group: Group) -> tuple[str, str | tuple[int, tuple[float, ...]], str]:
    """Colour, dashes and marker of an algorithm: by its place in the alphabet, whoever is ahead."""
    number = sorted(one.name for one in comparison.groups).index(group.name)
    return COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)]


def _step(comparison: Comparison, axes: Axes, losses: Floats, **style: object) -> None:
    """A surface of shape (k, 2) as a staircase, which goes on to the sides: what costs more is attained as well."""
    if len(losses) == 0:
        axes.plot([], [], **style)  # type: ignore[arg-type]  # for the legend
        return
    corners = losses[np.argsort(losses[:, 1])]
    far = FAR * (1 + losses.max(axis=0))
    ends = np.array([[far[0], corners[0, 1]], [corners[-1, 0], far[1]]])
    shown = [comparison.definition.plot_point(one) for one in (ends[0], *corners, ends[1])]
    axes.step([x for x, _ in shown], [y for _, y in shown], where="post", **style)  # type: ignore[arg-type]


def _frame(comparison: Comparison, axes: Axes) -> None:
    """Axes over the part of the fronts that counts for the hypervolume."""
    error, relative = comparison.definition.hypervolume.reference_point
    cost = np.inf if comparison.reference_cost is None else relative * comparison.reference_cost
    losses = np.concatenate([comparison.best_front, *(group.surfaces["worst"] for group in comparison.groups)])
    inside = losses[(losses[:, 0] < error) & (losses[:, 1] < cost)]
    inside = inside if len(np.unique(inside, axis=0)) > 2 else losses
    shown = np.array([comparison.definition.plot_point(one) for one in inside])
    quality, name = comparison.definition.axes
    axes.set(xlabel=name, ylabel=quality, xlim=_around(shown[:, 0]), ylim=_around(shown[:, 1]))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if axes.get_xlim()[1] >= 10_000:  # counts: 20M rather than 2e7
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _around(values: Floats) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _known(comparison: Comparison) -> str:
    return "true front" if comparison.complete else "best known, all runs"


def _legend(figure: Figure, axes: Axes) -> None:
    names = axes.get_legend_handles_labels()[1]
    columns = 1 if max(map(len, names)) > 40 else 2 if max(map(len, names)) > 22 else 3
    figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=8, handlelength=3)
