"""Another machine that OpenSSH reaches.

A target `ssh://user@host:port/path/to/python` names a machine with Python 3.9 or newer, numpy and onnxruntime. User,
port and path may be left out. The connection uses OpenSSH's own client with its configuration, so the host may be any
name from `~/.ssh/config`. A small program, the agent, is sent over and runs in memory. Models are sent, timings come
back, and nothing stays behind.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import resources
from itertools import accumulate
from typing import Any, cast

import numpy as np

from evomnas.core.errors import InputError
from evomnas.core.system.processes import detached
from evomnas.latency.devices import agent
from evomnas.latency.devices.local import IndexedResults
from evomnas.latency.devices.remote import ConnectionLost, RemoteDevice, end_process, killed_after
from evomnas.latency.runtimes.base import CPU, PreparedNetwork, check_output
from evomnas.problem.target import SshTarget
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration, Ratio

# a machine that does not answer within these times counts as lost
GREETING_TIMEOUT_S, LOADING_TIMEOUT_S = 30.0, 300.0
AGENT_MODULES = (  # those that the agent imports, and itself
    "core.quiet",
    "core.system.optional",
    "core.system.container",
    "core.system.machine",
    "core.system.file_lock",
    "core.system.time_limit",
    "core.system.lock",
    "results.timing",
    "latency.devices.protocol",
    "latency.runtimes.onnx_runtime",
    "latency.devices.agent",
)


class SshDevice(RemoteDevice):
    """Another machine as a device, with the agent that runs there."""

    def __init__(self, address: SshTarget, threads: int, provider: str = CPU) -> None:
        """Connect to a machine and start the agent.

        Args:
            address: The machine, and its Python.
            threads: The threads that one inference may use.
            provider: What ONNX Runtime runs the networks on.

        Raises:
            InputError: The machine cannot be reached, or something is not installed there.
        """
        self._address, self._threads, self._provider = address, threads, provider
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__()

    def _connect(self) -> dict[str, str]:
        self.close()
        self._loaded: dict[int, PreparedNetwork] = {}
        self._count = 0
        address = self._address
        code = "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
        command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        command += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
        command += ["-p", str(address.port)] if address.port else []
        command += ["-l", address.user] if address.user else []
        command += ["--", address.host, f'{shlex.quote(address.python)} -c "{code}"']  # for Windows' shell as well
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, **detached()
            )
        except FileNotFoundError:
            raise InputError(f"{address.target} needs OpenSSH's client, and there is no ssh on this machine") from None
        try:
            return self._start_agent()
        except BaseException:
            self._process.kill()  # it does not get Ctrl-C, and with a host that hangs it would never end
            self.close()
            raise

    def _start_agent(self) -> dict[str, str]:
        script, address = _agent_script(), self._address
        assert self._process is not None
        try:
            with killed_after(self._process, GREETING_TIMEOUT_S):
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
        providers, gpu = answer.pop("providers"), answer.pop("accelerator")
        if self._provider not in providers:
            has = ", ".join(providers)
            raise InputError(f"ONNX Runtime on {address.target} cannot use {self._provider}, only {has}")
        return cast("dict[str, str]", answer if self._provider == CPU else answer | {"accelerator": gpu})

    @property
    def _stdin(self) -> Any:
        return self._process and self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process and self._process.stdout

    def _await_greeting(self) -> None:
        seen = b""
        while not seen.endswith(agent.GREETING):
            byte = self._stdout.read(1)
            if not byte:
                raise EOFError
            seen = seen[-len(agent.GREETING) :] + byte

    def _explain(self) -> str:
        """Return in one line why the agent did not start."""
        assert self._process is not None
        self._process.stdin.close()  # type: ignore[union-attr]
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        last = lines[-1].strip() if lines else f"exit code {code}"
        address = self._address
        if code < 0:
            return f"{address.target} gave no answer for {GREETING_TIMEOUT_S:g} s"
        if code == 255:  # an error of ssh itself
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
            while "waiting" in answer:  # the agent waits for another measurement or a training on its machine
                self._on_wait()
                answer, blobs = agent.receive(self._stdout)
        except (EOFError, OSError, ValueError) as error:
            raise ConnectionLost(f"the connection to {self._address.target} was lost") from error
        if "error" in answer:
            raise RuntimeError(f"{self._address.target}: {answer['error']}")
        return answer, blobs

    def _load(self, prepared: PreparedNetwork) -> int:
        for number, loaded in self._loaded.items():
            if loaded is prepared:
                return number
        number, self._count = self._count, self._count + 1
        request = {"do": "load", "id": number, "threads": self._threads, "provider": self._provider}
        request["shape"] = list(prepared.images.shape)
        if self._process is None:
            raise ConnectionLost(f"the connection to {self._address.target} was lost")
        with killed_after(self._process, LOADING_TIMEOUT_S):
            answer, [output] = self._ask(request, [prepared.model, prepared.images.astype(np.float32).tobytes()])
        check_output("onnxruntime", np.frombuffer(output, dtype=np.float32).reshape(answer["shape"]), prepared.logits)
        self._loaded[number] = prepared
        return number

    def _calibrate(self, reference: PreparedNetwork) -> Calibration:
        answer, _ = self._ask({"do": "calibrate", "reference": self._load(reference)})
        return Calibration(**{**answer, "samples_ms": tuple(answer["samples_ms"])})

    def _compare(
        self, candidates: dict[int, PreparedNetwork], reference: PreparedNetwork, time_limit_s: float
    ) -> IndexedResults:
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
            position = answer.pop("index")
            yield indices[position], Ratio(**{**answer, "samples": tuple(answer["samples"])})
            answer, _ = self._answer()
        for number in numbers.values():
            self._ask({"do": "drop", "id": number})
            del self._loaded[number]

    def close(self) -> None:
        """End the agent. It has written nothing to the other machine's disk."""
        if self._process is not None:
            end_process(self._process)
            self._errors.close()
            self._process = None


def _agent_script() -> bytes:
    """Return one script with the sources of the agent and of the modules that it imports."""
    package = resources.files("evomnas")
    sources = {
        f"evomnas.{name}": package.joinpath(f"{name.replace('.', '/')}.py").read_text("utf-8") for name in AGENT_MODULES
    }
    packages = sorted({parent for name in sources for parent in accumulate(name.split(".")[:-1], "{}.{}".format)})
    return f"""
import importlib.util, json, sys, types
for name in {packages!r}:
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
from evomnas.latency.devices.agent import main
main()
""".encode()
