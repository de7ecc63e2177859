"""Silence for libraries that print too much.

This module needs the standard library only, and Python 3.9: it is also sent to other machines.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator


def quiet_libraries() -> None:
    """Keep libraries from what nobody asked them for, here and in processes that are started from here.

    Some complain in the middle of the progress if their folders within the home folder cannot be written, and ONNX
    Runtime would also report its use over the network. To be called before they are imported.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of its folders and of its first start


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppress the warnings and log lines of other libraries inside the block, where users cannot act on them.

    Yields:
        Nothing; the settings from before are restored afterwards.
    """
    disabled_level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled_level)


@contextlib.contextmanager
def silence_native_code() -> Iterator[None]:
    """Discard what code that is not Python's writes to standard error inside the block, of all threads.

    Runtimes write lines about the processor, threads and kernels there.

    Yields:
        Nothing; standard error is as before afterwards.
    """
    sys.stderr.flush()
    original = os.dup(2)
    try:
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
