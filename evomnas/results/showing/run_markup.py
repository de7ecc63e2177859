"""The front of a run as HTML for a notebook: a headline, a figure, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evomnas.core.showing.markup import heading, table
from evomnas.problem.definition import Definition

Rows = Sequence[Mapping[str, Any]]


def run_markup(title: str, text: str, definition: Definition, points: Rows, rows: Rows, reference: float | None) -> str:
    """Return a run's front.

    Args:
        title: What the run is.
        text: How far it is.
        definition: The problem.
        points: All evaluated networks, as `evomnas.results.run.Result.point` returns them.
        rows: The networks on the front, the fastest first, as `evomnas.results.run.Result.to_dict` returns them.
        reference: The cost of the reference network; None where it is not known.
    """
    if not rows:
        return heading(title, text)
    from evomnas.core.showing.style import to_svg  # matplotlib takes a second
    from evomnas.results.showing.front_figure import front_figure

    quality, cost = definition.axes
    header = ["network", quality, cost, *(name for name in ("params", "macs") if rows[0][name] is not None)]
    cells = [_cells(definition, row, header[3:]) for row in rows]
    return heading(title, text) + to_svg(front_figure(definition, points, reference)) + table(header, cells)


def _cells(definition: Definition, row: Mapping[str, Any], counts: Sequence[str]) -> list[str]:
    cost, quality = definition.plot_point(row["losses"])
    return [row["id"], f"{quality:.4g}", f"{cost:.4g}", *(f"{row[name]:,}" for name in counts)]
