"""Does a search hold on tables that it was not built beside?

Plays `nsga2` and `nsga2-surrogate` on the families of `table_families.py`, a new table for every seed, and on the
published tables of `search_quality.py` where their files are given. Printed per family and search, medians over seeds:
hypervolume of the true losses of what was found, as a share of the true front's, after 25, 50, 100, 200 and 300
networks, with the share of the seeds in which it is at least that of `nsga2`; networks until 95 and 99 % of it; the
share of the true front's networks that was found after 200 and 300, where the space is listed; and its own processor
milliseconds per network. Hypervolume: both losses scaled so that the true front reaches from 0 to 1, up to (1.1, 1.1).
This is the problem's measure here, so `nsga2-surrogate` is told its reference point, as it is in a run. "Not told"
shows it without.

    python benchmarks/family_quality.py [--seeds 20] [--budget 300] [--half looked-at|kept-aside|both] [--only TEXT ...]
        [--macro nas-bench-macro_cifar10.json] [--accel DIR/accel.csv] [--processes 1] [--minutes M] [--out DIR]

`kept-aside` is for the end of a piece of work, once. A search of 300 networks takes `nsga2-surrogate` some 3 to 5
seconds. With `--minutes`, no table is begun after that time: seeds are played in turn, so that all families have about
as many. `--out` keeps the shares of every seed as soon as they are known, `families.jsonl`, and what is printed,
`families.md`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from table_families import KEPT_ASIDE, LOOKED_AT, Family, MadeUpTable

from evomnas.algorithms.base import Algorithm, Measure, Measured, Weighing
from evomnas.algorithms.nsga2 import NSGA2
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.problem.pareto import hypervolume, hypervolume_curve, non_dominated
from evomnas.problem.search_space import Genomes, Space
from evomnas.problem.table import Table

Floats = NDArray[np.float64]
MARKS = (25, 50, 100, 200, 300)
SHARES = (0.95, 0.99)
REFERENCE = (1.1, 1.1)
HALVES = {"looked-at": LOOKED_AT, "kept-aside": KEPT_ASIDE, "both": LOOKED_AT + KEPT_ASIDE}
NAS_BENCH_MACRO, ACCEL = "NAS-Bench-Macro", "Accel-NASBench, a model"
TIE = 1e-9  # shares that differ by less are equal


class Played(Protocol):
    """A table that searches are played on.

    Attributes:
        space: Its space.
        front: (error, cost) of the networks on its true front, shape (k, 2).
        images: Validation images behind an error that a search sees; 0 for the true error, or where it is unknown.
        is_listed: Whether `front` has all networks of the true front.
    """

    @property
    def space(self) -> Space: ...
    @property
    def front(self) -> Floats: ...
    @property
    def images(self) -> int: ...
    @property
    def is_listed(self) -> bool: ...
    def true(self, genomes: Genomes) -> Floats:
        """Return the true (error, cost) of genomes of shape (n, n_var), shape (n, 2)."""

    def seen(self, genomes: Genomes) -> Floats:
        """Return what a search sees of genomes."""


class PublishedTable:
    """A published table, of whose accuracies one column is what a search sees and another one is true."""

    images, is_listed = 0, True

    def __init__(self, path: Path, genes: Sequence[str], columns: tuple[str, str], cost: str, per_block: int) -> None:
        tables = [Table(path, genes, [column, cost], genes_per_block=per_block) for column in columns]
        self.space = tables[0].space
        self._seen, self._true = (np.column_stack([1 - t.columns[:, 0] / 100, t.columns[:, 1]]) for t in tables)
        self.front = self._true[non_dominated(self._true)]

    def true(self, genomes: Genomes) -> Floats:
        """See `Played.true`. The rows of a complete table are in the genomes' order."""
        losses: Floats = self._true[np.ravel_multi_index(tuple(genomes.T), tuple(self.space.gene_sizes))]
        return losses

    def seen(self, genomes: Genomes) -> Floats:
        """See `Played.seen`."""
        losses: Floats = self._seen[np.ravel_multi_index(tuple(genomes.T), tuple(self.space.gene_sizes))]
        return losses


@lru_cache(maxsize=2)
def published(name: str, path: Path) -> PublishedTable:
    """Return one of the published tables, read once."""
    if name == NAS_BENCH_MACRO:
        return PublishedTable(path, (), ("mean_acc", "mean_acc"), "flops", 1)
    genes = [f"stage{stage}_{gene}" for stage in range(3) for gene in ("e", "k", "l", "se")]
    return PublishedTable(path, genes, ("top1", "top1_mean"), "latency_ms", 4)


@dataclass(frozen=True)
class Entrant:
    """A search that is played: how it is made, and what it is told before networks are evaluated."""

    make: Callable[[Space, int], Algorithm]
    knows_costs: bool = False
    knows_measure: bool = True


SEARCHES: dict[str, Entrant] = {
    "nsga2": Entrant(NSGA2),
    "nsga2-surrogate": Entrant(NSGA2Surrogate, knows_costs=True),
    "nsga2-surrogate, costs learnt": Entrant(NSGA2Surrogate),
    "nsga2-surrogate, not told": Entrant(NSGA2Surrogate, knows_costs=True, knows_measure=False),
}


@dataclass(frozen=True)
class Result:
    """One search of one table.

    Attributes:
        table: Its name.
        search: Name of the search.
        seed: Of both.
        curve: Hypervolume after 1, 2, ... networks, as a share of the true front's.
        found: Share of the true front's networks that it found until each of `MARKS`; None where they are not listed.
        seconds: Its own processor time.
    """

    table: str
    search: str
    seed: int
    curve: list[float]
    found: list[float] | None
    seconds: float


def measure(table: Played) -> Measure:
    """Return what the problem says of its losses: the reference point of its hypervolumes, and the images."""
    low, high = table.front.min(axis=0), table.front.max(axis=0)
    error, cost = low + np.array(REFERENCE) * np.maximum(high - low, 1e-12)
    return Measure((float(error), float(cost)), table.images)


def play(table: Played, entrant: Entrant, seed: int, budget: int) -> tuple[Floats, float]:
    """Return the true losses of the networks of one search in their order, and its own seconds."""
    algorithm = entrant.make(table.space, seed)
    if isinstance(algorithm, Measured) and entrant.knows_measure:
        algorithm.learn_measure(measure(table))
    asked: list[Floats] = []
    seconds = 0.0
    while sum(map(len, asked)) < budget:
        started = time.process_time()
        if isinstance(algorithm, Weighing) and entrant.knows_costs:
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


def play_all(name: str, make: Callable[[int], Played], seed: int, budget: int, only: Sequence[str]) -> list[Result]:
    """Return the results of searches of one table with one seed."""
    table = make(seed)
    low = table.front.min(axis=0)
    span = np.maximum(table.front.max(axis=0) - low, 1e-12)
    whole = hypervolume((table.front - low) / span, REFERENCE)
    results = []
    for search in only:
        losses, seconds = play(table, SEARCHES[search], seed, budget)
        curve = hypervolume_curve((losses - low) / span, REFERENCE) / whole
        found = None
        if table.is_listed:
            distinct = set(map(tuple, table.front.tolist()))
            found = [len(distinct & set(map(tuple, losses[:mark].tolist()))) / len(distinct) for mark in MARKS]
        results.append(Result(name, search, seed, np.round(curve, 6).tolist(), found, seconds))
    return results


def lines(results: Sequence[Result], budget: int) -> list[str]:
    """Return what is printed, a table in Markdown."""
    marks = [mark for mark in MARKS if mark <= budget]
    header = ["table", "search", *(f"after {mark} (no less than nsga2)" for mark in marks)]
    header += ["to 95 %", "to 99 %", "front found after 200; 300", "ms each", "seeds"]
    printed = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for table, search in dict.fromkeys((result.table, result.search) for result in results):
        mine = {r.seed: r for r in results if (r.table, r.search) == (table, search)}
        rivals = {r.seed: r for r in results if (r.table, r.search) == (table, "nsga2")}
        cells = []
        for mark in marks:
            values = [at(result, mark) for result in mine.values()]
            duels = [at(mine[seed], mark) >= at(rivals[seed], mark) - TIE for seed in mine.keys() & rivals.keys()]
            cells.append(f"{np.median(values):.1%}" + (f" ({np.mean(duels):.0%})" if duels else ""))
        for share in SHARES:
            reached = [next((n for n, v in enumerate(r.curve, 1) if v >= share), np.inf) for r in mine.values()]
            cells.append(f"{np.median(reached):.0f}" if np.isfinite(np.median(reached)) else f"> {budget}")
        found = [result.found for result in mine.values() if result.found is not None]
        cells.append("; ".join(f"{share:.0%}" for share in np.median(found, axis=0)[-2:]) if found else "")
        milliseconds = np.median([1000 * result.seconds / len(result.curve) for result in mine.values()])
        printed.append(f"| {' | '.join([table, search, *cells, f'{milliseconds:.2g}', str(len(mine))])} |")
    return printed


def at(result: Result, mark: int) -> float:
    """Return the share after so many networks, or at the end of a search that ended before."""
    return result.curve[min(mark, len(result.curve)) - 1]


def compare(
    tables: Mapping[str, Callable[[int], Played]],
    seeds: Sequence[int],
    budget: int,
    only: Sequence[str],
    processes: int,
    minutes: float | None,
    keep: Callable[[Sequence[Result]], None],
) -> list[Result]:
    """Play all searches on all tables, as far as the time allows.

    Args:
        tables: Make a table from a seed, by the table's name.
        seeds: The seeds.
        budget: Networks per search.
        only: Names of the searches.
        processes: Processes that play at the same time.
        minutes: No table is begun after so many; None for no limit.
        keep: Called with the results of each table and seed.

    Returns:
        The results, by table, search and seed in their given orders.
    """
    deadline = np.inf if minutes is None else time.monotonic() + 60 * minutes
    results: list[Result] = []
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        jobs = [
            pool.submit(_play_in_time, deadline, name, make, seed, budget, only)
            for seed in seeds
            for name, make in tables.items()
        ]
        for job in as_completed(jobs):
            keep(job.result())
            results += job.result()
    names = list(tables)
    return sorted(results, key=lambda result: (names.index(result.table), only.index(result.search), result.seed))


def _play_in_time(
    deadline: float, name: str, make: Callable[[int], Played], seed: int, budget: int, only: Sequence[str]
) -> list[Result]:
    return play_all(name, make, seed, budget, only) if time.monotonic() < deadline else []


def _published(name: str, path: Path, seed: int) -> Played:
    del seed  # a published table is the same for all
    return published(name, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--half", choices=[*HALVES, "none"], default="looked-at")
    parser.add_argument("--only", nargs="+", help="families whose names have one of these texts")
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, default=list(SEARCHES))
    parser.add_argument("--macro", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--accel", type=Path, help="accel.csv of accel_surrogate.py")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    families: Sequence[Family] = HALVES.get(given.half, ())
    tables: dict[str, Callable[[int], Played]] = {
        name: partial(_published, name, path)
        for name, path in ((NAS_BENCH_MACRO, given.macro), (ACCEL, given.accel))
        if path is not None
    }
    for family in families:
        if given.only is None or any(text in family.name for text in given.only):
            tables[family.name] = partial(MadeUpTable, family)
    seeds = range(1, given.seeds + 1)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "families.jsonl").write_text("", encoding="utf-8")

    def keep(results: Sequence[Result]) -> None:
        if given.out is not None:
            with (given.out / "families.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(asdict(result))}\n" for result in results)

    results = compare(tables, seeds, given.budget, given.searches, given.processes, given.minutes, keep)
    printed = "\n".join(lines(results, given.budget))
    print(printed)
    if given.out is not None:
        (given.out / "families.md").write_text(printed + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
