"""How many evaluations does a search need, beside the tools that one would use instead?

Each searches tables whose networks are all known, with the same seeds: NAS-Bench-Macro (6,561 networks, CIFAR-10
accuracy and MACs) and the model of Accel-NASBench that `accel_surrogate.py` makes (46,656 networks, ImageNet top-1
with the noise of a training, and latency; what is found is judged without the noise). Printed per search, medians over
seeds: distinct networks until it has 95 and 99 % of the true front's hypervolume; hypervolume and share of the true
front's networks found after 50, 100, 200, 300 and 500; how many of its first asks were repeats; its own processor time
per network. Hypervolume: both objectives scaled by the table's best and the true front's worst value, up to (1.1, 1.1).

`--synthetic N` plays N tables of `synthetic_tables.py` in their place, once each, in one line per search: on those the
constants of `nsga2-surrogate` were chosen.

`nsga2-surrogate` is shown twice: as `evomnas run` calls it, where costs of candidates (MACs, latency) are known before
anything is trained; and told of costs with the accuracies only, as every other search here. `--ablation` leaves parts
of it out instead.

    pip install '.[peers]'
    python benchmarks/search_quality.py --macro nas-bench-macro_cifar10.json --accel DIR/accel.csv [--seeds 30]
        [--budget 500] [--only NAME ...] [--ablation] [--synthetic N]

Takes about an hour on one core with all searches; most of it is Optuna's TPE and `nsga2-surrogate`.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peers import PEERS, Evaluate, Search
from synthetic_tables import synthetic_table

from evomnas.algorithms.base import Algorithm, Learning, Lesson, Measure, Measured, Weighing
from evomnas.algorithms.nsga2 import NSGA2
from evomnas.algorithms.random_search import RandomSearch
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.algorithms.surrogate.predictors import GaussianProcess, QuadraticRidge
from evomnas.problem.pareto import hypervolume_curve, non_dominated
from evomnas.problem.search_space import Genomes
from evomnas.problem.table import Table
from evomnas.problem.tabular_space import TabularSpace

MARKS = (50, 100, 200, 300, 500)
SHARES = (0.95, 0.99)
MOST_ASKS = 20  # per network of the budget: a search that repeats itself for ever ends
REFERENCE = (1.1, 1.1)


class Enough(Exception):
    """The budget is spent."""


@dataclass(frozen=True, eq=False)
class Known:
    """A complete table: what searches see, and what is true, both (error, cost) per row, shape (n, 2)."""

    space: TabularSpace
    seen: NDArray[np.float64]
    true: NDArray[np.float64]

    def rows(self, genomes: Genomes) -> NDArray[np.int64]:
        """Rows of genomes of shape (n, n_var): a complete table's are in the genomes' order."""
        rows: NDArray[np.int64] = np.ravel_multi_index(tuple(genomes.T), tuple(self.space.gene_sizes))
        return rows

    @cached_property
    def on_front(self) -> NDArray[np.bool_]:
        """Which rows are on the true front."""
        return non_dominated(self.true)

    @cached_property
    def scaled(self) -> NDArray[np.float64]:
        """The true losses on the hypervolume's scale."""
        best, worst = self.true.min(axis=0), self.true[self.on_front].max(axis=0)
        scaled: NDArray[np.float64] = (self.true - best) / (worst - best)
        return scaled

    @property
    def measure(self) -> Measure:
        """What the problem says of its losses: the hypervolume's reference point, on their own scale."""
        best, worst = self.true.min(axis=0), self.true[self.on_front].max(axis=0)
        error, cost = best + np.array(REFERENCE) * (worst - best)
        return Measure((float(error), float(cost)))

    def curve(self, rows: Sequence[int] | NDArray[np.bool_]) -> NDArray[np.float64]:
        """Hypervolume of the first 1, 2, ... of some rows."""
        return hypervolume_curve(self.scaled[rows], REFERENCE)


def read(path: Path, genes: Sequence[str], seen: str, true: str, cost: str, genes_per_block: int = 1) -> Known:
    """A table with accuracies in per cent."""
    tables = [Table(path, genes, [column, cost], genes_per_block=genes_per_block) for column in (seen, true)]
    assert all(table.complete for table in tables)
    losses = [np.column_stack([1 - table.columns[:, 0] / 100, table.columns[:, 1]]) for table in tables]
    return Known(tables[0].space, *losses)


def read_macro(path: Path) -> Known:
    """NAS-Bench-Macro."""
    return read(path, (), "mean_acc", "mean_acc", "flops")


def read_accel(path: Path) -> Known:
    """The model of Accel-NASBench, judged without the noise that searches see."""
    genes = [f"stage{stage}_{gene}" for stage in range(3) for gene in ("e", "k", "l", "se")]
    return read(path, genes, "top1", "top1_mean", "latency_ms", 4)


def synthetic(seed: int) -> Known:
    """A table of `synthetic_tables`."""
    sizes, losses = synthetic_table(seed)
    genomes = np.array(list(np.ndindex(*sizes)), dtype=np.int64)
    space = TabularSpace([[str(choice) for choice in range(size)] for size in sizes], genomes, 0)
    return Known(space, losses, losses)


@dataclass
class Record:
    """One search: distinct rows in their order, repeats among as many asks as the budget, seconds of its own."""

    rows: list[int]
    repeats: int
    seconds: float


def play(table: Known, search: Search, seed: int, budget: int) -> Record:
    """Let one search run until the budget of distinct networks is spent."""
    order: dict[int, None] = {}
    repeats: list[bool] = []

    def evaluate(genomes: Genomes) -> NDArray[np.float64]:
        rows = table.rows(genomes)
        for row in rows.tolist():
            if len(order) >= budget or len(repeats) >= MOST_ASKS * budget:
                raise Enough
            repeats.append(row in order)
            order.setdefault(row)
        return table.seen[rows]

    started = time.process_time()
    with contextlib.suppress(Enough):
        search(table.space.gene_sizes, seed, evaluate)
    return Record(list(order), sum(repeats[:budget]), time.process_time() - started)


def own(
    table: Known,
    make: Callable[[TabularSpace, int], Algorithm],
    costs_known: bool = True,
    lessons: Callable[[int], Sequence[Lesson]] = lambda seed: (),
) -> Search:
    """One of ours as a search; with lessons, which may depend on the seed, it learns from these first."""

    def search(sizes: NDArray[np.int64], seed: int, evaluate: Evaluate) -> None:
        algorithm = make(table.space, seed)
        if isinstance(algorithm, Learning) and (known := lessons(seed)):
            algorithm.learn_from(known)
        if isinstance(algorithm, Measured):
            algorithm.learn_measure(table.measure)
        while True:
            if isinstance(algorithm, Weighing) and costs_known:
                candidates = algorithm.consider(0.0)
                algorithm.weigh(candidates, table.seen[table.rows(candidates), 1])
            genomes = algorithm.ask()
            if len(genomes) == 0:
                return
            algorithm.tell(genomes, evaluate(genomes), np.zeros(len(genomes)))

    return search


class GaussianProcessAlone(NSGA2Surrogate):
    """One fixed predictor."""

    predictors = (GaussianProcess,)


class QuadraticRidgeAlone(NSGA2Surrogate):
    """The other fixed predictor."""

    predictors = (QuadraticRidge,)


class NoExploration(NSGA2Surrogate):
    """No network is drawn at random."""

    random_per_batch = 0


class FirstEight(NSGA2Surrogate):
    """A smaller first batch."""

    first_batch_size = 8


class FirstTwenty(NSGA2Surrogate):
    """A larger one."""

    first_batch_size = 20


class NoDiversity(NSGA2Surrogate):
    """A batch is the candidates with the largest gain by themselves."""

    spreads_batches = False


ABLATION: dict[str, Callable[[TabularSpace, int], Algorithm]] = {
    "nsga2-surrogate": NSGA2Surrogate,
    "no predictor": RandomSearch,
    "Gaussian process alone": GaussianProcessAlone,
    "quadratic ridge alone": QuadraticRidgeAlone,
    "no exploration": NoExploration,
    "no diversity": NoDiversity,
    "first batch of 8": FirstEight,
    "first batch of 20": FirstTwenty,
    "batches of 4": partial(NSGA2Surrogate, batch=4),
    "batches of 16": partial(NSGA2Surrogate, batch=16),
}


def searches(table: Known, ablation: bool) -> dict[str, Search]:
    """All that are compared on a table."""
    if ablation:
        return {name: own(table, make) for name, make in ABLATION.items()}
    return {
        "random": own(table, RandomSearch),
        **PEERS,
        "evomnas nsga2": own(table, NSGA2),
        "evomnas nsga2-surrogate, costs learnt": own(table, NSGA2Surrogate, costs_known=False),
        "evomnas nsga2-surrogate": own(table, NSGA2Surrogate),
    }


def row(name: str, played: Sequence[tuple[Known, Record]], budget: int) -> str:
    """A line of the printed table: medians over seeds, or over tables."""
    curves = [table.curve(record.rows) / table.curve(table.on_front)[-1] for table, record in played]
    cells = []
    for share in SHARES:
        reached = [next((n for n, value in enumerate(curve, start=1) if value >= share), np.inf) for curve in curves]
        middle = np.median(reached)
        cells.append(f"{middle:.0f}" if np.isfinite(middle) else f"> {budget}")
    for mark in (mark for mark in MARKS if mark <= budget):
        values = np.median([curve[min(mark, len(curve)) - 1] for curve in curves])
        found = [table.on_front[record.rows[:mark]].sum() / table.on_front.sum() for table, record in played]
        cells.append(f"{values:.1%} ({np.median(found):.0%})")
    repeats, seconds = (np.median([getattr(record, of) for _, record in played]) for of in ("repeats", "seconds"))
    cells += [f"{repeats:.0f}", f"{1000 * seconds / budget:.2g}", str(len(played))]
    return f"| {' | '.join([name, *cells])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--macro", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--accel", type=Path, help="accel.csv")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--only", nargs="+", help="searches by name")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N")
    given = parser.parse_args()
    tables: dict[str, list[Known]] = {}
    if given.macro:
        tables["NAS-Bench-Macro"] = [read_macro(given.macro)] * given.seeds
    if given.accel:
        tables["Accel-NASBench, a model"] = [read_accel(given.accel)] * given.seeds
    if given.synthetic:
        tables["synthetic tables"] = [synthetic(seed) for seed in range(given.synthetic)]
    for title, each in tables.items():
        marks = [f"after {mark}" for mark in MARKS if mark <= given.budget]
        header = [title, "to 95 %", "to 99 %", *marks, "repeats", "ms each", "seeds"]
        print(f"\n| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
        chosen = [searches(table, given.ablation) for table in each]
        for name in chosen[0]:
            if given.only is None or name in given.only:
                played = [
                    (table, play(table, found[name], seed, given.budget))
                    for seed, (table, found) in enumerate(zip(each, chosen, strict=True), start=1)
                ]
                print(row(name, played, given.budget), flush=True)


if __name__ == "__main__":
    main()
