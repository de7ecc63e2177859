"""What machine this is and which versions are installed: what a measurement means without, nobody knows."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("evomnas", "torch", "torchvision", "onnxruntime", "pymoo", "numpy", "ptflops")


def user_folder() -> Path:
    """Where this user keeps what belongs to the machine and not to a run: calibrations, layer tables, programs."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "evomnas"


def processor() -> str:
    """The processor's model name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(("model name", "Hardware", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    """The machine's memory in GiB; 0 where the system does not tell."""
    names = getattr(os, "sysconf_names", {})
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if "SC_PHYS_PAGES" in names else 0.0


def describe_machine() -> dict[str, str | int | float]:
    """Processor, cores, memory in GiB, system, and the host's name."""
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": round(memory_gib(), 1),
        "system": platform.platform(),
        "host": platform.node(),
    }


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def describe_environment() -> dict[str, Any]:
    """Machine and versions, as they stand in run.json."""
    return {"versions": describe_versions(), "machine": describe_machine()}
