"""An Android phone as a device: the protocol of rounds, with bursts of `benchmark_model` on its fastest core.

A target `adb://SERIAL/path/to/benchmark_model` names a phone and the program on it; both may be left out. Files lie in
a folder of their own on the phone, named by their content. The shell that stays open removes that folder when it ends,
also where the cable was pulled out.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from evomnas.core.errors import InputError
from evomnas.latency.devices import protocol
from evomnas.latency.devices.android.adb_client import PhoneShell, find_phone, push, quoted
from evomnas.latency.devices.android.benchmark_tool import ADDRESS, ForeignTool, Tool, read_seconds
from evomnas.latency.devices.android.phone import (
    MAX_TEMPERATURE_C,
    Health,
    check_health,
    describe_phone,
    fastest_cores,
    read_health,
)
from evomnas.latency.devices.local import IndexedResults, locked_machine
from evomnas.latency.devices.remote import ConnectionLost, RemoteDevice
from evomnas.latency.runtimes.base import Float32Array, PreparedNetwork, check_output
from evomnas.problem.target import AdbTarget
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration

FOLDER = "/data/local/tmp"  # the one that every phone lets a shell write to and run programs from
DEFAULT_TOOL = f"{FOLDER}/benchmark_model"
BURST_S, MIN_RUNS, MAX_RUNS = 0.05, 3, 2000
TIME_LIMIT_S, CALIBRATION_S = 4.0, 3.0  # of a network: starting the program takes longer than a burst
MAX_DRIFT = 0.1  # of the reference within a round; beyond it the phone has changed its clock rate
COOLING_S, COOLING_PAUSE_S = 120.0, 5.0  # how long a hot phone is waited for
RUN_TIMEOUT_S = 60.0


class AdbDevice(RemoteDevice):
    """A phone as a device, with TensorFlow Lite's `benchmark_model` there."""

    def __init__(self, target: AdbTarget, threads: int) -> None:
        """Connect to a phone.

        Args:
            target: The phone, and the program on it.
            threads: The threads that one inference may use.

        Raises:
            InputError: The phone cannot be used, or lacks the program.
        """
        self._target, self._threads = target, threads
        self._shell: PhoneShell | None = None
        super().__init__()

    def _connect(self) -> dict[str, str]:
        self.close()
        self._runs: dict[str, int] = {}  # inferences of a burst, by the name of the file on the phone
        self._serial = find_phone(self._target)
        self._shell = PhoneShell(self._serial)
        self._folder = f"{FOLDER}/evomnas-{secrets.token_hex(6)}"
        try:
            return self._prepare_phone(self._shell)
        except BaseException:
            self.close()
            raise

    def _prepare_phone(self, shell: PhoneShell) -> dict[str, str]:
        try:
            code, said = shell.run(f"trap 'rm -rf {self._folder}' EXIT HUP TERM; mkdir -p {self._folder}")
            if code:
                raise InputError(f"the phone {self._serial} lets nobody write to {FOLDER}: {said.strip()}")
            tool = self._find_tool(shell)
            check_health(self._serial, read_health(shell))
            cores = tuple(fastest_cores(shell, self._threads))
            self._tool = Tool(self._target.tool or DEFAULT_TOOL, self._threads, cores)
            return describe_phone(shell) | {"version": tool, "cores": ",".join(map(str, cores)) or "any"}
        except ConnectionLost as error:
            raise InputError(str(error)) from error

    def _find_tool(self, shell: PhoneShell) -> str:
        """Return the name of the program by its content."""
        path = self._target.tool or DEFAULT_TOOL
        code, said = shell.run(quoted("sha256sum", path))
        if code:
            raise InputError(
                f"the phone {self._serial} has no {path}: get benchmark_model from {ADDRESS} and type: "
                f"adb -s {self._serial} push benchmark_model {path}"
            )
        if shell.run(quoted("test", "-x", path))[0]:
            raise InputError(f"{path} is no program yet: adb -s {self._serial} shell chmod +x {path}")
        return f"benchmark_model {said.split()[0][:16]}"

    def close(self) -> None:
        """Leave the phone. Its shell removes our files at its end."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def read_health(self) -> Health:
        """Return the state of the phone on which its clock rate depends."""
        return read_health(self._open_shell)

    @property
    def _open_shell(self) -> PhoneShell:
        assert self._shell is not None
        return self._shell

    def _calibrate(self, reference: PreparedNetwork) -> Calibration:
        self._await_cool()
        burst = self._load({0: reference})[0]
        if isinstance(burst, Failure):
            raise InputError(f"the reference network cannot be measured on {self._target.target}: {burst.message}")
        with locked_machine(self._on_wait):
            return protocol.calibrate_burst(burst, lambda: None, CALIBRATION_S)

    def _compare(
        self, candidates: dict[int, PreparedNetwork], reference: PreparedNetwork, time_limit_s: float
    ) -> IndexedResults:
        self._await_cool()
        names = {_file_name(prepared) for prepared in candidates.values()}
        loaded = self._load({-1: reference, **candidates})
        time_reference = loaded.pop(-1)
        if isinstance(time_reference, Failure):
            raise InputError(
                f"the reference network cannot be measured on {self._target.target}: {time_reference.message}"
            )
        yield from ((index, one) for index, one in list(loaded.items()) if isinstance(one, Failure))
        series = [protocol.Series(index, one) for index, one in loaded.items() if not isinstance(one, Failure)]
        limit_s = max(time_limit_s, TIME_LIMIT_S)
        with locked_machine(self._on_wait):
            for index, ratio in protocol.compare_bursts(
                series, time_reference, limit_s, load=lambda: None, max_drift=MAX_DRIFT
            ):
                yield (
                    index,
                    ratio
                    or Failure(
                        "throttled",
                        f"the phone's clock rate changed in {protocol.MAX_DISTURBED} rounds: let it cool down",
                    ),
                )
        self._forget(names - {_file_name(reference)})

    def _forget(self, names: set[str]) -> None:
        """Remove networks from the phone."""
        if names:
            self._open_shell.run(quoted("rm", "-f", *(f"{self._folder}/{name}" for name in sorted(names))))
        self._runs = {name: runs for name, runs in self._runs.items() if name not in names}

    def _await_cool(self) -> None:
        """Wait until the phone is cool enough; raise InputError if it stays hot."""
        end = time.monotonic() + COOLING_S
        while (health := read_health(self._open_shell)).is_hot:
            if time.monotonic() >= end:
                raise InputError(
                    f"the phone {self._serial} is hot, {health.temperature_c:.1f} C: let it cool below "
                    f"{MAX_TEMPERATURE_C:g} C, without its case and not in the sun"
                )
            self._on_wait()
            time.sleep(COOLING_PAUSE_S)
        check_health(self._serial, health)

    def _load(self, networks: Mapping[int, PreparedNetwork]) -> dict[int, Callable[[], float] | Failure]:
        """Bring networks to the phone and compare their logits; return bursts by the networks' keys."""
        missing = {_file_name(one): one for one in networks.values() if _file_name(one) not in self._runs}
        with tempfile.TemporaryDirectory(prefix="evomnas-") as folder:
            files = []
            for name, prepared in missing.items():
                for path, content in ((name, prepared.model), (f"{name}.in", _channels_last(prepared.images))):
                    files.append(Path(folder) / path)
                    files[-1].write_bytes(content)
            if files:
                push(self._serial, files, self._folder)
        failures: dict[str, Failure] = {}
        for name, prepared in missing.items():
            try:
                self._runs[name] = self._check_logits(name, prepared)
            except (RuntimeError, ArithmeticError) as error:
                failures[name] = Failure.of(error)
        names = {key: _file_name(prepared) for key, prepared in networks.items()}
        return {key: failures.get(name) or self._burst(name, self._runs[name]) for key, name in names.items()}

    def _check_logits(self, name: str, prepared: PreparedNetwork) -> int:
        """Run a network once, compare its logits with PyTorch's, and return how many inferences a burst needs."""
        shape = ",".join(map(str, prepared.images.transpose(0, 2, 3, 1).shape))
        model, output = f"{self._folder}/{name}", f"{self._folder}/{name}.out"
        printed = self._time(
            self._tool.command(
                model, MIN_RUNS, "--input_layer=image", f"--input_layer_shape={shape}",
                f"--input_layer_value_files=image:{model}.in", f"--output_filepath={output}",
            )
        )  # fmt: skip
        seconds = read_seconds(printed, MIN_RUNS)
        code, text = self._open_shell.run(f"base64 {output} && rm -f {output} {model}.in")
        if code:
            raise ForeignTool("this benchmark_model writes no logits, though it was asked to: put a newer one there")
        values = np.frombuffer(base64.b64decode(text), dtype=np.float32)
        check_output("benchmark_model", _like(values, prepared.logits), prepared.logits)
        return int(np.clip(np.ceil(BURST_S / seconds), MIN_RUNS, MAX_RUNS))

    def _burst(self, name: str, runs: int) -> Callable[[], float]:
        command = self._tool.command(f"{self._folder}/{name}", runs)
        return lambda: read_seconds(self._time(command), runs)

    def _time(self, command: str) -> str:
        """Run the program and return what it prints; raise RuntimeError if it fails."""
        code, printed = self._open_shell.run(command, RUN_TIMEOUT_S)
        if code:
            lines = [line.strip() for line in printed.splitlines() if line.strip()]
            reason = lines[-1] if lines else f"exit code {code}"
            if code in (126, 127):
                raise InputError(f"{self._tool.path} is no program for the phone {self._serial}: {reason}")
            raise RuntimeError(f"benchmark_model failed on the phone: {reason}")
        return printed


def _file_name(prepared: PreparedNetwork) -> str:
    return f"{hashlib.sha256(prepared.model).hexdigest()[:16]}.tflite"


def _channels_last(images: Float32Array) -> bytes:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1), dtype=np.float32).tobytes()


def _like(values: Float32Array, expected: Float32Array) -> Float32Array:
    """Return values in the order of PyTorch's output, of which LiteRT has the channels last."""
    if values.size != expected.size:
        return values
    if expected.ndim == 4:
        count, channels, height, width = expected.shape
        return values.reshape(count, height, width, channels).transpose(0, 3, 1, 2)
    return values.reshape(expected.shape)
