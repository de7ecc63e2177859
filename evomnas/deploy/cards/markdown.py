"""Markdown for model cards, in which texts from outside stay text."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What is more than text where it stands: markup, and GitHub's links, emoji and formulas.
_MARKUP = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])|:(?=//|[\w+-]+:)|(?<=www)\.", re.IGNORECASE)


def escape_markdown(text: str) -> str:
    """Return a text from outside as Markdown that shows it and nothing else: no link, no markup, no new table row.

    Ordinary text stays as it is. Signs of Markdown get a backslash, and those of HTML become entities.

    Args:
        text: Any text; its line breaks become spaces.
    """
    words = re.sub(r"&(?=#?\w+;)", "&amp;", " ".join(text.split()))
    return _MARKUP.sub(r"\\\g<0>", words).replace("<", "&lt;")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table in Markdown.

    Args:
        header: The titles of the columns.
        rows: The cells of each row, as Markdown.
        left: The number of columns, from the first, that are aligned to the left. The others are aligned to the right.
    """
    rule = ["---" if column < left else "---:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
