"""How well is a detector that is trained from random weights, on a small set and on one core?

Networks are the backbones of SSDLite detectors. Each is trained on a data set's training images with several seeds, by
the recipe of `evomnas detect`, and scored on the validation images by COCO's average precision, in pixels of the
pictures as they are in their files. The seeds are printed one by one: they say how far two trainings of one network
differ.

Run it with the folder of BCCD (https://github.com/Shenggan/BCCD_Dataset, 364 pictures, 4,888 boxes of three classes),
or any other set of pictures with boxes. It takes about two minutes of processor time for a seed at 160 pixels.

    OMP_NUM_THREADS=1 python benchmarks/detection.py BCCD --seeds 3
    python benchmarks/detection.py BCCD --seeds 1 --epochs 1      # to see whether it runs

It prints a table, and appends each training to `detection.jsonl` in the folder `--out` as soon as it has ended. A
training that is there is not done again: the same command with all trainings there prints the table without running.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from evomnas.data.splits import load_dataset
from evomnas.networks.detection.detector import build_detector
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.problem.published import published
from evomnas.problem.sections import BOXES, DataSection
from evomnas.results.detection.precision import score_detections
from evomnas.training.detection.detection_batches import DetectionBatches
from evomnas.training.detection.detector_training import AUGMENT, RECIPE, train_detector
from evomnas.training.detection.finding import find_boxes
from evomnas.training.pixels import Pixels

CPU = torch.device("cpu")


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of pictures with boxes")
    parser.add_argument("--networks", nargs="+", default=["mobilenet-v2@0.5"])
    parser.add_argument("--resolution", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "detection.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    section = DataSection(dataset=BOXES, path=options.data, resolution=options.resolution)
    for name in options.networks:
        for seed in range(1, options.seeds + 1):
            key = {"data": str(options.data), "network": name, "resolution": options.resolution,
                   "epochs": options.epochs, "seed": seed}  # fmt: skip
            if not any(row.items() >= key.items() for row in rows):
                rows.append(key | train(section, name, options.epochs, seed))
                with file.open("a") as lines:
                    lines.write(json.dumps(rows[-1]) + "\n")
    wanted = {"data": str(options.data), "resolution": options.resolution, "epochs": options.epochs}
    print_table([row for row in rows if row.items() >= wanted.items()], options.networks)


def train(section: DataSection, name: str, epochs: int, seed: int) -> dict[str, float]:
    """Train a detector and return its average precisions on the validation images and the processor time in seconds."""
    dataset = load_dataset(section)
    assert dataset.train_targets is not None
    assert dataset.validation_targets is not None
    weights_seed, order_seed = np.random.SeedSequence(seed).spawn(2)
    detector = build_detector(
        published(name), len(dataset.classes), section.resolution, dataset.channels, bn_momentum=RECIPE.bn_momentum,
        seed=weights_seed,
    )  # fmt: skip
    boxes = dataset.train_targets.fitted(section.resolution)
    batches = DetectionBatches(dataset.train_images, boxes, detector.plan, AUGMENT, CPU)
    started = time.process_time()
    train_detector(detector, batches, RECIPE.model_copy(update={"epochs": epochs}), order_seed)
    seconds = time.process_time() - started
    shipped = ObjectDetector(detector, batches.mean.tolist(), batches.std.tolist(), dataset.classes).eval()
    found = find_boxes(shipped, Pixels(dataset.validation_images, CPU))
    score = score_detections(dataset.validation_targets, found, section.resolution, len(dataset.classes))
    low, high = score.interval("ap50")
    return {
        "ap": score.value("ap"), "ap50": score.value("ap50"), "ap50_low": low, "ap50_high": high,
        "train_images": len(dataset.train_images), "validation_images": len(dataset.validation_images),
        "processor_seconds": round(seconds, 1),
    }  # fmt: skip


def print_table(rows: list[dict[str, float]], networks: list[str]) -> None:
    """Print the mean over the seeds, and each seed, of every network."""
    for name in networks:
        own = [row for row in rows if row["network"] == name]
        aps, ap50s = ([row[key] for row in own] for key in ("ap", "ap50"))
        seconds = np.mean([row["processor_seconds"] for row in own])
        each = ", ".join(f"{value:.3f}" for value in ap50s)
        print(f"{name}: AP {np.mean(aps):.3f}, AP50 {np.mean(ap50s):.3f} ({each}), {seconds:.0f} s of processor time")


if __name__ == "__main__":
    main()
