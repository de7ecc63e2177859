"""The lock, between real processes: what may go on together, what waits, and what a death leaves."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evomnas.core.errors import InputError
from evomnas.core.system import lock
from evomnas.latency.devices import factory as targets
from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import open_runtime
from evomnas.problem.search_space import SearchSpace

HOLD = """
import sys
from evomnas.core.system import lock
def on_wait():
    print("waits", file=sys.stderr, flush=True)
holding = lock.measuring(on_wait) if sys.argv[1] == "measuring" else lock.training()
print("comes", file=sys.stderr, flush=True)
with holding:
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(lock.tempfile, "tempdir", None)


class Holder:
    """Another process that wants the lock by now, and has it once it said so."""

    def __init__(self, kind: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-c", HOLD, kind], text=True, **pipes)
        assert self.process.stderr.readline() == "comes\n"

    def waits(self) -> bool:
        """Return whether it says that it waits; only a measurement says so."""
        return self.process.stderr.readline() == "waits\n"

    def is_in(self, within_s: float = 120.0) -> bool:
        ready, _, _ = select.select([self.process.stdout], [], [], within_s)
        return bool(ready) and self.process.stdout.readline() == "in\n"

    def is_kept_out(self) -> bool:
        return not self.is_in(0.5)

    def leave(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait(timeout=120) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def hold():
    holders = []

    def start(kind: str) -> Holder:
        holders.append(Holder(kind))
        return holders[-1]

    yield start
    for holder in holders:
        holder.kill()


def test_trainings_go_on_together(hold):
    first, second = hold("training"), hold("training")
    assert first.is_in()
    assert second.is_in()


@pytest.mark.parametrize(
    ("first", "second"), [("training", "measuring"), ("measuring", "training"), ("measuring", "measuring")]
)
def test_a_measurement_is_alone(hold, first, second):
    holder = hold(first)
    assert holder.is_in()
    other = hold(second)
    assert second == "training" or other.waits()
    assert other.is_kept_out()
    holder.leave()
    assert other.is_in()


def test_a_training_that_comes_later_does_not_keep_a_waiting_measurement_out(hold):
    training = hold("training")
    assert training.is_in()
    measurement = hold("measuring")
    assert measurement.waits()
    assert measurement.is_kept_out()
    late = hold("training")
    assert late.is_kept_out()
    training.leave()
    assert measurement.is_in()
    measurement.leave()
    assert late.is_in()


def test_a_dead_holder_s_lock_is_free(hold):
    holder = hold("measuring")
    assert holder.is_in()
    holder.kill()
    waits = []
    with lock.measuring(lambda: waits.append(1)):
        assert waits == []


def test_who_waits_is_told(hold):
    holder = hold("training")
    assert holder.is_in()
    waits = []

    def told() -> None:
        waits.append(1)
        holder.leave()

    with lock.measuring(told):
        assert waits == [1]


def test_nothing_stays_behind_where_it_is_asked_for(hold):
    with lock.measuring():
        pass
    lock.remove()
    assert not (Path(lock.tempfile.gettempdir()) / lock.lock_folder().name / lock.GATE_FILE).exists()
    holder = hold("training")
    assert holder.is_in()
    lock.remove()  # in use: left alone
    assert (lock.lock_folder() / lock.ROOM_FILE).exists()


def test_a_folder_of_somebody_else_is_refused():
    folder = lock.lock_folder()
    folder.rmdir()
    folder.symlink_to("/")
    with pytest.raises(PermissionError, match="is not a folder of this user"):
        lock.lock_folder()
    device = targets.LocalDevice(open_runtime("onnxruntime"), 1)
    with pytest.raises(InputError, match="cannot lock this machine for measuring: .* is not a folder of this user"):
        list(
            device.compare(
                [], prepare(open_runtime("onnxruntime"), SearchSpace().mobilenet_v2(), 5, 1, 32), lambda: None
            )
        )
    lock.remove()  # and does no harm


TRAIN = """
import sys, time
from pathlib import Path
from evomnas.core.system import lock
from evomnas.core.system.time_limit import process_ends_after
waited = 0.0
with lock.training():
    print("in", flush=True)
    with process_ends_after(3.0, Path(sys.argv[1])):
        while not waited:
            time.sleep(0.001)
            waited = lock.give_way()
print(waited, flush=True)
"""


def test_a_training_gives_way_to_a_measurement_and_its_time_does_not_pass(hold, tmp_path):
    command = [sys.executable, "-c", TRAIN, str(tmp_path / "note")]
    training = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert training.stdout.readline() == "in\n"
        measuring = hold("measuring")
        assert measuring.is_in()  # in the middle of the training
        time.sleep(3.5)
        assert training.poll() is None
        measuring.leave()
        assert float(training.stdout.readline()) >= 3.5
        assert training.wait(timeout=120) == 0
    finally:
        training.kill()


def test_who_does_not_train_has_nothing_to_give_way_with(hold):
    measuring = hold("measuring")
    assert measuring.is_in()
    assert lock.give_way() == 0.0


def train_until_interrupted(hold, monkeypatch) -> None:
    with lock.training():
        measuring = hold("measuring")
        assert measuring.is_kept_out()

        def interrupted(*_):
            raise KeyboardInterrupt("stop here")

        monkeypatch.setattr(lock, "_acquire", interrupted)
        while not lock.give_way():
            time.sleep(0.01)


def test_an_interruption_while_it_gives_way_is_not_lost(hold, monkeypatch):
    with pytest.raises(KeyboardInterrupt, match="stop here"):
        train_until_interrupted(hold, monkeypatch)
