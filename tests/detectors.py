"""Boxes and drawn images for detectors, and torchvision's detector as a referee."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

from evomnas.data.boxes.boxes import Boxes
from evomnas.data.rows import ImageRows
from evomnas.deploy.folders.training_folders import network_folder
from evomnas.deploy.trained_networks import train_networks
from evomnas.networks.detection.suppression import MAX_BOXES, MAX_OVERLAP, MIN_SCORE
from evomnas.problem.architecture import Architecture
from evomnas.results.run import Run


def random_corners(count: int, generator: torch.Generator) -> torch.Tensor:
    """Boxes of 0.05 to 0.5 of the image, within it."""
    sizes = 0.05 + 0.45 * torch.rand(count, 2, generator=generator)
    upper = torch.rand(count, 2, generator=generator) * (1 - sizes)
    return torch.cat([upper, upper + sizes], 1)


def torchvision_ssd(classes: int) -> SSD:
    """torchvision's detector with nothing in it but its way from answers to boxes, for an image of one pixel."""
    return SSD(
        nn.Identity(), DefaultBoxGenerator([[2]]), (1, 1), classes + 1, head=nn.Identity(), score_thresh=MIN_SCORE,
        nms_thresh=MAX_OVERLAP, detections_per_img=MAX_BOXES, topk_candidates=10**6,
    )  # fmt: skip


def run_with_trained_network(finished_run: Run, place: Path) -> tuple[Run, Architecture]:
    """A copy of a run with one more network that is trained in full, which is not the reference network."""
    shutil.copytree(finished_run.folder.parent, place / "runs")
    run = Run.open(place / "runs" / finished_run.folder.name)
    reference = run.trained_problem().space.reference_network()
    networks = (result.evaluation.architecture for result in run.results() if result.evaluation.status == "ok")
    network = next(network for network in networks if network != reference)
    shutil.rmtree(network_folder(run, reference, distilled=False), ignore_errors=True)
    [trained] = train_networks(run, [network], device="cpu")
    assert trained.folder.is_dir()
    return run, network


def drawn_images(count: int, side: int, seed: int) -> tuple[ImageRows, Boxes]:
    """Grey images with noise and up to two rectangles each, red ones of class 0 and blue ones of class 1.

    One lies in the left half and one in the right half. Some images have none.
    """
    generator = np.random.default_rng(seed)
    images = generator.integers(90, 160, (count, 3, side, side), dtype=np.uint8)
    numbers, corners, labels = [], [], []
    colours = np.array([[230, 20, 20], [20, 20, 230]])
    for image in images:
        halves = np.flatnonzero(generator.random(2) < 0.8)
        for half in halves:
            width, height = generator.integers(side // 4, side // 2 - 2, 2)
            left, upper = half * side // 2 + generator.integers(side // 2 - width), generator.integers(side - height)
            labels.append(generator.integers(2))
            corners.append((left, upper, left + width, upper + height))
            image[:, upper : upper + height, left : left + width] = colours[labels[-1]][:, None, None]
        numbers.append(len(halves))
    edges = np.array(corners, dtype=np.float64)
    areas = (edges[:, 2:] - edges[:, :2]).prod(1)
    return ImageRows.all(images), Boxes.of(numbers, edges, np.array(labels), np.zeros(len(labels), dtype=bool), areas)
