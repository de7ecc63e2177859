"""ONNX files of any origin, ready to be measured as networks are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, sides, to_resolution
from evomnas.latency.runtimes.base import Float32Array, PreparedNetwork, Runtime, open_runtime
from evomnas.problem.target import LOCAL

if TYPE_CHECKING:  # it takes a moment to import
    import onnx

SUFFIX = ".onnx"
MAX_BYTES = 2**31 - 1  # of a model in one piece
CHANNELS = (1, 3, 4)  # of images
INPUT_SEED = 0  # of the random input


def is_onnx(text: str) -> bool:
    """Return whether what somebody typed is the name of an ONNX file, be it there or not.

    Args:
        text: What was typed.
    """
    return text.lower().endswith(SUFFIX)


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """An ONNX file that is ready to be measured.

    Attributes:
        path: The file.
        prepared: Its model, with an input and the output that the runtime computes for it here.
    """

    path: Path
    prepared: PreparedNetwork

    @property
    def id(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of the input that is measured."""
        return self.prepared.images.shape

    @property
    def resolution(self) -> Resolution | None:
        """The size of the images that are measured, in pixels; None where the input is no batch of images."""
        if len(self.input_shape) != 4:
            return None
        _, first, *middle, last = self.input_shape
        if last in CHANNELS and first not in CHANNELS:
            return to_resolution(first, middle[0])
        return to_resolution(middle[0], last)


def read_onnx(path: Path, runtime_name: str, target: str = LOCAL, resolution: Resolution | None = None) -> OnnxFile:
    """Read an ONNX file, and compute what its model answers to a random input.

    Args:
        path: The file.
        runtime_name: A registered runtime, which must read such files.
        target: The device that is to run it.
        resolution: The size of the images in pixels for a model that takes any; None if none was given.

    Returns:
        The file with its model, the input and the output.

    Raises:
        InputError: The file is none that the runtime can run, or it has several inputs, or an input without a size.
    """
    runtime = open_runtime(runtime_name)
    if not getattr(runtime, "reads_onnx", False):
        raise InputError(f"the runtime {runtime_name} does not read ONNX files: add --runtime onnxruntime")
    model = _read(path)
    images = _random_input(path, model, resolution)
    content = model.SerializeToString()
    output = _output(path, runtime, content, images)
    if target != LOCAL and {images.dtype, output.dtype} != {np.dtype(np.float32)}:
        raise InputError(
            f"{path} takes {images.dtype} and returns {output.dtype}: on {target} only float32 can be measured"
        )
    return OnnxFile(path, PreparedNetwork(content, cast(Float32Array, images), output))


def _read(path: Path) -> onnx.ModelProto:
    """Read a file with all its weights, those included that are in files beside it."""
    import onnx

    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than 2 GB, which no ONNX model in one piece can be")
        model = onnx.load(path)
    except FileNotFoundError as error:
        missing = path if not path.exists() else Path(error.filename or "")
        raise InputError(f"there is no file {missing}: give the path of an ONNX file") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except InputError:
        raise
    except Exception as error:  # of protobuf, or of onnx where weights beside the file are missing
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is no ONNX file that can be read: {reason}") from None
    if not model.graph.output:
        raise InputError(f"{path} is no ONNX file: it holds no network")
    return model


def _random_input(path: Path, model: onnx.ModelProto, resolution: Resolution | None) -> NDArray[Any]:
    """Return an input from 0 to 1, or of zeros for whole numbers, which may be indices."""
    import onnx

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs[:5]) or "none"
        raise InputError(f"{path} has {len(inputs)} inputs ({names}): only models with one input can be measured")
    tensor = inputs[0].type.tensor_type
    shape = [size.dim_value if size.HasField("dim_value") else 0 for size in tensor.shape.dim]
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    except (KeyError, ValueError):
        raise InputError(f"{path} takes an input that is no array of numbers") from None
    full = _fill(path, inputs[0].name, shape, resolution)
    rng = np.random.default_rng(INPUT_SEED)
    return rng.random(full).astype(dtype) if np.issubdtype(dtype, np.floating) else np.zeros(full, dtype)


def _fill(path: Path, name: str, shape: list[int], resolution: Resolution | None) -> list[int]:
    """Return a shape whose open sizes (0) are filled: a batch of 1, and the resolution for height and width."""
    written = "x".join(str(size or "?") for size in shape)
    full = [1 if place == 0 and not size else size for place, size in enumerate(shape)]
    places = tuple(place for place, size in enumerate(full) if not size)
    if not places:
        if resolution is not None and not _has_size(full, sides(resolution)):
            raise InputError(f"{path} takes {name} of {written} alone: drop --resolution")
        return full
    if len(full) != 4 or places not in ((2, 3), (1, 2)):  # height and width, behind the channels or before them
        raise InputError(f"{path} takes {name} of {written}: export it with fixed sizes, the batch and the image aside")
    if resolution is None:
        raise InputError(f"{path} takes {name} of {written}: add --resolution N for images of NxN pixels, or HxW")
    for place, side in zip(places, sides(resolution), strict=True):
        full[place] = side
    return full


def _has_size(shape: list[int], size: tuple[int, int]) -> bool:
    """Return whether images of a size fit into an input, with the channels first or last."""
    height, width = size
    return (height in shape[1:] and height == width) or size in ((*shape[2:4],), (*shape[1:3],))


def _output(path: Path, runtime: Runtime, model: bytes, images: NDArray[Any]) -> Float32Array:
    try:
        output = runtime.load(model, cast(Float32Array, images), 1)()
    except Exception as error:  # every runtime has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{runtime.name} cannot run {path}: {reason}") from None
    if not isinstance(output, np.ndarray) or not np.issubdtype(output.dtype, np.number):
        raise InputError(f"{path} returns no array of numbers, so that nobody could tell whether it was run")
    if not np.isfinite(output).all():
        raise InputError(f"{path} returns numbers that are not finite for an input between 0 and 1")
    return output
