"""Where networks run: on this machine, or on another that OpenSSH reaches.

A target of the form `ssh://user@host:port/path/to/python` names a machine with Python 3.9 or newer, numpy and
onnxruntime; user, port and path may be left out. OpenSSH's own client and its configuration are used, so
that a host is whatever `~/.ssh/config` calls it. A small agent goes over and runs in memory; models go over,
figures come back, and nothing stays behind.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import resources
from typing import Any, Protocol, cast

import numpy as np

from evomnas.errors import InputError
from evomnas.evaluation import Failure
from evomnas.latency import agent, lock
from evomnas.latency.address import Address, parse_target
from evomnas.latency.protocol import (
    PROCESSOR,
    TIME_LIMIT_S,
    WALL,
    Calibration,
    Copies,
    Ratio,
    calibrate,
    compare,
    load_copies,
)
from evomnas.latency.runtimes import Floats, Prepared, Runtime, check_output, installed_version
from evomnas.machine import describe_machine

GREETING_S, LOADING_S = 30.0, 300.0  # after which a machine that does not answer counts as lost
RETRIES_S = (1.0, 3.0, 9.0)  # pauses before a lost connection is tried again
_SENT = ("machine", "latency/lock", "latency/protocol", "latency/onnxruntime", "latency/agent")
Measured = Iterator[tuple[int, "Ratio | Failure"]]


class Device(Protocol):
    """A runtime on a machine. Networks are compared with the `reference` that `calibrate` has timed."""

    def describe(self) -> dict[str, str]:
        """`host`, `processor`, and `version` of the runtime."""
        ...

    def calibrate(self, reference: Prepared) -> Calibration:
        """Time the reference network itself."""
        ...

    def compare(
        self, candidates: Sequence[Prepared], reference: Prepared, on_wait: Callable[[], None], time_limit_s: float
    ) -> Measured:
        """Time candidates relative to the reference, alone; yields (index, result) as each ends."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


def open_device(target: str, runtime: Runtime, threads: int) -> Device:
    """The device that a target names.

    Raises:
        InputError: It cannot be understood or reached, or lacks something; the message says what to do.
    """
    address = parse_target(target)
    return LocalDevice(runtime, threads) if address is None else SshDevice(address, threads)


class LocalDevice:
    """This machine."""

    def __init__(self, runtime: Runtime, threads: int) -> None:
        self._runtime, self._threads = runtime, threads
        self._clock = PROCESSOR if threads == 1 and runtime.in_caller else WALL
        self._reference: tuple[Prepared, Copies] | None = None

    def describe(self) -> dict[str, str]:
        """`host`, `processor`, and `version` of the runtime."""
        machine = describe_machine()
        version = installed_version(self._runtime) or "unknown"
        return {"host": str(machine["host"]), "processor": str(machine["processor"]), "version": version}

    def _load(self, prepared: Prepared) -> Copies:
        copies = load_copies(partial(self._runtime.load, prepared.model, prepared.images, self._threads))
        check_output(self._runtime.name, cast(Floats, copies.runs[0]()), prepared.logits)
        return copies

    def _load_reference(self, reference: Prepared) -> Copies:
        if self._reference is None or self._reference[0] is not reference:
            self._reference = reference, self._load(reference)
        return self._reference[1]

    def calibrate(self, reference: Prepared) -> Calibration:
        """Time the reference network itself."""
        runs = self._load_reference(reference)
        with _alone():
            return calibrate(runs, self._clock)

    def compare(
        self,
        candidates: Sequence[Prepared],
        reference: Prepared,
        on_wait: Callable[[], None],
        time_limit_s: float = TIME_LIMIT_S,
    ) -> Measured:
        """Time candidates relative to the reference, alone; yields (index, result) as each ends."""
        runs: dict[int, Copies] = {}
        for index, prepared in enumerate(candidates):
            try:
                runs[index] = self._load(prepared)
            except Exception as error:
                yield index, Failure.of(error)
        indices, reference_runs = list(runs), self._load_reference(reference)
        with _alone(on_wait):
            for place, ratio in compare(list(runs.values()), reference_runs, self._clock, time_limit_s):
                yield indices[place], ratio

    def close(self) -> None:
        """Nothing stays behind anyway."""


@contextlib.contextmanager
def _alone(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`lock.measuring`, and a clear line where somebody else's file is in its way."""
    try:
        lock.lock_folder()
    except OSError as error:
        raise InputError(f"cannot lock this machine for measuring: {error}") from None
    with lock.measuring(on_wait):
        yield


class ConnectionLost(Exception):
    """The ssh connection ended while an answer was expected; `index` is the candidate that was being loaded."""

    index: int | None = None


class SshDevice:
    """Another machine, and the agent that runs there."""

    def __init__(self, address: Address, threads: int) -> None:
        self._address, self._threads = address, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._on_wait: Callable[[], None] = lambda: None
        self._machine = self._connect()

    def describe(self) -> dict[str, str]:
        """`host`, `processor`, and `version` of the runtime."""
        return self._machine

    def _connect(self) -> dict[str, str]:
        self.close()
        self._loaded: dict[int, Prepared] = {}
        self._count = 0
        address = self._address
        code = "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
        command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        command += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
        command += ["-p", str(address.port)] if address.port else []
        command += ["-l", address.user] if address.user else []
        command += ["--", address.host, f"{shlex.quote(address.python)} -c {shlex.quote(code)}"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
            )
        except FileNotFoundError:
            raise InputError(f"{address.target} needs OpenSSH's client, and there is no ssh on this machine") from None
        try:
            return self._start_agent()
        except BaseException:
            self._process.kill()  # Ctrl-C does not reach it, and a host that hangs would hold it
            self.close()
            raise

    def _start_agent(self) -> dict[str, str]:
        script, address = _agent_script(), self._address
        try:
            with self._patience(GREETING_S):
                self._stdin.write(b"%d\n" % len(script) + script)
                self._stdin.flush()
                self._await_greeting()
                answer, _ = agent.receive(self._stdout)
        except (EOFError, BrokenPipeError):
            raise InputError(self._explain()) from None
        if "error" in answer:
            missing = answer["missing"].partition(".")[0] or "something that it needs"
            install = f"{address.python} -m pip install numpy onnxruntime"
            raise InputError(f"{address.target} lacks {missing} ({answer['error']}): type there: {install}")
        return cast("dict[str, str]", answer)

    @property
    def _stdin(self) -> Any:
        return self._process and self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process and self._process.stdout

    @contextlib.contextmanager
    def _patience(self, seconds: float) -> Iterator[None]:
        """End a connection that gives no answer for so long."""
        assert self._process is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _await_greeting(self) -> None:
        seen = b""
        while not seen.endswith(agent.GREETING):
            byte = self._stdout.read(1)
            if not byte:
                raise EOFError
            seen = seen[-len(agent.GREETING) :] + byte

    def _explain(self) -> str:
        """Why there is no agent, in one line."""
        assert self._process is not None
        self._process.stdin.close()  # type: ignore[union-attr]
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        last = lines[-1].strip() if lines else f"exit code {code}"
        address = self._address
        if code < 0:
            return f"{address.target} gave no answer for {GREETING_S:g} s"
        if code == 255:  # ssh's own
            hint = "; ssh-copy-id makes it work without a password" if "denied" in last else ""
            return f"cannot reach {address.target}: {last}{hint}"
        if code in (126, 127):
            return f"{address.target} has no {address.python}: name one, as in ssh://{address.host}/usr/bin/python3"
        return f"{address.target} cannot run the measuring script: {last}"

    def _ask(self, request: dict[str, Any], blobs: Sequence[bytes] = ()) -> tuple[dict[str, Any], list[bytes]]:
        if self._process is None:
            raise ConnectionLost(f"the connection to {self._address.target} was lost")
        try:
            agent.send(self._stdin, request, blobs)
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"the connection to {self._address.target} was lost") from error
        return self._answer()

    def _answer(self) -> tuple[dict[str, Any], list[bytes]]:
        try:
            answer, blobs = agent.receive(self._stdout)
            while "waiting" in answer:  # for another latency, or a training, on that machine
                self._on_wait()
                answer, blobs = agent.receive(self._stdout)
        except (EOFError, OSError, ValueError) as error:
            raise ConnectionLost(f"the connection to {self._address.target} was lost") from error
        if "error" in answer:
            raise RuntimeError(f"{self._address.target}: {answer['error']}")
        return answer, blobs

    def _load(self, prepared: Prepared) -> int:
        for number, known in self._loaded.items():
            if known is prepared:
                return number
        number, self._count = self._count, self._count + 1
        request = {"do": "load", "id": number, "threads": self._threads}
        request["shape"] = list(prepared.images.shape)
        if self._process is None:
            raise ConnectionLost(f"the connection to {self._address.target} was lost")
        with self._patience(LOADING_S):
            answer, [output] = self._ask(request, [prepared.model, prepared.images.astype(np.float32).tobytes()])
        check_output("onnxruntime", np.frombuffer(output, dtype=np.float32).reshape(answer["shape"]), prepared.logits)
        self._loaded[number] = prepared
        return number

    def calibrate(self, reference: Prepared) -> Calibration:
        """Time the reference network itself."""
        pauses = list(RETRIES_S)
        while True:
            try:
                answer, _ = self._ask({"do": "calibrate", "reference": self._load(reference)})
                return Calibration(**{**answer, "samples_ms": tuple(answer["samples_ms"])})
            except ConnectionLost as error:
                if not self._reconnect(pauses):
                    raise InputError(_gave_up(error)) from None

    def compare(
        self,
        candidates: Sequence[Prepared],
        reference: Prepared,
        on_wait: Callable[[], None],
        time_limit_s: float = TIME_LIMIT_S,
    ) -> Measured:
        """Time candidates relative to the reference, alone; a lost connection is tried again, thrice."""
        self._on_wait = on_wait
        waiting = dict(enumerate(candidates))
        suspects: set[int | None] = set()
        pauses = list(RETRIES_S)
        while waiting:
            try:
                for index, result in self._compare(waiting, reference, time_limit_s):
                    del waiting[index]
                    yield index, result
            except ConnectionLost as error:
                if error.index is not None and error.index in suspects:  # twice lost by the same network
                    del waiting[error.index]
                    yield error.index, Failure("connection", f"{error} twice while this network was loaded")
                suspects.add(error.index)
                if not self._reconnect(pauses):
                    yield from ((index, Failure("connection", _gave_up(error))) for index in waiting)
                    return

    def _reconnect(self, pauses: list[float]) -> bool:
        while pauses:
            time.sleep(pauses.pop(0))
            with contextlib.suppress(InputError):
                self._connect()
                return True
        return False

    def _compare(self, candidates: dict[int, Prepared], reference: Prepared, time_limit_s: float) -> Measured:
        numbers: dict[int, int] = {}
        for index, prepared in list(candidates.items()):
            try:
                numbers[index] = self._load(prepared)
            except ConnectionLost as error:
                error.index = index
                raise
            except Exception as error:
                yield index, Failure.of(error)
        indices = list(numbers)
        request = {
            "do": "compare",
            "candidates": list(numbers.values()),
            "reference": self._load(reference),
            "time_limit_s": time_limit_s,
        }
        answer, _ = self._ask(request)
        while "done" not in answer:
            place = answer.pop("index")
            yield indices[place], Ratio(**{**answer, "samples": tuple(answer["samples"])})
            answer, _ = self._answer()
        for number in numbers.values():
            self._ask({"do": "drop", "id": number})
            del self._loaded[number]

    def close(self) -> None:
        """End the agent, which has nothing on the other machine's disk."""
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._errors.close()
            self._process = None


def _gave_up(error: ConnectionLost) -> str:
    return f"{error}, and {len(RETRIES_S)} times it could not be taken up again"


def _agent_script() -> bytes:
    """The agent with the modules that it imports, as one script."""
    sources = {}
    for name in _SENT:
        source = resources.files("evomnas").joinpath(f"{name}.py").read_text("utf-8")
        sources[f"evomnas.{name.replace('/', '.')}"] = source
    return f"""
import importlib.util, json, sys, types
for name in ("evomnas", "evomnas.latency"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
class Finder:
    sources = json.loads({json.dumps(sources)!r})
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in self.sources else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(self.sources[module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Finder())
from evomnas.latency.agent import main
main()
""".encode()
