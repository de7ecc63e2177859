"""The HTML page of a comparison: one file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evomnas.core.arguments import checked
from evomnas.report.comparison import figures, words
from evomnas.report.comparison.comparison import HYPERVOLUME_SHARES, Comparison
from evomnas.report.pages import figure_markup, write_page

COMPARISON_NAME = "comparison.html"


@checked
def write_comparison(comparison: Comparison, path: Path | str) -> Path:
    """Write a comparison as an HTML page, in one step, so that no reader sees half of it.

    Args:
        comparison: The comparison.
        path: The file.

    Returns:
        The path of the file.
    """
    return write_page(Path(path), "comparison.html", _content(comparison))


def _content(comparison: Comparison) -> dict[str, Any]:
    """Return the variables of the template. Their names must stay, as those of a run's report."""
    over_time = figures.hypervolume_over_time(comparison)
    has_several_seeds = any(len(group.seeds) > 1 for group in comparison.groups)
    return {
        "comparison": comparison,
        "tabular": not comparison.definition.trains,
        "verdict": words.verdict(comparison),
        "notes": words.notes(comparison),
        "shares": HYPERVOLUME_SHARES,
        "summary": words.summary_table(comparison),
        "summary_notes": words.summary_notes(comparison),
        "limits": words.limits_table(comparison),
        "limits_note": words.limits_note(comparison),
        "pairs": words.pairs_table(comparison),
        "significance_note": words.significance_note(comparison),
        "runs": words.runs_table(comparison),
        "attainment_note": words.attainment_note(comparison),
        "time_note": words.time_note(comparison),
        "over_evaluations": figure_markup(figures.hypervolume_over_evaluations(comparison)),
        "over_time": None if over_time is None else figure_markup(over_time),
        "fronts": figure_markup(figures.fronts_figure(comparison, "best")),
        "medians": figure_markup(figures.fronts_figure(comparison, "median")) if has_several_seeds else None,
        "panels": [
            (group.name, figure_markup(figures.attainment_panel(comparison, group))) for group in comparison.groups
        ],
    }
