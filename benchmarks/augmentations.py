"""What do augmentations cost, and what do they bring?

    python benchmarks/augmentations.py cost
    python benchmarks/augmentations.py worth images --set data.path=photos [--network mobilenet-v2@0.5] [--seeds 3]

`cost` prints the processor time per image in microseconds, by the images' size, each augmentation alone: a minute.

`worth` trains a network in full by the problem's recipe, once for each list of augmentations and seed, one after
another in one process, and prints the test accuracies and their differences to those without augmentation in the same
seed, with the 95 % interval over the seeds (Student's t).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from headline import interval

from evomnas.core.seeding import torch_generator
from evomnas.data.rows import ImageRows
from evomnas.deploy.baselines import baseline_network
from evomnas.deploy.full_training import FullTask
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition
from evomnas.training.augmentation import AUGMENTATIONS
from evomnas.training.batches import TrainingBatches
from evomnas.training.trainer import training_mode
from evomnas.training.transforms import MIXTURES, TRANSFORMS

BATCH, REPETITIONS = 64, 9
SIZES = (28, 96, 224)  # pixels
LISTS = (
    "",
    "flip",
    "flip crop",
    "flip random-resized-crop",
    "flip crop color-jitter",
    "flip crop random-erasing",
    "flip trivial-augment-wide",
    "flip crop trivial-augment-wide",
    "flip crop rand-augment",
    "flip crop mixup",
    "flip crop cutmix",
)


def print_costs() -> None:
    """Print the processor time of every augmentation."""
    print(f"{'us per image':22}" + "".join(f"{size:>8} px" for size in SIZES))
    for name in (*AUGMENTATIONS, *TRANSFORMS, *MIXTURES):
        with training_mode(torch.device("cpu"), None):
            print(f"{name:22}" + "".join(f"{microseconds(name, size):11.1f}" for size in SIZES), flush=True)


def microseconds(name: str, size: int) -> float:
    """The processor time that an augmentation adds to an image of a batch: a median."""
    pixels = ImageRows.all(np.random.default_rng(0).integers(0, 256, (BATCH, 3, size, size), dtype=np.uint8))
    labels, chosen, generator = np.arange(BATCH, dtype=np.int64) % 10, torch.arange(BATCH), torch_generator(0)
    with_it, without = (TrainingBatches(pixels, labels, 10, names, torch.device("cpu")) for names in ([name], []))
    differences = []
    for _ in range(REPETITIONS):
        times = []
        for batches in (without, with_it):
            started = time.process_time()
            batches.make_batch(chosen, generator)
            times.append(time.process_time() - started)
        differences.append(times[1] - times[0])
    return median(differences[1:]) / BATCH * 1e6


def accuracy(definition: ProblemDefinition, network: str, seed: int, augment: tuple[str, ...]) -> float:
    """The test accuracy of a network after a full training with augmentations."""
    full = definition.full.model_copy(update={"seed": seed, "augment": augment})
    task = FullTask(definition.model_copy(update={"full": full}))
    with tempfile.TemporaryDirectory() as folder:
        built = baseline_network(network, definition.data.resolution)
        classifier = task.train(built, Path(folder) / "checkpoint").classifier
    return task.score(task.predictions(classifier)).accuracy


def print_worth(definition: ProblemDefinition, network: str, seeds: int) -> None:
    """Print the accuracies with every list of augmentations, and the differences to those without any."""
    without: list[float] = []
    for names in LISTS:
        found = [accuracy(definition, network, seed, tuple(names.split())) for seed in range(1, seeds + 1)]
        without = without or found
        difference, half_width = interval([one - other for one, other in zip(found, without, strict=True)])
        print(
            f"{names or 'none':34} {mean(found):7.2%}  {difference * 100:+6.2f} ± {half_width * 100:.2f} points  "
            f"({', '.join(f'{one:.2%}' for one in found)})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("cost")
    worth = commands.add_parser("worth")
    worth.add_argument("problem")
    worth.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    worth.add_argument("--network", default="mobilenet-v2@0.5")
    worth.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if given.command == "cost":
        print_costs()
    else:
        print_worth(load_definition(given.problem, given.settings), given.network, given.seeds)


if __name__ == "__main__":
    main()
