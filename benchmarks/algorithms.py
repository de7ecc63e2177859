"""Which search finds most on a complete table, does the controller learn, and what do soft and hard rewards do?

Every algorithm searches NAS-Bench-Macro (6,561 networks, accuracy and MACs) with 30 seeds and 300 distinct networks, on
one archive. Printed: the comparison that `evomnas benchmark` prints; for rl-weighted the mean reward of its first and
last 50 samples, over the seeds; and where the samples of its soft and its hard reward lie (paper, figure 6), as
quantiles of MACs relative to the target. The comparison's page is written beside the runs.

    python benchmarks/algorithms.py nas-bench-macro_cifar10.json [--seeds 30] [--budget 300] [--out DIR]

The file is data/nas-bench-macro_cifar10.json of github.com/xiusu/NAS-Bench-Macro. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import evomnas
from evomnas.algorithms.goals import REWARD_EXPONENTS, weighted_product
from evomnas.cli.output import print_columns
from evomnas.report.comparison import words as text
from evomnas.results.run import Run

SAMPLES = 50


def samples(folder: Path) -> NDArray[np.float64]:
    """Losses of all that a run asked for, repeated asks included, shape (asks, 2)."""
    run = Run.open(folder)
    known = {str(one.evaluation.architecture): one.evaluation.losses for one in run.results()}
    losses = [known[ask.architecture] for ask in run.asks]
    run.archive.close()
    return np.array(losses, dtype=np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp(prefix="algorithms-"))
    overrides = [f"table.path={given.table.resolve()}"]
    comparison = evomnas.benchmark(
        "nas-bench-macro", seeds=given.seeds, budget=given.budget, overrides=overrides, out=out / "all"
    )
    for table in (text.summary_table(comparison), text.limits_table(comparison), text.pairs_table(comparison)):
        print_columns(*table, left=1)
        print()
    print(text.verdict(comparison))
    print(f"Page: {out / 'all' / 'comparison.html'}\n")

    rewarded = {"soft": out / "all"}
    hard = dict(zip(("alpha", "beta"), REWARD_EXPONENTS["hard"], strict=True))
    rewarded["hard"] = out / "hard"
    evomnas.benchmark(
        "nas-bench-macro", ["rl-weighted"], seeds=given.seeds, budget=given.budget, options=hard, overrides=overrides,
        out=rewarded["hard"],
    )  # fmt: skip
    target = Run.open(out / "all" / "rl-weighted-s1").manifest.options["target_ms"]
    for name, folder in rewarded.items():
        asked = [samples(folder / f"rl-weighted-s{seed}") for seed in range(1, given.seeds + 1)]
        rewards = [weighted_product(1 - one[:, 0], one[:, 1], target, *REWARD_EXPONENTS[name]) for one in asked]
        first = np.array([one[:SAMPLES].mean() for one in rewards])
        last = np.array([one[-SAMPLES:].mean() for one in rewards])
        gains = last - first
        means = f"{first.mean():.4f} in its first {SAMPLES} samples, {last.mean():.4f} in its last"
        print(f"rl-weighted, {name} reward: {means}")
        print(f"  gain {np.median(gains):.4f} ({gains.min():.4f} to {gains.max():.4f} over {given.seeds} seeds)")
        for title, part in (("first", slice(100)), ("last", slice(-100, None))):
            costs = np.concatenate([one[part, 1] for one in asked]) / target
            low, middle, high = np.quantile(costs, [0.1, 0.5, 0.9])
            print(
                f"  its {title} 100 samples: cost / target {middle:.2f} (10 to 90 %: {low:.2f} to {high:.2f}), "
                f"{(costs <= 1).mean():.0%} within the target"
            )


if __name__ == "__main__":
    main()
