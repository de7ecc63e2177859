"""Can a search at ImageNet's scale be studied without ImageNet: how well does a model rank networks it has not seen?

Accel-NASBench trained 5,138 networks of a space like MnasNet's on ImageNet, by a proxy recipe and with one seed, and
timed them on an FPGA board (ZCU102). A model of top-1 accuracy and one of latency are fitted to its table: the mean of
a quadratic ridge and of boosted trees. Printed: Kendall's tau, R2 and the error of networks that were left out (five
folds). Then the models fill a complete table, with a problem file beside it, for `evomnas run DIR/accel.toml`:

- Three stages, blocks 1 to 3, 4 to 5 and 6 to 7, whose blocks are alike: expansion (1, 4, 6), kernel (3, 5), layers
  (1, 2, 3) and squeeze-and-excite (0, 1) per stage, 36^3 = 46,656 networks.
- `top1` is what a search sees: the model's accuracy and one training's noise, a normal deviate of 0.26 points per
  network, as repeated networks of the table differ. `top1_mean` is the model's accuracy without it.

The model is smoother than trainings are beyond that noise: its errors are no part of the table.

    python benchmarks/accel_surrogate.py anb_table.csv --out DIR

`anb_table.csv` is the result files of github.com/afzalxo/Accel-NASBench, one row each: `block0_e` to `block6_se`,
`val_top1`, `latency_zcu102_mean`. Takes about a minute.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

GENES = ("e", "k", "l", "se")
BLOCKS = 7
STAGES = ((0, 1, 2), (3, 4), (5, 6))
CHOICES = {"e": (1, 4, 6), "k": (3, 5), "l": (1, 2, 3), "se": (0, 1)}
NOISE = 0.26  # points of top-1: standard deviation of one training
OBJECTIVES = {"top1": "val_top1", "latency_ms": "latency_zcu102_mean"}

PROBLEM = """# A model of Accel-NASBench (ImageNet, proxy training; latency on a ZCU102 board), which
# benchmarks/accel_surrogate.py has fitted and filled in
name = "accel"
summary = "46,656 networks like MnasNet's: a model of ImageNet top-1 and of FPGA latency"

[table]
path = "accel.csv"
genes = {genes}
genes_per_block = 4
objectives = [
    {{ column = "top1", direction = "maximize", scale = 0.01, quantity = "accuracy" }},
    {{ column = "latency_ms", direction = "minimize", quantity = "latency_ms" }},
]

[hypervolume]
reference_point = [0.6, 2.0]
"""


def read(path: Path) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Genomes, shape (n, 28), and objectives by name, shape (n,), NaN where the table has none."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [f"block{block}_{gene}" for block in range(BLOCKS) for gene in GENES]
    genomes = np.array([[int(row[column]) for column in columns] for row in rows])
    values = {name: np.array([float(row[column] or "nan") for row in rows]) for name, column in OBJECTIVES.items()}
    return genomes, values


def make_model() -> Any:
    """Mean of a ridge on genes and their pairs and of boosted trees, both of the logarithm."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    ridge = make_pipeline(one_hot, KernelRidge(alpha=3.0, kernel="poly", degree=2, gamma=1.0, coef0=8.0))
    trees = HistGradientBoostingRegressor(max_iter=600, learning_rate=0.06, max_leaf_nodes=15, random_state=0)
    scale = make_pipeline(FunctionTransformer(np.log, np.exp, check_inverse=False), StandardScaler())
    return TransformedTargetRegressor(VotingRegressor([("ridge", ridge), ("trees", trees)]), transformer=scale)


def check(genomes: NDArray[np.int64], values: NDArray[np.float64]) -> str:
    """How well the model ranks and predicts what was left out, in five folds of networks."""
    _, groups = np.unique(genomes, axis=0, return_inverse=True)  # a network that occurs twice is in one fold
    predicted = cross_val_predict(make_model(), genomes, values, groups=groups, cv=GroupKFold(5))
    tau = kendalltau(predicted, values).statistic
    error = np.sqrt(np.mean((predicted - values) ** 2))
    return f"Kendall's tau {tau:.3f}, R2 {r2_score(values, predicted):.3f}, root mean square error {error:.3f}"


def all_networks() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The table's genomes by stage, shape (n, 12), and by block, shape (n, 28)."""
    stage = list(itertools.product(*CHOICES.values()))
    by_stage = np.array([sum(one, ()) for one in itertools.product(stage, repeat=len(STAGES))])
    number = np.repeat(np.arange(len(STAGES)), [len(blocks) for blocks in STAGES])  # each block's stage
    by_block = by_stage.reshape(-1, len(STAGES), len(GENES))[:, number]
    return by_stage, by_block.reshape(len(by_stage), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    genomes, values = read(given.table)
    by_stage, by_block = all_networks()
    filled: dict[str, NDArray[np.float64]] = {}
    for name, column in values.items():
        known = np.isfinite(column)
        print(f"{name}: {known.sum()} networks; left out: {check(genomes[known], column[known])}")
        filled[name] = make_model().fit(genomes[known], column[known]).predict(by_block)
    filled["top1_mean"] = filled["top1"]
    filled["top1"] = filled["top1_mean"] + np.random.default_rng(0).normal(0, NOISE, len(by_block))
    given.out.mkdir(parents=True, exist_ok=True)
    columns = [f"stage{stage}_{gene}" for stage in range(len(STAGES)) for gene in GENES]
    with (given.out / "accel.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *filled])
        cells = np.column_stack(list(filled.values()))
        writer.writerows([*genes, *map("{:.4f}".format, row)] for genes, row in zip(by_stage, cells, strict=True))
    (given.out / "accel.toml").write_text(PROBLEM.format(genes=json.dumps(columns)))
    print(f"{len(by_stage):,} networks: evomnas run {given.out / 'accel.toml'} --budget 200")


if __name__ == "__main__":
    main()
