"""The command `evomnas`, which is the only part of the package that prints.

- `app`: errors in one line, exit codes, signals.
- `search`: run, resume and estimate.
- `compare`: compare and benchmark.
- `show`: show, report, problems, algorithms, describe.
- `measure`: measure, runtimes, doctor.
- `deploy`: train, baselines.
- `shipping/`: export.
- `predict`: predict.
- `detection/`: detect.
- `hubs/`: push.
- `runs`: list and pack.
- `start`: config, init and dry runs: what comes before a search.
- `completion`: what the shell proposes when somebody presses Tab.
- `options`: options that several commands have, and the options of algorithms.
- `progress`: a live line on a terminal, lines in a log; `display`: how much of a search is shown, and how.
- `output`: plain columns.
"""

from __future__ import annotations

import atexit
import gc
import sys

from evomnas.core.quiet import quiet_libraries
from evomnas.core.system.machine import match_threads_to_cores


def main() -> None:
    """Run the command; this is its entry point."""
    atexit.register(gc.freeze)  # else Python looks for garbage before it ends: a second, where torch is loaded
    quiet_libraries()
    match_threads_to_cores()
    try:
        from evomnas.cli import compare, deploy, measure, predict, runs, search, show  # noqa: F401 they register themselves
        from evomnas.cli.app import run
        from evomnas.cli.detection import detect  # noqa: F401
        from evomnas.cli.hubs import push  # noqa: F401
        from evomnas.cli.shipping import export  # noqa: F401
        from evomnas.cli.start import config, init  # noqa: F401

        run()
    except KeyboardInterrupt:  # nothing is set up yet
        sys.stderr.write("evomnas: interrupted\n")
        raise SystemExit(130) from None
    except (OSError, MemoryError) as error:  # the system lets nothing be loaded, not even what would say it better
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"evomnas: cannot be loaded: {error or 'too little memory'} (see ulimit -n, ulimit -v)\n")
        raise SystemExit(1) from None
    except Exception:  # of an import or of the parser of options, before any command
        from evomnas.core.requirements import requirements_fault

        fault = requirements_fault()
        if not fault or "--debug" in sys.argv:
            raise
        sys.stderr.write(f"{fault}\n")
        raise SystemExit(1) from None
