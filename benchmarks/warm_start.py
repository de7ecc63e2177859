"""What is a warm start worth, and what does a misleading one cost?

NAS-Bench-Macro (6,561 networks, CIFAR-10 accuracy and MACs, which are known) is searched by `nsga2-surrogate` with the
same seeds: cold, and after it has learnt from networks of a relative, drawn at random. A relative has the table's own
errors with noise on their logarithms, as another data set or fewer epochs would have: its rank correlation with the
truth (Kendall's tau) is printed. Misleading relatives have the errors of other networks, or the reverse order. Printed
per search, medians over seeds: distinct networks until 95 and 99 % of the true front's hypervolume; hypervolume after
10, 20, 50 and 100; its own milliseconds per network.

    python benchmarks/warm_start.py --macro nas-bench-macro_cifar10.json [--seeds 20] [--budget 100]
        [--known 24 100 500]

Takes about 20 minutes on one core with 20 seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from search_quality import Known, own, play, read

from evomnas.algorithms.base import Lesson
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate

MARKS = (10, 20, 50, 100)
SHARES = (0.95, 0.99)
NOISES = (0.1, 0.3, 1.0)  # deviations of the noise, in those of the logarithms of errors

Relative = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


def noisy(errors: NDArray[np.float64], rng: np.random.Generator, noise: float) -> NDArray[np.float64]:
    """The errors of a relative."""
    logs = np.log(errors)
    return np.asarray(np.exp(logs + noise * logs.std() * rng.normal(size=len(logs))))


def shuffled(errors: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The errors of other networks."""
    return rng.permutation(errors)


def reversed_order(errors: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The best network has the worst error."""
    return np.sort(errors)[::-1][np.argsort(np.argsort(errors))]


RELATIVES: dict[str, Relative] = {f"noise {noise:g}": partial(noisy, noise=noise) for noise in NOISES} | {
    "shuffled": shuffled,
    "reversed": reversed_order,
}


def lessons(table: Known, relative: Relative, known: int, seed: int) -> Sequence[Lesson]:
    """So many random networks of a relative."""
    rng = np.random.default_rng([seed, known])
    rows = rng.choice(len(table.seen), known, replace=False)
    genomes = np.stack(np.unravel_index(rows, tuple(table.space.gene_sizes)), axis=1).astype(np.int64)
    return [Lesson(genomes, relative(table.seen[:, 0], rng)[rows])]


def row(
    name: str, table: Known, tau: float | None, seeds: int, budget: int, relative: Relative | None, known: int
) -> str:
    """A line of the printed table."""
    teach = (lambda seed: ()) if relative is None else partial(lessons, table, relative, known)
    search = own(table, NSGA2Surrogate, lessons=teach)
    played = [play(table, search, seed, budget) for seed in range(seeds)]
    whole = table.curve(table.on_front)[-1]
    curves = [table.curve(record.rows) / whole for record in played]
    cells = []
    for share in SHARES:
        reached = [next((n for n, value in enumerate(curve, start=1) if value >= share), np.inf) for curve in curves]
        middle = float(np.median(reached))
        cells.append(f"{middle:.0f}" if np.isfinite(middle) else f"> {budget}")
    cells += [f"{np.median([curve[mark - 1] for curve in curves]):.1%}" for mark in MARKS if mark <= budget]
    cells.append(f"{1000 * np.median([record.seconds for record in played]) / budget:.2g}")
    return f"| {name} | {'' if tau is None else f'{tau:.2f}'} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--macro", type=Path, required=True, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--known", type=int, nargs="+", default=[24, 100, 500], help="networks of the relative")
    given = parser.parse_args()
    table = read(given.macro, (), "mean_acc", "mean_acc", "flops")
    marks = [f"after {mark}" for mark in MARKS if mark <= given.budget]
    print("| relative | tau | 95 % | 99 % |", " | ".join(marks), "| ms |")
    print("| --- " * (5 + len(marks)) + "|")
    print(row("none", table, None, given.seeds, given.budget, None, 0), flush=True)
    for name, relative in RELATIVES.items():
        errors = relative(table.seen[:, 0], np.random.default_rng(0))
        tau = float(kendalltau(errors, table.seen[:, 0]).statistic)
        for known in given.known:
            title = f"{known} networks, {name}"
            print(row(title, table, tau, given.seeds, given.budget, relative, known), flush=True)


if __name__ == "__main__":
    main()
