"""Targets: the names of the devices on which networks are timed.

A target is this machine (`local`), another machine that OpenSSH reaches (`ssh://...`), an Android phone (`adb://...`),
or the nodes of a Ray cluster that have a custom resource (`ray://NAME`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evomnas.core.errors import InputError

LOCAL = "local"
# Resources that Ray gives to every node: they do not tell one kind of machine from another.
RAY_BUILTIN_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")
_URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<python>/\S+)?/?"
)
_ADB = re.compile(r"adb://(?P<serial>[A-Za-z0-9][A-Za-z0-9._:-]*)?(?P<tool>/[\w./+-]*[\w.+-])?/?")
_RAY = re.compile(r"ray://(?P<resource>[A-Za-z0-9_][A-Za-z0-9_.-]*)")


@dataclass(frozen=True)
class SshTarget:
    """A machine that is reached by ssh.

    Attributes:
        target: The target as the user wrote it.
        host: Name or address of the machine.
        user: Login name; None leaves it to OpenSSH's configuration.
        port: TCP port; None leaves it to OpenSSH's configuration.
        python: The Python interpreter on that machine.
    """

    target: str
    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"


@dataclass(frozen=True)
class AdbTarget:
    """An Android phone that adb reaches.

    Attributes:
        target: The target as the user wrote it.
        serial: The phone's serial number, as `adb devices` prints it; None for the only one.
        tool: The path of `benchmark_model` on the phone; None for its usual place.
    """

    target: str
    serial: str | None = None
    tool: str | None = None


@dataclass(frozen=True)
class RayTarget:
    """The nodes of the Ray cluster that have a custom resource.

    Attributes:
        target: The target as the user wrote it.
        resource: Name of the custom resource.
    """

    target: str
    resource: str


def parse_target(target: str) -> SshTarget | AdbTarget | RayTarget | None:
    """Read a target.

    Args:
        target: `local`, `ssh://[user@]host[:port][/path/to/python]`, `adb://[SERIAL][/path/to/benchmark_model]` or
            `ray://NAME`.

    Returns:
        The parts of an ssh, adb or ray target; None for this machine.

    Raises:
        InputError: The target is none of these.
    """
    if target == LOCAL:
        return None
    phone = _ADB.fullmatch(target)
    if phone is not None:
        return AdbTarget(target, phone["serial"], phone["tool"])
    nodes = _RAY.fullmatch(target)
    if nodes is not None and nodes["resource"] not in RAY_BUILTIN_RESOURCES:
        return RayTarget(target, nodes["resource"])
    match = _URL.fullmatch(target)
    port = None if match is None or match["port"] is None else int(match["port"])
    if match is None or (port is not None and not 0 < port < 65536):
        raise InputError(
            f"cannot read the target {target!r}: write local, ssh://user@host:port, adb://SERIAL for an Android phone, "
            "or ray://NAME for nodes of a Ray cluster with the custom resource NAME"
        )
    python = match["python"] or "python3"
    if re.match("/[A-Za-z]:/", python):  # a drive of Windows
        python = python[1:]
    return SshTarget(target, match["host"].strip("[]"), match["user"], port, python)
