"""The command `evomnas`: the one place that prints.

- `app`: errors in one line, exit codes, signals.
- `searching`: run and resume, with their progress.
- `comparing`: compare and benchmark.
- `results`: show, report, problems, describe.
- `devices`: measure, runtimes, doctor.
- `shipping`: train, baselines, export.
- `tables`: plain columns.
"""

from __future__ import annotations

# the commands register themselves
from evomnas.cli import comparing, devices, results, searching, shipping  # noqa: F401
from evomnas.cli.app import main

__all__ = ["main"]
