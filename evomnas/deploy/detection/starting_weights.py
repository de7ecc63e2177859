"""The trained network from which the training of a detector starts: one of a run, or a published one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from evomnas.core.errors import InputError
from evomnas.deploy.detection.detection_training import COLOURS, Start
from evomnas.deploy.folders.training_folders import network_folder
from evomnas.deploy.saving import MODEL_MANIFEST, load_network, read_manifest
from evomnas.networks.network import Network, build_network
from evomnas.networks.pretrained.planting import plant_weights
from evomnas.networks.pretrained.weights import load_donor
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.donors import DONORS, Donor
from evomnas.problem.pretrained.files import find_weights, read_weights
from evomnas.problem.pretrained.traits import PLAIN
from evomnas.results.run import Run


def find_start(run: Run, architecture: Architecture) -> Start:
    """Return the trained network of an architecture: the run's own, or else a published one.

    Args:
        run: The run.
        architecture: The architecture.

    Returns:
        The network with its weights. One of grey images takes the mean of the three colours instead.

    Raises:
        InputError: There is none on this machine, or its files are damaged.
    """
    folder = network_folder(run, architecture, distilled=False)
    if (folder / MODEL_MANIFEST).is_file():
        classifier, manifest = load_network(folder), read_manifest(folder)
        assert isinstance(classifier.network, Network)
        mean, std = (np.array(values, dtype=np.float32) for values in (manifest.mean, manifest.std))
        words = f"its weights of evomnas train in the run {run.folder.name}"
        return _in_colour(Start(classifier.network, (mean, std), words, manifest.weights))
    donor = next((donor for donor in DONORS.values() if architecture in _spellings(donor)), None)
    if donor is None or find_weights(donor) is None:
        raise InputError(f"{architecture.id} has no trained weights: {_ways_to_weights(run, architecture, donor)}")
    weights = load_donor(read_weights(donor))
    network = build_network(donor.architecture, 1)
    plant_weights(network, weights)
    words = f"the published weights of {donor.name}: {donor.terms}"
    return Start(network, weights.normalisation(COLOURS), words, weights.sha256)


def _ways_to_weights(run: Run, architecture: Architecture, donor: Donor | None) -> str:
    """Return how a network gets trained weights: by the run, if its networks tell classes apart, or by a donor."""
    published = [] if donor is None else [f"{donor.how} brings published weights"]
    command = f"evomnas train {run.argument} {run.network_argument(architecture)}"
    if run.definition.detects:
        own = f"the run searched detectors, and {command} trains this one on the run's own images"
        return ", or ".join([*published, own])
    return ", or ".join([f"{command} trains them", *published])


def _spellings(donor: Donor) -> tuple[Architecture, Architecture]:
    """Return the architecture of a donor with the traits of its weights, and as a search space would have it."""
    return donor.architecture, replace(donor.architecture, traits=PLAIN)


def _in_colour(start: Start) -> Start:
    """Return a start that takes colour images."""
    assert start.normalisation is not None
    mean, std = start.normalisation
    if len(mean) == COLOURS:
        return start
    stem = start.network.stem
    place = next(number for number, module in enumerate(stem) if isinstance(module, nn.Conv2d))
    grey = stem[place]
    assert isinstance(grey, nn.Conv2d)
    settings = grey.kernel_size, grey.stride, grey.padding
    colour = nn.Conv2d(COLOURS, grey.out_channels, *settings, bias=False)  # type: ignore[arg-type]
    with torch.no_grad():
        colour.weight.copy_(grey.weight.sum(1, keepdim=True).expand_as(colour.weight) / COLOURS)
    stem[place] = colour
    return replace(start, normalisation=(mean.repeat(COLOURS), std.repeat(COLOURS)))
