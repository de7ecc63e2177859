"""How fast are candidates trained, against the loop that one would write, and against what the processor can do?

Random candidates of a problem are trained by its recipe in two ways, a few at a time in turn, so that a change of the
machine's speed meets both:

- plain: a DataLoader that normalises image by image, PyTorch's default memory layout, one process, all threads; on a
  GPU with four processes that load, and with pinned memory;
- evomnas: as a search does it, in worker processes; on a GPU four of them share it.

Prints candidates per hour and training images per second of both, the ratio, and which share of the arithmetic that a
float32 matrix product reaches on all cores each of them uses (three times a network's MACs per training image).

    python benchmarks/training_throughput.py [digits] [--networks 20] [--set data.path=FOLDER] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from evomnas.core.system.machine import accelerator, processor, usable_cores
from evomnas.data.images import Dataset as Splits
from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.factory import default_workers, make_executor
from evomnas.evaluation.executors.jobs import CountingJob, TrainingJob
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition

AT_A_TIME = 5
GPU_WORKERS = 4  # trainings that share a GPU


class Images(Dataset):
    """Training images as most loops read them: one at a time."""

    def __init__(self, splits: Splits) -> None:
        self.images, self.labels = splits.train_images[:].transpose(0, 2, 3, 1), splits.train_labels
        mean, std = self.images.mean((0, 1, 2)) / 255, self.images.std((0, 1, 2)) / 255
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def plain(definition: ProblemDefinition, splits: Splits, architectures: list[Architecture], device: str) -> None:
    recipe, on_gpu = definition.training, device == "cuda"
    workers = 4 if on_gpu else 0
    for architecture in architectures:
        network = build_network(architecture, len(splits.classes), splits.channels, bn_momentum=recipe.bn_momentum)
        network.to(device)
        loader = DataLoader(
            Images(splits),
            recipe.batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            pin_memory=on_gpu,
            persistent_workers=on_gpu,
        )
        optimizer = torch.optim.SGD(
            network.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, recipe.epochs * len(loader), pct_start=recipe.warmup
        )
        loss_function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        for _ in range(recipe.epochs):
            for images, labels in loader:
                images, labels = (values.to(device, non_blocking=True) for values in (images, labels))
                optimizer.zero_grad()
                loss_function(network(images), labels).backward()
                optimizer.step()
                schedule.step()


def matrix_product_macs_per_s() -> float:
    """What a float32 matrix product reaches on all cores, the best of ten."""
    torch.set_num_threads(usable_cores())
    values, best = torch.randn(1024, 1024), 0.0
    for _ in range(10):
        started = time.perf_counter()
        values @ values
        best = max(best, 1024**3 / (time.perf_counter() - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", nargs="?", default="digits")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    definition = load_definition(options.problem, options.set)
    splits = load_dataset(definition.data)
    shape = {"classes": len(splits.classes), "channels": splits.channels, "resolution": definition.data.resolution}
    rng = np.random.default_rng(0)
    architectures = [definition.space.decode(definition.space.draw(rng)) for _ in range(options.networks)]
    images = definition.training.epochs * len(splits.train_labels) * len(architectures)
    macs = images / len(architectures) * 3 * sum(count_architecture(one, **shape).macs for one in architectures)
    device, on_cpu = options.device, options.device == "cpu"
    most = matrix_product_macs_per_s() if on_cpu else None
    seconds = {"plain": 0.0, "evomnas": 0.0}
    executor = make_executor(definition, default_workers("cpu") if on_cpu else GPU_WORKERS, device)
    try:
        executor.load(splits)
        warm_up = CountingJob if on_cpu else TrainingJob  # the workers have imported everything, and CUDA is ready
        list(executor.run(map(warm_up, architectures[: 2 if on_cpu else GPU_WORKERS]), lambda: None))
        for start in range(0, len(architectures), AT_A_TIME):
            some = architectures[start : start + AT_A_TIME]
            for way in seconds:
                started = time.perf_counter()
                if way == "plain":
                    plain(definition, splits, some, device)
                else:
                    list(executor.run(map(TrainingJob, some), lambda: None))
                seconds[way] += time.perf_counter() - started
    finally:
        executor.close()
    rows = {
        way: {
            "candidates_per_hour": round(3600 * len(architectures) / taken),
            "images_per_s": round(images / taken),
            "of_a_matrix_product": None if most is None else round(macs / taken / most, 3),
        }
        for way, taken in seconds.items()
    }
    ratio = round(seconds["plain"] / seconds["evomnas"], 2)
    if options.json:
        print(json.dumps(rows | {"networks": len(architectures), "ratio": ratio}))
        return
    where = f"{processor()}, {usable_cores()} cores" if on_cpu else accelerator()
    print(f"{where}; {len(architectures)} candidates of {definition.name}")
    for way, row in rows.items():
        share = "" if most is None else f", {row['of_a_matrix_product']:5.1%} of a matrix product"
        print(f"{way:8} {row['candidates_per_hour']:7} candidates per hour, {row['images_per_s']:8} images/s{share}")
    print(f"ratio    {ratio:.2f}")


if __name__ == "__main__":
    main()
