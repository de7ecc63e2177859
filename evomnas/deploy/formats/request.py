"""The files that an export is asked for, checked before torch is loaded."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from evomnas.core.errors import InputError, unknown
from evomnas.core.quiet import silence
from evomnas.deploy.formats import FORMATS, ExportFormat, FlexibleFormat
from evomnas.deploy.formats.exported_files import ANY_BATCH, ANY_SIZE
from evomnas.deploy.formats.pytorch.names import PYTORCH_SUFFIXES
from evomnas.latency.runtimes.base import open_runtime
from evomnas.problem.sections import FLOAT


@dataclass(frozen=True)
class Request:
    """The files that an export writes.

    Attributes:
        formats: Names of formats for devices, `onnx`, `executorch` and `litert`, and for PyTorch without evomnas,
            `python` and `torch-export`.
        quantize: True for int8 files beside the float ones.
        prune: The share of the weights that become 0, for a pruned variant; None for no such variant.
        prune_channels: The share of the channels that are dropped, for a narrower variant; None for no such variant.
        factorize: The share of their weights that the head and the classifier keep, each as two factors, for a
            factorized variant; None for no such variant.
        huffman: True to compute the size of the int8 files with Huffman-coded weights.
        any_size: True for files that take images of any size and resize them themselves.
        any_batch: True for files that take any number of images at once.
    """

    formats: tuple[str, ...] = ("onnx",)
    quantize: bool = False
    prune: float | None = None
    prune_channels: float | None = None
    factorize: float | None = None
    huffman: bool = False
    any_size: bool = False
    any_batch: bool = False

    @property
    def device_formats(self) -> tuple[str, ...]:
        """The formats of runtimes, whose files are quantized and measured."""
        return tuple(name for name in self.formats if name not in PYTORCH_SUFFIXES)

    def check(self) -> None:
        """Check the request before anything is computed.

        Raises:
            InputError: A value is wrong, or a runtime or a module is not installed.
        """
        able = [name for name, kind in FORMATS.items() if isinstance(kind, FlexibleFormat)]
        for name in self.formats:
            if (self.any_size or self.any_batch) and name in {*FORMATS, *PYTORCH_SUFFIXES}.difference(able):
                raise InputError(f"--any-size and --any-batch are for {' and '.join(able)} files, not for {name}")
        for name in self.device_formats:
            if name not in FORMATS:
                raise unknown("export format", name, [*FORMATS, *PYTORCH_SUFFIXES])
            kind = FORMATS[name]
            open_runtime(kind.runtime)
            for module in (*kind.needs, *([kind.quantizer] if self.quantize else [])):
                _check_import(module, kind)
        shares = {"--prune": self.prune, "--prune-channels": self.prune_channels, "--factorize": self.factorize}
        for name, share in shares.items():
            if share is not None and not 0 < share < 1:
                raise InputError(f"{name} takes a share between 0 and 1, as 0.5, got {share:g}")
        if self.quantize and not self.device_formats:
            raise InputError("--quantize int8 makes files of runtimes: add --to onnx")
        if self.huffman and not self.quantize:
            raise InputError("--huffman codes int8 weights: add --quantize int8")

    def variant(self, name: str) -> str:
        """Return the name of a variant of the network in the files that the request asks for.

        Args:
            name: `float`, or the words for a smaller network.
        """
        words = [] if name == FLOAT else [name]
        words += [ANY_SIZE] * self.any_size + [ANY_BATCH] * self.any_batch
        return ", ".join(words) or FLOAT


def _check_import(module: str, kind: ExportFormat) -> None:
    """Check that a module can be imported, since a package may be installed without all that it needs."""
    try:
        with silence():
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{kind.name} files need {module}, which cannot be imported ({error}): {kind.install}"
        ) from None
