"""How well does a short training of a detector rank networks, and what raises that?

Random networks of MobileNetV2's space are trained as the backbones of SSDLite detectors on a set of boxes, and scored
on its validation images by AP50. The truth of a network is its mean over several long trainings. Proxies are shorter
trainings with another seed, also at half the resolution; the mean of two of them is another proxy. The table has
Kendall's tau-b of each proxy with the truth, and the 5 % and 95 % quantiles of 2,000 bootstrap samples of the networks,
and the seconds of a training. The ceiling is the tau of one long training with the mean of the others.

    python benchmarks/detection_ranking.py --data BCCD --out ranking.csv
    python benchmarks/detection_ranking.py --data BCCD --out ranking.csv --table     # of what is there, trains nothing

Every training is a line of the file, and a script that was stopped goes on where it was. By default 15 networks at 160
pixels and half width, 60 epochs with 3 seeds: about 20 hours of one core. `--long`, `--seeds`, `--networks`, `--width`
and `--resolution` make it shorter, and `--workers` trains several at a time, on a GPU if there is one. Seconds are
those of one core, or of a training that shares a GPU. It needs `pip install 'evomnas[detect]'`.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evomnas.core.numbers.ranks import kendall_tau
from evomnas.data.splits import load_dataset
from evomnas.loop.fidelity.ranking import QUANTILES, SAMPLES
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.definition import DetectionData, DetectionTraining
from evomnas.problem.search_space import SearchSpace
from evomnas.results.evaluation import Training
from evomnas.training.detection.detection_task import DetectionTask

PROXY_SEED = 100
Scores = dict[str, dict[tuple[int, int, int], float]]  # of a network by resolution, epochs and seed


class Job(NamedTuple):
    """A training: its network, its images' side in pixels, its epochs and its seed."""

    network: str
    resolution: int
    epochs: int
    seed: int


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=15)
    parser.add_argument("--resolution", type=int, default=160)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--long", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--proxies", type=int, nargs="+", default=[8, 20])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    return parser.parse_args()


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield all trainings, those of one network after the other."""
    space, rng = SearchSpace(width=options.width), np.random.default_rng(2026)
    drawn: dict[Architecture, None] = {}
    while len(drawn) < options.networks:
        drawn.setdefault(space.decode(space.draw(rng)))
    for network in map(str, drawn):
        yield from (Job(network, options.resolution, options.long, seed) for seed in range(options.seeds))
        for epochs in options.proxies:
            yield from (Job(network, options.resolution, epochs, PROXY_SEED + number) for number in range(2))


@cache
def make_task(data: Path, resolution: int) -> DetectionTask:
    """Return the task whose images are at a resolution; a process keeps it."""
    section = DetectionData(dataset="boxes", path=data, resolution=resolution, score="ap50")
    return DetectionTask(load_dataset(section), section, DetectionTraining(epochs=1), "auto")


def train(job: Job, data: Path) -> tuple[Job, tuple[float, float, float]]:
    """Return a job with AP50, AP and the seconds of its training."""
    torch.set_num_threads(1)
    task = make_task(data, job.resolution).with_recipe(DetectionTraining(epochs=job.epochs, seed=job.seed))
    clock = time.process_time if task.device.type == "cpu" else time.perf_counter
    started = clock()
    result = task.train(Architecture.parse(job.network))
    assert isinstance(result, Training)
    assert result.findings is not None
    return job, (result.findings.ap50, result.findings.ap, clock() - started)


def read(path: Path) -> tuple[Scores, dict[tuple[int, int], list[float]]]:
    """Return AP50 by network and training, and the seconds of trainings by resolution and epochs."""
    scores: Scores = defaultdict(dict)
    seconds: dict[tuple[int, int], list[float]] = defaultdict(list)
    with path.open(newline="") as file:
        for network, resolution, epochs, seed, ap50, _, spent in csv.reader(file):
            scores[network][int(resolution), int(epochs), int(seed)] = float(ap50)
            seconds[int(resolution), int(epochs)].append(float(spent))
    return scores, seconds


def table(options: argparse.Namespace) -> None:
    """Print the taus of all proxies of those networks whose trainings are all there."""
    scores, seconds = read(options.out)
    wanted: dict[str, set[tuple[int, int, int]]] = defaultdict(set)
    for job in jobs(options):
        wanted[job.network].add((job.resolution, job.epochs, job.seed))
    whole = [scores[network] for network, trainings in wanted.items() if trainings <= scores[network].keys()]
    long = np.array([[one[options.resolution, options.long, seed] for seed in range(options.seeds)] for one in whole])
    truth = long.mean(1)
    print(
        f"{len(whole)} networks, truth {truth.min():.3f} to {truth.max():.3f}, standard deviation of seeds "
        f"{np.sqrt(long.var(1, ddof=1).mean()):.3f}"
    )
    show(
        "one long training, with the others", long[:, 0], long[:, 1:].mean(1), seconds[options.resolution, options.long]
    )
    for epochs in options.proxies:
        pair = np.array([[one[options.resolution, epochs, PROXY_SEED + n] for n in range(2)] for one in whole])
        spent = seconds[options.resolution, epochs]
        show(f"{epochs} epochs", pair[:, 0], truth, spent)
        show(f"{epochs} epochs, another seed", pair[:, 1], truth, spent)
        show(f"{epochs} epochs, mean of both", pair.mean(1), truth, [2 * one for one in spent])


def show(name: str, proxy: NDArray[np.float64], truth: NDArray[np.float64], seconds: list[float]) -> None:
    """Print the tau of a proxy with its interval, and the seconds of a training."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(truth), size=len(truth)) for _ in range(SAMPLES))
    low, high = np.nanquantile([kendall_tau(proxy[draw], truth[draw]) for draw in draws], QUANTILES)
    print(f"{name:36} tau {kendall_tau(proxy, truth):5.2f} ({low:5.2f} to {high:5.2f})  {np.mean(seconds):7.1f} s")


def main() -> None:
    options = parse()
    done = set()
    if options.out.exists():
        scores, _ = read(options.out)
        done = {(network, *training) for network, trainings in scores.items() for training in trainings}
    missing = [] if options.table else [job for job in jobs(options) if tuple(job) not in done]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for job, result in pool.imap_unordered(partial(train, data=options.data), missing):
            with options.out.open("a", newline="") as file:
                csv.writer(file).writerow([*job, *(f"{value:.5f}" for value in result)])
    table(options)


if __name__ == "__main__":
    main()
