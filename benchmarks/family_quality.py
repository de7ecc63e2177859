"""Does a search hold on tables that it was not built beside?

Plays `nsga2` and `nsga2-surrogate` on the families of `table_families.py`, a new table for every seed. Printed per
family and search, medians over seeds: hypervolume of the true losses of what was found, as a share of the true front's,
after 25, 50, 100, 200 and 300 networks; the share of the seeds with which it is at least that of `nsga2` there; and its
own processor milliseconds per network. Hypervolume: both losses scaled so that the true front reaches from 0 to 1, up
to (1.1, 1.1).

    python benchmarks/family_quality.py [--seeds 20] [--budget 300] [--half looked-at|kept-aside] [--only TEXT ...]

`kept-aside` is for the end of a piece of work, once. A search of 300 networks takes `nsga2-surrogate` some 5 to 15
seconds; all families with 20 seeds take two hours on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from table_families import KEPT_ASIDE, LOOKED_AT, Choices, Family, MadeUpTable

from evomnas.algorithms.base import Algorithm, Weighing
from evomnas.algorithms.nsga2 import NSGA2
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.problem.pareto import hypervolume, hypervolume_curve

MARKS = (25, 50, 100, 200, 300)
REFERENCE = (1.1, 1.1)
HALVES = {"looked-at": LOOKED_AT, "kept-aside": KEPT_ASIDE}
Make = Callable[[Choices, int], Algorithm]
SEARCHES: dict[str, tuple[Make, bool]] = {  # how it is made, and whether it is told costs before networks are evaluated
    "nsga2": (NSGA2, False),
    "nsga2-surrogate, costs learnt": (NSGA2Surrogate, False),
    "nsga2-surrogate": (NSGA2Surrogate, True),
}


def play(
    table: MadeUpTable, make: Make, costs_known: bool, seed: int, budget: int
) -> tuple[NDArray[np.float64], float]:
    """Return the true losses of the networks of one search in their order, and its own seconds."""
    algorithm = make(table.space, seed)
    asked: list[NDArray[np.float64]] = []
    seconds = 0.0
    while sum(map(len, asked)) < budget:
        started = time.process_time()
        if isinstance(algorithm, Weighing) and costs_known:
            candidates = algorithm.consider(0.0)
            seconds += time.process_time() - started
            costs = table.true(candidates)[:, 1]
            started = time.process_time()
            algorithm.weigh(candidates, costs)
        genomes = algorithm.ask()
        seconds += time.process_time() - started
        if len(genomes) == 0:
            break
        asked.append(table.true(genomes))
        losses = table.seen(genomes)
        started = time.process_time()
        algorithm.tell(genomes, losses, np.zeros(len(genomes)))
        seconds += time.process_time() - started
    return np.concatenate(asked)[:budget], seconds


def shares(table: MadeUpTable, losses: NDArray[np.float64], marks: Sequence[int]) -> NDArray[np.float64]:
    """Return the hypervolume at each mark as a share of the true front's, shape (marks,)."""
    low = table.front.min(axis=0)
    span = np.maximum(table.front.max(axis=0) - low, 1e-12)
    curve = hypervolume_curve((losses - low) / span, REFERENCE)
    at_marks = curve[np.minimum(marks, len(curve)) - 1]
    share: NDArray[np.float64] = at_marks / hypervolume((table.front - low) / span, REFERENCE)
    return share


def compare(family: Family, seeds: Sequence[int], marks: Sequence[int]) -> None:
    """Print the lines of a family."""
    played: dict[str, NDArray[np.float64]] = {}
    for name, (make, costs_known) in SEARCHES.items():
        rows, seconds = [], []
        for seed in seeds:
            table = MadeUpTable(family, seed)
            losses, took = play(table, make, costs_known, seed, max(marks))
            rows.append(shares(table, losses, marks))
            seconds.append(took / len(losses))
        played[name] = np.array(rows)
        won = (played[name] >= played["nsga2"] - 1e-9).mean(axis=0)
        cells = [f"{value:.1%} ({part:.0%})" for value, part in zip(np.median(rows, axis=0), won, strict=True)]
        print(f"| {' | '.join([family.name, name, *cells, f'{1000 * np.median(seconds):.2g}'])} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--half", choices=HALVES, default="looked-at")
    parser.add_argument("--only", nargs="+", help="families whose names have one of these texts")
    given = parser.parse_args()
    marks = [mark for mark in MARKS if mark <= given.budget]
    header = ["family", "search", *(f"after {mark} (no less than nsga2)" for mark in marks), "ms each"]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
    for family in HALVES[given.half]:
        if given.only is None or any(text in family.name for text in given.only):
            compare(family, range(1, given.seeds + 1), marks)


if __name__ == "__main__":
    main()
