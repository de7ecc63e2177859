"""What only some operating systems have: None where it is missing.

This module needs the standard library only, and Python 3.9: it is also sent to other machines.
"""

from __future__ import annotations

import importlib
import os
import signal
from typing import Any


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


WINDOWS = os.name == "nt"

# Their types are Any, since type checkers know them on some systems only.
fcntl: Any = _module("fcntl")  # locks of files; not on Windows
resource: Any = _module("resource")  # limits of a process; not on Windows
setitimer: Any = getattr(signal, "setitimer", None)  # a signal after some time; not on Windows
pthread_sigmask: Any = getattr(signal, "pthread_sigmask", None)  # blocked signals; not on Windows
sched_getaffinity: Any = getattr(os, "sched_getaffinity", None)  # the cores of a process; on Linux only
getuid: Any = getattr(os, "getuid", None)  # the number of a user; not on Windows
posix_fallocate: Any = getattr(os, "posix_fallocate", None)  # room on the disk for a file; not on macOS and Windows
sysconf: Any = getattr(os, "sysconf", None)  # sizes and speeds of the system; not on Windows


def soft_limit(name: str) -> int | None:
    """Return a limit of this process, as the shell's `ulimit` sets it.

    Args:
        name: Its name after `RLIMIT_`, such as `NOFILE`.

    Returns:
        The limit; None if there is none, or the system knows no such limit.
    """
    kind = getattr(resource, f"RLIMIT_{name}", None)
    if kind is None:
        return None
    limit: int = resource.getrlimit(kind)[0]
    return None if limit == resource.RLIM_INFINITY else limit
