"""Is the closed form of a network's peak memory what a runtime for microcontrollers needs?

Float files of published networks are loaded into TensorFlow Lite Micro's interpreter, which plans all values into one
arena. Printed are the arena's part for values that are computed ("head") and the closed form, in bytes. The networks
have TensorFlow's padding (the trait `same`), which is part of their convolutions: PyTorch's own needs operations in a
LiteRT file, whose results take memory as well.

    pip install tflite-micro
    python benchmarks/peak_memory.py

It takes half a minute.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace

from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import open_runtime
from evomnas.problem.memory.peak import KB, peak_kb
from evomnas.problem.pretrained.traits import Traits
from evomnas.problem.published import published

NETWORKS = (("mobilenet-v2", 224), ("mobilenet-v2@0.35", 96), ("mnasnet-a1", 224), ("mnasnet-b1@0.5", 96))
ARENA_BYTES = 100 * 2**20


def what_native_code_says(function: Callable[[], object]) -> str:
    """What a call writes to standard error, not by way of Python."""
    original = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            function()
        finally:
            os.dup2(original, 2)
            os.close(original)
        file.seek(0)
        return file.read().decode(errors="replace")


def arena_head(model: bytes) -> int:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model, arena_size=ARENA_BYTES)
    said = what_native_code_says(interpreter.print_allocations)
    return int(re.findall(r"Arena allocation head (\d+) bytes", said)[0])


def main() -> None:
    litert = open_runtime("litert")
    for name, resolution in NETWORKS:
        network = replace(published(name), traits=Traits("relu", "same", 1e-3))
        head = arena_head(prepare(litert, network, 10, 3, resolution).model)
        closed = peak_kb(network, "float", 10, 3, resolution) * KB
        print(f"{name:18s} {resolution:4d} px  arena {head:10,d}  closed form {closed:10,.0f}", flush=True)


if __name__ == "__main__":
    main()
