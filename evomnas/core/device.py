"""Which device trains networks."""

from __future__ import annotations

import sys
from pathlib import Path

from evomnas.core.errors import InputError, unknown

DEVICES = ("auto", "cpu", "cuda")
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows' subsystem for Linux


def choose_device(device: str = "auto") -> str:
    """`cpu` or `cuda`, by torch's name; `auto` is a GPU where there is one.

    On a Linux without any GPU driver the answer is known before torch is imported, which takes seconds.

    Raises:
        InputError: There is no such device here.
    """
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if device == "cpu" or (sys.platform == "linux" and not any(Path(driver).exists() for driver in _DRIVERS)):
        has_gpu = False
    else:
        import torch

        has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError("PyTorch sees no GPU here: use --device cpu or auto")
    return "cuda" if has_gpu else "cpu"
