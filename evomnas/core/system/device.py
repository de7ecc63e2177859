"""The device on which networks are trained."""

from __future__ import annotations

import sys
from pathlib import Path

from evomnas.core.errors import InputError, unknown

DEVICES = ("auto", "cpu", "cuda")
_GPU_DRIVER_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows' subsystem for Linux


def check_device(device: str) -> None:
    """Check the name of a device without torch, which a machine with a GPU needs to choose one.

    Args:
        device: `cpu`, `cuda` or `auto`.

    Raises:
        InputError: The name is unknown.
    """
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)


def choose_device(device: str = "auto") -> str:
    """Return the device on which to train, by torch's name.

    Without a driver on Linux, and on macOS, the answer is known without torch, whose import takes seconds.

    Args:
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.

    Returns:
        `cpu` or `cuda`.

    Raises:
        InputError: The name is unknown, or `cuda` was asked for and there is no GPU.
    """
    check_device(device)
    has_gpu = False
    if device != "cpu" and _may_have_gpu():
        import torch

        has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError("PyTorch sees no GPU here: use --device cpu or auto")
    return "cuda" if has_gpu else "cpu"


def _may_have_gpu() -> bool:
    """Return False where it is known without torch that PyTorch has no CUDA device: on macOS, and without a driver."""
    if sys.platform == "linux":
        return any(Path(file).exists() for file in _GPU_DRIVER_FILES)
    return sys.platform != "darwin"
