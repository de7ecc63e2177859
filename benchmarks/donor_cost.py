"""What does a candidate cost, relative to its own full fine-tuning, if all start from pretrained weights?

Some photographs of a folder (25 of each class by default) are a problem with EfficientNet-Lite0 as its donor, at 96
pixels. The donor and random networks around it are trained as candidates by the problem's proxy task, transplant,
batch norm's statistics and scoring included, with different numbers of epochs; and in full, with the test. Printed is
the processor time of each, one thread, as a share of that of the full training: the mean over the networks and the
range.

    python benchmarks/donor_cost.py FOLDER [--images 25] [--networks 3] [--epochs 1 2 4]

FOLDER has a folder of photographs for each class, in `train` and `test`. With ten classes it takes five minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from donor_trainings import DONOR, donor_network, random_networks

from evomnas.data.splits import load_dataset
from evomnas.deploy.full_training import FullTask
from evomnas.networks.pretrained.weights import load_donor
from evomnas.problem.loading import load_definition
from evomnas.problem.pretrained.files import donor_file
from evomnas.training.proxy_task import ProxyTask


def some_images(folder: Path, count: int, out: Path) -> None:
    """Link the first images of each class into a folder."""
    for part in ("train", "test"):
        for place in sorted((folder / part).iterdir()):
            (out / part / place.name).mkdir(parents=True)
            for file in sorted(place.iterdir())[:count]:
                (out / part / place.name / file.name).symlink_to(file.resolve())


def processor_seconds(function: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=25)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        some_images(given.folder, given.images, Path(place) / "photos")
        problem = load_definition("images", [f"data.path={place}/photos"], donor=DONOR)
        dataset, full = load_dataset(problem.data), FullTask(problem, "cpu")
        proxy = ProxyTask(dataset, problem.data, problem.training, "cpu", load_donor(donor_file(problem.weights)))
        networks = [
            donor_network(problem.data.resolution),
            *random_networks(given.networks, problem.data.resolution, 23),
        ]
        shares = []
        for number, network in enumerate(networks):
            task, checkpoint = full.for_network(network), Path(place) / f"{number}.pt"
            whole = processor_seconds(lambda task=task, checkpoint=checkpoint, network=network: task.predictions(
                task.train(network, checkpoint).classifier))  # fmt: skip
            found = []
            for epochs in given.epochs:
                changed = proxy.with_recipe(problem.training.model_copy(update={"epochs": epochs}))
                changed.part(0, network.resolution)  # resized once for all networks
                found.append(processor_seconds(lambda changed=changed, network=network: changed.train(network)))
            shares.append(np.array(found) / whole)
            print(f"{network.id}: full {whole:.1f} s; {' '.join(f'{one:.1f}' for one in found)} s", flush=True)
    for epochs, column in zip(given.epochs, np.array(shares).T, strict=True):
        print(f"{epochs} epochs: {column.mean():.3f} ({column.min():.3f} to {column.max():.3f}) of the full training")


if __name__ == "__main__":
    main()
