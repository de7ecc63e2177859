"""How do all published searches compare when nothing else differs, and where do soft and hard rewards send samples?

Every registered algorithm searches two tables whose networks are all known: NAS-Bench-Macro (accuracy and MACs) and the
model of Accel-NASBench that `accel_surrogate.py` makes (ImageNet top-1 with the noise of a training, and latency; what
is found is judged without the noise). Algorithms have their defaults. The target of those that want one is the cost of
the reference network. Costs take no time to know, so those that ask for them are told. Printed per algorithm, medians
over seeds: distinct networks until it has 90, 95 and 99 % of the true front's hypervolume, on the scale of
`search_quality.py`; the hypervolume after 100, 200 and 300 networks; how many asks, repeats included, a search took;
and its own processor milliseconds per network.

`--figure FILE.svg` draws the figure 6 of MnasNet's paper for these tables: the last 100 samples of rl-weighted, repeats
included, with the soft and with the hard reward. Its numbers are printed.

    python benchmarks/systems.py [--macro nas-bench-macro_cifar10.json] [--accel DIR/accel.csv] [--seeds 10]
        [--budget 300] [--only NAME ...] [--figure samples.svg]

Takes about two minutes per seed on one core, most of it `nsga2-surrogate`, `dpp-net` and `rl-weighted`.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from search_quality import Enough, Known, own, read_accel, read_macro

from evomnas.algorithms.base import make_algorithm, option_names
from evomnas.algorithms.goals import REWARD_EXPONENTS
from evomnas.core import registry
from evomnas.problem.search_space import Genomes

SHARES, MARKS = (0.9, 0.95, 0.99), (100, 200, 300)
MOST_ASKS = 100  # per network of the budget
DRAWN_SAMPLES = 100  # the last ones of every search


@dataclass
class Search:
    """One search: the row of every ask in order, repeats included, and its own processor seconds."""

    rows: list[int]
    seconds: float

    @property
    def distinct(self) -> list[int]:
        """The rows of distinct networks, in the order in which they were first asked for."""
        return list(dict.fromkeys(self.rows))


def play(table: Known, name: str, seed: int, budget: int, options: Mapping[str, Any] | None = None) -> Search:
    """Let an algorithm search a table until the budget of distinct networks is spent."""
    target = {"target_ms": reference_cost(table)} if "target_ms" in option_names(name) else {}
    rows: list[int] = []
    seen: set[int] = set()

    def evaluate(genomes: Genomes) -> NDArray[np.float64]:
        for row in table.rows(genomes).tolist():
            if len(seen) >= budget or len(rows) >= MOST_ASKS * budget:
                raise Enough
            rows.append(row)
            seen.add(row)
        return table.seen[table.rows(genomes)]

    search = own(table, lambda space, seed: make_algorithm(name, space, seed, {**target, **(options or {})}))
    started = time.process_time()
    with contextlib.suppress(Enough):
        search(table.space.gene_sizes, seed, evaluate)
    return Search(rows, time.process_time() - started)


def reference_cost(table: Known) -> float:
    """The cost of a table's reference network."""
    return float(table.seen[table.rows(table.space.reference()[None])[0], 1])


def line(table: Known, name: str, searches: list[Search], budget: int) -> str:
    """A line of the printed table."""
    top = table.curve(table.on_front)[-1]
    curves = [table.curve(np.array(search.distinct)) / top for search in searches]
    cells = [name]
    for share in SHARES:
        reached = [next((n for n, value in enumerate(curve, start=1) if value >= share), np.inf) for curve in curves]
        middle = np.median(reached)
        cells.append(f"{middle:.0f}" if np.isfinite(middle) else f"> {budget}")
    for mark in (mark for mark in MARKS if mark <= budget):
        cells.append(f"{np.median([curve[min(mark, len(curve)) - 1] for curve in curves]):.1%}")
    cells.append(f"{np.median([len(search.rows) for search in searches]):.0f}")
    cells.append(f"{1000 * np.median([search.seconds / len(search.distinct) for search in searches]):.2g}")
    return f"| {' | '.join(cells)} |"


def samples(table: Known, reward: str, seeds: int, budget: int) -> NDArray[np.float64]:
    """The last samples of rl-weighted searches, as (accuracy, cost in targets), shape (seeds * 100, 2)."""
    options = dict(zip(("alpha", "beta"), REWARD_EXPONENTS[reward], strict=True))
    rows = [play(table, "rl-weighted", seed, budget, options).rows[-DRAWN_SAMPLES:] for seed in range(1, seeds + 1)]
    losses = table.seen[np.concatenate(rows)]
    return np.column_stack([1 - losses[:, 0], losses[:, 1] / reference_cost(table)])


def draw(tables: Mapping[str, Known], seeds: int, budget: int, path: Path) -> None:
    """Draw where samples lie, one row per table and one column per reward, and print the quantiles of their costs."""
    matplotlib.use("svg")
    from matplotlib import pyplot

    size = (9.0, 3.4 * len(tables))
    figure, axes = pyplot.subplots(len(tables), 2, figsize=size, squeeze=False, sharey="row", layout="constrained")
    for places, (title, table) in zip(axes, tables.items(), strict=True):
        everything = np.column_stack([1 - table.seen[:, 0], table.seen[:, 1] / reference_cost(table)])
        for axis, reward in zip(places, REWARD_EXPONENTS, strict=True):
            points = samples(table, reward, seeds, budget)
            low, middle, high = np.quantile(points[:, 1], [0.1, 0.5, 0.9])
            within = np.mean(points[:, 1] <= 1)
            print(
                f"{title}, {reward}: median {middle:.2f} T, 10 to 90 % {low:.2f} to {high:.2f} T, {within:.0%} within T"
            )
            bins = np.linspace(0, everything[:, 1].max(), 60)
            axis.hist(everything[:, 1], bins, density=True, color="0.85", label="all networks of the table")
            axis.hist(points[:, 1], bins, density=True, alpha=0.6, color="tab:blue", label="samples")
            axis.axvline(1.0, color="tab:red", linestyle="--", label="target")
            axis.set(
                title=f"{title}: {reward} reward", xlabel="cost / target", xlim=(0, np.quantile(everything[:, 1], 0.99))
            )
        places[0].set_ylabel("density")
    axes[0, 0].legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--macro", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--accel", type=Path, help="accel.csv")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--only", nargs="*", help="algorithms by name")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg")
    given = parser.parse_args()
    tables = {"NAS-Bench-Macro": read_macro(given.macro)} if given.macro else {}
    if given.accel:
        tables["Accel-NASBench, a model"] = read_accel(given.accel)
    names = sorted(registry.available("algorithms")) if given.only is None else given.only
    for title, table in tables.items() if names else ():
        marks = [f"after {mark}" for mark in MARKS if mark <= given.budget]
        header = [title, *(f"to {share:.0%}" for share in SHARES), *marks, "asks", "ms each"]
        print(f"\n| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
        for name in names:
            searches = [play(table, name, seed, given.budget) for seed in range(1, given.seeds + 1)]
            print(line(table, name, searches, given.budget), flush=True)
    if given.figure:
        draw(tables, given.seeds, given.budget, given.figure)


if __name__ == "__main__":
    main()
