"""ExecuTorch with XNNPACK, the library that phones use, on this machine's CPU.

Converting a network to an ExecuTorch program ("lowering") is slow. Three things make it faster: batch norm is folded
first, which nearly halves the number of nodes that are visited; workers lower several networks at the same time; and
programs are cached on disk.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomnas.core.quiet import silence, silence_native_code
from evomnas.core.system.machine import user_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Float32Array

MAX_CACHE_BYTES = 2 * 2**30  # the oldest programs on disk are removed beyond this


class ExecuTorchRuntime:
    """ExecuTorch's executor with XNNPACK's kernels."""

    name = package = "executorch"
    install = "pip install 'evomnas[executorch]'"
    in_caller = True

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Convert a network to an ExecuTorch program, or read it from the cache; see `Runtime.convert`."""
        path = user_folder() / "executorch" / f"{_fingerprint(network, images)}.pte"
        with contextlib.suppress(OSError):
            program = path.read_bytes()
            os.utime(path)
            return program
        program = lower(network, images)
        with contextlib.suppress(OSError):  # on a full disk nothing is cached, and measuring goes on
            _write_to_cache(path, program)
        return program

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Load a program; see `Runtime.load`. The number of threads holds for the whole process."""
        import torch

        with silence(), silence_native_code():
            from executorch.extension.pybindings import portable_lib

            if portable_lib._threadpool_get_thread_count() != threads:  # before loading: a method keeps its threads
                portable_lib._unsafe_reset_threadpool(threads)
            program = load_program(model)
            return _LoadedProgram(program, program.load_method("forward"), [torch.from_numpy(images)])


@dataclass(frozen=True, slots=True)
class _LoadedProgram:
    """A method of a program, and its inputs. It runs in the memory of the program, which must not go before it."""

    program: Any
    method: Any
    inputs: list[torch.Tensor]

    def __call__(self) -> Float32Array:
        output: Float32Array = self.method.execute(self.inputs)[0].numpy()
        return output


def load_program(model: bytes) -> Any:
    """Return a program of ExecuTorch's runtime, of which nothing is loaded yet.

    Args:
        model: The contents of a `.pte` file.

    Returns:
        The program, an `executorch.runtime.Program`.
    """
    with silence(), silence_native_code():
        from executorch.runtime import Runtime

        return Runtime.get().load_program(model)


def _fingerprint(network: nn.Module, images: torch.Tensor) -> str:
    versions = [metadata.version("executorch"), metadata.version("torch")]
    content = hashlib.blake2b(repr((versions, str(network), tuple(images.shape))).encode(), digest_size=16)
    for name, value in network.state_dict().items():
        content.update(name.encode())
        content.update(value.contiguous().numpy().tobytes())
    return content.hexdigest()


def _write_to_cache(path: Path, program: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        partial.write_bytes(program)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    programs = sorted(path.parent.glob("*.pte"), key=lambda file: file.stat().st_mtime)
    size = sum(file.stat().st_size for file in programs)
    while size > MAX_CACHE_BYTES and len(programs) > 1:
        size -= programs[0].stat().st_size
        programs.pop(0).unlink(missing_ok=True)


def lower(network: nn.Module, images: torch.Tensor, constants: Mapping[str, str] | None = None) -> bytes:
    """Convert a network to an ExecuTorch program.

    Args:
        network: The network in evaluation mode, or the graph of a quantized one.
        images: An input; the program takes inputs of its shape only.
        constants: Texts to store in the program, by the name of the method that returns them; None for none.

    Returns:
        The contents of a `.pte` file.
    """
    import torch

    with silence(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(fold_batch_norm(network), (images,))
        methods = None if constants is None else dict(constants)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()], constant_methods=methods)
        return bytes(lowered.to_executorch().buffer)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which every batch norm is folded into the convolution before it.

    Args:
        network: The network in evaluation mode.

    Returns:
        The copy, which computes the same up to rounding.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    result = copy.deepcopy(network)
    for sequence in result.modules():
        if isinstance(sequence, nn.Sequential):
            for index in range(len(sequence) - 1):
                conv, norm = sequence[index], sequence[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    sequence[index], sequence[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return result
