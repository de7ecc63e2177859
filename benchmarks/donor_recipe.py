"""Which recipe suits pretrained weights and few images?

EfficientNet-Lite0 and three random networks around it inherit its ImageNet weights and are fine-tuned: by the first
recipe that the preset had, and by others that differ from it in one thing. Images are CIFAR-10's enlarged to 96 pixels
(200, 1,000 and 4,000 that train; 3,000 or 1,000 that judge), Fashion-MNIST at 48 pixels (1,000; 2,000) and the cells of
BCCD at 48 pixels (300; 300, three classes alike). A taught network has, in its loss, the answers of the fine-tuned
donor to the training images, computed once.

The table has the accuracy on the images that judge, and how much each change adds to it: the mean over networks of the
difference to the same network's mean by the first recipe, with the 95 % interval over networks and seeds (Student's
t). `donor_trainings.py` trains and writes the table.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
from donor_trainings import Job, donor_network, random_networks
from scipy import stats

from evomnas.problem.architecture import Architecture

SEEDS = 3
NETWORKS = 3  # beside the donor
FIRST = {"head_rate": 10.0}  # the first recipe had this, and all else of the preset's
VARIANTS: dict[str, dict[str, Any]] = {
    "the first recipe": {},
    "learning rate 1e-4": {"learning_rate": 1e-4},
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "SGD, 0.01": {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4},
    "SGD, 0.03": {"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 1e-4},
    "classifier x1": {"head_rate": None},
    "classifier x3": {"head_rate": 3.0},
    "classifier x30": {"head_rate": 30.0},
    "statistics of the batches": {"statistics": None},
    "8 epochs": {"epochs": 8},
    "30 epochs": {"epochs": 30},
    "no augmentation": {"augment": ()},
    "crop and flip": {"augment": ("crop", "flip")},
    "shift and flip": {"augment": ("shift", "flip")},
    "no label smoothing": {"label_smoothing": 0.0},
    "batches of 16": {"batch": 16},
    "weight decay 0.1": {"weight_decay": 0.1},
    "64 pixels": {"resolution": 64},
    "128 pixels": {"resolution": 128},
    "taught, temperature 2, share 0.5": {"temperature": 2.0, "share": 0.5},
    "taught, temperature 4, share 0.5": {"temperature": 4.0, "share": 0.5},
    "taught, temperature 2, share 0.9": {"temperature": 2.0, "share": 0.9},
}
FEW = (
    "the first recipe", "learning rate 1e-4", "learning rate 1e-3", "SGD, 0.01", "statistics of the batches",
    "8 epochs", "no augmentation", "crop and flip", "taught, temperature 2, share 0.5",
)  # fmt: skip
SMALL_RESOLUTION = 48
SMALL = {
    "the first recipe": {},
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "classifier x1": {"head_rate": None},
    "learning rate 1e-3, classifier x1": {"learning_rate": 1e-3, "head_rate": None},
    "learning rate 1e-3, classifier x3": {"learning_rate": 1e-3, "head_rate": 3.0},
    "shift and flip": {"augment": ("shift", "flip")},
    "taught, temperature 2, share 0.5": {"temperature": 2.0, "share": 0.5},
}
# by images: resolution, augmentation of the preset's recipe, networks, seeds, variants, first and last to be done
PLAN: dict[str, tuple[int, tuple[str, ...], int, int, tuple[str, ...], float, float]] = {
    "cifar-200": (96, ("flip",), 1 + NETWORKS, SEEDS, tuple(VARIANTS), 0.0, 0.5),
    "cifar-1000": (96, ("flip",), NETWORKS, 2, tuple(VARIANTS), 0.35, 0.8),
    "fashion": (48, ("flip",), NETWORKS, 2, FEW, 0.4, 0.9),
    "bccd": (48, ("flip",), NETWORKS, 2, FEW, 0.4, 0.9),
    "cifar-4000": (96, ("flip",), 2, 1, FEW[:8], 0.6, 0.6),
}


def teacher(images: str, augment: tuple[str, ...], resolution: int = 96) -> Job:
    """Return the fine-tuning of the donor whose answers teach."""
    network = str(donor_network(resolution))
    return Job(("teacher",), images, network, 1000, {"augment": augment}, -1.0)


def jobs(tiny: bool, small: bool) -> list[Job]:
    """Return all trainings."""
    found = []
    if small:
        found.append(teacher("cifar-400", ("flip",), SMALL_RESOLUTION))
        networks = random_networks(NETWORKS, SMALL_RESOLUTION, 23)
        for place, network in enumerate(networks):
            for variant, changes in SMALL.items():
                name = ("recipe", variant, str(place))
                found.append(
                    Job(
                        name, "cifar-400", str(network), 0, {"augment": ("flip",), **FIRST, **changes}, place / 3 + 0.05
                    )
                )
        return found
    for images, (resolution, augment, networks, seeds, variants, begin, end) in PLAN.items():
        if any("taught" in variant for variant in variants):
            found.append(teacher(images, augment))
        drawn = [donor_network(resolution), *random_networks(NETWORKS, resolution, 23)][: 2 if tiny else networks]
        for variant in variants:
            changes = {"augment": augment} | FIRST | VARIANTS[variant]
            size = changes.pop("resolution", None)
            for place, network in enumerate(drawn):
                for seed in range(1 if tiny else seeds):
                    first = begin + (end - begin) * seed / max(1, seeds - 1)
                    name = ("recipe", variant, str(place))
                    found.append(Job(name, images, str(_scaled(network, size)), seed, changes, first))
    return [shortened(job) for job in found] if tiny else found


def _scaled(network: Architecture, size: int | None) -> Architecture:
    """Return a network at a resolution as if the space's were another than 96 pixels; None leaves it as it is."""
    return network if size is None else replace(network, resolution=round(network.resolution * size / 768) * 8)


def shortened(job: Job) -> Job:
    """Return a job of one epoch."""
    return Job(job.table, job.images, job.network, job.seed, {**job.changes, "epochs": 1}, job.first)


def tables(results: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """Return the table as values and as Markdown."""
    scores: dict[str, dict[str, dict[str, list[dict[str, Any]]]]]
    scores = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))  # by images, variant and network
    for row in results:
        if row["table"][0] == "recipe":
            scores[row["images"]][row["table"][1]][row["table"][2]].append(row)
    content: dict[str, Any] = {}
    lines = []
    for images, by_variant in scores.items():
        lines += [
            f"\n### {images}\n",
            "| recipe | accuracy of the donor | of the others | gain in points | change of the loss | trainings |",
        ]
        lines.append("| --- | --- | --- | --- | --- | --- |")
        base = {place: _mean(rows, "accuracy") for place, rows in by_variant["the first recipe"].items()}
        base_loss = {place: _mean(rows, "loss") for place, rows in by_variant["the first recipe"].items()}
        for variant, by_network in by_variant.items():
            gains = [
                100 * (row["accuracy"] - base[place])
                for place, rows in by_network.items() for row in rows if place in base
            ]  # fmt: skip
            losses = [
                row["loss"] - base_loss[place] for place, rows in by_network.items() for row in rows if place in base
            ]
            of_donor = [_mean(rows, "accuracy") for place, rows in by_network.items() if place == "0"]
            of_others = [_mean(rows, "accuracy") for place, rows in by_network.items() if place != "0"]
            half = _half_interval(gains)
            content.setdefault(images, {})[variant] = {
                "donor": of_donor, "others": of_others, "gain": float(np.mean(gains)) if gains else None, "half": half,
                "loss": float(np.mean(losses)) if losses else None, "trainings": sum(map(len, by_network.values())),
            }  # fmt: skip
            shown = [f"{100 * np.mean(one):.1f}" if one else "" for one in (of_donor, of_others)]
            gain = f"{np.mean(gains):+.1f} ± {half:.1f}" if gains else ""
            loss = f"{np.mean(losses):+.3f}" if losses else ""
            count = content[images][variant]["trainings"]
            lines.append(f"| {variant} | {shown[0]} | {shown[1]} | {gain} | {loss} | {count} |")
    return content, "\n".join(lines) + "\n"


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def _half_interval(values: list[float]) -> float:
    """Return half the 95 % interval of a mean; infinite of one value."""
    if len(values) < 2:
        return float("inf")
    return float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
