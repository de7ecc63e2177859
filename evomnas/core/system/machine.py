"""This machine and the installed versions, without which a measured latency means nothing.

This module needs the standard library only, and Python 3.9: it is also sent to other machines.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evomnas.core.system.container import read_allowance
from evomnas.core.system.optional import sched_getaffinity, sysconf

PACKAGES = ("evomnas", "torch", "torchvision", "onnxruntime", "pymoo", "numpy", "ptflops")


def user_folder() -> Path:
    """Return the folder for what belongs to the machine rather than to a run: calibrations, layer tables, programs."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "evomnas"


def processor() -> str:
    """Return the processor's model name."""
    name = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":  # where Python knows the architecture only
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            name = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        else:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
            models = [line for line in lines if line.startswith(("model name", "Hardware", "Model"))]
            name = models[0].partition(":")[2].strip() if models else ""
    return name or platform.processor() or platform.machine()


def accelerator() -> str:
    """Return the name of the GPU that is used by default, such as `NVIDIA H100 80GB HBM3`; empty if it is not known."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        names = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.split("\n")
        return names[0].strip()
    return ""


def usable_cores() -> int:
    """Return the number of cores that this process may use; a container's share is rounded up.

    With 1.5 cores two trainings at a time use all of it. One would leave a third unused.
    """
    cores = len(sched_getaffinity(0)) if sched_getaffinity is not None else os.cpu_count() or 1
    quota = read_allowance().cores
    return cores if quota is None else min(cores, math.ceil(quota))


def match_threads_to_cores() -> None:
    """Let libraries that compute in many threads start no more of them than a container has processor time for.

    They see all cores of the host. To be called before they are imported; it holds for processes that are started from
    here as well.
    """
    if read_allowance().cores is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))


def memory_gib() -> float:
    """Return the memory in GiB of the machine, or of the container; 0 if the system does not report it."""
    try:
        memory = sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE") if sysconf is not None else 0
    except (ValueError, OSError):  # this system has other names
        memory = 0
    allowed = read_allowance().memory
    return (memory if allowed is None else min(memory or allowed, allowed)) / 2**30


def free_memory_gib() -> float | None:
    """Return the memory in GiB that processes can still take here; None if the system does not report it.

    What the system keeps of files counts as free, since it is given up when it is needed.
    """
    free = [free for free in (host_memory("MemAvailable"), read_allowance().free) if free is not None]
    return min(free) / 2**30 if free else None


def kills_for_memory() -> int:
    """Return how many processes the system has killed since memory was short; 0 if it does not report that.

    These are the processes of all containers. One of ours that died in the same moment is very likely one of them.
    """
    try:
        return int(dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())["oom_kill"])
    except (OSError, ValueError, KeyError):
        return 0


def host_memory(name: str) -> int | None:
    """Return a figure of the whole machine's memory, container or not.

    Args:
        name: Its name in /proc/meminfo: `MemAvailable`, `SwapFree`.

    Returns:
        It in bytes; None if the system does not report it.
    """
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields[name].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None


def busy_seconds() -> float | None:
    """Return the processor time in seconds that all processes have taken; None if the system does not report it."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return float((user + nice + system + irq + softirq + steal) / sysconf("SC_CLK_TCK"))


def clock_governor() -> str:
    """Return what decides of the processor's clock rate, such as `performance`; empty if that cannot be known."""
    with contextlib.suppress(OSError):
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text(encoding="ascii").strip()
    return ""


def clock_tick(clock: Callable[[], float], patience_s: float = 0.1) -> float:
    """Return the step by which a clock goes on, in seconds, on this system.

    Args:
        clock: Returns a time in seconds; it must go on while this function works.
        patience_s: After so many seconds without a step this is the step at least.
    """
    steps: list[float] = []
    end = time.perf_counter() + patience_s
    last = clock()
    while len(steps) < 4 and time.perf_counter() < end:
        now = clock()
        if now != last:
            steps.append(now - last)
            last = now
    return min(steps[1:], default=patience_s)


def has_desktop() -> bool:
    """Return whether windows can be shown here."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform != "linux" or any(os.environ.get(name) for name in names)


def describe_machine() -> dict[str, str | int | float]:
    """Return the processor, the usable cores, the memory in GiB, the operating system and the host's name."""
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": round(memory_gib(), 1),
        "system": platform.platform(),
        "host": platform.node(),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages on which results depend, by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def describe_environment() -> dict[str, Any]:
    """Return the machine and the versions as run.json stores them."""
    return {"versions": describe_versions(), "machine": describe_machine()}
