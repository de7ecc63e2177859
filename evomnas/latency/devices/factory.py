"""Opens the device that a target names: `local`, `ssh://...`, `adb://...` or `ray://...`."""

from __future__ import annotations

from evomnas.latency.devices.local import Device, LocalDevice
from evomnas.latency.runtimes.base import CPU, open_runtime
from evomnas.problem.target import AdbTarget, SshTarget, parse_target


def open_device(target: str, runtime_name: str, threads: int, provider: str = CPU) -> Device:
    """Open the device that a target names. Code that reaches other machines is imported only for those.

    Args:
        target: `local`, `ssh://user@host:port/path/to/python`, `adb://SERIAL/path/to/benchmark_model` or
            `ray://resource`.
        runtime_name: The registered runtime that runs the networks.
        threads: The threads that one inference may use.
        provider: What the runtime runs them on: `cpu`, or another provider that it has there.

    Returns:
        The device, connected. Its `close` must be called in the end.

    Raises:
        InputError: The target cannot be understood or reached, or something is not installed there. The message says
            what to do.
    """
    address = parse_target(target)
    if address is None:
        return LocalDevice(open_runtime(runtime_name, provider), threads)
    if isinstance(address, SshTarget):
        from evomnas.latency.devices.ssh import SshDevice

        return SshDevice(address, threads, provider)
    if isinstance(address, AdbTarget):
        from evomnas.latency.devices.android.adb_device import AdbDevice

        return AdbDevice(address, threads)
    from evomnas.latency.devices.ray_nodes import NodeDevice

    return NodeDevice(address, runtime_name, threads, provider)
