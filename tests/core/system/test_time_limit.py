"""Time limits that end a process or raise in it, with the signals of this system and without them."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from evomnas.core.system import time_limit
from evomnas.core.system.time_limit import TimeOver, interrupted_after, paused, process_ends_after, read_note

HANG = """
import sys
from pathlib import Path
from evomnas.core.system.time_limit import process_ends_after

def hang_in_native_code():
    10 ** (10 ** 9)  # one instruction of the interpreter, which it cannot be interrupted in

with process_ends_after(0.3, Path(sys.argv[1])):
    hang_in_native_code()
"""


def test_a_process_that_hangs_in_native_code_ends_and_says_where_it_was(tmp_path):
    note = tmp_path / "note"
    done = subprocess.run([sys.executable, "-c", HANG, str(note)], timeout=60, check=False)
    assert done.returncode == 1
    assert "in hang_in_native_code" in read_note(note)


def test_a_block_that_ends_in_time_leaves_no_note(tmp_path):
    with process_ends_after(0.2, tmp_path / "note"):
        pass
    time.sleep(0.4)  # this process would have ended
    assert read_note(tmp_path / "note") is None
    with process_ends_after(None, tmp_path / "note"):
        pass
    assert not (tmp_path / "note").exists()


def fail_within(seconds: float, note) -> None:
    with process_ends_after(seconds, note):
        raise ValueError("its own error")


def test_a_block_that_fails_was_not_ended(tmp_path):
    with pytest.raises(ValueError, match="its own error"):
        fail_within(60.0, tmp_path / "note")
    assert read_note(tmp_path / "note") is None


@pytest.fixture(params=["with signals of a timer", "without them"])
def systems(request, monkeypatch):
    if request.param == "without them":
        monkeypatch.setattr(time_limit, "setitimer", None)


def work(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


def work_within(limit: float | None, seconds: float) -> None:
    with interrupted_after(limit):
        work(seconds)


def test_a_block_that_takes_too_long_is_interrupted(systems):
    started = time.monotonic()
    with pytest.raises(TimeOver, match="the time is over"):
        work_within(0.1, 60.0)
    assert time.monotonic() - started < 30
    work_within(0.2, 0.0)
    work_within(None, 0.3)  # and the timer before it is gone


def catch_within(limit: float) -> None:
    with interrupted_after(limit):
        try:
            work(60.0)
        except TimeOver:
            raise RuntimeError("an error of native code") from None


def test_an_error_that_native_code_makes_of_it_counts_as_too_late(systems):
    with pytest.raises(TimeOver, match="the time is over"):
        catch_within(0.1)


def fail_before(limit: float) -> None:
    with interrupted_after(limit):
        raise RuntimeError("its own error")


def test_an_error_of_the_block_stays_what_it_is(systems):
    with pytest.raises(RuntimeError, match="its own error"):
        fail_before(60.0)


def test_a_pause_counts_for_no_limit(systems, tmp_path):
    with interrupted_after(0.5), process_ends_after(0.5, tmp_path / "note"):
        with paused():
            time.sleep(0.7)
        work(0.05)


def pause_within(limit: float) -> None:
    with interrupted_after(limit):
        with paused():
            pass
        work(60.0)


def test_after_a_pause_the_time_goes_on(systems):
    with pytest.raises(TimeOver, match="the time is over"):
        pause_within(0.3)
