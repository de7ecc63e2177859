"""Processes of other programs and of this one: how they start, whether they live, and what interrupts them."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any

from evomnas.core.system import start_methods
from evomnas.core.system.optional import WINDOWS, pthread_sigmask, resource
from evomnas.core.system.scratch import folder_for_sockets

OPEN_FILES = 4096  # that a process of this package ever needs at a time, and many more
OPEN_FILES_ALONE, OPEN_FILES_OF_A_WORKER = 18, 4  # in the process that has the workers, at least


def start_context(preload: list[str]) -> Any:
    """Return a context of multiprocessing, which starts worker processes, and prepare for it.

    On Linux they are forked from a server that has imported modules once, so they start at once. Elsewhere each of them
    imports what it needs: Windows has no fork, and macOS's own libraries do not survive one.

    No worker imports the main module of the program that starts it (`evomnas.core.system.start_methods`).

    Args:
        preload: The modules that the server imports.

    Raises:
        InputError: This process may start no others.
    """
    start_methods.check_may_start_processes()
    if sys.platform == "linux" and hasattr(os, "fork") and "forkserver" in multiprocessing.get_all_start_methods():
        context = start_methods.ForkServerContext()
        context.set_forkserver_preload(preload)
        _make_folder_for_sockets()
        with interrupts_blocked():
            forkserver.ensure_running()
        return context
    return start_methods.SpawnContext()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Let threads and processes that are started in the block inherit that SIGINT is blocked.

    Ctrl-C goes to the whole process group, but the main process alone decides what it means. The threads of a pool of
    workers start workers later on, too: they inherit it as well. Windows has nothing of the kind.

    Yields:
        Nothing.
    """
    if pthread_sigmask is None:
        yield
        return
    resource_tracker.ensure_running()  # it would unblock the signal
    pthread_sigmask(getattr(signal, "SIG_BLOCK"), {signal.SIGINT})  # noqa: B009 type checkers know it on some systems
    try:
        yield
    finally:
        pthread_sigmask(getattr(signal, "SIG_UNBLOCK"), {signal.SIGINT})  # noqa: B009


def _make_folder_for_sockets() -> None:
    """Let multiprocessing make the folder for its sockets, in one with a short path if TMPDIR has a long one."""
    before = tempfile.tempdir
    try:
        tempfile.tempdir = folder_for_sockets(len("pymp-12345678/listener-12345678"))
        get_temp_dir()  # which makes it once
    finally:
        tempfile.tempdir = before


def check_open_files(workers: int) -> None:
    """Let this process have as many files open as it may allow itself, and check that they are enough.

    On macOS a process begins with 256 of them. A limit that the user has set for good stays.

    Args:
        workers: How many worker processes there will be.

    Raises:
        OSError: So many workers cannot have their files open.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS allows fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft < OPEN_FILES_ALONE + OPEN_FILES_OF_A_WORKER * workers:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def detached() -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` for a process that does not get the Ctrl-C that this one gets."""
    if WINDOWS:
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP")}  # noqa: B009 as above
    return {"start_new_session": True}


def wait_for_parent() -> None:
    """Wait until the process that started this one has ended. Return at once if that was none of Python's."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])


def is_alive(process: int) -> bool | None:
    """Return whether a process runs.

    Args:
        process: Its number.

    Returns:
        None if the system does not tell: Windows cannot be asked without a signal to the process.
    """
    if WINDOWS:
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it runs, and is another user's
        return True
    return True


def peak_memory_gib() -> float:
    """Return the largest memory of this process and those below it, added up, in GiB; 0 if it is not known.

    What processes share, as workers do that were forked from one server, counts once.
    """
    parents: dict[int, int] = {}
    resident: dict[int, tuple[int, int]] = {}  # at most, and now
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended
            continue
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        process = int(status.parent.name)
        parents[process] = int(fields["PPid"])
        most, now = (int(fields.get(name, "0 kB").split()[0]) for name in ("VmHWM", "VmRSS"))
        resident[process] = most, now
    family, found = {os.getpid()}, -1
    while found < len(family):
        found = len(family)
        family |= {process for process, parent in parents.items() if parent in family}
    known = {process: resident[process] for process in family if process in resident}
    return sum(most - now + (_share(process) or now) for process, (most, now) in known.items()) / 2**20


def _share(process: int) -> int:
    """Return the resident memory of a process in KiB, with its part of what it shares; 0 if it is not known."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
