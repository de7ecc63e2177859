"""What the process imports from which workers are forked, and how it ends. Nothing else imports this module."""

from __future__ import annotations

import importlib
import sys
from types import TracebackType


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print no traceback where the system refuses a process, a file or memory: who wants a worker says so."""
    if not issubclass(kind, OSError | EOFError | MemoryError):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _end
# They import torch, and what optimizers need: seconds that no worker spends again.
for module in ("evomnas.evaluation.executors.worker", "ptflops"):
    importlib.import_module(module)
