"""Memory that is freed and wanted again a moment later, as in every training step.

glibc gives large blocks back to the system at once, and the system clears each page of theirs when it is wanted again.
"""

from __future__ import annotations

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
LARGEST_KEPT, MOST_KEPT = 2**30, 2**31 - 1  # bytes: blocks up to the first, and so much at the end of the heap


@cache
def keep_freed_memory() -> None:
    """Have this process keep freed memory for its next use, for good; where the C library is not glibc, nothing.

    mallopt cannot be asked what it was set to, so that nothing could be restored. Results are the same.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


def release_freed_memory() -> None:
    """Give the system what is kept, such as that of a candidate which wanted too much: it counts for a limit."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
