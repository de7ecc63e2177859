"""Which recipe suits pretrained weights, and how short may a training be that ranks networks around a donor?

`donor_recipe.py` says which trainings answer the first question and makes a table of them, `donor_ranking.py` the
second one. This script does the trainings, with the functions of a search: weights are transplanted from EfficientNet-
Lite0, and `ProxyTask` trains and scores, by any recipe. Several processes train at once, on one GPU if there is one.

    python benchmarks/donor_trainings.py pack --cifar FOLDER --fashion FILE --bccd FOLDER --out DIR
    python benchmarks/donor_trainings.py both --out DIR [--images FILE] [--weights FILE] [--workers 8] [--minutes 30]
    python benchmarks/donor_trainings.py both --out DIR --minutes 0

`pack` puts the images of three sets into one file of 10 MB: CIFAR-10 as a folder of JPEG files, Fashion-MNIST as an npz
file, and the cells of BCCD, one crop for each box. Then `recipe`, `ranking` or `both` train, the most important first.
Each result is a line of `trainings.jsonl`. What is there is not trained again, and after the minutes the tables are
made of what is done: with none, only the tables. `--small` is a plan for two cores: fewer images, networks and
recipes, at 48 pixels. `--tiny` trains a few networks on a few images for an epoch.

All of it is about 200,000 steps of 32 images at 96 pixels: minutes on a large GPU, days on two cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evomnas.data.images import Dataset
from evomnas.data.rows import ImageRows
from evomnas.networks.pretrained.weights import DonorWeights, load_donor
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.donors import find_donor
from evomnas.problem.pretrained.files import read_weights
from evomnas.problem.pretrained.preset import FULL
from evomnas.problem.pretrained.space import space_around
from evomnas.problem.sections import DataSection, TrainingSection
from evomnas.training.lessons import Lessons
from evomnas.training.proxy_task import ProxyTask

DONOR = "efficientnet-lite0"
KEPT_TASKS = 6  # whose resized images a process keeps
CELL_PIXELS, CELLS = 48, 100  # of BCCD: height and width, and how many of each class train and are held out
FASHION = 1000, 2000  # images that train, and are held out
MIN_CELL_PIXELS = 4  # two boxes are degenerate
IMAGES_FILE, RESULTS_FILE = "donor-images.npz", "trainings.jsonl"


class ImageSet(NamedTuple):
    """Images to train on, to validate on as a search does, and to judge on.

    Attributes:
        images: All of them, uint8, shape (n, channels, h, w).
        labels: Their classes, shape (n,).
        train, validation, held_out: The places of the images of each part.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    held_out: NDArray[np.int64]


@dataclass(frozen=True)
class Job:
    """A training.

    Attributes:
        table: Which table it is for, and under which name.
        images: The name of the images.
        network: The notation of the network.
        seed: The seed of the training.
        changes: What differs from the preset's full fine-tuning; `augment`, `temperature` and `share` among it.
        first: Jobs with lower numbers are done first.
    """

    table: tuple[str, ...]
    images: str
    network: str
    seed: int
    changes: dict[str, Any] = field(default_factory=dict)
    first: float = 0.0

    @property
    def key(self) -> str:
        """What tells it from all others."""
        values = asdict(self)
        del values["first"]
        return json.dumps(values, sort_keys=True)


def donor_network(resolution: int) -> Architecture:
    """Return the donor's architecture at a resolution."""
    return replace(find_donor(DONOR).architecture, resolution=resolution)


def random_networks(count: int, resolution: int, seed: int) -> list[Architecture]:
    """Return different networks of the preset space around the donor, drawn evenly."""
    space, rng = space_around(find_donor(DONOR), resolution), np.random.default_rng(seed)
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found.setdefault(space.decode(space.draw(rng)))
    return list(found)


# --- images ----------------------------------------------------------------------------------------------


def pack(cifar: Path, fashion: Path, bccd: Path, out: Path) -> None:
    """Put the images of the three sets into one file."""
    files = [sorted((cifar / part).glob("*/*.jpg")) for part in ("train", "test")]
    classes = sorted({file.parent.name for file in files[0]})
    content = [np.frombuffer(file.read_bytes(), np.uint8) for part in files for file in part]
    with np.load(fashion) as arrays:
        clothes = {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    cells, kinds = zip(*_cells(bccd / "BCCD" if (bccd / "BCCD").is_dir() else bccd), strict=True)
    chosen = [np.flatnonzero(np.array(kinds) == kind)[: 2 * CELLS] for kind in sorted(set(kinds))]
    order = np.stack(chosen, axis=1).ravel()  # classes in turn, so that any first part has its share of each
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / IMAGES_FILE,
        cifar_files=np.concatenate(content),
        cifar_sizes=np.array([len(one) for one in content]),
        cifar_labels=np.array([classes.index(file.parent.name) for part in files for file in part]),
        cifar_train=len(files[0]),
        fashion_images=np.concatenate([clothes["x_train"][: FASHION[0]], clothes["x_test"][: FASHION[1]]]),
        fashion_labels=np.concatenate([clothes["y_train"][: FASHION[0]], clothes["y_test"][: FASHION[1]]]),
        bccd_images=np.stack([cells[place] for place in order]),
        bccd_labels=np.array([sorted(set(kinds)).index(kinds[place]) for place in order]),
    )


def _cells(folder: Path) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Yield the cells of BCCD, one crop for each box, and what they are."""
    for file in sorted((folder / "Annotations").glob("*.xml")):
        picture = Image.open(folder / "JPEGImages" / f"{file.stem}.jpg").convert("RGB")
        for box in ElementTree.parse(file).iter("object"):
            sides = [int(box.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
            if min(sides[2] - sides[0], sides[3] - sides[1]) > MIN_CELL_PIXELS:
                cell = picture.crop(tuple(sides)).resize((CELL_PIXELS, CELL_PIXELS))
                yield np.asarray(cell), box.findtext("name")


def load_images(path: Path, tiny: bool) -> dict[str, ImageSet]:
    """Return the sets of images by name, from the file of `pack`."""
    with np.load(path) as arrays:
        packed = dict(arrays)
    ends = np.cumsum(packed["cifar_sizes"])
    parts = np.split(packed["cifar_files"], ends[:-1])
    photos = np.stack([np.asarray(Image.open(BytesIO(one.tobytes())).convert("RGB")) for one in parts])
    photos, labels = photos.transpose(0, 3, 1, 2), packed["cifar_labels"].astype(np.int64)
    mixed = np.random.default_rng(0).permutation(int(packed["cifar_train"]))
    train = mixed[np.argsort(_rank_in_class(labels[mixed]), kind="stable")]  # classes in turn
    test = np.arange(len(train), len(labels))
    held_out = np.concatenate([test, train[2000:]]) if not tiny else test[:100]
    nothing = np.zeros(0, np.int64)
    sets = {
        "cifar-200": ImageSet(photos, labels, train[:200], nothing, held_out),
        "cifar-1000": ImageSet(photos, labels, train[:1000], nothing, held_out),
        "cifar-4000": ImageSet(photos, labels, train, nothing, test if not tiny else held_out),
        "cifar-800+200": ImageSet(photos, labels, train[200:1000], train[:200], held_out),
        "cifar-400": ImageSet(photos, labels, train[:400], nothing, test),
        "cifar-200+200": ImageSet(photos, labels, train[200:400], train[:200], test),
    }
    for name, count in (("fashion", FASHION[0]), ("bccd", 3 * CELLS)):
        images, labels = packed[f"{name}_images"], packed[f"{name}_labels"].astype(np.int64)
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        places = np.arange(len(labels))
        sets[name] = ImageSet(images, labels, places[:count], nothing, places[count:][: 100 if tiny else None])
    if tiny:
        sets = {name: one._replace(train=one.train[:40], validation=one.validation[:20]) for name, one in sets.items()}
    return sets


def _rank_in_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of each image how many of its class come before it."""
    ranks = np.empty_like(labels)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        ranks[places] = np.arange(len(places))
    return ranks


# --- trainings -------------------------------------------------------------------------------------------


class Worker:
    """Trains networks; a process has one.

    Attributes:
        sets: The sets of images by name.
        donor: The donor.
        folder: Where the teachers' answers are.
        device: `cpu` or `cuda`.
    """

    def __init__(self, images: Path, weights: Path | None, folder: Path, device: str, tiny: bool) -> None:
        torch.set_num_threads(1)
        self.sets, self.folder, self.device = load_images(images, tiny), folder, device
        self.donor: DonorWeights = load_donor(read_weights(find_donor(DONOR), weights))
        self._tasks: OrderedDict[tuple[Any, ...], ProxyTask] = OrderedDict()

    def train(self, job: Job) -> dict[str, Any]:
        """Train a network and score it on the validation images and on those that are held out."""
        started, processor = time.perf_counter(), time.process_time()
        settings = dict(job.changes)
        augment = tuple(settings.pop("augment", ()))
        lesson = settings.pop("temperature", None), settings.pop("share", None)
        task = self._task(job.images, augment)
        task.lessons = self._lessons(job.images, *lesson) if lesson[0] else ()
        known = {name: value for name, value in FULL.items() if name in TrainingSection.model_fields}
        task.recipe = TrainingSection(**{**known, **settings, "seed": job.seed})
        architecture = Architecture.parse(job.network)
        trainer = task.fit(architecture)
        found = task.predict(trainer.network, 0, architecture.resolution)
        one = self.sets[job.images]
        right = found.classes == one.labels[np.concatenate([one.validation, one.held_out])]
        count = len(one.validation)
        if job.table[0] == "teacher":
            part = self.folder / f"part-{job.images}.npy"
            np.save(part, self._logits(task, trainer.network, architecture.resolution))
            part.rename(teacher_file(self.folder, job.images))
        return {
            "steps": trainer.steps_per_epoch * len(trainer.losses),
            "train_loss": trainer.losses[-1],
            "accuracy": float(right[count:].mean()),
            "loss": float(found.losses[count:].mean(dtype=np.float64)),
            "validation_accuracy": float(right[:count].mean()) if count else None,
            "validation_loss": float(found.losses[:count].mean(dtype=np.float64)) if count else None,
            "seconds": time.perf_counter() - started,
            "processor_seconds": time.process_time() - processor,
        }

    def _task(self, name: str, augment: tuple[str, ...]) -> ProxyTask:
        key = name, augment
        if key not in self._tasks:
            one = self.sets[name]
            judged = np.concatenate([one.validation, one.held_out])
            dataset = Dataset(
                ImageRows(one.images, one.train), one.labels[one.train],
                ImageRows(one.images, judged), one.labels[judged],
                tuple(map(str, np.unique(one.labels))),
            )  # fmt: skip
            data = DataSection(dataset="digits", resolution=one.images.shape[2], augment=augment)
            recipe = TrainingSection(epochs=1)
            self._tasks[key] = ProxyTask(dataset, data, recipe, self.device, self.donor)
        self._tasks.move_to_end(key)
        while len(self._tasks) > KEPT_TASKS:
            self._tasks.popitem(last=False)
        return self._tasks[key]

    def _lessons(self, name: str, temperature: float, share: float) -> tuple[Lessons]:
        path = teacher_file(self.folder, name)
        while not path.exists():  # another process is about to write it
            time.sleep(0.2)
        return (Lessons(torch.from_numpy(np.load(path)).to(self.device), temperature, share),)

    @torch.inference_mode()
    def _logits(self, task: ProxyTask, network: torch.nn.Module, resolution: int) -> NDArray[np.float32]:
        batches = task.part(0, resolution).batches
        images = (batches.pixels.take(places) for places in torch.arange(len(batches.pixels)).split(256))
        return np.concatenate([network(batches.normalise(one)).float().cpu().numpy() for one in images])


def teacher_file(folder: Path, images: str) -> Path:
    """Return the file of a teacher's answers."""
    return folder / f"teacher-{images}.npy"


_worker: Worker


def _begin(*arguments: Any) -> None:
    global _worker
    _worker = Worker(*arguments)


def _work(job: Job) -> tuple[Job, dict[str, Any]]:
    try:
        return job, _worker.train(job)
    except Exception:
        return job, {"error": traceback.format_exc()}


def train_all(jobs: list[Job], given: argparse.Namespace) -> None:
    """Train what is missing, until all is done or the minutes are over."""
    path, deadline = given.out / RESULTS_FILE, time.monotonic() + 60 * given.minutes
    teachers = given.teachers or given.out / "teachers"
    teachers.mkdir(parents=True, exist_ok=True)
    done = {key for key, result in read_results(given.out).items() if "error" not in result}
    done -= {job.key for job in jobs if job.table[0] == "teacher" and not teacher_file(teachers, job.images).exists()}
    missing = sorted((job for job in jobs if job.key not in done), key=lambda job: job.first)
    if not missing or not given.minutes:
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    arguments = (given.images or given.out / IMAGES_FILE, given.weights, teachers, device, given.tiny)
    pool = multiprocessing.get_context("spawn").Pool(given.workers, _begin, arguments)
    started, steps = time.monotonic(), 0
    with pool, path.open("a") as file:
        results = pool.imap_unordered(_work, missing)
        for number in range(len(missing)):
            try:
                job, result = results.next(max(0.1, deadline - time.monotonic()))
            except multiprocessing.TimeoutError:
                break
            file.write(json.dumps(asdict(job) | {"key": job.key} | result) + "\n")
            file.flush()
            steps += result.get("steps", 0)
            if "error" in result or number % 50 == 0:
                rate = steps / (time.monotonic() - started)
                print(f"{number + 1} of {len(missing)}, {rate:.0f} steps/s {result.get('error', '')}", flush=True)
        pool.terminate()
    seconds = time.monotonic() - started
    print(f"{steps} steps in {seconds:.0f} s with {given.workers} processes on {device}", flush=True)


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results of all trainings so far by the key of the job."""
    path = folder / RESULTS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return {row["key"]: row for row in rows}


def main() -> None:
    import donor_ranking
    import donor_recipe

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pack", "recipe", "ranking", "both"])
    parser.add_argument("--out", type=Path, required=True)
    for name in ("cifar", "fashion", "bccd", "images", "weights", "teachers"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    if given.what == "pack":
        pack(given.cifar, given.fashion, given.bccd, given.out)
        return
    given.out.mkdir(parents=True, exist_ok=True)
    modules = [one for one in (donor_recipe, donor_ranking) if given.what in ("both", one.__name__[6:])]
    train_all([job for module in modules for job in module.jobs(given.tiny, given.small)], given)
    results = [row for row in read_results(given.out).values() if "error" not in row]
    for module in modules:
        content, text = module.tables(results)
        (given.out / f"{module.__name__[6:]}.json").write_text(json.dumps(content, indent=1))
        (given.out / f"{module.__name__[6:]}.md").write_text(text)
        print(text)


if __name__ == "__main__":
    main()
