"""HTML for notebooks: what is from outside is escaped, and long tables are cut."""

from __future__ import annotations

from evomnas.core.showing.markup import MAX_ROWS, bars, heading, table

EVIL = "<script>alert('x')</script>"


def test_what_is_from_outside_is_escaped():
    for markup in (heading(EVIL, EVIL), table((EVIL,), [(EVIL,)]), bars([(EVIL, 1, 1)])):
        assert "<script" not in markup
        assert "&lt;script&gt;" in markup


def test_a_table_counts_the_rows_that_it_does_not_show():
    rows = [(str(number), "x") for number in range(MAX_ROWS + 3)]
    assert table(("a", "b"), rows).count("<tr>") == MAX_ROWS + 1
    assert "and 3 more" in table(("a", "b"), rows)
    assert "more" not in table(("a", "b"), rows[:MAX_ROWS])
    assert table(("a", "b"), rows, limit=len(rows)).count("<tr>") == MAX_ROWS + 4


def test_bars_are_as_long_as_parts_are_large_and_there_as_often_as_they_are():
    drawn = bars([("conv", 8, 1), ("mbconv6", 16, 3)])
    assert drawn.count("width:50.0%") == 1
    assert drawn.count("width:100.0%") == 3
    assert bars([]) == '<div style="max-width:24em"></div>'
