"""Worker processes that are killed, refuse, and hang. Real ones throughout, with nothing to import."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker

import pytest
from waiting import wait_until
from worker_calls import closure, fail, number, prepare, send_half, sleep

from evomnas.core.errors import InputError, WorkersLost
from evomnas.evaluation.executors import crew as crews
from evomnas.evaluation.executors.crew import Crew, WorkerDied

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no server that forks workers")


@pytest.fixture(autouse=True, scope="module")
def quick_server():
    """A server that imports nothing, since most of these tests start one or more; that of other tests comes back."""
    server = forkserver._forkserver
    preloaded = server._preload_modules
    server._stop()
    server.set_forkserver_preload([])
    yield
    server._stop()
    server.set_forkserver_preload(preloaded)


@contextmanager
def crew(size: int, *arguments: str):
    one = Crew(size, multiprocessing.get_context("forkserver"), prepare, arguments)
    try:
        yield one
    finally:
        one.close()


def lives(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def process_in(path) -> int:
    """Return the worker that has written a file."""
    assert wait_until(lambda: path.exists() and path.read_text(), 30)
    return int(path.read_text())


def kill_server() -> None:
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)


def test_calls_return_results_and_errors_with_the_worker_s_traceback():
    with crew(1) as one:
        assert one.submit(number).result(30) != os.getpid()
        with pytest.raises(ValueError, match="as it should") as caught:
            one.submit(fail).result(30)
        assert "in fail" in caught.value.__notes__[0]
        with pytest.raises(RuntimeError, match="cannot be sent: .*lambda"):
            one.submit(closure).result(30)
        with pytest.raises(AttributeError, match="lambda"):
            one.submit(lambda: None).result(30)
        assert one.submit(number).result(30) == one.submit(number).result(30)


def test_a_worker_that_is_killed_at_work_ends_its_call_and_no_other(tmp_path):
    with crew(2) as one:
        killed, other = one.submit(sleep, str(tmp_path / "a"), 60), one.submit(sleep, str(tmp_path / "b"), 1)
        os.kill(process_in(tmp_path / "a"), signal.SIGKILL)
        with pytest.raises(WorkerDied, match="ended with exit code -9"):
            killed.result(30)
        assert other.result(30) == "slept"
        assert {one.submit(number).result(30) for _ in range(4)}


def test_a_worker_that_is_killed_while_it_sends_leaves_nobody_waiting():
    with crew(1) as one:
        with pytest.raises(WorkerDied, match="ended with exit code -9"):
            one.submit(send_half).result(30)
        assert one.submit(number).result(30) != os.getpid()


def test_a_worker_that_is_killed_with_nothing_to_do_costs_no_call():
    with crew(1) as one:
        first = one.submit(number).result(30)
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: not lives(first), 10)
        assert one.submit(number).result(30) != first


def test_workers_outlive_their_server_and_the_next_one_gets_another(tmp_path):
    with crew(2) as one:
        call = one.submit(sleep, str(tmp_path / "a"), 1.5)
        process = process_in(tmp_path / "a")
        kill_server()
        assert call.result(30) == "slept"
        os.kill(process, signal.SIGKILL)
        assert [isinstance(one.submit(number).result(30), int) for _ in range(4)] == [True] * 4


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """A file that keeps the next server from starting workers while it is there."""
    file = tmp_path / "gate"
    monkeypatch.setenv("SERVER_GATE", str(file))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    forkserver.set_forkserver_preload(["server_gate"])
    yield file
    file.unlink(missing_ok=True)
    forkserver._forkserver._stop()
    forkserver.set_forkserver_preload([])


def test_calls_whose_workers_die_with_their_server_end_before_there_is_another(tmp_path, gate):
    with crew(3) as one:
        calls = [one.submit(sleep, str(tmp_path / name), 60) for name in "abc"]
        workers = [process_in(tmp_path / name) for name in "abc"]
        gate.touch()
        kill_server()
        for worker, call in zip(workers, calls, strict=True):
            os.kill(worker, signal.SIGKILL)
            wait([call], 20)  # by now the first one's successor is waited for
        left = wait(calls, 0).not_done
        gate.unlink()
        assert not left
        assert {call.exception().exit_code for call in calls} <= {None, -9}
        assert isinstance(one.submit(number).result(30), int)


def test_busy_workers_end_with_their_crew_and_those_without_a_server_as_well(tmp_path):
    with crew(1) as one:
        one.submit(sleep, str(tmp_path / "a"), 600)
        process = process_in(tmp_path / "a")
    assert wait_until(lambda: not lives(process), 40)
    with crew(1, "watch") as one:
        one.submit(sleep, str(tmp_path / "b"), 600)
        process = process_in(tmp_path / "b")
        kill_server()
    assert wait_until(lambda: not lives(process), 40)


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        ("refuse", InputError, "no such thing here"),
        ("exit", WorkersLost, "worker processes cannot be started: the last one ended with exit code 3"),
        ("die", WorkersLost, "worker processes cannot be started: the last one ended with exit code -9"),
    ],
)
def test_a_crew_without_workers_says_why(action, error, message, monkeypatch):
    monkeypatch.setattr(crews, "START_PAUSES_S", (0.0, 0.0))
    with crew(2, action) as one:
        early = one.submit(number)
        for call in (one.ready, early, one.submit(number)):
            with pytest.raises(error, match=message):
                call.result(30)


def test_a_crew_goes_on_with_the_workers_that_it_can_have(tmp_path, monkeypatch):
    monkeypatch.setattr(crews, "START_PAUSES_S", (0.0, 0.0))
    with crew(3, "one", str(tmp_path / "made")) as one:
        assert len({one.submit(number).result(30) for _ in range(5)}) == 1


def test_a_system_that_starts_no_process_is_said(monkeypatch):
    monkeypatch.setattr(crews, "START_PAUSES_S", (0.0, 0.0))

    def refuse(*arguments):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(forkserver, "connect_to_new_process", refuse)
    with crew(1) as one, pytest.raises(WorkersLost, match="cannot be started: .*Resource temporarily unavailable"):
        one.ready.result(30)


def lose_tracker() -> None:
    """Kill the process that cleans up, then a worker, whose successor needs another one."""
    with crew(1) as one:
        first = one.submit(number).result(30)
        os.kill(resource_tracker._resource_tracker._pid, signal.SIGKILL)
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: not lives(first), 10)
        assert one.submit(number).result(30) != first


def in_a_process(function: Callable[[], None], *before: str) -> subprocess.CompletedProcess[str]:
    """Call a function of this module in a fresh process, perhaps by another command."""
    return subprocess.run(
        [*before, sys.executable, "-c", f"import {__name__} as tests; tests.{function.__name__}()"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_process_that_cleans_up_may_die_as_well_and_nobody_complains():
    done = in_a_process(lose_tracker)
    assert (done.returncode, done.stderr) == (0, "")


def call_once() -> None:
    with crew(2) as one:
        assert one.submit(number).result(30) != os.getpid()


def test_workers_need_no_shared_memory():
    """Containers have 64 MiB of it by default, and may have none that can be written to."""
    without = 'mount -t tmpfs -o ro,size=4k tmpfs /dev/shm && exec "$@"'
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "sh", "-c", without, "-", "true"]).returncode:
        pytest.skip("this user may not mount anything")
    done = in_a_process(call_once, "unshare", "-m", "sh", "-c", without, "-")
    assert (done.returncode, done.stderr) == (0, "")


def refuse_threads(after: int, monkeypatch) -> None:
    """Let the system start only so many threads more."""
    start, left = threading.Thread.start, [None] * after

    def start_or_refuse(self):
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


def test_with_fewer_threads_than_wanted_there_are_fewer_workers(monkeypatch):
    refuse_threads(1, monkeypatch)
    with crew(3) as one:
        monkeypatch.undo()
        assert len({one.submit(number).result(30) for _ in range(6)}) == 1


def test_without_any_thread_it_is_told_what_helps(monkeypatch):
    refuse_threads(0, monkeypatch)
    with pytest.raises(WorkersLost, match=r"cannot be started: Resource temporarily unavailable; .*ulimit -u 4096"):
        Crew(2, multiprocessing.get_context("forkserver"), prepare, ())
