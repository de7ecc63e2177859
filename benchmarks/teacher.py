"""Does a teacher help: are networks of a front more accurate when its most accurate one teaches them?

With every seed the front's most accurate network of a finished run is trained by the full recipe, and then each of the
others twice: alone, and with that network's answers in its loss (`evomnas train --teacher`). Printed per network: test
accuracies of both and the mean difference; and over all networks the mean difference of every seed, with the 95 %
interval over the seeds (Student's t).

    python benchmarks/teacher.py RUN [--seeds 3]

Takes about two minutes per seed and network on the digits. A run of the same search with
`--set full.temperature=2` tries another recipe; its networks are in the archive.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from headline import interval

from evomnas.deploy.full_training import FullTask, Teacher
from evomnas.deploy.trained_networks import front_networks
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.run import Run


def accuracies(definition: ProblemDefinition, seed: int, networks: list[Architecture]) -> list[tuple[float, float]]:
    """Test accuracies, alone and taught, of all networks but the last, which is the teacher."""
    recipe = definition.full.model_copy(update={"seed": seed})
    task = FullTask(definition.model_copy(update={"full": recipe}))
    found: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:

        def trained(number: int, teacher: Teacher | None) -> tuple[Teacher, float]:
            place = Path(folder) / f"{number}-{teacher is not None}"
            classifier, _, _ = task.train(networks[number], place, teacher)
            return Teacher(networks[number], classifier), task.score(task.predictions(classifier)).accuracy

        teacher, accuracy = trained(len(networks) - 1, None)
        print(f"seed {seed}: the teacher {networks[-1].id} has {accuracy:.2%}", flush=True)
        for number in range(len(networks) - 1):
            found.append((trained(number, None)[1], trained(number, teacher)[1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    run = Run.open(given.run)
    networks, seeds = front_networks(run), range(1, given.seeds + 1)
    with ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn")) as pool:
        trainings = [pool.submit(accuracies, run.trained_problem(), seed, networks) for seed in seeds]
        found = 100 * np.array([one.result() for one in trainings])  # seeds, students, alone and taught
    gains = found[:, :, 1] - found[:, :, 0]
    for number, network in enumerate(networks[:-1]):
        alone, taught = (" ".join(f"{value:.2f}" for value in found[:, number, way]) for way in (0, 1))
        print(f"{network.id}  alone {alone}  taught {taught}  {gains[:, number].mean():+.2f} points")
    mean, half = interval(gains.mean(axis=1).tolist())
    print(f"all {len(networks) - 1}: {mean:+.2f} ± {half:.2f} points of test accuracy, {given.seeds} seeds")


if __name__ == "__main__":
    main()
