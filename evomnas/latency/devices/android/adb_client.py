"""The program `adb` of Android's platform tools: which phone is meant, pushed files, and one shell that stays open.

Each call of `adb` costs a tenth of a second. A line in a shell that stays open costs a ten thousandth, so all that is
timed goes through it.
"""

from __future__ import annotations

import itertools
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.core.system.processes import detached
from evomnas.latency.devices.remote import ConnectionLost, end_process, killed_after
from evomnas.problem.target import AdbTarget

CALL_TIMEOUT_S, PUSH_TIMEOUT_S = 20.0, 300.0
_REMEDIES = {  # by the state that `adb devices` prints
    "unauthorized": "has not allowed this computer: unlock it and accept the question about debugging",
    "offline": "is offline: pull out the cable and plug it in again, or type: adb reconnect offline",
    "no permissions": "cannot be opened by this user: see developer.android.com/tools/device about udev rules",
    "authorizing": "has not allowed this computer yet: accept the question about debugging on it",
}


def find_phone(target: AdbTarget) -> str:
    """Return the serial number of the phone that a target means.

    Args:
        target: The target.

    Raises:
        InputError: There is no `adb`, no such phone, more than one where none was named, or it cannot be used.
    """
    phones = _phones(target)
    if target.serial is None:
        if not phones:
            raise InputError(f"{target.target} finds no phone: plug one in, and switch on USB debugging on it")
        if len(phones) > 1:
            names = " or ".join(f"adb://{serial}" for serial in phones)
            raise InputError(f"{len(phones)} phones are connected: name one of them, as {names}")
    serial = next(iter(phones)) if target.serial is None else target.serial
    if serial not in phones:
        there = ", ".join(phones) or "none"
        raise InputError(f"there is no phone {serial}, adb devices lists {there}: plug it in, or adb connect HOST:PORT")
    state = phones[serial]
    if state != "device":
        remedy = next((text for name, text in _REMEDIES.items() if state.startswith(name)), f"is in the state {state}")
        raise InputError(f"the phone {serial} {remedy}")
    return serial


def _phones(target: AdbTarget) -> dict[str, str]:
    """Return the states of all phones by their serial numbers."""
    try:
        done = subprocess.run(
            ["adb", "devices"], capture_output=True, text=True, timeout=CALL_TIMEOUT_S, check=False, **detached()
        )
    except FileNotFoundError:
        raise InputError(f"{target.target} needs adb of Android's platform tools: apt-get install adb") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"adb gives no answer for {CALL_TIMEOUT_S:g} s: type adb kill-server, and try again") from None
    if done.returncode:
        raise InputError(f"adb cannot list phones: {_last_line(done.stderr + done.stdout)}")
    rows = (line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    return {serial: state.strip() for serial, state in rows}


def push(serial: str, files: Sequence[Path], folder: str) -> None:
    """Copy files into a folder of a phone.

    Args:
        serial: The phone.
        files: The files, which keep their names.
        folder: The folder, which exists.

    Raises:
        InputError: There is no room on the phone.
        ConnectionLost: The phone was lost.
    """
    command = ["adb", "-s", serial, "push", *map(str, files), f"{folder}/"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PUSH_TIMEOUT_S, check=False, **detached()
        )
    except subprocess.TimeoutExpired:
        raise ConnectionLost(f"the phone {serial} took no file for {PUSH_TIMEOUT_S:g} s") from None
    said = done.stderr + done.stdout
    if "No space left on device" in said:
        raise InputError(f"the phone {serial} has no room for {sum(file.stat().st_size for file in files):,} bytes")
    if done.returncode:
        raise ConnectionLost(f"the phone {serial} was lost: {_last_line(said)}")


class PhoneShell:
    """A shell on a phone that stays open."""

    def __init__(self, serial: str) -> None:
        """Open the shell.

        Args:
            serial: The phone.
        """
        self._serial, self._numbers = serial, itertools.count()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            ["adb", "-s", serial, "shell", "-T", "sh"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, **detached(),
        )  # fmt: skip

    def run(self, script: str, seconds: float = CALL_TIMEOUT_S) -> tuple[int, str]:
        """Run a script.

        Args:
            script: Lines for the shell.
            seconds: The time after which the phone counts as lost.

        Returns:
            The exit code, and what was printed, errors included.

        Raises:
            ConnectionLost: The phone was lost.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        end = f"evomnas-end-{next(self._numbers)}-"
        lines: list[str] = []
        with killed_after(self._process, seconds):
            try:
                self._process.stdin.write(f"{{ {script}\n}} 2>&1 </dev/null; echo {end}$?\n".encode())
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                raise ConnectionLost(self._explain()) from error
            for line in self._process.stdout:
                text = line.decode(errors="replace").rstrip("\r\n")
                before, found, code = text.rpartition(end)
                if found and code.isdigit():
                    return int(code), "\n".join([*lines, before] if before else lines)
                lines.append(text)
        raise ConnectionLost(self._explain())

    def _explain(self) -> str:
        self._errors.seek(0)
        reason = _last_line(self._errors.read().decode(errors="replace"))
        return f"the phone {self._serial} was lost{f': {reason}' if reason else ''}"

    def close(self) -> None:
        """End the shell, which then does what it was told to do at its end."""
        end_process(self._process)
        self._errors.close()


def quoted(*words: str) -> str:
    """Return words as the phone's shell reads them.

    Args:
        words: A command and its arguments.
    """
    return shlex.join(words)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ").removeprefix("adb: ") if lines else ""
