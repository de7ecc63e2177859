"""Freed memory that is kept for its next use.

Every training step frees large blocks and asks for the same ones a moment later. By default glibc returns such
blocks to the system at once, and the system has to clear every page when it is asked for again.
"""

from __future__ import annotations

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
MAX_HEAP_BLOCK_BYTES = 2**30  # larger blocks are still mapped and returned one by one
MAX_FREE_HEAP_BYTES = 2**31 - 1  # free memory at the end of the heap beyond this is returned


@cache
def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next use, from now on. Results do not change.

    It cannot be undone, since mallopt does not tell what the settings were. Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAX_HEAP_BLOCK_BYTES)
        mallopt(M_TRIM_THRESHOLD, MAX_FREE_HEAP_BYTES)


def release_freed_memory() -> None:
    """Return the kept memory to the system.

    Kept memory counts for a process's memory limit: after a candidate that needed too much, it is returned so that
    the next one can be trained.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
