"""The limits that control groups of Linux, and so a container, set on this process: memory and processor time.

A container sees all of its host's memory and processors. The system kills processes that want more memory than their
control group may have, and holds them up where they want more processor time. A limit may be set on the process's own
group or on any group above it, so all of them are read, as far as they are visible.

This module needs the standard library only, and Python 3.9: it is also sent to other machines.

References:
    "Control Group v2" (cgroup-v2.rst) and "Memory Resource Controller" (memcg_v1 memory.rst) of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple


@dataclass(frozen=True)
class Allowance:
    """The memory and processor time that the control groups of this process allow.

    Attributes:
        memory: The tightest limit of memory in bytes. None: no group has one.
        free: The bytes that can be taken before a limit is reached, in all groups; None without a limit. What the
            system keeps of files that nobody reads counts as free, since it is given up first.
        cores: Processor time, as a number of cores; None without a limit.
    """

    memory: int | None = None
    free: int | None = None
    cores: float | None = None


class _Mount(NamedTuple):
    version: int
    controllers: frozenset[str]  # of version 1
    top: PurePosixPath  # the group that is mounted, as paths of groups name it
    folder: Path


def read_allowance(root: Path = Path("/")) -> Allowance:
    """Return what the control groups of this process allow now; what cannot be read limits nothing.

    Args:
        root: The folder in which `proc` and `sys` are.
    """
    memory = [bounds for group in _groups(root, "memory") if (bounds := _memory_bounds(group)) is not None]
    quotas = [quota for group in _groups(root, "cpu") if (quota := _cores(group)) is not None]
    return Allowance(
        min((limit for limit, _ in memory), default=None),
        min((max(0, limit - used) for limit, used in memory), default=None),
        min(quotas, default=None),
    )


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and of the groups above it, by a controller, in every hierarchy."""
    groups: dict[int, PurePosixPath] = {}  # of this process, by version
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller in names.split(",") or (number == "0" and not names):
            groups[1 if names else 2] = PurePosixPath(path)
    for mount in _mounts(root):
        group = groups.get(mount.version)
        if group is None or (mount.version == 1 and controller not in mount.controllers):
            continue
        # A namespace of control groups hides where the group is: the top that is mounted is then the best known.
        inside = group.relative_to(mount.top) if mount.top in (group, *group.parents) else PurePosixPath()
        inside = PurePosixPath() if ".." in inside.parts else inside
        folder = mount.folder / inside
        yield folder
        for _ in inside.parts:
            folder = folder.parent
            yield folder


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yield where control groups are mounted."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        place, _, kind = line.partition(" - ")
        fields, names = place.split(), kind.split()
        if len(fields) >= 5 and len(names) >= 3 and names[0] in ("cgroup", "cgroup2"):
            folder = root / _unescaped(fields[4]).lstrip("/")
            version = 2 if names[0] == "cgroup2" else 1
            yield _Mount(version, frozenset(names[2].split(",")), PurePosixPath(_unescaped(fields[3])), folder)


def _memory_bounds(group: Path) -> tuple[int, int] | None:
    """Return the limit of a group and what it uses, in bytes; None if it has no limit."""
    if (group / "memory.limit_in_bytes").is_file():
        limit_files, usage_file, prefix = ["memory.limit_in_bytes"], "memory.usage_in_bytes", "total_"
    else:  # beyond memory.high nobody is killed, but all are held up
        limit_files, usage_file, prefix = ["memory.max", "memory.high"], "memory.current", ""
    statistics = dict(line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines() if " " in line)
    limits = [_number(_read(group / name)) for name in limit_files]
    limits.append(_number(statistics.get("hierarchical_memory_limit", "")))  # of groups that are not visible here
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    used = (_number(_read(group / usage_file)) or 0) - (_number(statistics.get(f"{prefix}inactive_file", "")) or 0)
    return min(known), max(0, used)


def _cores(group: Path) -> float | None:
    """Return the processor time that a group may take, as a number of cores; None if it is not limited."""
    values = _read(group / "cpu.max").split()  # quota and period in microseconds
    if not values:
        values = [_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")]
    numbers = [_number(value) for value in values]
    quota, period = numbers if len(numbers) == 2 else (None, None)
    return quota / period if quota is not None and period is not None else None


def _number(text: str) -> int | None:
    """Return a positive whole number; None for anything else, such as `max`, -1 and version 1's word for no limit."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if 0 < number < 2**60 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except (OSError, ValueError):
        return ""


def _unescaped(text: str) -> str:
    """Return a path of mountinfo as it is: spaces and the like are written as octal numbers there."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return text
