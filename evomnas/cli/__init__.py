"""The command `evomnas`: the one place that prints.

- `app`: errors in one line, exit codes, signals.
- `search`: run, resume and estimate, with their progress.
- `compare`: compare and benchmark.
- `show`: show, report, problems, describe.
- `measure`: measure, runtimes, doctor.
- `deploy`: train, baselines, export.
- `options`, `output`: options that commands share; plain columns.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command."""
    try:
        from evomnas.cli import compare, deploy, measure, search, show  # noqa: F401 they register themselves
        from evomnas.cli.app import run
    except KeyboardInterrupt:  # nothing is set up yet
        sys.stderr.write("evomnas: interrupted\n")
        raise SystemExit(130) from None
    run()
