"""What does a search cost beside training and measuring, and does the cost per evaluation stay flat?

Searches of a tabular problem (262,144 networks, made here), where an evaluation is a look-up, so that nearly all the
time is the loop's: asking, decoding, telling, the archive, progress and files. Prints, per algorithm, the milliseconds
per evaluation over each part of the run, as the command's progress sees it.

    python benchmarks/overhead.py [--budget 100000] [--algo nsga2 --algo random]

About three minutes on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

from evomnas.loop.launch import search
from evomnas.loop.progress import Progress

GENES, CHOICES = 9, 4
PARTS = (100, 1_000, 3_000, 10_000, 30_000, 100_000)
PROBLEM = """name = "large"
[table]
path = "large.json"
objectives = [
    { column = "accuracy", direction = "maximize", quantity = "accuracy" },
    { column = "ms", direction = "minimize", quantity = "latency_ms" },
]
"""


def write_problem(folder: Path) -> Path:
    rows = {}
    for genes in itertools.product(range(CHOICES), repeat=GENES):
        ms = 1 + sum((place % 3 + 1) * gene for place, gene in enumerate(genes)) / 7
        accuracy = 0.5 + sum(genes) / 80 - 0.01 * (genes[0] - genes[-1]) ** 2
        rows["".join(map(str, genes))] = {"accuracy": accuracy, "ms": ms}
    (folder / "large.json").write_text(json.dumps(rows))
    (folder / "large.toml").write_text(PROBLEM)
    return folder / "large.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=100_000)
    parser.add_argument("--algo", action="append")
    options = parser.parse_args()
    for name in options.algo or ["nsga2", "random"]:
        with tempfile.TemporaryDirectory() as text:
            problem = write_problem(Path(text))
            times: dict[int, float] = {}

            def on_progress(progress: Progress, times: dict[int, float] = times) -> None:
                times.setdefault(progress.evaluated, time.perf_counter())

            run = search(problem, name, budget=options.budget, out=Path(text) / "run", on_progress=on_progress)
            seconds = run.manifest.seconds
        print(f"{name}: {run.manifest.evaluations:,} evaluations in {seconds['total']:.1f} s, "
              f"the algorithm's own {seconds['algorithm']:.1f} s")  # fmt: skip
        marks = sorted(times)
        for low, high in itertools.pairwise(part for part in PARTS if part <= marks[-1]):
            first, last = (min(mark for mark in marks if mark >= bound) for bound in (low, high))
            print(f"  {first:>7,} to {last:>7,}: {1e3 * (times[last] - times[first]) / (last - first):.3f} ms each")


if __name__ == "__main__":
    main()
