"""What would it cost to repeat the paper's search on the CPU, and what does one of a user's size cost?

Random networks of the paper's space at 224 pixels (the problem `imagenet`) take training steps on random images, one
thread each; so many at once as the machine has cores, so that they share its memory as in a search. Their training
images per second give the core-hours of the paper's search: 8,000 networks, 5 epochs each of ImageNet without the
50,000 images that score them. The mean over networks counts, not the median: the large ones take the time.

    python benchmarks/paper_cost.py [--networks 8] [--batch 32] [--steps 2] [--price 0.04]

About five minutes. A step of the recipe's 256 images needs more memory than a core's share; an image costs about as
much in one of 32. `--networks 2 --steps 1` runs it short. What a search of a user's size takes follows from the
candidates per hour that benchmarks/training_throughput.py prints.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time

import numpy as np

from evomnas.definition import load_definition
from evomnas.machine import processor, usable_cores

CANDIDATES, EPOCHS, IMAGES = 8000, 5, 1_281_167 - 50_000  # the paper's
TPU_HOURS = 64 * 4.5 * 24  # its 64 TPUv2 for 4.5 days
CLASSES = 1000


def seconds_per_image(seed: int, batch: int, steps: int) -> float:
    """Processor seconds per training image of one random network."""
    import torch

    from evomnas.fitting import Material, Trainer, cosine, training_mode, use_matrix_products
    from evomnas.network import build_network, torch_generator

    definition = load_definition("imagenet")
    rng = np.random.default_rng(seed)
    architecture, size = definition.space.decode(definition.space.draw(rng)), definition.data.resolution
    device = torch.device("cpu")
    count = batch * steps
    images = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    recipe = definition.training.model_copy(update={"batch": batch})
    with training_mode(device, None):
        network = build_network(architecture, CLASSES, 3).to(memory_format=torch.channels_last)
        use_matrix_products(network)
        material = Material(images, rng.integers(0, CLASSES, count), definition.data.augment, device)
        trainer = Trainer(network, material, recipe, lambda all_steps: cosine(0.1, all_steps), torch_generator(seed))
        trainer.epoch()  # warms up
        started = time.process_time()
        trainer.epoch()
        return (time.process_time() - started) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--price", type=float, default=0.04, help="of a core-hour; an assumption")
    options = parser.parse_args()
    tasks = [(seed, options.batch, options.steps) for seed in range(options.networks)]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        seconds = np.array(pool.starmap(seconds_per_image, tasks, chunksize=1))
    images = CANDIDATES * EPOCHS * IMAGES
    hours = images * float(seconds.mean()) / 3600
    print(f"{processor()}, {options.workers} workers; {options.networks} random networks of `imagenet`")
    result = {
        "images_per_s_and_core": {
            "mean": round(float(1 / seconds.mean()), 2),
            "slowest": round(float(1 / seconds.max()), 2),
            "fastest": round(float(1 / seconds.min()), 2),
        },
        "training_images": images,
        "core_hours": round(hours),
        "core_hours_per_candidate": round(hours / CANDIDATES, 1),
        "price": round(hours * options.price),
        "price_of_a_core_hour": options.price,
        "images_per_s_of_a_tpu_v2": round(images / TPU_HOURS / 3600),
        "cores_for_one_tpu_v2": round(hours / TPU_HOURS),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
