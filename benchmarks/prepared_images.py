"""How fast are prepared images made, opened and taken, and how much memory does a set take that is larger than it?

- preparing: images per second of one core that decodes, and of all cores that prepare, at 96 and 224 pixels. The ratio
  is of one run: both kinds in turn. The photographs are made up (500x375 pixels, JPEG of about 110 kB as ImageNet's),
  or those of --photos.
- batches: random batches of 64 from a mapped file that is in memory, by one thread: numpy's indexing, which
  trainings on a CPU use, `index_select`, and `tensor[index]`, which they used before. Processor and wall time.
- start: a folder of 1.28 million labels in 1,000 classes whose images were prepared. Its files are empty and its pixels
  a hole in a file, since neither is looked at: the time to list the files, and the time from there to the splits of a
  search with their fingerprint.
- memory: a set of --gigabytes on the disk, more than this machine's memory. Two worker processes map it, take all
  images as batches in random order, and train a network with 64 of them. The largest anonymous memory of all processes
  together, in GiB (RssAnon of Linux).
- gpu: steps of a training whose images are in the computer's memory, one after the other and with the next batch under
  way, and with images on the GPU. Only with a GPU.

    python benchmarks/prepared_images.py [--only preparing batches start memory] [--gigabytes 30] [--out figures.json]

It takes a quarter of an hour and as much room in the temporary folder as --gigabytes. `--quick` runs it short.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image

from evomnas.core.system.machine import memory_gib, processor, usable_cores
from evomnas.data.gallery.files import list_files
from evomnas.data.gallery.layout import find_layout
from evomnas.data.photographs import Preprocessing, open_photograph
from evomnas.data.prepared import cache, pictures
from evomnas.data.prepared.chunks import RECORD, WRITTEN, checksum, write_header
from evomnas.data.prepared.source import FileSource
from evomnas.data.rows import ImageRows, MappedImages
from evomnas.data.splits import load_training_images, split_for_search
from evomnas.problem.sections import DataSection

PHOTOS, SIZES, BATCH = 160, (96, 224), 64


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Wall and processor seconds of a block."""
    found: dict[str, float] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    yield found
    found |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def make_photos(folder: Path, count: int) -> list[Path]:
    """Pictures with edges, gradients and noise, as large on the disk as ImageNet's."""
    rng, paths = np.random.default_rng(0), []
    for number in range(count):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC), dtype=np.float64)
        smooth[100:250, 50 + number : 200 + number] = rng.integers(0, 256, 3)
        pixels = np.clip(smooth + rng.normal(0, 14, smooth.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"class{number % 2}" / f"{number}.jpg")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(paths[-1], quality=88)
    return paths


def measure_preparing(folder: Path, photos: Path | None, copies: int) -> dict[str, Any]:
    """Decoding on one core, and preparing on all, in turn."""
    files = sorted(path for path in photos.rglob("*.jp*g")) if photos else make_photos(folder / "photos", PHOTOS)
    root = photos or folder / "photos"
    figures: dict[str, Any] = {"bytes per picture": int(np.mean([path.stat().st_size for path in files]))}
    pictures.SMALL_BYTES = 0
    for size in SIZES:
        preprocessing, alone, together = Preprocessing(channels=3, resolution=size, fit="crop"), [], []
        for _ in range(3):
            with timed() as one:
                for path in files:
                    open_photograph(path, preprocessing)
            source = FileSource.of(root, files * copies)
            with timed() as all_cores:
                pictures.read_pictures(source, np.ones(len(source.files), bool), preprocessing, "")
            shutil.rmtree(cache.cache_folder())
            alone.append(len(files) / one["wall"])
            together.append(len(files) * copies / all_cores["wall"])
        ratios = [both / (usable_cores() * one) for one, both in zip(alone, together, strict=True)]
        figures[f"{size} px"] = {
            "one core decodes, images/s": round(median(alone)),
            "all cores prepare, images/s": round(median(together)),
            "share of cores x one": [round(one, 2) for one in sorted(ratios)],
        }
    return figures


def measure_batches(folder: Path, gib: float) -> dict[str, Any]:
    """Batches from a file that is in memory."""
    ways: dict[str, Callable[[torch.Tensor, np.ndarray[Any, Any], torch.Tensor], object]] = {
        "index_select": lambda tensor, array, places: tensor.index_select(0, places),
        "numpy": lambda tensor, array, places: array[places.numpy()],
        "tensor[index]": lambda tensor, array, places: tensor[places],
    }
    torch.set_num_threads(1)
    figures = {}
    for size in SIZES:
        count = int(gib * 2**30 / (3 * size * size))
        path = folder / f"warm-{size}.npy"
        np.save(path, np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8))
        array = MappedImages(path).array
        with warnings.catch_warnings(action="ignore"):
            tensor, _ = torch.from_numpy(array), array.sum()
        rates: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(5):
            for name, way in ways.items():
                batches = torch.randperm(count)[: count // BATCH // 4 * BATCH].split(BATCH)
                with timed() as seconds:
                    for places in batches:
                        way(tensor, array, places)
                rates[name].append({clock: len(batches) * BATCH / taken for clock, taken in seconds.items()})
        figures[f"{size} px"] = {
            f"{name}, images/s": {clock: round(median(one[clock] for one in found)) for clock in ("cpu", "wall")}
            for name, found in rates.items()
        }
        path.unlink()
    return figures


def write_set(source: FileSource, keep: np.ndarray[Any, Any], preprocessing: Preprocessing, rows: bytes | None) -> None:
    """Put a complete set into the cache whose images are all the same, or black and a hole in the file."""
    folder = cache.cache_folder() / cache.set_key(source, keep, preprocessing)
    folder.mkdir(parents=True)
    shape = (len(keep), *preprocessing.shape)
    size = write_header(folder / cache.IMAGES, shape)
    pixels = np.zeros(preprocessing.shape, np.uint8)
    if rows is None:
        os.truncate(folder / cache.IMAGES, size)
    else:
        pixels = np.frombuffer(rows, np.uint8).reshape(preprocessing.shape)
        with (folder / cache.IMAGES).open("ab") as file:
            for _ in range(len(keep)):
                file.write(rows)
    records = np.zeros(len(keep), RECORD)
    records["key"] = np.random.default_rng(0).integers(0, 2**63, len(keep))
    records["width"], records["height"], records["state"], records["kept"] = 500, 375, WRITTEN, True
    for record in records:
        record["check"] = checksum(record, pixels)
    facts = {"pictures": len(keep), "shape": shape, "source": "made up", "seconds": 0.0, "pillow": PIL.__version__}
    cache.complete_set(folder, records, facts)


def measure_start(folder: Path, labels: int) -> dict[str, Any]:
    """A folder of many labels whose images were prepared."""
    root, classes = folder / "many", 1000
    for number in range(classes):
        inner = root / f"n{number:08}"
        inner.mkdir(parents=True)
        for image in range(labels // classes):
            (inner / f"{image:06}.jpeg").touch()
    preprocessing = Preprocessing(channels=3, resolution=16, fit="crop")
    section = DataSection(dataset="image-folder", path=root, resolution=16)
    source = list_files(find_layout(root)).source
    write_set(source, np.ones(len(source.files), bool), preprocessing, None)
    split_for_search(load_training_images(section), section).fingerprint  # noqa: B018 the first time, it is computed
    figures: dict[str, Any] = {"labels": labels}
    seconds: dict[str, list[float]] = {"all": [], "listing": []}
    for _ in range(3):
        with timed() as listed:
            list_files(find_layout(root))
        with timed() as all_of_it:
            split_for_search(load_training_images(section), section).fingerprint  # noqa: B018
        seconds["listing"].append(listed["wall"])
        seconds["all"].append(all_of_it["wall"])
    figures["listing the files, s"] = round(median(seconds["listing"]), 2)
    figures["from the folder to the splits, s"] = round(median(seconds["all"]), 2)
    return figures


def anonymous_gib(process: int) -> float:
    """The anonymous memory of a process and those below it."""
    parents, anonymous = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        number = int(status.parent.name)
        parents[number], anonymous[number] = int(fields["PPid"]), int(fields.get("RssAnon", "0 kB").split()[0])
    family, found = {process}, -1
    while found < len(family):
        found = len(family)
        family |= {one for one, parent in parents.items() if parent in family}
    return sum(anonymous.get(one, 0) for one in family) / 2**20


@contextmanager
def watched() -> Iterator[list[float]]:
    """The anonymous memory of this process and those below it, several times a second."""
    found, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            found.append(anonymous_gib(os.getpid()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def take_all(images: ImageRows, seed: int) -> int:
    """Take all images as batches, in a worker process, and return how many they were."""
    from evomnas.training.pixels import Pixels

    torch.set_num_threads(1)
    pixels, seen = Pixels(images, torch.device("cpu")), 0
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    for batch in pixels.in_turn(order.split(BATCH)):
        seen += len(batch)
    return seen


def measure_memory(folder: Path, gigabytes: float) -> dict[str, Any]:
    """A set that is larger than the memory, in a search and in two processes that take all of it."""
    from concurrent.futures import ProcessPoolExecutor

    from evomnas.loop.launch import search
    from evomnas.problem.loading import load_definition

    preprocessing = Preprocessing(channels=3, resolution=224, fit="crop")
    count, root = int(gigabytes * 1e9 / np.prod(preprocessing.shape)), folder / "large"
    for number in range(count):
        path = root / f"class{number % 2}" / f"{number:07}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    source = list_files(find_layout(root)).source
    rows = np.random.default_rng(0).integers(0, 256, preprocessing.shape, dtype=np.uint8).tobytes()
    write_set(source, np.ones(count, bool), preprocessing, rows)
    overrides = ["data.train_images=64", "training.epochs=1", "training.batch=32", "data.validation=0.0005"]
    definition = load_definition("images", [f"data.path={root}", "data.resolution=224", *overrides])
    figures: dict[str, Any] = {"set, GB": gigabytes, "memory, GiB": round(memory_gib(), 1), "images": count}
    with watched() as anonymous, timed() as seconds:
        search(definition, out=folder / "run", budget=1, workers=2)
    figures["search with two workers"] = {
        "largest anonymous memory of all processes, GiB": round(max(anonymous), 2), "wall, s": round(seconds["wall"])
    }  # fmt: skip
    images = load_training_images(definition.data).images
    with (
        watched() as anonymous,
        timed() as seconds,
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as workers,
    ):
        seen = sum(workers.map(take_all, [images] * 2, range(2)))
    figures["two processes take all images"] = {
        "largest anonymous memory of all processes, GiB": round(max(anonymous), 2),
        "images/s, both": round(seen / seconds["wall"]),
    }  # fmt: skip
    return figures


def measure_gpu(folder: Path, gib: float) -> dict[str, Any]:
    """Steps of a training on a GPU, by where its images are."""
    from unittest import mock

    from evomnas.core.seeding import torch_generator
    from evomnas.networks.network import build_network
    from evomnas.problem.published import published
    from evomnas.problem.sections import TrainingSection
    from evomnas.training.batches import TrainingBatches
    from evomnas.training.pixels import Pixels, travel
    from evomnas.training.schedules import CosineSchedule
    from evomnas.training.trainer import Trainer

    size, device = 224, torch.device("cuda")
    count = int(gib * 2**30 / (3 * size * size))
    path = folder / "gpu.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8))
    rows, labels = ImageRows.all(MappedImages(path)), np.arange(count, dtype=np.int64) % 10
    recipe = TrainingSection(epochs=1, batch=256)
    ways = {
        "one after the other": {"in_turn": lambda pixels, batches: map(pixels.take, batches), "is_on_device": False},
        "the next under way": {"in_turn": travel, "is_on_device": False},
        "on the GPU": {},
    }
    figures, losses = {}, {}
    for name, changes in ways.items():
        rates = []
        with mock.patch.multiple(Pixels, **changes):
            free = (0, 0) if changes else torch.cuda.mem_get_info(device)
            with mock.patch("torch.cuda.mem_get_info", lambda device, free=free: free):
                batches = TrainingBatches(rows, labels, 10, (), device)
            network = build_network(published("mnasnet-a1"), 10, 3, seed=0).to(
                device, memory_format=torch.channels_last
            )
            trainer = Trainer(network, batches, recipe, lambda steps: CosineSchedule(0.1, steps), torch_generator(0))
            for _ in range(4):
                torch.cuda.synchronize()
                started = time.perf_counter()
                trainer.train_epoch()
                rates.append(trainer.steps_per_epoch * trainer.batch_size / (time.perf_counter() - started))
        figures[f"{name}, images/s"] = [round(one) for one in rates[1:]]
        losses[name] = trainer.losses[0]
    figures["loss of the first epoch"] = losses
    figures["card"] = torch.cuda.get_device_name(device)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["preparing", "batches", "start", "memory"])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--gigabytes", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    quick = arguments.quick
    figures: dict[str, Any] = {"processor": processor(), "cores": usable_cores()}
    with tempfile.TemporaryDirectory(prefix="prepared-") as name:
        folder = Path(name)
        os.environ[cache.VARIABLE] = str(folder / "cache")
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "preparing": lambda: measure_preparing(folder, arguments.photos, 2 if quick else 24),
            "batches": lambda: measure_batches(folder, 0.2 if quick else 1.1),
            "start": lambda: measure_start(folder, 12_800 if quick else 1_280_000),
            "memory": lambda: measure_memory(folder, 0.5 if quick else arguments.gigabytes),
            "gpu": lambda: measure_gpu(folder, 0.2 if quick else 2.0),
        }
        for step in arguments.only:
            figures[step] = steps[step]()
            print(json.dumps({step: figures[step]}, indent=2), flush=True)
            if arguments.out is not None:
                arguments.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
