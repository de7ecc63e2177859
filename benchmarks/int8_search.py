"""Does a search in int8 find better int8 files than a search in float?

For each seed, two searches of a problem with equal budgets: one that measures and scores networks in float, and one
with `latency.precision = "int8"` and `training.precision = "int8"`. The networks of the float search's front are then
measured and scored in int8 as well. Printed for each: the hypervolume of the int8 front (of validation error, and
latency relative to MobileNetV2's int8 file), the most accurate int8 file that is at least as fast as MobileNetV2's,
and how many of the float search's front are still on its front in int8.

    python benchmarks/int8_search.py [--problem digits] [--runtime onnxruntime] [--budget 24] [--seeds 3] [--out DIR]

`--budget 4 --seeds 1 --set training.epochs=1` runs it short. What was done is in the archive in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evomnas.evaluation.factory import open_evaluator
from evomnas.loop.launch import resume, search
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition
from evomnas.problem.pareto import hypervolume, non_dominated
from evomnas.results.evaluation import Evaluation
from evomnas.results.run import Run


def run_search(definition: ProblemDefinition, folder: Path, budget: int, seed: int, workers: int) -> Run:
    if (folder / "run.json").is_file():
        return resume(folder, budget=budget, workers=workers)
    return search(definition, budget=budget, seed=seed, out=folder, workers=workers)


def as_int8(definition: ProblemDefinition, run: Run, networks: list[Architecture], workers: int) -> list[Evaluation]:
    with open_evaluator(definition, run.archive, workers) as evaluator:
        return [one for one in evaluator.evaluate(networks) if one.status == "ok"]


def describe(definition: ProblemDefinition, evaluations: list[Evaluation], reference_ms: float) -> str:
    losses = [(one.losses[0], one.losses[1] / reference_ms) for one in evaluations]
    volume = hypervolume(losses, definition.hypervolume.reference_point)
    fast = [error for error, relative in losses if relative <= 1]
    best = f"{1 - min(fast):.2%}" if fast else "none"
    fastest = min(latency for _, latency in (one.losses for one in evaluations))
    front = int(non_dominated(losses).sum())
    return f"hypervolume {volume:.4f}  as fast as MobileNetV2 {best}  fastest {fastest:.4f} ms  {front} on the front"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", default="digits")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--budget", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("int8-search"))
    options = parser.parse_args()
    settings = [f"latency.runtime={options.runtime}", *options.settings]
    quantized = ["latency.precision=int8", "training.precision=int8"]
    plain, int8 = (load_definition(options.problem, [*settings, *more]) for more in ([], quantized))
    for seed in range(1, options.seeds + 1):
        folders = [options.out / f"{name}-{options.runtime}-s{seed}" for name in ("float", "int8")]
        runs = [
            run_search(definition, folder, options.budget, seed, options.workers)
            for definition, folder in zip((plain, int8), folders, strict=True)
        ]
        chosen = [one.evaluation.architecture for one in runs[0].front()]
        found = [one.evaluation for one in runs[1].front()]
        reference_ms = runs[1].reference_cost()
        shipped = as_int8(int8, runs[0], chosen, options.workers)
        print(f"seed {seed}, float search: {len(chosen)} on its front; {describe(int8, shipped, reference_ms)}")
        print(f"seed {seed}, int8 search:  {describe(int8, found, reference_ms)}", flush=True)


if __name__ == "__main__":
    main()
