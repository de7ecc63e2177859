"""How a device is named: this machine, or another that OpenSSH reaches."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evomnas.errors import InputError

LOCAL = "local"
_URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<python>/\S+)?/?"
)


@dataclass(frozen=True)
class Address:
    """What an ssh target says; None leaves it to OpenSSH's configuration."""

    target: str
    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"


def parse_target(target: str) -> Address | None:
    """The address of an ssh target; None for this machine.

    Raises:
        InputError: The target is neither.
    """
    if target == LOCAL:
        return None
    match = _URL.fullmatch(target)
    port = None if match is None or match["port"] is None else int(match["port"])
    if match is None or (port is not None and not 0 < port < 65536):
        raise InputError(f"cannot read the target {target!r}: write local, or ssh://user@host:port")
    return Address(target, match["host"].strip("[]"), match["user"], port, match["python"] or "python3")
