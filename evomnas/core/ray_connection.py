"""Start or join a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.system.machine import usable_cores
from evomnas.core.system.processes import check_open_files
from evomnas.core.system.scratch import folder_for_sockets

RAY_FILES_AS_WORKERS = 60  # a new cluster opens as many files as so many worker processes: else it hangs
CONNECT_TIMEOUT_S = 10.0  # a host that accepts no connection within this time counts as absent
JOIN_TIMEOUT_S = 30.0  # an address that lets no process join within this time counts as no cluster
# Joins the cluster in a process of its own, which can be killed: Ray itself tries for minutes and ignores Ctrl-C.
JOIN_SCRIPT = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
# The longest path of Ray's sockets, in its temporary folder.
SOCKET_EXAMPLE = "ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"

_joinable_addresses: set[str] = set()  # addresses at which a process has already joined


def join_cluster(address: str | None) -> Any:
    """Join a Ray cluster, or start one on this machine.

    If this process belongs to a cluster already, it stays with that one, whatever the address.

    Args:
        address: The cluster's head as `HOST:PORT`, or `auto` for a cluster on this machine. None means the address in
            the environment variable `RAY_ADDRESS`, as for Ray itself; if that is not set, a new cluster is started.

    Returns:
        The module `ray`, connected.

    Raises:
        InputError: Ray is not installed or cannot start, the address cannot be read, or no cluster answers there.
        OSError: A new cluster may have too few files open.
    """
    try:
        import ray
    except ImportError:
        raise InputError("a cluster needs Ray, which is not installed: pip install 'evomnas[ray]'") from None
    if ray.is_initialized():
        return ray
    address = address if address is not None else os.environ.get("RAY_ADDRESS") or None
    if address is not None:
        _check_address(address)
    else:
        check_open_files(RAY_FILES_AS_WORKERS)
    handler = signal.getsignal(signal.SIGTERM)  # ray.init would replace it
    try:
        # "local" starts a cluster; None would join one that runs on this machine, or the remains of one
        # and which cores of a container are ours is better known here than to Ray
        options = _short_paths() | {"num_cpus": usable_cores()} if address is None else {}
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # Ray also raises plain Exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, OSError):
            reason = f"{reason}; HOME must be a folder that can be written to, and TMPDIR another"
        raise _refusal(address, reason) if address else InputError(f"Ray cannot start here: {reason}") from None
    finally:
        signal.signal(signal.SIGTERM, handler)
    return ray


def _short_paths() -> dict[str, Any]:
    """Return the options of a new cluster that put its sockets into a folder with a short path, if TMPDIR is long."""
    folder = folder_for_sockets(len(SOCKET_EXAMPLE))
    is_chosen = "RAY_TMPDIR" in os.environ or folder == tempfile.gettempdir()
    return {} if is_chosen else {"_temp_dir": os.path.join(folder, "ray")}


def _refusal(address: str, reason: str) -> InputError:
    return InputError(
        f"no Ray cluster answers at {address}: {reason}; start one with `ray start --head` and name its HOST:PORT, or "
        "leave --ray-address out"
    )


def _check_address(address: str) -> None:
    """Raise InputError if no process can join a cluster at an address."""
    if address in _joinable_addresses:
        return
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or "/" in address or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise InputError(f"cannot read the cluster's address {address!r}: write HOST:PORT, or auto")
        try:
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise _refusal(address, str(error)) from None
    try:
        process = subprocess.run(
            [sys.executable, "-c", JOIN_SCRIPT, address],
            capture_output=True,
            text=True,
            timeout=JOIN_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refusal(address, f"what is there lets nobody join within {JOIN_TIMEOUT_S:g} s") from None
    if "InvalidAuthToken" in process.stderr:
        raise InputError(
            f"the Ray cluster at {address} wants its token: set RAY_AUTH_MODE=token, and have the ~/.ray/auth_token of "
            "its head here"
        )
    if process.returncode:
        raise _refusal(address, (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1])
    _joinable_addresses.add(address)
