"""The HTML page of a comparison: one file that opens without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evomnas.report.comparison import figures
from evomnas.report.comparison import words as text
from evomnas.report.comparison.comparison import SHARES, Comparison
from evomnas.report.pages import svg, write_page

NAME = "comparison.html"


def write_comparison(comparison: Comparison, path: Path | str) -> Path:
    """Write a comparison as an HTML page, in one step; returns its path."""
    return write_page(Path(path), "comparison.html", _content(comparison))


def _content(comparison: Comparison) -> dict[str, Any]:
    over_time = figures.hypervolume_over_time(comparison)
    several = any(len(group.seeds) > 1 for group in comparison.groups)
    return {
        "comparison": comparison,
        "tabular": not comparison.definition.trains,
        "verdict": text.verdict(comparison),
        "notes": text.notes(comparison),
        "shares": SHARES,
        "summary": text.summary_table(comparison),
        "limits": text.limits_table(comparison),
        "limits_note": text.limits_note(comparison),
        "pairs": text.pairs_table(comparison),
        "significance_note": text.significance_note(comparison),
        "runs": text.runs_table(comparison),
        "attainment_note": text.attainment_note(comparison),
        "time_note": text.time_note(comparison),
        "over_evaluations": svg(figures.hypervolume_over_evaluations(comparison)),
        "over_time": None if over_time is None else svg(over_time),
        "fronts": svg(figures.fronts(comparison, "best")),
        "medians": svg(figures.fronts(comparison, "median")) if several else None,
        "panels": [(one.name, svg(figures.attainment_panel(comparison, one))) for one in comparison.groups],
    }
