"""The devices that targets name: `local`, `ssh://user@host:port/path/to/python`, `ray://resource`."""

from __future__ import annotations

from evomnas.latency.devices.local import Device, LocalDevice
from evomnas.latency.devices.ray_nodes import NodeDevice
from evomnas.latency.devices.ssh import SshDevice
from evomnas.latency.runtimes.base import Runtime
from evomnas.problem.target import SshTarget, parse_target


def open_device(target: str, runtime: Runtime, threads: int) -> Device:
    """The device that a target names.

    Raises:
        InputError: It cannot be understood or reached, or lacks something; the message says what to do.
    """
    address = parse_target(target)
    if address is None:
        return LocalDevice(runtime, threads)
    if isinstance(address, SshTarget):
        return SshDevice(address, threads)
    return NodeDevice(address, runtime.name, threads)
