"""Opens the device that a target names: `local`, `ssh://user@host:port/path/to/python` or `ray://resource`."""

from __future__ import annotations

from evomnas.latency.devices.local import Device, LocalDevice
from evomnas.latency.runtimes.base import Runtime
from evomnas.problem.target import SshTarget, parse_target


def open_device(target: str, runtime: Runtime, threads: int) -> Device:
    """Open the device that a target names. Code that reaches other machines is imported only for those.

    Args:
        target: `local`, `ssh://user@host:port/path/to/python` or `ray://resource`.
        runtime: The runtime that runs the networks.
        threads: The threads that one inference may use.

    Returns:
        The device, connected. Its `close` must be called in the end.

    Raises:
        InputError: The target cannot be understood or reached, or something is not installed there. The message says
            what to do.
    """
    address = parse_target(target)
    if address is None:
        return LocalDevice(runtime, threads)
    if isinstance(address, SshTarget):
        from evomnas.latency.devices.ssh import SshDevice

        return SshDevice(address, threads)
    from evomnas.latency.devices.ray_nodes import NodeDevice

    return NodeDevice(address, runtime.name, threads)
