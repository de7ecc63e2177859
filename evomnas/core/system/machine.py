"""This machine and the installed versions, without which a measured latency means nothing.

This module needs the standard library only, since it is also sent to other machines.
"""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evomnas.core.system.container import read_allowance

PACKAGES = ("evomnas", "torch", "torchvision", "onnxruntime", "pymoo", "numpy", "ptflops")


def user_folder() -> Path:
    """Return the folder for what belongs to the machine rather than to a run: calibrations, layer tables, programs."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "evomnas"


def processor() -> str:
    """Return the processor's model name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(("model name", "Hardware", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of cores that this process may use; a container's share is rounded up.

    With 1.5 cores two trainings at a time use all of it. One would leave a third unused.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = read_allowance().cores
    return cores if quota is None else min(cores, math.ceil(quota))


def memory_gib() -> float:
    """Return the memory in GiB of the machine, or of the container; 0 if the system does not report it."""
    names = getattr(os, "sysconf_names", {})
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in names else 0
    allowed = read_allowance().memory
    return (memory if allowed is None else min(memory or allowed, allowed)) / 2**30


def free_memory_gib() -> float | None:
    """Return the memory in GiB that processes can still take here; None if the system does not report it.

    What the system keeps of files counts as free, since it is given up when it is needed.
    """
    free = [free for free in (_available_memory(), read_allowance().free) if free is not None]
    return min(free) / 2**30 if free else None


def _available_memory() -> int | None:
    """Return the bytes that processes can take of the whole machine, container or not."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None


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
