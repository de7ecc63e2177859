"""Searches that train their networks: `nsga2`, `nsga2-surrogate` and Optuna's NSGA-II, on the same space and budget.

Optuna joins as an algorithm that another package brings to evomnas: all are evaluated, timed and compared alike. It is
asked for two networks at a time, as by two workers. Prints hypervolume, as a share of the best known of all runs
together, after so many evaluations and after so much time (of trainings, measurements and the algorithm itself, as if
one worker did all; docs/comparison.md), medians over seeds, and what `evomnas compare` says of the runs; the page is
`--out`/comparison.html. Interrupted, the same command goes on.

    pip install '.[peers]'
    python benchmarks/real_search.py digits --out runs/real --seeds 5 [--optuna-seeds 3] [--budget 64]
        [--set data.path=FOLDER ...]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from evomnas import benchmark, compare, write_comparison
from evomnas.algorithms.base import AskAndTell, Losses
from evomnas.evaluation.executors.factory import default_workers
from evomnas.problem.search_space import Genomes, Space
from evomnas.report.comparison.benchmark import BenchmarkProgress
from evomnas.report.comparison.comparison import Group
from evomnas.report.comparison.words import verdict

OURS = ("nsga2-surrogate", "nsga2")
PEER = "optuna-nsga2"


class OptunaNSGA2(AskAndTell):
    """Optuna's NSGA-II with its defaults, a categorical parameter per gene."""

    def __init__(self, space: Space, seed: int) -> None:
        import optuna

        super().__init__(space)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.NSGAIISampler(seed=seed)
        self._study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        self._trials: list[optuna.Trial] = []

    def _breed(self) -> Genomes:
        self._trials = [self._study.ask() for _ in range(2)]
        choices = [list(range(int(size))) for size in self.space.gene_sizes]
        genomes = [
            [trial.suggest_categorical(f"gene{gene}", each) for gene, each in enumerate(choices)]
            for trial in self._trials
        ]
        return np.array(genomes, dtype=np.int64)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        from optuna.trial import TrialState

        for trial, pair in zip(self._trials, losses, strict=True):
            if np.isfinite(pair).all():
                self._study.tell(trial, pair.tolist())
            else:
                self._study.tell(trial, state=TrialState.FAIL)


@contextmanager
def registered() -> Iterator[None]:
    """Have Optuna's search registered, as by a package that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / "evomnas_peers-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evomnas-peers\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[evomnas.algorithms]\n{PEER} = {__name__}:OptunaNSGA2\n")
        sys.path.append(folder)
        yield
        sys.path.remove(folder)


def say(progress: BenchmarkProgress) -> None:
    """A line per run."""
    if progress.progress.phase == "starting":
        print(f"{progress.algorithm}, seed {progress.seed}", file=sys.stderr, flush=True)


def row(group: Group, best: float, marks: list[int], times: list[float]) -> str:
    """A line of the printed table."""
    assert group.over_time is not None
    seconds, spread = group.over_time
    values = [group.curve.median[mark - 1] for mark in marks]
    values += [spread.median[np.searchsorted(seconds, time, side="right") - 1] for time in times]
    shares = [f"{value / best:.1%}" for value in values]
    return f"| {' | '.join([group.name, *shares, f'{1000 * group.own_per_evaluation:.0f}', str(len(group.seeds))])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", nargs="?", default="digits")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--optuna-seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with registered():
        for algorithms, seeds in (((*OURS, PEER), given.optuna_seeds), (OURS, given.seeds)):
            if seeds:
                benchmark(given.problem, algorithms, seeds=seeds, budget=given.budget, overrides=given.set,
                          out=given.out, workers=default_workers("cpu"), device="cpu", on_progress=say)  # fmt: skip
        comparison = compare(sorted(path.parent for path in given.out.glob("*/run.json")))
    write_comparison(comparison, given.out / "comparison.html")
    marks = [given.budget * quarter // 4 for quarter in (1, 2, 3, 4)]
    longest = min(float(group.over_time[0][-1]) for group in comparison.groups if group.over_time)
    times = [longest * quarter / 4 for quarter in (1, 2, 3, 4)]
    header = [comparison.definition.name, *(f"after {mark}" for mark in marks), *(f"{time:.0f} s" for time in times)]
    header += ["ms of its own each", "seeds"]
    print(f"\n| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for group in comparison.groups:
        print(row(group, comparison.best_known, marks, times))
    print("\n" + textwrap.fill(verdict(comparison), 118))


if __name__ == "__main__":
    main()
