"""What of a real search is neither training nor measuring? Seconds of the main process by purpose, and their share.

Runs `evomnas run` with the arguments that are given and takes the time of every call of an algorithm's methods, of the
archive's, of the progress line, of the run's files and of the reports; what one calls of another counts once.

    python benchmarks/run_overhead.py fashion-mnist --set data.dataset=npz --set data.path=fashion_mnist.npz \
        --budget 40 --out /tmp/run --archive /tmp/run.sqlite

As long as the search, 15 minutes as above on two cores.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

METHODS = ("ask", "ask_more", "tell", "tell_some", "consider", "weigh", "metrics", "choices")


class Stopwatch:
    """Seconds by purpose, each call's without those of the calls within it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._within: list[float] = []

    def wrap(self, owner: Any, name: str, purpose: str) -> None:
        """Take the time of a function or a method from now on."""
        called: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(called)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            self._within.append(0.0)
            try:
                return called(*args, **kwargs)
            finally:
                took = time.perf_counter() - started
                self.seconds[purpose] += took - self._within.pop()
                if self._within:
                    self._within[-1] += took

        setattr(owner, name, timed)


def main() -> None:
    from evomnas.cli import main as command
    from evomnas.core import registry
    from evomnas.loop import generations
    from evomnas.report import run_report as report
    from evomnas.results import archive
    from evomnas.results import run as runs

    watch = Stopwatch()
    kinds = {kind for name in registry.available("algorithms") for kind in registry.load("algorithms", name).__mro__}
    for kind in kinds:
        for name in set(METHODS) & vars(kind).keys():
            watch.wrap(kind, name, "algorithm")
    for name, value in list(vars(archive.Archive).items()):
        if callable(value) and not name.startswith("_"):
            watch.wrap(archive.Archive, name, "archive")
    watch.wrap(runs.Run, "results", "archive")
    watch.wrap(runs.Run, "write", "files")
    watch.wrap(generations.Loop, "_tick", "progress")
    watch.wrap(report, "write_report", "reports")
    sys.argv[1:1] = ["run"]
    started, code = time.perf_counter(), None
    try:
        command()
    except SystemExit as ended:
        code = ended.code
    total = time.perf_counter() - started
    if not watch.seconds:  # nothing was searched
        sys.exit(code)
    parts = ", ".join(f"{name} {one:.1f} s ({one / total:.2%})" for name, one in watch.seconds.most_common())
    print(f"{total:.0f} s in all: {parts}; together {watch.seconds.total() / total:.2%}")
    sys.exit(code)


if __name__ == "__main__":
    main()
