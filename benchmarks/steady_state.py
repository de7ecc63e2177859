"""Is it better to breed by generations, or in steady state, where no worker waits for a generation's slowest?

Steady state keeps workers busy, but what it breeds knows less: some networks are always still under way. Here both are
played on tables whose networks are all known, with a clock of their own: a training takes as long as the network's
cost says, with some variation, and so many of them go on at a time as there are workers. Printed per search and number
of workers, medians over the tables or seeds: networks and time until the search has 99 % of the true front's
hypervolume (time in mean trainings), and which share of the workers' time was spent on trainings.

    python benchmarks/steady_state.py [--macro nas-bench-macro_cifar10.json] [--tables 12] [--workers 2 8 32]
        [--budget 400]
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from search_quality import Known, read_macro, synthetic

from evomnas.algorithms.base import Algorithm, Weighing
from evomnas.algorithms.nsga2 import NSGA2
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate

SHARE = 0.99
VARIATION = 0.15  # standard deviation of a training's time about what its cost says
MAKE: dict[str, Callable[[Known, int], Algorithm]] = {
    "nsga2": lambda table, seed: NSGA2(table.space, seed),
    "nsga2-surrogate": lambda table, seed: NSGA2Surrogate(table.space, seed),
}


@dataclass
class Floor:
    """Workers that train networks of a table, and a clock.

    Attributes:
        ends: When and in which order networks ended, (time, row).
    """

    table: Known
    workers: int
    rng: np.random.Generator
    now: float = 0.0
    ends: list[tuple[float, int]] = field(default_factory=list)
    running: list[tuple[float, int, int]] = field(default_factory=list)  # when it ends, number, row

    def __post_init__(self) -> None:
        costs = self.table.seen[:, 1]
        self.seconds = (0.3 + 0.7 * costs / costs.mean()) * np.exp(VARIATION * self.rng.normal(size=len(costs)))

    @property
    def is_full(self) -> bool:
        """Whether all workers have something to do."""
        return len(self.running) >= self.workers

    def start(self, row: int) -> None:
        """Let a free worker train."""
        heapq.heappush(self.running, (self.now + self.seconds[row], len(self.ends) + len(self.running), row))

    def next_end(self) -> int:
        """Let the time go on until a training ends; returns the network's row."""
        self.now, _, row = heapq.heappop(self.running)
        self.ends.append((self.now, row))
        return row


def weigh(algorithm: Algorithm, table: Known) -> None:
    """Tell an algorithm that wants to know what its candidates cost: that is free here."""
    if isinstance(algorithm, Weighing):
        candidates = algorithm.consider(0.0)
        algorithm.weigh(candidates, table.seen[table.rows(candidates), 1])


def by_generations(algorithm: Algorithm, floor: Floor, budget: int) -> None:
    """Ask, train all, tell all."""
    while len(floor.ends) < budget:
        weigh(algorithm, floor.table)
        genomes = algorithm.ask()
        rows = floor.table.rows(genomes)
        for row in rows:
            if floor.is_full:
                floor.next_end()
            floor.start(int(row))
        while floor.running:
            floor.next_end()
        algorithm.tell(genomes, floor.table.seen[rows], np.zeros(len(rows)))


def in_steady_state(algorithm: Algorithm, floor: Floor, budget: int) -> None:
    """Ask whenever a worker is free, tell whatever ends."""
    queue: deque[NDArray[np.int64]] = deque()
    genomes: dict[int, NDArray[np.int64]] = {}
    while len(floor.ends) < budget:
        while not floor.is_full:
            if not queue:
                weigh(algorithm, floor.table)
                queue.extend(algorithm.ask_more())
            if not queue:
                break
            genome = queue.popleft()
            row = int(floor.table.rows(genome[None])[0])
            genomes[row] = genome
            floor.start(row)
        row = floor.next_end()
        algorithm.tell_some(genomes[row][None], floor.table.seen[[row]], np.zeros(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--macro", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--tables", type=int, default=12, help="synthetic ones, or seeds")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--budget", type=int, default=400)
    given = parser.parse_args()
    tables = [synthetic(seed) for seed in range(given.tables)]
    if given.macro:
        tables = [read_macro(given.macro)] * given.tables
    print("| search | workers | manner | networks to 99 % | time to 99 % | workers busy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, make in MAKE.items():
        for workers in given.workers:
            for manner in (by_generations, in_steady_state):
                found = []
                for seed, table in enumerate(tables, start=1):
                    floor = Floor(table, workers, np.random.default_rng(seed))
                    manner(make(table, seed), floor, given.budget)
                    curve = table.curve([row for _, row in floor.ends]) / table.curve(table.on_front)[-1]
                    first = next((n for n, share in enumerate(curve) if share >= SHARE), None)
                    time = np.inf if first is None else floor.ends[first][0] / floor.seconds.mean()
                    busy = sum(floor.seconds[row] for _, row in floor.ends) / workers / floor.now
                    found.append((np.inf if first is None else first + 1, time, busy))
                networks, time, busy = np.median(found, axis=0)
                print(
                    f"| {name} | {workers} | {manner.__name__.replace('_', ' ')} | {networks:.0f} | {time:.1f} | "
                    f"{busy:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
