"""Start or join a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from evomnas.core.errors import InputError

ANSWER_S = 10.0  # a cluster's head that does not answer within it is not there
JOIN_S = 30.0  # what has not let a process join within it is no cluster
# Joins as we would, in a process that can be given up: Ray itself tries for minutes, and hears no interruption.
PROBE = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"

_answered: set[str] = set()  # addresses that let a process join


def join_cluster(address: str | None) -> Any:
    """The module `ray`, joined: to the cluster that this process belongs to already, one at an address, or a new one.

    Where there is no address, `RAY_ADDRESS` names one, as for Ray itself. Ray's own handler of SIGTERM would take ours
    away.

    Raises:
        InputError: Ray is not installed or cannot start, or no cluster answers at the address.
    """
    try:
        import ray
    except ImportError:
        raise InputError("a cluster needs Ray, which is not installed: pip install 'evomnas[ray]'") from None
    if ray.is_initialized():
        return ray
    address = address if address is not None else os.environ.get("RAY_ADDRESS") or None
    if address is not None:
        _check(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        # "local" starts one, where None would join any that this machine has, or the remains of one
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises bare ones as well
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refusal(address, reason) if address else InputError(f"Ray cannot start here: {reason}") from None
    finally:
        signal.signal(signal.SIGTERM, handler)
    return ray


def _refusal(address: str, reason: str) -> InputError:
    return InputError(
        f"no Ray cluster answers at {address}: {reason}; start one with `ray start --head` and name its HOST:PORT, or "
        "leave --ray-address out"
    )


def _check(address: str) -> None:
    """Raise InputError where no process can join at an address."""
    if address in _answered:
        return
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or "/" in address or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise InputError(f"cannot read the cluster's address {address!r}: write HOST:PORT, or auto")
        try:
            socket.create_connection((host, int(port)), ANSWER_S).close()
        except OSError as error:
            raise _refusal(address, str(error)) from None
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, address], capture_output=True, text=True, timeout=JOIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise _refusal(address, f"what is there lets nobody join within {JOIN_S:g} s") from None
    if "InvalidAuthToken" in done.stderr:
        raise InputError(
            f"the Ray cluster at {address} wants its token: set RAY_AUTH_MODE=token, and have the ~/.ray/auth_token of "
            "its head here"
        )
    if done.returncode:
        raise _refusal(address, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    _answered.add(address)
