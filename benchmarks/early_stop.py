"""What does cutting hopeless candidates off save, and does it lose any network of the front?

Takes searches whose candidates were all trained to the end (`evomnas run --no-early-stop`, or a benchmark's runs) and
plays them again from their stored learning curves: generation by generation, by the rule of
`evomnas.training.early_stop`, from what the search itself would have known by then. What would have been cut off saves
the rest of its training, and is lost if the whole search has it on its front. Asks stay as they were: what a search
would have asked for had it been told less is not seen here.

    python benchmarks/early_stop.py [RUN ...] [--at-once 2] [--orders 100]

Without runs it searches the digits first, with three algorithms by three seeds (`--seeds 1 --budget 20` runs it short;
about 15 minutes on two cores). `--at-once 2` plays them as if all but the last two were always known, as two workers in
steady state have it. `--orders` also plays all networks of the runs in so many random orders, as random searches as
long as the longest of the runs: the runs alone are too few to see what happens once in a hundred. Prints a JSON
object: per algorithm the shares of trainings cut off and of training time saved, front members and how many of those
were lost, and the largest share of hypervolume lost; beside it the share of time that would be saved if all dominated
candidates, but for those of the first generation, ended after one epoch.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evomnas.problem.pareto import Front, PlaneFront, hypervolume, non_dominated
from evomnas.report.comparison.benchmark import benchmark
from evomnas.results.evaluation import NetworkEvaluation
from evomnas.results.run import Run
from evomnas.training.early_stop import EarlyStop

ALGORITHMS = ("nsga2", "nsga2-surrogate", "random")
GENERATION = 20  # networks that random search asks for at once
Generations = Sequence[Sequence[NetworkEvaluation]]


@dataclass
class Tally:
    """Sums over searches; seconds are those of trainings, `hypervolume` is the largest relative loss of any."""

    searches: int = 0
    trainings: int = 0
    cut: int = 0
    seconds: float = 0.0
    saved: float = 0.0
    saved_at_best: float = 0.0
    front: int = 0
    lost: int = 0
    hypervolume: float = 0.0

    def shares(self) -> dict[str, float]:
        """What is printed."""
        return {
            "searches": self.searches,
            "trainings": self.trainings,
            "cut off": round(self.cut / self.trainings, 3),
            "time saved": round(self.saved / self.seconds, 3),
            "time saved at best": round(self.saved_at_best / self.seconds, 3),
            "front members": self.front,
            "lost": self.lost,
            "hypervolume lost at most": round(self.hypervolume, 5),
        }


def generations(run: Run, at_once: int | None) -> Generations:
    """A run's trainings by generation, or so many at once."""
    if run.mode.early_stop:
        raise SystemExit(f"{run.folder} cut candidates off: give runs of --no-early-stop or of evomnas benchmark")
    done = [result for result in run.results() if result.evaluation.status == "ok"]
    groups = itertools.groupby(enumerate(done), key=lambda pair: pair[0] // at_once if at_once else pair[1].generation)
    return [[result.evaluation for _, result in group] for _, group in groups]


def play(searched: Generations, epochs: int, reference: Sequence[float], tally: Tally) -> None:
    """Add to a tally what the rule would have done in a search."""
    everything = [one for generation in searched for one in generation]
    front: Front[NetworkEvaluation] = PlaneFront()
    rule = EarlyStop(epochs, front)
    kept: list[NetworkEvaluation] = []
    for number, generation in enumerate(searched):
        taken = [(one, epochs_taken(rule, one)) for one in generation]
        for one, count in taken:
            seconds = one.training.seconds
            tally.seconds += seconds
            tally.saved += seconds * (1 - count / epochs)
            if number and any(dominates(other, one) for other in everything):
                tally.saved_at_best += seconds * (1 - 1 / epochs)
            if count == epochs:
                kept.append(one)
                rule.learn(one)
                front.add(one.losses, one)
    on_front = non_dominated([one.losses for one in everything])
    tally.searches += 1
    tally.trainings += len(everything)
    tally.cut += len(everything) - len(kept)
    tally.front += int(on_front.sum())
    tally.lost += sum(one not in kept for one, is_on in zip(everything, on_front, strict=True) if is_on)
    whole, left = (hypervolume([one.relative_losses for one in some], reference) for some in (everything, kept))
    tally.hypervolume = max(tally.hypervolume, 1 - left / whole)


def epochs_taken(rule: EarlyStop, one: NetworkEvaluation) -> int:
    """After how many epochs the rule would have ended a training."""
    threshold, losses = rule.threshold(one), one.training.losses
    stops = (
        count for count in range(1, len(losses)) if threshold is not None and threshold.should_stop(losses[:count])
    )
    return next(stops, len(losses))


def dominates(one: NetworkEvaluation, other: NetworkEvaluation) -> bool:
    """Whether one is at least as good and fast, and better in one of them."""
    return one.losses != other.losses and all(a <= b for a, b in zip(one.losses, other.losses, strict=True))


def shuffled(searches: Iterable[Generations], orders: int, at_once: int) -> Iterable[Generations]:
    """All networks of some searches in random orders, as many as the longest search has."""
    found = [[one for generation in searched for one in generation] for searched in searches]
    pool = list({one.architecture: one for searched in found for one in searched}.values())
    length, rng = max(map(len, found)), np.random.default_rng(0)
    for _ in range(orders):
        drawn = [pool[place] for place in rng.permutation(len(pool))[:length]]
        yield [drawn[start : start + at_once] for start in range(0, length, at_once)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-once", type=int)
    parser.add_argument("--orders", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not options.runs:
            benchmark("digits", ALGORITHMS, seeds=options.seeds, budget=options.budget, out=folder,
                      workers=options.workers)  # fmt: skip
        places = options.runs or sorted(path.parent for path in Path(folder).glob("*/run.json"))
        runs = [Run.open(place) for place in places]
        searches = [(run, generations(run, options.at_once)) for run in runs]
    training, reference = runs[0].trained_problem().training, runs[0].definition.hypervolume.reference_point
    tallies: dict[str, Tally] = {}
    for run, searched in searches:
        play(searched, training.epochs, reference, tallies.setdefault(run.record.algorithm, Tally()))
    for searched in shuffled([searched for _, searched in searches], options.orders, options.at_once or GENERATION):
        play(searched, training.epochs, reference, tallies.setdefault("random orders", Tally()))
    print(json.dumps({name: tally.shares() for name, tally in tallies.items()}, indent=2))


if __name__ == "__main__":
    main()
