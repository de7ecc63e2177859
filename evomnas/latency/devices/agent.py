"""The program that measures latencies on another machine.

`evomnas.latency.devices.ssh` sends its source there, together with the modules that it imports. It runs in memory,
reads requests from standard input and writes answers to standard output, as frames of `send`. The machine needs
Python 3.9 or newer, numpy and onnxruntime.
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

GREETING = b"\n--- evomnas agent ---\n"  # everything before it was printed by a login script


def send(stream: BinaryIO, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one frame: the header's length as text, the header as JSON with the blobs' lengths, and the blobs.

    Args:
        stream: The stream to write to.
        header: Values that JSON can hold.
        blobs: Binary contents that follow the header.

    Raises:
        OSError: The other side has closed the stream.
    """
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(b"%d\n" % len(text))
    stream.write(text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    """Read one frame, and wait for it if need be.

    Args:
        stream: The stream to read from.

    Returns:
        The header and the blobs.

    Raises:
        EOFError: The other side has closed the stream.
        ValueError: The stream contains something that is not a frame.
    """
    line = stream.readline()
    header: dict[str, Any] = json.loads(_read_exactly(stream, int(line))) if line.endswith(b"\n") else {}
    if not header:
        raise EOFError
    return header, [_read_exactly(stream, length) for length in header.pop("blobs")]


def _read_exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def main() -> None:
    """Answer requests until the other side closes the connection."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    for name in ("SIGHUP", "SIGTERM"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), lambda *_: sys.exit(1))  # so that the clean-up below is done
    answers.write(GREETING)
    try:
        _serve(requests, answers)
    except (EOFError, BrokenPipeError):
        pass
    finally:
        from evomnas.core.system import lock

        lock.remove()


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    try:
        import numpy as np
        import onnxruntime

        from evomnas.core.system import lock
        from evomnas.core.system.machine import accelerator, processor
        from evomnas.latency.devices import protocol
        from evomnas.latency.runtimes.onnx_runtime import OnnxRuntime
    except ImportError as error:
        send(answers, {"error": str(error), "missing": error.name or ""})
        return
    machine = {"host": platform.node(), "processor": processor(), "version": onnxruntime.__version__}
    send(answers, {**machine, "providers": OnnxRuntime.providers(), "accelerator": accelerator()})

    def on_wait() -> None:
        send(answers, {"waiting": True})

    networks: dict[int, protocol.LoadedCopies] = {}
    timer = protocol.WALL_TIMER
    while True:
        request, blobs = receive(requests)
        try:
            if request["do"] == "load":
                images = np.frombuffer(blobs[1], dtype=np.float32).reshape(request["shape"])
                runtime = OnnxRuntime(request["provider"])
                timer = protocol.choose_timer(request["threads"] == 1 and runtime.in_caller)
                copies = protocol.load_copies(partial(runtime.load, blobs[0], images, request["threads"]))
                networks[request["id"]] = copies
                output: Any = copies.inferences[0]()
                send(answers, {"shape": list(output.shape)}, [output.tobytes()])
            elif request["do"] == "drop":
                networks.pop(request["id"], None)
                send(answers, {})
            elif request["do"] == "calibrate":
                with lock.measuring(on_wait):
                    calibration = protocol.calibrate(networks[request["reference"]], timer)
                send(answers, asdict(calibration))
            else:
                candidates = [networks[number] for number in request["candidates"]]
                reference, limit_s = networks[request["reference"]], request["time_limit_s"]
                with lock.measuring(on_wait):
                    for index, ratio in protocol.compare(candidates, reference, timer, limit_s):
                        send(answers, {"index": index, **asdict(ratio)})
                send(answers, {"done": True})
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            send(answers, {"error": f"{type(error).__name__}: {error}"})
