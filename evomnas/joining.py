"""Start or join a Ray cluster."""

from __future__ import annotations

import logging
import signal
import socket
from typing import Any

from evomnas.errors import InputError

ANSWER_S = 10.0  # a cluster's head that does not answer within it is not there


def join_cluster(address: str | None) -> Any:
    """The module `ray`, joined: to the cluster that this process belongs to already, one at an address, or a new one.

    Ray's own handler of SIGTERM would take ours away.

    Raises:
        InputError: Ray is not installed, or no cluster answers at the address.
    """
    try:
        import ray
    except ImportError:
        raise InputError("a cluster needs Ray, which is not installed: pip install 'evomnas[ray]'") from None
    if ray.is_initialized():
        return ray
    host, _, port = str(address).rpartition(":")
    if address not in (None, "auto") and not (host and port.isdecimal()):
        raise InputError(f"cannot read the cluster's address {address!r}: write HOST:PORT, or auto")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address not in (None, "auto"):  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), ANSWER_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises bare ones as well
        raise InputError(
            f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}; start one with `ray start --head` and "
            "name its HOST:PORT, or leave --ray-address out"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, handler)
    return ray
