"""A process without what Windows or macOS lack: modules, functions, signals, /proc, processes that are forked, and
open files that can be removed.

Python runs `sitecustomize` before anything else. A folder with such a module that calls `strip`, in `PYTHONPATH`, makes
a process and all that it starts so. What packages of others use on Linux without a question stays, such as `os.uname`.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

MODULES = ("fcntl", "resource", "termios", "pty", "tty", "pwd", "grp", "syslog", "readline")
NOT_NEEDED = ("timm",)  # ptflops imports it where it is installed, which takes seconds in every process
FUNCTIONS = {
    os: "fork forkpty sched_getaffinity sched_setaffinity setsid setpgid getpgid killpg nice pread pwrite mkfifo chown "
    "fchmod getloadavg O_CLOEXEC O_NOFOLLOW",
    signal: "SIGALRM SIGHUP SIGUSR1 SIGUSR2 SIGCHLD SIGQUIT SIGXFSZ ITIMER_REAL SIG_BLOCK SIG_UNBLOCK alarm "
    "pause setitimer getitimer pthread_sigmask pthread_kill sigwait",
}
SITE = """
import sys
sys.path.insert(0, {folder!r})
import bare_system
bare_system.strip()
"""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of processes on such a system.

    Args:
        folder: An empty folder.
    """
    (folder / "sitecustomize.py").write_text(SITE.format(folder=str(Path(__file__).parent)))
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


class _Missing:
    """A finder of modules that says that some do not exist."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in (*MODULES, *NOT_NEEDED):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def strip() -> None:
    """Take it all away from this process."""
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Missing())
    for module, names in FUNCTIONS.items():
        for name in names.split():
            delattr(module, name)
    multiprocessing.get_all_start_methods = lambda: ["spawn"]
    shutil._use_fd_functions = False
    for name in ("unlink", "remove", "rename", "replace"):
        setattr(os, name, _unless_open(getattr(os, name), os.listdir, os.readlink, open))
    builtins.open = io.open = _blind(io.open)
    os.stat, os.scandir, os.open = _blind(os.stat), _blind(os.scandir), _blind(os.open)


def _unless_open(function: Callable, listdir: Callable, readlink: Callable, read: Callable) -> Callable:
    """Return a function that removes or renames no file that this process has open or mapped, as on Windows."""

    def open_files() -> set[str]:
        found = set()
        for descriptor in listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # the one of this list
                found.add(readlink(f"/proc/self/fd/{descriptor}"))
        with read("/proc/self/maps") as maps:
            return found | {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if "/" in line}

    def unless_open(*paths, **options):
        for path in paths:
            if os.path.realpath(path) in open_files():
                raise PermissionError(13, "it is being used by another process", str(path))
        return function(*paths, **options)

    return unless_open


def _blind(function: Callable) -> Callable:
    """Return a function of paths that sees nothing of the system's own file systems."""

    def blind(path=".", *arguments, **options):
        if isinstance(path, str | Path) and str(path).startswith(("/proc", "/sys/")):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return function(path, *arguments, **options)

    return blind
