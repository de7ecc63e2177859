"""How far is `evomnas estimate` from the search that follows?

Takes estimates and searches of the default algorithm in turns, as whole processes, each search with a seed of its own,
and prints both times and their ratio. Beside a changing load single ratios say little: look at their median. About ten
minutes for three turns of digits on two cores; `--turns 1` runs it short. Other problems take their settings as usual:
`python benchmarks/estimates.py images --set data.path=photos --budget 40`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path


def printed(*words: str) -> str:
    """The output of a command."""
    return subprocess.run(["evomnas", *words], check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", nargs="?", default="digits")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--budget", default="64")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    settings = [word for setting in options.settings for word in ("--set", setting)]
    words = [options.problem, *settings, "--budget", options.budget, "--workers", options.workers]
    ratios = []
    for turn in range(options.turns):
        estimate = json.loads(printed("estimate", *words, "--format", "json"))
        low, middle, high = estimate["seconds"][options.workers]
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            printed("run", *words, "--seed", str(turn + 1), "--out", str(run))
            seconds = json.loads((run / "run.json").read_text())["seconds"]
        ratios.append(middle / seconds["total"])
        print(
            f"estimate {middle:.0f} s ({low:.0f} to {high:.0f}), search {seconds['total']:.0f} s "
            f"(training {seconds['training']:.0f}, latency {seconds['latency']:.0f}): ratio {ratios[-1]:.2f}; "
            f"estimated start {estimate['startup']:.1f} s, {estimate['latency']:.2f} s a network beside its training",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
