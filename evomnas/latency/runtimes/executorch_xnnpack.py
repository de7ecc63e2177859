"""ExecuTorch with XNNPACK, the kernels that run on phones, on this machine's CPU.

Lowering a network is slow, so that three things make it bearable: batch norm is folded first, which nearly
halves the nodes that its passes visit; workers lower several networks at a time; and what was lowered once is
kept on disk.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from evomnas.core.machine import user_folder
from evomnas.core.quiet import silence

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Floats

KEPT_BYTES = 2 * 2**30


class ExecuTorchRuntime:
    """A program lowered to XNNPACK, run by ExecuTorch's own executor."""

    name = package = "executorch"
    install = "pip install executorch"
    in_caller = True

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """The network as an ExecuTorch program; from disk where it was lowered before."""
        path = user_folder() / "executorch" / f"{_fingerprint(network, images)}.pte"
        with contextlib.suppress(OSError):
            program = path.read_bytes()
            os.utime(path)
            return program
        program = lower(network, images)
        with contextlib.suppress(OSError):  # a full disk costs time, not the measurement
            _keep(path, program)
        return program

    def load(self, model: bytes, images: Floats, threads: int) -> Callable[[], Floats]:
        """The program's forward method; the whole process has one number of threads."""
        import torch

        with silence(), _no_messages():
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime

            if portable_lib._threadpool_get_thread_count() != threads:  # before loading: a method keeps its pool
                portable_lib._unsafe_reset_threadpool(threads)
            method = Runtime.get().load_program(model).load_method("forward")
        inputs = [torch.from_numpy(images)]

        def run() -> Floats:
            output: Floats = method.execute(inputs)[0].numpy()
            return output

        return run


def _fingerprint(network: nn.Module, images: torch.Tensor) -> str:
    versions = [metadata.version("executorch"), metadata.version("torch")]
    content = hashlib.blake2b(repr((versions, str(network), tuple(images.shape))).encode(), digest_size=16)
    for name, value in network.state_dict().items():
        content.update(name.encode())
        content.update(value.contiguous().numpy().tobytes())
    return content.hexdigest()


def _keep(path: Path, program: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        partial.write_bytes(program)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    kept = sorted(path.parent.glob("*.pte"), key=lambda file: file.stat().st_mtime)
    size = sum(file.stat().st_size for file in kept)
    while size > KEPT_BYTES and len(kept) > 1:
        size -= kept[0].stat().st_size
        kept.pop(0).unlink(missing_ok=True)


def lower(network: nn.Module, images: torch.Tensor, facts: Mapping[str, str] | None = None) -> bytes:
    """A network, or a graph of one that was quantized, as a program; `facts` become methods that return them."""
    import torch

    with silence(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(folded(network), (images,))
        constants = None if facts is None else dict(facts)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()], constant_methods=constants)
        return bytes(lowered.to_executorch().buffer)


def folded(network: nn.Module) -> nn.Module:
    """A copy in which batch norm is folded into the convolution before it."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    made = copy.deepcopy(network)
    for sequence in made.modules():
        if isinstance(sequence, nn.Sequential):
            for index in range(len(sequence) - 1):
                conv, norm = sequence[index], sequence[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    sequence[index], sequence[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return made


@contextlib.contextmanager
def _no_messages() -> Iterator[None]:
    """Without what native code writes to standard error: a dozen lines on the processor and the threads."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
