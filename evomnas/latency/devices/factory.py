"""The devices that targets name: `local`, `ssh://user@host:port/path/to/python`, `ray://resource`."""

from __future__ import annotations

from evomnas.latency.devices.local import Device, LocalDevice
from evomnas.latency.runtimes.base import Runtime
from evomnas.problem.target import SshTarget, parse_target


def open_device(target: str, runtime: Runtime, threads: int) -> Device:
    """Open the device that a target names. What reaches other machines is imported when it is wanted.

    Args:
        target: `local`, an ssh target or a ray target.
        runtime: What runs the networks there.
        threads: Threads that one inference may use.

    Returns:
        The device, ready to measure.

    Raises:
        InputError: The target cannot be understood or reached, or lacks something; the message says what to do.
    """
    address = parse_target(target)
    if address is None:
        return LocalDevice(runtime, threads)
    if isinstance(address, SshTarget):
        from evomnas.latency.devices.ssh import SshDevice

        return SshDevice(address, threads)
    from evomnas.latency.devices.ray_nodes import NodeDevice

    return NodeDevice(address, runtime.name, threads)
