"""What does it bring to keep freed memory (`evomnas.core.system.memory`), and how much more memory does it take?

Random networks of a problem take an epoch on random images and then score others, with glibc's own thresholds as they
are once they have grown (blocks beyond 32 MiB go back at once, the heap's end beyond 64 MiB) and with ours, in turn.
Prints the median ratio of processor times, glibc's over ours, for both parts, and the largest resident memory of a
process that trains the same networks one way or the other, as JSON. One thread. Linux.

    python benchmarks/training_memory.py [fashion-mnist] [--networks 16]

`--networks 2` runs it short.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import resource
import time
from statistics import median

import numpy as np
import torch

from evomnas.core.seeding import torch_generator
from evomnas.core.system.memory import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory
from evomnas.data.rows import ImageRows
from evomnas.networks.fast_layers import use_fast_layers
from evomnas.networks.network import build_network
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition
from evomnas.training.batches import TrainingBatches
from evomnas.training.schedules import CosineSchedule
from evomnas.training.scoring import SCORING_BATCH
from evomnas.training.trainer import Trainer, training_mode

STEPS, SCORED = 16, 2048


def give_back() -> None:
    """glibc's own thresholds, as they are once blocks of that size were freed."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
    libc.mallopt(M_TRIM_THRESHOLD, 64 * 2**20)
    libc.malloc_trim(0)


def keep() -> None:
    keep_freed_memory.cache_clear()
    keep_freed_memory()


WAYS = {"glibc": give_back, "kept": keep}


def train(definition: ProblemDefinition, seed: int, way: str) -> tuple[float, float]:
    """Processor seconds of an epoch and of scoring."""
    rng = np.random.default_rng(seed)
    architecture, size = definition.space.decode(definition.space.draw(rng)), definition.data.resolution
    count = definition.training.batch * STEPS
    device = torch.device("cpu")
    images = rng.integers(0, 256, (max(count, SCORED), 1, size, size), dtype=np.uint8)
    with training_mode(device, None):
        WAYS[way]()
        network = build_network(architecture, 10, 1).to(memory_format=torch.channels_last)
        use_fast_layers(network)
        batches = TrainingBatches(ImageRows.all(images[:count]), rng.integers(0, 10, count), 10, (), device)
        trainer = Trainer(
            network, batches, definition.training, lambda steps: CosineSchedule(0.1, steps), torch_generator(seed)
        )
        started = time.process_time()
        trainer.train_epoch()
        trained = time.process_time()
        network.eval()
        with torch.inference_mode():
            for part in torch.from_numpy(images[:SCORED]).split(SCORING_BATCH):
                network(batches.normalise(part))
        return trained - started, time.process_time() - trained


def peak_mib(definition: ProblemDefinition, networks: int, way: str) -> int:
    """The largest resident memory of a process that trains networks one way."""
    for seed in range(networks):
        train(definition, seed, way)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", nargs="?", default="fashion-mnist")
    parser.add_argument("--networks", type=int, default=16)
    options = parser.parse_args()
    definition = load_definition(options.problem)
    train(definition, 0, "glibc")  # warms up
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for seed in range(options.networks):
        for way in sorted(WAYS, reverse=seed % 2 == 1):
            seconds[way].append(train(definition, seed, way))
    both = np.array(seconds["glibc"]) / np.array(seconds["kept"])
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        peaks = {way: pool.apply(peak_mib, (definition, min(options.networks, 8), way)) for way in WAYS}
    ratios = {"steps": round(median(both[:, 0]), 3), "scoring": round(median(both[:, 1]), 3)}
    print(json.dumps({"problem": definition.name, "ratio": ratios, "peak_mib": peaks}))


if __name__ == "__main__":
    main()
