"""The progress display on a terminal and in a log, and the words that commands show with it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from evomnas.cli import compare, deploy, progress, search
from evomnas.cli.progress import LOG_EVERY_S, ProgressDisplay, working
from evomnas.loop.progress import Progress


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
    for module in (progress, search):
        monkeypatch.setattr(module, "time", fake_time)
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


def test_a_log_of_a_search_has_a_line_per_generation_the_end_and_lines_now_and_then(clock, capsys):
    display = search._SearchDisplay(ProgressDisplay("importing"))
    for phase, evaluated, generation, seconds in (
        ("starting", 2, 0, 0.0),
        ("preparing", 2, 0, 1.0),
        ("measuring", 4, 0, 2.0),  # too soon
        ("measuring", 5, 1, 3.0),
        ("measuring", 5, 1, 30.0),  # nothing new
        ("measuring", 6, 1, 30.0),
        ("measuring", 8, 1, 31.0),  # the end
    ):
        clock.seconds = 1000.0 + seconds
        display(Progress(phase, evaluated, 8, generation, None, 0.25))
    assert capsys.readouterr().err.splitlines() == [
        "generation 0: 2 of 8 evaluated, hypervolume 0.250, 0:01",
        "generation 1: 5 of 8 evaluated, hypervolume 0.250, 0:03, 0:03 left",
        "generation 1: 6 of 8 evaluated, hypervolume 0.250, 0:30, 0:15 left",
        "generation 1: 8 of 8 evaluated, hypervolume 0.250, 0:31, 0:00 left",
    ]


def test_the_words_of_a_search_hold_what_is_known():
    metrics = {"tau (error)": 0.876, "batch (predicted)": 6, "batch (drawn)": 2, "reward": 1.0}
    state = Progress("training", 10, 30, 2, 0.9312, 0.5, failed=1, cut=2, reused=3, metrics=metrics)
    assert search.format_progress(state, 3600.0, 5) == (
        "best accuracy 93.1%, hypervolume 0.500, predictors' tau 0.88, 6 of 8 predicted, 1 failed, 2 cut off, "
        "3 from the archive, 1:00:00, 4:00:00 left"
    )
    assert search.format_progress(Progress("starting", 0, 30), 59.6, 0) == "hypervolume 0.000, 1:00"


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


def test_a_log_of_trainings_has_the_last_epoch_of_each(clock, capsys):
    display = deploy._TrainingDisplay(ProgressDisplay("starting", has_remaining_time=True))
    for name in ("aa", "bb"):
        for epoch in (1, 2, 3):
            display(name, epoch, 3, 0.5)
    assert capsys.readouterr().err.splitlines() == [
        "aa: epoch 1 of 3, loss 0.500",
        "aa: epoch 3 of 3, loss 0.500",
        "bb: epoch 3 of 3, loss 0.500",
    ]


def test_a_second_network_is_counted_anew_on_a_terminal(terminal, capsys):
    with ProgressDisplay("starting", has_remaining_time=True) as line:
        display = deploy._TrainingDisplay(line)
        display("aa", 3, 3, 0.5)
        capsys.readouterr()
        display("bb", 1, 3, 0.25)
    assert re.search(r"bb +.* 1/3 .*loss 0.250", drawn(capsys.readouterr().err)[-1])
