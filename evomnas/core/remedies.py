"""What helps where the operating system refuses something, in one line: more files, processes, memory or room."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import tempfile
from pathlib import Path

from evomnas.core.system.optional import soft_limit

MAX_SHOWN_PATH = 100  # characters of a path in a message; the middle of a longer one is left out
FEW_OPEN_FILES = 64  # with fewer, libraries fail in ways of their own
TOO_LONG_SOCKET = re.compile("AF_UNIX path (too long|length)")
TEMPORARY_PREFIXES = ("evomnas-", "tmp", "pymp-")  # of this package, of Python, of its processes
NO_TEMPORARY_FOLDER = "No usable temporary directory"

_NAMED_IN_TEXT = (  # errors of libraries that come with no number, by what they say
    (re.compile(r"can't start new thread|unable to start .*thread|pthread_create"), errno.EAGAIN),
    (re.compile(r"failed to map segment|[Cc]annot allocate memory"), errno.ENOMEM),
    (re.compile(r"[Tt]oo many open files"), errno.EMFILE),
    (re.compile(r"[Nn]o space left|database or disk is full"), errno.ENOSPC),
    (re.compile(r"[Ff]ile too large"), errno.EFBIG),
    (re.compile(r"[Rr]ead-only file system|readonly database"), errno.EROFS),
)
_SHARING_VIOLATION = 32  # of Windows: another program has the file open


def explain(error: BaseException, other: str = "name another folder") -> str | None:
    """Return what the system refused and what helps, in one line.

    Args:
        error: An error of any library.
        other: The words for how to choose another place.

    Returns:
        The line; None if it is no error of the system, or none for which something better is known than what it says.
    """
    if TOO_LONG_SOCKET.search(str(error)):
        return f"the path of the temporary folder is too long ({shown(tempfile.gettempdir())}); set TMPDIR=/tmp"
    if NO_TEMPORARY_FOLDER in str(error):
        return "there is no folder for temporary files; set TMPDIR to one that you may write to, with room in it"
    number = _number(error)
    remedy = None if number is None else _remedy(number, error, other)
    if number is None or remedy is None:
        return None
    what = str(error) if isinstance(error, MemoryError) and str(error) else os.strerror(number)
    return f"{what}{_place(error, number)}; {remedy}"


def refused(error: BaseException, path: Path | str, option: str) -> str | None:
    """Return what the system refused where somebody wanted a file or folder to be, in one line.

    Args:
        error: An error of any library.
        path: The place, as it was typed.
        option: The words for how it is typed, such as `--out DIR`.

    Returns:
        The line; None if it is no error of the system.
    """
    number = _number(error)
    if number is None:
        return None
    other = f"choose another place ({option})"
    remedy = _remedy(number, error, other) or other
    what = os.strerror(number)
    if number in (errno.ENOENT, errno.EPERM):  # of a file that is new, or in a folder of the system's own
        what, remedy = "the system takes no new files there", other
    if number == errno.ENAMETOOLONG:
        remedy = f"choose a shorter one with {option}"
    return f"cannot write {shown(path)}: {what[0].lower()}{what[1:]}; {remedy}"


def is_misuse(error: BaseException) -> bool:
    """Return whether another name would do, of a file or folder that was typed.

    Args:
        error: An error of any library.
    """
    return isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)


def _number(error: BaseException) -> int | None:
    """Return the number of an error of the system; None if it is none."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and "disk I/O error" in text:
        return errno.EFBIG if soft_limit("FSIZE") is not None else errno.EIO
    if not isinstance(error, OSError | ImportError | RuntimeError | sqlite3.Error):
        return None
    found = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", text)  # as Rust and Python write them
    if found is not None:
        return int(found[1] or found[2])
    return next((number for pattern, number in _NAMED_IN_TEXT if pattern.search(text)), None)


def _remedy(number: int, error: BaseException, other: str) -> str | None:
    """Return what helps against an error of the system; None if that is not known.

    Where another place helps, `other` says how it is chosen.
    """
    if getattr(error, "winerror", None) == _SHARING_VIOLATION:
        return "another program has the file open: close it there"
    other_folder = "set TMPDIR to another folder" if _is_temporary(error) else other
    if number == errno.EMFILE:
        return f"at most {soft_limit('NOFILE')} are allowed here: raise that (ulimit -n 1024), or use fewer --workers"
    if number == errno.EAGAIN:
        most = soft_limit("NPROC")
        bound = "" if most is None else f"at most {most} processes and threads of a user are allowed here: "
        return f"{bound}use fewer --workers, or allow more processes (ulimit -u 4096, or --pids-limit of a container)"
    if number == errno.ENOMEM:
        return f"{_limited_memory() or 'more is wanted than is free'}: use fewer --workers, or {_MORE_MEMORY}"
    if number == errno.EFBIG:
        return "files may not become that large here: raise that (ulimit -f unlimited)"
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"free some space, or {other_folder} with room in it"
    if number in (errno.EACCES, errno.EPERM):
        return f"change its permissions, or {other_folder}"
    if number == errno.EROFS:
        return f"{other_folder} on a disk that can be written to"
    constant = {
        errno.ENFILE: "the whole machine has too many files open: close other programs",
        errno.ENAMETOOLONG: "choose a shorter one",
        errno.ELOOP: f"links lead there in a circle: remove them, or {other}",
        errno.ENOTDIR: f"a file is where a folder is needed: remove it, or {other}",
        errno.EISDIR: f"a folder is where a file is needed: remove it, or {other}",
        errno.EIO: "the disk fails, or is full: see the system's log",
    }
    return constant.get(number)


_MORE_MEMORY = "allow more memory (ulimit -v unlimited)"


def tight_limits() -> str:
    """Return the words for limits of this process that may be the cause of any error; empty if there are none."""
    files = soft_limit("NOFILE")
    is_tight = files is not None and files < FEW_OPEN_FILES
    few = f"at most {files} files may be open here (ulimit -n 1024 allows more)" if is_tight else ""
    return "; ".join(filter(None, (few, _limited_memory())))


def _limited_memory() -> str:
    """Return the words for the limit of this process's memory, by `ulimit -v` or `-d`; empty if there is none."""
    limits = [limit for name in ("AS", "DATA") if (limit := soft_limit(name)) is not None]
    return f"the memory of a process is limited to {min(limits) / 2**30:.1f} GiB here" if limits else ""


def _is_temporary(error: BaseException) -> bool:
    """Return whether an error is about a temporary file, not one that somebody keeps in the temporary folder."""
    path = getattr(error, "filename", None)
    if not isinstance(path, str):
        return False
    try:
        place = Path(path).resolve().relative_to(Path(tempfile.gettempdir()).resolve())
    except (OSError, ValueError, RuntimeError):  # the last of links in a circle
        return False
    return str(place).startswith(TEMPORARY_PREFIXES)


def _place(error: BaseException, number: int) -> str:
    """Return the words for the file that an error is about; empty where it does not matter or is not known."""
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    is_about_file = number not in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
    return f": {shown(str(path))}" if path and is_about_file else ""


def shown(path: Path | str) -> str:
    """Return a path as messages show it: a long one without its middle.

    Args:
        path: The path.
    """
    text, half = str(path), MAX_SHOWN_PATH // 2
    return text if len(text) <= MAX_SHOWN_PATH else f"{text[:half]}...{text[-half:]}"
