"""Contexts of multiprocessing whose processes import nothing of the program that started them.

A process that multiprocessing starts afresh, or forks from its server, imports the program's main module once more, for
functions and classes of it. A script without `if __name__ == "__main__":` then runs again from its first line, and a
main module that is no file any more, such as standard input, is an error. The functions that this package gives to
workers are all its own. So its workers leave the main module out, and any program may start them.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import context, process, spawn
from typing import Any

from evomnas.core.errors import InputError

_ABOUT_MAIN = ("init_main_from_name", "init_main_from_path")  # in what a new process is told of its parent

_patch = threading.Lock()


class _WithoutMain(process.BaseProcess):
    """A process that does not import the main module; what starts it is the next class of its bases."""

    def start(self) -> None:
        """Start the process."""
        with _main_left_out():
            super().start()


@contextmanager
def _main_left_out() -> Iterator[None]:
    """Let this thread start processes that are not told of the main module. Those of other threads are told."""
    this_thread = threading.get_ident()
    with _patch:
        original = spawn.get_preparation_data

        def get_preparation_data(name: str) -> dict[str, Any]:
            data = original(name)
            if threading.get_ident() == this_thread:
                data = {key: value for key, value in data.items() if key not in _ABOUT_MAIN}
            return data

        spawn.get_preparation_data = get_preparation_data
        try:
            yield
        finally:
            spawn.get_preparation_data = original


class _SpawnedProcess(_WithoutMain, context.SpawnProcess):
    """A process that was started afresh."""


class SpawnContext(context.SpawnContext):
    """The context of multiprocessing whose processes start afresh, here without the main module."""

    Process = _SpawnedProcess


if sys.platform != "win32":

    class _ForkedProcess(_WithoutMain, context.ForkServerProcess):
        """A process that was forked from the server."""

    class ForkServerContext(context.ForkServerContext):
        """The context of multiprocessing whose processes are forked from a server, here without the main module."""

        Process = _ForkedProcess


def check_may_start_processes() -> None:
    """Check that this process may have worker processes.

    Raises:
        InputError: It is itself a process of multiprocessing that may start none, now or at all.
    """
    this_process = multiprocessing.current_process()
    if getattr(this_process, "_inheriting", False):
        raise InputError(
            "this script was started again by another process of it, as multiprocessing does: put its body under "
            'if __name__ == "__main__":'
        )
    if this_process.daemon:
        raise InputError(
            "this is a daemon process of multiprocessing, which may start no workers: use workers=0, or a "
            "concurrent.futures.ProcessPoolExecutor in place of a multiprocessing.Pool"
        )
