"""What measures on another machine: it is sent there, runs in memory, and answers on standard output.

Requests come on standard input, frames as `send` writes them. The machine needs Python 3.9 or newer, numpy
and onnxruntime; the modules that this one imports are sent along (`evomnas.latency.devices.factory`).
"""

from __future__ import annotations

import json
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, BinaryIO

GREETING = b"\n--- evomnas agent ---\n"  # whatever a login script prints comes before it


def send(stream: BinaryIO, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one frame: the header's length, the header with the blobs' lengths, the blobs."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(b"%d\n" % len(text))
    stream.write(text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    """Read one frame.

    Raises:
        EOFError: The other side has gone.
    """
    line = stream.readline()
    header: dict[str, Any] = json.loads(_exactly(stream, int(line))) if line.endswith(b"\n") else {}
    if not header:
        raise EOFError
    return header, [_exactly(stream, length) for length in header.pop("blobs")]


def _exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def main() -> None:
    """Answer requests until the other side has gone."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))  # through the clean-up below
    answers.write(GREETING)
    try:
        _serve(requests, answers)
    except (EOFError, BrokenPipeError):
        pass
    finally:
        from evomnas.core import lock

        lock.remove()


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    try:
        import numpy as np
        import onnxruntime

        from evomnas.core import lock
        from evomnas.core.machine import processor
        from evomnas.latency.devices import protocol
        from evomnas.latency.runtimes.onnx_runtime import OnnxRuntime
    except ImportError as error:
        send(answers, {"error": str(error), "missing": error.name or ""})
        return
    machine = {"host": platform.node(), "processor": processor(), "version": onnxruntime.__version__}
    send(answers, machine)

    def on_wait() -> None:
        send(answers, {"waiting": True})

    runs: dict[int, protocol.Copies] = {}
    clock = protocol.WALL
    while True:
        request, blobs = receive(requests)
        try:
            if request["do"] == "load":
                images = np.frombuffer(blobs[1], dtype=np.float32).reshape(request["shape"])
                clock = protocol.PROCESSOR if request["threads"] == 1 else protocol.WALL
                loaded = protocol.load_copies(partial(OnnxRuntime().load, blobs[0], images, request["threads"]))
                runs[request["id"]] = loaded
                output: Any = loaded.runs[0]()
                send(answers, {"shape": list(output.shape)}, [output.tobytes()])
            elif request["do"] == "drop":
                runs.pop(request["id"], None)
                send(answers, {})
            elif request["do"] == "calibrate":
                with lock.measuring(on_wait):
                    calibration = protocol.calibrate(runs[request["reference"]], clock)
                send(answers, asdict(calibration))
            else:
                candidates = [runs[number] for number in request["candidates"]]
                reference, limit_s = runs[request["reference"]], request["time_limit_s"]
                with lock.measuring(on_wait):
                    for index, ratio in protocol.compare(candidates, reference, clock, limit_s):
                        send(answers, {"index": index, **asdict(ratio)})
                send(answers, {"done": True})
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            send(answers, {"error": f"{type(error).__name__}: {error}"})
