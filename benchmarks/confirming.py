"""What are second trainings (`--confirm`) worth?

Tables that are made up have a known truth: the first half of the families of `table_families.py`, and tables of
`synthetic_tables.py`. All are searched by `nsga2-surrogate`, costs known, with the noise of 50, 350 and 2,000
validation images. Of each search of `--budget` networks, the last share is given to second trainings instead, by the
rule of `evomnas.loop.confirming`: what is not needed goes on searching. A second training draws the images anew.
Printed per number of images and share, means over tables and seeds, in percentage points, with the mean difference to
share 0 and its standard error:

- the hypervolume of the true losses of the networks that are reported as the front, in the true front's;
- the regret of the reported knee: its true error less the least true error of the whole table at its cost;
- how much too low the reported errors of the front are.

`expected` reports the front of the expected scores of a search without second trainings, for comparison.

    python benchmarks/confirming.py [--seeds 6] [--budget 64] [--out FILE]

Takes about a quarter of an hour on one free core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from family_quality import REFERENCE, Entrant, Played, play
from numpy.typing import NDArray
from synthetic_tables import synthetic_table
from table_families import LOOKED_AT, Choices, MadeUpTable

from evomnas.algorithms.surrogate.certainty import Certainty, judge_front, undecided
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.problem.pareto import hypervolume, knees, non_dominated
from evomnas.problem.search_space import Genomes
from evomnas.results.answers.confusion import share_error

Floats = NDArray[np.float64]
IMAGES = (50, 350, 2000)
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3)
SYNTHETIC = 2  # tables of that kind per seed
SECOND = 1  # sets the second draw of images apart


class SyntheticTable:
    """A table of `synthetic_tables.py`, seen with the noise of validation images."""

    is_listed = True

    def __init__(self, number: int, images: int) -> None:
        sizes, losses = synthetic_table(number)
        self._sizes, self.images, self._number = tuple(sizes.tolist()), images, number
        self.space = Choices(self._sizes)
        self._losses = np.column_stack([np.clip(losses[:, 0], 0.01, 0.99), losses[:, 1]])
        self.front = self._losses[non_dominated(self._losses)]

    def true(self, genomes: Genomes) -> Floats:
        """See `family_quality.Played.true`."""
        return np.asarray(self._losses[np.ravel_multi_index(tuple(genomes.T), self._sizes)])

    def seen(self, genomes: Genomes) -> Floats:
        """See `family_quality.Played.seen`."""
        losses = self.true(genomes)
        for row, genome in enumerate(genomes):
            rng = np.random.default_rng([self._number, *genome.tolist()])
            losses[row, 0] = rng.binomial(self.images, losses[row, 0]) / self.images
        return losses


class _Search:
    """One search: the networks in their order, what was seen of them, and what a second training would show."""

    def __init__(self, table: Played, seed: int, budget: int) -> None:
        asked: list[Genomes] = []

        class Recorded(NSGA2Surrogate):
            def tell(self, genomes: Genomes, losses: Floats, violations: Floats) -> None:
                asked.append(genomes.copy())
                super().tell(genomes, losses, violations)

        play(table, Entrant(Recorded, knows_costs=True), seed, budget)
        self.table = table
        self.genomes = np.concatenate(asked)[:budget]
        self.true, self.seen = table.true(self.genomes), table.seen(self.genomes)
        rng = np.random.default_rng([SECOND, seed])
        self.second = rng.binomial(table.images, self.true[:, 0]) / table.images

    def variances(self, errors: Floats) -> Floats:
        """The known variances of errors."""
        images = self.table.images
        return np.array([share_error(round(error * images), images) ** 2 for error in errors])

    def judge(self, count: int) -> Certainty:
        """How sure the front of the first networks is."""
        errors = self.seen[:count, 0]
        certainty = judge_front(
            self.table.space, self.genomes[:count], self.seen[:count], np.sqrt(self.variances(errors))
        )
        assert certainty is not None
        return certainty

    def confirmed(self, share: float) -> tuple[Floats, int]:
        """Reported errors of the networks that are left of the budget, and the number of second trainings."""
        budget = len(self.genomes)
        kept = int(share * budget)
        rows = np.zeros(0, dtype=np.int64)
        while kept:
            rows = undecided(self.judge(budget - kept).chances)
            if len(rows) >= kept:
                break
            kept = len(rows)
        errors = self.seen[: budget - kept, 0].copy()
        errors[rows[:kept]] = (errors[rows[:kept]] + self.second[rows[:kept]]) / 2
        return errors, kept

    def outcome(self, reported: Floats) -> tuple[float, float, float]:
        """Hypervolume, regret of the knee, and optimism of the front, in percentage points."""
        count = len(reported)
        losses, true = np.column_stack([reported, self.seen[:count, 1]]), self.true[:count]
        front = np.flatnonzero(non_dominated(losses))
        low = self.table.front.min(axis=0)
        span = np.maximum(self.table.front.max(axis=0) - low, 1e-12)
        whole = hypervolume((self.table.front - low) / span, REFERENCE)
        share = hypervolume((true[front] - low) / span, REFERENCE) / whole
        optimism = float(np.mean(true[front, 0] - reported[front]))
        regret = np.nan
        if places := knees(losses[front]):
            error, cost = true[front[places[0]]]
            regret = error - self.table.front[self.table.front[:, 1] <= cost * (1 + 1e-9), 0].min()
        return 100 * share, 100 * regret, 100 * optimism


def tables(seed: int, images: int) -> Iterator[tuple[str, Callable[[], Played]]]:
    """The tables of a seed, by name."""
    for family in LOOKED_AT:
        yield family.name, partial(MadeUpTable, replace(family, images=images), seed)
    for number in range(SYNTHETIC):
        yield f"synthetic {number}", partial(SyntheticTable, 100 * (number + 1) + seed, images)


def outcomes(search: _Search) -> dict[str, tuple[float, ...]]:
    """Second trainings and the three outcomes, by what was done."""
    found: dict[str, tuple[float, ...]] = {}
    for share in SHARES:
        errors, count = search.confirmed(share)
        found[f"{share:.0%}"] = (count, *search.outcome(errors))
    found["expected"] = (0, *search.outcome(search.judge(len(search.genomes)).errors))
    return found


def lines(rows: list[tuple[int, dict[str, tuple[float, ...]]]]) -> Iterator[str]:
    """What is printed, a table in Markdown."""
    yield "| images | share | second trainings | hypervolume | regret of the knee | reported too low |"
    yield "| --- " * 6 + "|"
    for images in IMAGES:
        ours = [found for own, found in rows if own == images]
        for name in ours[0] if ours else ():
            values = np.array([found[name] for found in ours], dtype=np.float64)
            base = np.array([found["0%"] for found in ours], dtype=np.float64)
            cells = [f"{values[:, 0].mean():.1f}"]
            for column in (1, 2, 3):
                change = (values - base)[:, column]
                change = change[np.isfinite(change)]
                error = change.std() / np.sqrt(max(1, len(change)))
                difference = "" if name == "0%" else f" ({change.mean():+.2f} ± {error:.2f})"
                cells.append(f"{np.nanmean(values[:, column]):.2f}{difference}")
            yield f"| {images} | {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--out", type=Path, help="keeps what every search gave as soon as it is known")
    given = parser.parse_args()
    rows = []
    for seed in range(1, given.seeds + 1):
        for images in IMAGES:
            for name, make in tables(seed, images):
                found = outcomes(_Search(make(), seed, given.budget))
                rows.append((images, found))
                if given.out is not None:
                    with given.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([name, images, seed, found]) + "\n")
    print("\n".join(lines(rows)))


if __name__ == "__main__":
    main()
