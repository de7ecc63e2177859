"""How a device is named: this machine, another that OpenSSH reaches, or nodes of a Ray cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evomnas.core.errors import InputError

LOCAL = "local"
RAY_S_OWN = ("CPU", "GPU", "memory", "object_store_memory")  # resources that say nothing of a machine
_URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<python>/\S+)?/?"
)
_RAY = re.compile(r"ray://(?P<resource>[A-Za-z0-9_][A-Za-z0-9_.-]*)")


@dataclass(frozen=True)
class Address:
    """What an ssh target says; None leaves it to OpenSSH's configuration."""

    target: str
    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"


@dataclass(frozen=True)
class Nodes:
    """What a ray target says: the nodes of the cluster that have a custom resource."""

    target: str
    resource: str


def parse_target(target: str) -> Address | Nodes | None:
    """The address of an ssh target, the nodes of a ray target; None for this machine.

    Raises:
        InputError: The target is none of these.
    """
    if target == LOCAL:
        return None
    nodes = _RAY.fullmatch(target)
    if nodes is not None and nodes["resource"] not in RAY_S_OWN:
        return Nodes(target, nodes["resource"])
    match = _URL.fullmatch(target)
    port = None if match is None or match["port"] is None else int(match["port"])
    if match is None or (port is not None and not 0 < port < 65536):
        raise InputError(
            f"cannot read the target {target!r}: write local, ssh://user@host:port, or ray://NAME for nodes of a Ray "
            "cluster with the custom resource NAME"
        )
    return Address(target, match["host"].strip("[]"), match["user"], port, match["python"] or "python3")
