"""The progress display on a terminal and in a log, and the words that commands show with it."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace

import pytest

from evomnas.cli import compare, progress
from evomnas.cli.display import search_progress
from evomnas.cli.display.plan_display import PlanDisplay
from evomnas.cli.progress import LOG_EVERY_S, ProgressDisplay, working
from evomnas.core.system.machine import usable_cores
from evomnas.data.prepared.notices import Notice, tell
from evomnas.deploy.durations import Plan
from evomnas.loop.progress import Progress
from evomnas.problem.loading import load_definition
from evomnas.report.words import format_time_left


@pytest.fixture
def terminal(monkeypatch):
    """Standard error counts as a terminal of 120 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = SimpleNamespace(seconds=1000.0)
    fake_time = SimpleNamespace(monotonic=lambda: now.seconds)
    monkeypatch.setattr(progress, "time", fake_time)
    return now


def drawn(text: str) -> list[str]:
    """The lines that were drawn one after the other, without colours and movements of the cursor."""
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text))
    return [line.strip() for line in lines if line.strip()]


def test_a_terminal_shows_words_count_and_details_and_is_clean_afterwards(terminal, capsys):
    with ProgressDisplay("importing") as display:
        display.show("training", 3, 12, "hypervolume 0.5")
        assert not display.log("a line", is_due=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    first, *_, last = drawn(printed.err)
    assert re.search(r"importing +.* 0/\?", first)
    assert re.search(r"training +.* 3/12 hypervolume 0.5", last)
    assert "a line" not in printed.err
    assert printed.err.endswith("\x1b[2K")  # the live line is taken away
    assert "\x1b[?25h" in printed.err  # and the cursor is back


def test_a_terminal_without_unicode_gets_ascii_alone(terminal, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressDisplay("starting", has_count=False) as display:
        display.show("training 3 of 16", 2, 16, "best 65.0% at 0.46 ms")
    stream.flush()
    assert "training 3 of 16" in stream.buffer.getvalue().decode("ascii")


def test_nothing_is_drawn_after_the_display_was_stopped(terminal, capsys):
    with ProgressDisplay("importing") as display:
        display.stop()
        before = capsys.readouterr().err
        display.show("training", 3, 12, "late")
        display.stop()
    assert before
    assert "late" not in capsys.readouterr().err


def test_a_restart_counts_from_zero_without_the_old_details(terminal, capsys):
    with ProgressDisplay("starting", has_remaining_time=True) as display:
        display.show("first", 4, 4, "loss 0.1")
        capsys.readouterr()
        display.restart("second", 6)
    line, *_ = drawn(capsys.readouterr().err)
    assert re.search(r"second +.* 0/6 [-0:]+$", line)
    assert display.description == "second"


def test_a_log_has_lines_that_are_due_or_late_and_nothing_is_drawn(clock, capsys):
    with ProgressDisplay("importing") as display:
        display.show("training", 3, 12, "hypervolume 0.5")
        display.restart("training", 3)
        written = [display.log("first"), display.log("soon"), display.log("due", is_due=True)]
        clock.seconds += LOG_EVERY_S - 0.1
        written.append(display.log("early"))
        clock.seconds += 0.1
        written.append(display.log("late"))
    assert written == [True, False, True, False, True]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "first\ndue\nlate\n")


def test_words_of_work_without_steps_are_for_terminals(capsys):
    with working() as show_words:
        show_words("reading")
    assert capsys.readouterr().err == ""


def test_the_first_line_of_a_log_comes_by_itself_unless_another_one_or_the_end_comes_before(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_AFTER_S", 0.05)
    with ProgressDisplay("starting") as display:
        display.log_later("reading")
        display._later.join()
        display.log_later("never")
        display.log("training", is_due=True)
        display.log_later("never either")
        ended = display._later
    ended.join()
    assert capsys.readouterr().err == "reading\ntraining\n"


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 160])
def test_a_line_begins_with_what_is_being_done_and_fits_however_narrow_the_terminal(
    terminal, columns, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(columns))
    with ProgressDisplay("starting", has_count=False) as display:
        capsys.readouterr()
        display.show("training 3 of 16", 2, 16, "best 65.0% at 0.46 ms, about 4 min left")
    [line] = drawn(capsys.readouterr().err)[:1]
    assert len(line) <= columns
    assert re.match(r"(\S )?training 3 of 16", line)
    assert ("65.0%" in line) == (columns >= 40)
    assert ("4 min left" in line) == (columns >= 60)


DIGITS, TABLE = (load_definition(name) for name in ("digits", "nas-bench-macro"))


def test_a_log_of_a_search_begins_before_the_first_network_and_has_a_line_per_generation_and_now_and_then(
    clock, capsys
):
    display = search_progress.SearchDisplay(ProgressDisplay("starting"), DIGITS)
    best = (0.25, 0.04629)
    for seconds, state in (
        (0, Progress("starting", 2, 8)),
        (1, Progress("loading", 2, 8)),
        (2, Progress("calibrating", 2, 8)),
        (3, Progress("preparing", 2, 8, batch=4)),
        (3.5, Progress("preparing", 2, 8, batch=4)),  # nothing new
        (4, Progress("measuring", 2, 8, batch=4)),
        (5, Progress("training", 2, 8, batch=4)),
        (9, Progress("training", 3, 8, best=best, batch=4)),  # too soon
        (26, Progress("training", 4, 8, best=best, batch=4, seconds_left=61.0)),
        (50, Progress("training", 4, 8, best=best, batch=4, seconds_left=61.0)),  # nothing new
        (51, Progress("preparing", 6, 8, 1, best=best, batch=2, seconds_left=28.0)),
        (52, Progress("training", 6, 8, 1, best=best, batch=2, seconds_left=28.0)),
        (60, Progress("training", 8, 8, 1, best=best, batch=2, failed=1, seconds_left=0.0)),  # the end
    ):
        clock.seconds = 1000.0 + seconds
        display(state)
    assert capsys.readouterr().err.splitlines() == [
        "getting ready to train",
        "measuring the reference network",
        "preparing 4 networks, time left not known yet",
        "measuring 4 networks, time left not known yet",
        "training 3 of 8, time left not known yet",
        "training 5 of 8, best 75.0% at 0.0463 ms, about 1 min left",
        "preparing 2 networks, best 75.0% at 0.0463 ms, about 30 s left",
        "training 7 of 8, best 75.0% at 0.0463 ms, about 30 s left",
        "8 of 8 evaluated, best 75.0% at 0.0463 ms, 1 failed",
    ]


def test_the_time_that_is_left_of_trainings_is_in_every_line(clock, capsys):
    shown = PlanDisplay(ProgressDisplay("starting"), "Training", "network")
    shown.begin(Plan({"a": 240.0, "b": 120.0, "done": 0.0}, clock=lambda: clock.seconds))
    for name, epoch, seconds in (("a", 1, 90.0), ("a", 2, 120.0), ("b", 1, 15.0), ("b", 2, 30.0)):
        clock.seconds += seconds
        shown.show_epoch(name, epoch, 2, 0.5)
    assert capsys.readouterr().err.splitlines() == [
        "Training 2 networks takes about 6 min 0 s.",
        "a: epoch 1 of 2, loss 0.500, about 4 min left",
        "a: epoch 2 of 2, loss 0.500, about 2 min left",
        "b: epoch 2 of 2, loss 0.500",
    ]


def test_nothing_is_said_where_nothing_is_to_be_done(clock, capsys):
    shown = PlanDisplay(ProgressDisplay("starting"), "Training", "network")
    shown.begin(Plan({"a": 0.0}, 2.0, lambda: clock.seconds))
    assert capsys.readouterr().err == ""


def test_steps_of_an_export_say_what_is_left(clock, capsys):
    shown = PlanDisplay(ProgressDisplay("starting"), "Exporting")
    shown.show_step("reading the images")
    shown.begin(Plan({"writing": 10.0, "measuring": 20.0}, clock=lambda: clock.seconds))
    shown.show_step("writing")
    clock.seconds += 30
    shown.show_step("measuring")
    assert capsys.readouterr().err.splitlines() == [
        "reading the images",
        "Exporting takes about 30 s.",
        "measuring, about 1 min left",
    ]


def test_what_is_said_stays_above_the_live_line(terminal, capsys):
    with ProgressDisplay("starting") as display:
        display.say("Training 1 network takes about 4 min 0 s. [not markup]")
        display.show("a", 1, 2, "loss 0.5, 2:00 left")
    printed = drawn(capsys.readouterr().err)
    assert "Training 1 network takes about 4 min 0 s. [not markup]" in printed
    assert re.search(r"a +.* 1/2 loss 0.5, 2:00 left$", printed[-1])


def test_the_words_of_a_search_hold_what_is_known():
    state = Progress("training", 10, 30, 2, failed=1, cut=2, reused=3, best=(0.0688, 0.5), seconds_left=14_400.0)
    assert search_progress.format_step(state, DIGITS) == "training 11 of 30"
    assert search_progress.format_progress(state, DIGITS) == (
        "best 93.1% at 0.5 ms, about 4 h 0 min left, 1 failed, 2 cut off, 3 known from other runs"
    )
    assert search_progress.format_progress(Progress("starting", 0, 30), DIGITS) == ""


def test_a_table_is_looked_up_and_takes_no_time_to_speak_of():
    state = Progress("training", 10, 30, best=(0.0688, 25_000_000.0))
    assert search_progress.format_step(state, TABLE) == "looking up 11 of 30"
    assert search_progress.format_progress(state, TABLE) == "best 93.1% at 25,000,000 MACs"
    assert search_progress.format_step(Progress("reading", 0, 30), TABLE) == "reading the table"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "time left not known yet"),
        (0.0, "under 10 s left"),
        (10.4, "about 20 s left"),
        (51.0, "about 1 min left"),
        (89.0, "about 1 min left"),
        (91.0, "about 2 min left"),
        (5_900.0, "about 98 min left"),
        (6_000.0, "about 1 h 40 min left"),
        (86_000.0, "about 23 h 50 min left"),
    ],
)
def test_the_time_that_is_left_is_no_finer_than_it_is_true(seconds, text):
    assert format_time_left(seconds) == text


def test_a_log_of_a_benchmark_has_a_line_per_run(clock, capsys):
    display = compare._BenchmarkDisplay(ProgressDisplay("importing"))
    for run, evaluated, reused in ((1, 0, 0), (1, 3, 0), (2, 1, 1)):
        state = SimpleNamespace(
            run=run, runs=2, algorithm="nsga2", seed=run, evaluated=5,
            progress=Progress("training", evaluated, 5, reused=reused),
        )  # fmt: skip
        display(state)
    assert capsys.readouterr().err.splitlines() == [
        "nsga2, seed 1 (run 1 of 2): 0 of 5 evaluated",
        "nsga2, seed 2 (run 2 of 2): 1 of 5 evaluated, 1 from the archive",
    ]


def test_a_log_of_trainings_of_unknown_length_has_the_last_epoch_of_each(clock, capsys):
    shown = PlanDisplay(ProgressDisplay("starting"), "Training", "network")
    for name in ("aa", "bb"):
        for epoch in (1, 2, 3):
            shown.show_epoch(name, epoch, 3, 0.5)
    assert capsys.readouterr().err.splitlines() == [
        "aa: epoch 1 of 3, loss 0.500",
        "aa: epoch 3 of 3, loss 0.500",
        "bb: epoch 3 of 3, loss 0.500",
    ]


def test_a_second_network_is_counted_anew_on_a_terminal(terminal, capsys):
    with ProgressDisplay("starting") as line:
        shown = PlanDisplay(line, "Training", "network")
        shown.show_epoch("aa", 3, 3, 0.5)
        capsys.readouterr()
        shown.show_epoch("bb", 1, 3, 0.25)
    assert re.search(r"bb +.* 1/3 .*loss 0.250", drawn(capsys.readouterr().err)[-1])


@pytest.mark.parametrize(
    ("block", "lines"),
    [(lambda: ProgressDisplay("starting"), ["10% of the images prepared, about 9 min left"]), (working, [])],
)
def test_a_log_says_once_what_is_prepared_and_now_and_then_where_that_is(block, lines, clock, capsys, tmp_path):
    def notice(done: int, event: str = "") -> Notice:
        return Notice(1000, done, 3 * 2**30, tmp_path, 600.0 * (1000 - done) / 1000, event)

    with block():
        for done in (0, 100, 200):
            tell(notice(done))
            clock.seconds += 15.0
        tell(notice(0, "another process prepares the images: waiting for it"))
    tell(notice(300))  # nobody listens any more
    cores = usable_cores()
    begin, *middle, event = capsys.readouterr().err.splitlines()
    assert begin == (
        f"Preparing 1,000 images once, about 10 min on {cores} core{'s' * (cores > 1)}: 3.0 GiB in {tmp_path}."
    )
    assert middle == lines
    assert event == "Another process prepares the images: waiting for it."
