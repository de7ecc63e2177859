"""HTML for notebooks, in which everything from outside is escaped. It imports the standard library alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

COLOURS = ("#3b7dd8", "#2a9d6f", "#d98a1f", "#a23bd8")  # apart in grey and for the colour-blind as well
MAX_ROWS = 20  # of a table; the rest is counted


def heading(title: str, text: str) -> str:
    """Return a title with a sentence behind it.

    Args:
        title: The title.
        text: The sentence.
    """
    return f"<p><b>{escape(title)}</b> {escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], limit: int = MAX_ROWS) -> str:
    """Return a table, whose first column is aligned to the left.

    Args:
        header: The titles of the columns.
        rows: The cells of each row.
        limit: So many rows are shown, and the rest is counted.
    """
    titles = "".join(f"<th>{escape(title)}</th>" for title in header)
    body = "".join(f"<tr>{''.join(map(_cell, range(len(row)), row))}</tr>" for row in rows[:limit])
    more = f"<p>and {len(rows) - limit:,} more</p>" if len(rows) > limit else ""
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>{more}"


def bars(parts: Sequence[tuple[str, float, int]]) -> str:
    """Return a drawing of the parts of a network from its input to its output.

    Args:
        parts: Of each its kind, by which it is coloured, its size, by which it is long, and how often it is there.
    """
    longest = max((size for _, size, _ in parts), default=1.0)
    kinds = list(dict.fromkeys(kind for kind, _, _ in parts))
    lines = [
        f'<div title="{escape(kind)}" style="width:{100 * size / longest:.1f}%;height:0.5em;margin:1px 0 3px;'
        f'background:{COLOURS[kinds.index(kind) % len(COLOURS)]}"></div>'
        for kind, size, count in parts
        for _ in range(count)
    ]
    return f'<div style="max-width:24em">{"".join(lines)}</div>'


def _cell(column: int, text: str) -> str:
    side = "right" if column else "left"
    return f'<td style="text-align:{side}">{escape(text)}</td>'
