"""Colours and style of still figures, by matplotlib, and a figure as SVG.

Every figure has a canvas of its own. Matplotlib's global state is neither used nor changed.
"""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, MUTED, ACCENT, GRID = "#1a1a1a", "#8a8a8a", "#0b6e99", "#dddddd"
STYLE: Any = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # whole fonts, as publishers want them
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "svg.hashsalt": "evomnas",
    "text.parse_math": False,  # a column's name may hold dollar signs
}


class ShownFigure(Figure):
    """A figure that a notebook shows, also where pyplot was never imported."""

    def _repr_html_(self) -> str:
        return to_svg(self)


def to_svg(figure: Figure, outlines: bool = False) -> str:
    """Return a figure as an `<svg>` element for a web page.

    Args:
        figure: The figure.
        outlines: Turn text into outlines. Otherwise it stays text.

    Returns:
        The element, without an XML prologue and without a date.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.fonttype": "path" if outlines else "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
