"""What would it cost to repeat the paper's search on the CPU, and what does one of a user's size cost?

Random networks of a problem's space take training steps on random images, one thread each; so many at once as the
machine has cores, so that they share its memory as in a search. Their processor time per training image gives the
core-hours of

- the paper's search: 8,000 networks of `imagenet`, 224 pixels, 5 epochs each of ImageNet without the 50,000 images that
  score them; a step of the recipe's 256 images needs more memory than a core's share, so these have 32;
- searches of `fashion-mnist` and `digits`, by their own recipes.

The mean over networks counts, not the median: the large ones take the time. Scoring and measuring are left out, some
hundredths of it. Prints JSON.

    python benchmarks/paper_cost.py [--networks 12] [--price 0.04]

About six minutes; `--networks 2` runs it short.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from dataclasses import dataclass

import numpy as np

from evomnas.core.system.machine import processor, usable_cores
from evomnas.problem.loading import load_definition

TPU_HOURS = 64 * 4.5 * 24  # the paper's 64 TPUv2 for 4.5 days


@dataclass(frozen=True)
class Search:
    """Candidates of a problem, the images that each sees per epoch, and what is measured: images a step, and steps."""

    problem: str
    candidates: int
    images: int
    channels: int
    classes: int
    batch: int
    steps: int


PAPER = Search("imagenet", 8000, 1_281_167 - 50_000, 3, 1000, 32, 1)
SEARCHES = (PAPER, Search("fashion-mnist", 200, 10_000, 1, 10, 64, 10), Search("digits", 64, 1_078, 1, 10, 128, 20))


def seconds_per_image(search: Search, seed: int) -> float:
    """Processor seconds per training image of one random network."""
    import torch

    from evomnas.core.seeding import torch_generator
    from evomnas.data.rows import ImageRows
    from evomnas.networks.fast_layers import use_fast_layers
    from evomnas.networks.network import build_network
    from evomnas.training.batches import TrainingBatches
    from evomnas.training.schedules import CosineSchedule
    from evomnas.training.trainer import Trainer, training_mode

    definition = load_definition(search.problem)
    rng = np.random.default_rng(seed)
    architecture, size = definition.space.decode(definition.space.draw(rng)), definition.data.resolution
    device = torch.device("cpu")
    count = search.batch * search.steps
    images = rng.integers(0, 256, (count, search.channels, size, size), dtype=np.uint8)
    recipe = definition.training.model_copy(update={"batch": search.batch})
    with training_mode(device, None):
        network = build_network(architecture, search.classes, search.channels).to(memory_format=torch.channels_last)
        use_fast_layers(network)
        labels = rng.integers(0, search.classes, count)
        batches = TrainingBatches(ImageRows.all(images), labels, search.classes, definition.data.augment, device)
        trainer = Trainer(network, batches, recipe, lambda steps: CosineSchedule(0.1, steps), torch_generator(seed))
        trainer.train_epoch()  # warms up
        started = time.process_time()
        trainer.train_epoch()
        return (time.process_time() - started) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--price", type=float, default=0.04, help="of a core-hour; an assumption")
    options = parser.parse_args()
    print(f"{processor()}, {options.workers} workers; {options.networks} random networks of each space", flush=True)
    for search in SEARCHES:
        with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
            tasks = [(search, seed) for seed in range(options.networks)]
            seconds = np.array(pool.starmap(seconds_per_image, tasks, chunksize=1))
        images = load_definition(search.problem).training.epochs * search.images
        each = images * float(seconds.mean()) / 3600
        result = {
            "problem": search.problem,
            "images_per_s_and_core": [
                round(float(1 / one), 1) for one in (seconds.mean(), seconds.max(), seconds.min())
            ],
            "candidates_per_core_hour": float(f"{1 / each:.3g}"),
            "candidates": search.candidates,
            "core_hours": float(f"{search.candidates * each:.3g}"),
            "price": float(f"{search.candidates * each * options.price:.3g}"),
        }
        if search is PAPER:
            result["images_per_s_of_a_tpu_v2"] = round(search.candidates * images / TPU_HOURS / 3600)
            result["cores_for_one_tpu_v2"] = round(search.candidates * each / TPU_HOURS)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
