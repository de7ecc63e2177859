"""What are LEMONADE's inherited weights worth, at equal processor time?

`lemonade` with and without inheritance and `nsga2` search the digits for the same processor seconds, which count
trainings alone. The second objective is the MACs, so that no latency is measured. Then networks of each front, at most
`--judged` spread over it, are trained in full from random weights and scored on the test images.

Printed of every search: networks trained, the best accuracy and the hypervolume that its front claims, both after full
training, and Kendall's tau between the two accuracies of a search's judged networks. Hypervolumes are those of the
problem, with MACs in place of latencies, over the judged networks.

    python benchmarks/inheritance.py [--seeds 3] [--seconds 45] [--judged 4] [--full-epochs 15] [--out FILE]

Takes about 15 minutes of one processor. What has ended is read from FILE, when it is run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from evomnas.algorithms.base import AskAndTell
from evomnas.algorithms.lemonade import Lemonade
from evomnas.algorithms.nsga2 import NSGA2
from evomnas.data.splits import load_dataset
from evomnas.data.suited import load_definition
from evomnas.deploy.full_training import FullTask
from evomnas.evaluation.inheritance.lineage import child_recipe
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pareto import hypervolume, non_dominated
from evomnas.problem.pretrained.ancestor import Ancestor
from evomnas.training.proxy_task import ProxyTask

BATCH = 8  # networks of a generation
SEARCHES = {
    "lemonade, inheriting": lambda space, seed: Lemonade(space, seed, children=BATCH, inherit=True),
    "lemonade": lambda space, seed: Lemonade(space, seed, children=BATCH),
    "nsga2": lambda space, seed: NSGA2(space, seed, population=BATCH),
}


class Search:
    """One search, which trains until its processor seconds are spent."""

    def __init__(self, definition: ProblemDefinition, task: ProxyTask, seconds: float) -> None:
        self._definition, self._task, self._seconds = definition, task, seconds
        self._weights: dict[Architecture, bytes] = {}
        self.errors: dict[Architecture, float] = {}

    def macs(self, architecture: Architecture) -> int:
        return count_architecture(architecture, 10, 1, self._definition.data.resolution).macs

    def run(self, algorithm: AskAndTell) -> None:
        space = self._definition.space
        while True:
            genomes = algorithm.ask()
            architectures = [space.decode(genome) for genome in genomes]
            parents = algorithm.parents(genomes) if isinstance(algorithm, Lemonade) else [None] * len(genomes)
            for architecture, parent in zip(architectures, parents, strict=True):
                if self._seconds <= 0:
                    return
                inherits = isinstance(algorithm, Lemonade) and algorithm.inherits and parent is not None
                self._train(architecture, space.decode(parent) if inherits else None)
            losses = np.array([(self.errors[one], self.macs(one)) for one in architectures], dtype=np.float64)
            algorithm.tell(genomes, losses, np.zeros(len(genomes)))

    def _train(self, architecture: Architecture, parent: Architecture | None) -> None:
        recipe = self._definition.training
        started = time.process_time()
        if parent is None:
            training, weights = self._task.train_heir(architecture, None)
        else:
            task = self._task.with_recipe(child_recipe(recipe))
            training, weights = task.train_heir(architecture, Ancestor(parent, self._weights[parent]))
        self._seconds -= time.process_time() - started
        self.errors[architecture], self._weights[architecture] = training.error, weights

    def front(self, most: int) -> list[Architecture]:
        networks = list(self.errors)
        on_front = non_dominated([(self.errors[one], self.macs(one)) for one in networks])
        front = sorted((one for one, is_on in zip(networks, on_front, strict=True) if is_on), key=self.macs)
        places = np.unique(np.linspace(0, len(front) - 1, most).round().astype(int))
        return [front[place] for place in places]


def judge(definition: ProblemDefinition, full: FullTask, search: Search, most: int) -> dict[str, Any]:
    networks, error, reference_cost = search.front(most), [], search.macs(definition.space.mobilenet_v2())
    for network in networks:
        with tempfile.TemporaryDirectory() as folder:
            classifier = full.train(network, Path(folder) / "state").classifier
        error.append(1 - full.score(full.predictions(classifier)).accuracy)
    claimed = [search.errors[one] for one in networks]
    costs = [search.macs(one) / reference_cost for one in networks]
    volumes = [hypervolume(np.column_stack([errors, costs]), definition.reference_point) for errors in (claimed, error)]
    return {
        "trained": len(search.errors), "judged": len(networks), "claimed": claimed, "true": error,
        "volumes": volumes, "tau": float(kendalltau(claimed, error).statistic),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--judged", type=int, default=4)
    parser.add_argument("--full-epochs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("inheritance.json"))
    given = parser.parse_args()
    definition = load_definition("digits", [f"full.epochs={given.full_epochs}"])
    task = ProxyTask(load_dataset(definition.data), definition.data, definition.training, "cpu")
    full = FullTask(definition, "cpu")
    done = json.loads(given.out.read_text()) if given.out.exists() else {}
    for seed in range(1, given.seeds + 1):
        for name, make in SEARCHES.items():
            key = f"{name}, seed {seed}"
            if key not in done:
                search = Search(definition, task, given.seconds)
                search.run(make(definition.space, seed))
                done[key] = judge(definition, full, search, given.judged)
                given.out.write_text(json.dumps(done, indent=1))
            one = done[key]
            claimed, true = one["volumes"]
            print(
                f"{key}: {one['trained']} trained; best {1 - min(one['claimed']):.3f} -> {1 - min(one['true']):.3f}; "
                f"hypervolume {claimed:.4f} -> {true:.4f}; tau {one['tau']:.2f} of {one['judged']}", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
