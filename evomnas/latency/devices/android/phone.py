"""A phone: what it is, how warm it is, and its fastest cores."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evomnas.core.errors import InputError
from evomnas.latency.devices.android.adb_client import PhoneShell

CPUS = "/sys/devices/system/cpu"
MAX_TEMPERATURE_C = 40.0  # of the battery; above it phones lower their clock rate
MIN_BATTERY = 15  # per cent; below it they do as well
_PROPERTIES = {  # by what they tell; of several the first one that is set
    "host": ("ro.product.model",),
    "chip": ("ro.soc.model", "ro.board.platform"),
    "abi": ("ro.product.cpu.abi",),
    "build": ("ro.build.fingerprint",),
}


@dataclass(frozen=True)
class Health:
    """The state of a phone on which its clock rate depends.

    Attributes:
        temperature_c: Of the battery, in degrees Celsius; None if the phone does not tell.
        battery: Its charge in per cent; None if the phone does not tell.
        is_awake: Whether the screen is on; True if the phone does not tell.
    """

    temperature_c: float | None
    battery: int | None
    is_awake: bool

    @property
    def is_hot(self) -> bool:
        """Whether it is too warm to be measured."""
        return self.temperature_c is not None and self.temperature_c > MAX_TEMPERATURE_C

    @property
    def text(self) -> str:
        """The state in words."""
        battery = "unknown" if self.battery is None else f"{self.battery} %"
        temperature = (
            "an unknown temperature" if self.temperature_c is None else f"{self.temperature_c:g} degrees Celsius"
        )
        return f"battery {battery}, at {temperature}; its screen is {'on' if self.is_awake else 'off'}"


def describe_phone(shell: PhoneShell) -> dict[str, str]:
    """Return what a phone is: `host`, `processor` and `build`.

    Args:
        shell: A shell on it.
    """
    names = [name for group in _PROPERTIES.values() for name in group]
    _, text = shell.run("; ".join(f"echo {name}=$(getprop {name})" for name in names))
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = {
        kind: next((values[name] for name in group if values.get(name)), "unknown")
        for kind, group in _PROPERTIES.items()
    }
    return {"host": found["host"], "processor": f"{found['chip']}, {found['abi']}", "build": found["build"]}


def fastest_cores(shell: PhoneShell, count: int) -> list[int]:
    """Return the numbers of the cores with the highest clock rate; none if the phone does not tell.

    Args:
        shell: A shell on it.
        count: How many are wanted.
    """
    _, text = shell.run(f'for f in {CPUS}/cpu[0-9]*/cpufreq/cpuinfo_max_freq; do echo "$f $(cat "$f")"; done')
    rates = {int(number): int(rate) for number, rate in re.findall(r"/cpu(\d+)/cpufreq/\S+ (\d+)", text)}
    return sorted(sorted(rates, key=lambda core: (rates[core], core))[-count:])


def read_health(shell: PhoneShell) -> Health:
    """Return the state of a phone.

    Args:
        shell: A shell on it.
    """
    _, battery = shell.run("dumpsys battery")
    _, power = shell.run("dumpsys power | grep mWakefulness=")
    numbers = {name: int(value) for name, value in re.findall(r"^\s*(level|temperature): (-?\d+)", battery, re.M)}
    tenths = numbers.get("temperature")
    awake = re.search(r"mWakefulness=(\w+)", power)
    return Health(
        None if tenths is None else tenths / 10,
        numbers.get("level"),
        awake is None or awake[1] in ("Awake", "Dreaming"),
    )


def check_health(serial: str, health: Health) -> None:
    """Check that a phone's clock rate can be relied on, its warmth aside.

    Args:
        serial: The phone.
        health: Its state.

    Raises:
        InputError: It sleeps, or its battery is nearly empty.
    """
    if not health.is_awake:
        raise InputError(f"the phone {serial} is asleep: switch its screen on, and Stay awake in the developer options")
    if health.battery is not None and health.battery < MIN_BATTERY:
        raise InputError(f"the battery of the phone {serial} has {health.battery} %: charge it to {MIN_BATTERY} %")
