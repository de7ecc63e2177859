"""The memory of this process: its limit, and freed memory that is kept for its next use.

Every training step frees large blocks and asks for the same ones a moment later. By default glibc returns such
blocks to the system at once, and the system has to clear every page when it is asked for again.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.system.container import read_allowance
from evomnas.core.system.machine import host_memory
from evomnas.core.system.optional import resource

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
MAX_HEAP_BLOCK_BYTES = 2**30  # larger blocks are still mapped and returned one by one
MAX_FREE_HEAP_BYTES = 2**31 - 1  # free memory at the end of the heap beyond this is returned
RESERVE_BYTES = 2**26  # of a container: what the system itself needs for the memory of a process
KILLING_SCORE = 500  # as if a process had half of the memory more than it has


@cache
def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next use, from now on. Results do not change.

    It cannot be undone, since mallopt does not tell what the settings were. Without glibc nothing happens.
    """
    mallopt = _libc_function("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAX_HEAP_BLOCK_BYTES)
        mallopt(M_TRIM_THRESHOLD, MAX_FREE_HEAP_BYTES)


def release_freed_memory() -> None:
    """Return the kept memory to the system.

    Kept memory counts for a process's memory limit: after a candidate that needed too much, it is returned so that
    the next one can be trained.
    """
    trim = _libc_function("malloc_trim")
    if trim is not None:
        trim(0)


def _libc_function(name: str) -> Any:
    """Return a function of the C library; None if it has no such function, or the system is not Linux."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def can_limit_memory() -> bool:
    """Return whether `limit_memory` has an effect. Other systems than Linux have no such limit, or do not keep it."""
    return resource is not None and sys.platform == "linux"


def check_memory_limit(instead: str) -> None:
    """Check that `limit_memory` has an effect here.

    Args:
        instead: What to leave out, and what helps in its place, for the message.

    Raises:
        InputError: This system does not limit the memory of a process.
    """
    if not can_limit_memory():
        raise InputError(f"this system ({platform.system()}) cannot limit the memory of a process: drop {instead}")


def limit_memory(gib: float | None) -> None:
    """Limit what this process writes to, not what it maps: libraries map far more than they use.

    Args:
        gib: The limit in GiB; None for no limit. A lower limit that the process has already stays as it is.
    """
    if gib is not None and can_limit_memory():
        _, largest = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = int(gib * 2**30)
        limit = wanted if largest == resource.RLIM_INFINITY else min(wanted, largest)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, largest))


def limit_growth(gib: float) -> None:
    """Limit how much more memory than now this process may write to; see `limit_memory`.

    A process that was forked shares most of what it has with others: what it adds is its own.

    Args:
        gib: The limit in GiB.
    """
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        present = int(fields["VmData"].split()[0]) / 2**20
    except (OSError, ValueError, KeyError):
        return
    limit_memory(gib + present)


@contextmanager
def within_container() -> Iterator[None]:
    """Let this process run out of memory, which it can report, before the system kills it for its container's limit.

    Without such a limit nothing happens.

    Yields:
        Nothing; afterwards the process may take what it could before.
    """
    free = read_allowance().free
    if free is None or not can_limit_memory():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_growth((free + (host_memory("SwapFree") or 0) - RESERVE_BYTES) / 2**30)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def prefer_to_be_killed() -> None:
    """Let the system kill this process before others, where memory is short and something must be killed.

    A candidate can be tried again; the search cannot.
    """
    with suppress(OSError):  # another system than Linux
        Path("/proc/self/oom_score_adj").write_text(str(KILLING_SCORE))
