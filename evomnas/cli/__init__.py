"""The command `evomnas`: the one place that prints.

- `app`: errors in one line, exit codes, signals.
- `searching`: run and resume, with their progress.
- `comparing`: compare and benchmark.
- `results`: show, report, problems, describe.
- `devices`: measure, runtimes, doctor.
- `shipping`: train, baselines, export.
- `options`, `tables`: options that commands share; plain columns.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command."""
    try:
        from evomnas.cli import comparing, devices, results, searching, shipping  # noqa: F401 they register themselves
        from evomnas.cli.app import run
    except KeyboardInterrupt:  # nothing is set up yet
        sys.stderr.write("evomnas: interrupted\n")
        raise SystemExit(130) from None
    run()
