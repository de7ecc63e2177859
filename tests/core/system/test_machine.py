"""What this machine is, also on systems that tell it in another way or not at all."""

from __future__ import annotations

import sys
import time

import pytest

from evomnas.core.system import device, machine
from evomnas.core.system.container import Allowance
from evomnas.latency.devices import protocol


def test_macos_is_asked_for_the_processor_by_its_own_command(tmp_path, monkeypatch):
    command = tmp_path / "sysctl"
    command.write_text('#!/bin/sh\n[ "$*" = "-n machdep.cpu.brand_string" ] && echo Apple M2\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine.processor() == "Apple M2"
    command.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    assert machine.processor() == "arm"


def test_what_the_system_does_not_tell_is_unknown_and_no_error(tmp_path, monkeypatch):
    for name in ("sysconf", "sched_getaffinity"):
        monkeypatch.setattr(machine, name, None)
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / name.lstrip("/"))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(machine, "read_allowance", Allowance)
    assert machine.memory_gib() == 0.0
    assert machine.free_memory_gib() is None
    assert machine.usable_cores() == 6
    assert machine.clock_governor() == ""
    assert machine.processor() != ""


@pytest.mark.parametrize(("quota", "cores"), [(None, 6), (0.3, 1), (1.0, 1), (1.5, 2), (5.01, 6), (64.0, 6)])
def test_processor_time_counts_as_cores_rounded_up_and_no_more_than_there_are(quota, cores, monkeypatch):
    monkeypatch.setattr(machine, "sched_getaffinity", lambda process: set(range(6)))
    monkeypatch.setattr(machine, "read_allowance", lambda: Allowance(cores=quota))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.usable_cores() == cores
    machine.match_threads_to_cores()
    assert machine.os.environ.get("OMP_NUM_THREADS") == (None if quota is None else str(cores))


def test_threads_that_the_user_has_chosen_stay(monkeypatch):
    monkeypatch.setattr(machine, "read_allowance", lambda: Allowance(cores=1.0))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    machine.match_threads_to_cores()
    assert machine.os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("allowed", "free", "expected"),
    [(None, None, (8.0, 5.0)), (3, 2, (3.0, 2.0)), (3, 0, (3.0, 0.0)), (20, 19, (8.0, 5.0))],
)
def test_memory_is_the_machine_s_or_the_container_s_whichever_is_less(allowed, free, expected, tmp_path, monkeypatch):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 5242880 kB\n")
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / name.lstrip("/"))
    monkeypatch.setattr(machine, "sysconf", {"SC_PHYS_PAGES": 2**21, "SC_PAGE_SIZE": 4096}.get)
    in_bytes = [None if gib is None else gib * 2**30 for gib in (allowed, free)]
    monkeypatch.setattr(machine, "read_allowance", lambda: Allowance(*in_bytes))
    assert (machine.memory_gib(), machine.free_memory_gib()) == expected


def test_macos_has_no_gpu_for_pytorch_s_cuda_which_is_known_without_torch(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "torch", None)  # an import would fail
    assert device.choose_device("auto") == "cpu"


def coarse(clock):
    """A clock that goes on by 15.6 ms at a time, as that of a thread's processor time on Windows."""
    return lambda: clock() // 0.0156 * 0.0156


def test_a_clock_s_tick_is_found():
    assert machine.clock_tick(time.perf_counter) < 1e-5
    assert abs(machine.clock_tick(coarse(time.perf_counter)) - 0.0156) < 1e-6
    assert machine.clock_tick(lambda: 1.0, patience_s=0.01) == 0.01


def test_inferences_are_timed_by_the_wall_clock_where_the_processor_s_is_coarse(monkeypatch):
    protocol.choose_timer.cache_clear()
    assert protocol.choose_timer(True) is protocol.PROCESSOR_TIMER
    assert protocol.choose_timer(False) is protocol.WALL_TIMER
    protocol.choose_timer.cache_clear()
    monkeypatch.setattr(protocol.time, "thread_time", coarse(time.thread_time))
    assert protocol.choose_timer(True) is protocol.WALL_TIMER
    protocol.choose_timer.cache_clear()
