"""Does a latency come out the same when it is taken again, with neighbours at work?

Fifteen networks from 0.07 to 8 ms: five of each of three built-in search spaces, from the fewest MACs to the most, each
compared with its space's own MobileNetV2, as a search does. They are measured in several sessions with 0, 1 and as many
busy neighbours as there are cores, four ways in turn within every session: one cold run, the mean and the median of 60
runs in a row, and evomnas' protocol. A session loads every network anew. Printed per way and number of neighbours:

- variation: standard deviation over the sessions relative to the mean, averaged over the networks;
- worst: the same of the network where it is largest;
- tau: Kendall's rank correlation of the networks' latencies, averaged over all pairs of sessions;
- bias: latency relative to the same way's on the quiet machine, averaged over networks and sessions;
- seconds per network.

    python benchmarks/latency_repeatability.py [--sessions 4]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from evomnas.core.system.machine import processor, usable_cores
from evomnas.latency.devices.protocol import PROCESSOR_TIMER, LoadedCopies, calibrate, compare, load_copies
from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import PreparedNetwork, open_runtime
from evomnas.problem.counting import count_architecture
from evomnas.problem.loading import load_definition

SPACES = {"digits": 8, "cifar10": 32, "images": 224}  # problems, and the images' height and width in pixels
PER_SPACE, DRAWN = 5, 200
CLASSES = 10
IN_A_ROW = 60


@dataclass(frozen=True)
class Group:
    """Networks of one search space, its reference network, and what that one was calibrated to."""

    networks: list[PreparedNetwork]
    reference: PreparedNetwork
    scale_ms: float


Way = Callable[[Group], list[float]]


def group_of(problem: str, resolution: int) -> Group:
    space = load_definition(problem).space
    shape = {"classes": CLASSES, "channels": 1 if problem == "digits" else 3, "resolution": resolution}
    rng = np.random.default_rng(0)
    drawn = sorted(
        {space.decode(space.draw(rng)) for _ in range(DRAWN)}, key=lambda one: count_architecture(one, **shape).macs
    )
    chosen = [drawn[round(place)] for place in np.linspace(0, len(drawn) - 1, PER_SPACE)]
    runtime = open_runtime("onnxruntime")
    *networks, reference = [prepare(runtime, one, **shape) for one in (*chosen, space.mobilenet_v2())]
    return Group(networks, reference, calibrate(copies(reference), PROCESSOR_TIMER).latency_ms)


def load(prepared: PreparedNetwork) -> Callable[[], object]:
    return open_runtime("onnxruntime").load(prepared.model, prepared.images, 1)


def copies(prepared: PreparedNetwork) -> LoadedCopies:
    return load_copies(lambda: load(prepared))


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3


def one_cold_run(group: Group) -> list[float]:
    return [timed(load(one)) for one in group.networks]


def in_a_row(summary: Callable[[list[float]], float]) -> Way:
    def way(group: Group) -> list[float]:
        results = []
        for one in group.networks:
            run = load(one)
            for _ in range(3):
                run()
            results.append(float(summary([timed(run) for _ in range(IN_A_ROW)])))
        return results

    return way


def ours(group: Group) -> list[float]:
    ratios = dict(compare([copies(one) for one in group.networks], copies(group.reference), PROCESSOR_TIMER))
    return [ratios[index].ratio * group.scale_ms for index in range(len(group.networks))]


def neighbour() -> None:
    """Matrix products that keep one core and its caches busy."""
    values = np.random.default_rng(0).random((512, 512), dtype=np.float32)
    while True:
        values = values @ values
        values /= np.abs(values).max()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=4)
    sessions = parser.parse_args().sessions
    groups = list(itertools.starmap(group_of, SPACES.items()))
    ways: dict[str, Way] = {
        "one cold run": one_cold_run,
        f"mean of {IN_A_ROW}": in_a_row(np.mean),
        f"median of {IN_A_ROW}": in_a_row(np.median),
        "evomnas": ours,
    }
    print(f"{processor()}, {usable_cores()} cores; {sessions} sessions")
    for problem, one in zip(SPACES, groups, strict=True):
        print(f"{problem}: its MobileNetV2 takes {one.scale_ms:.3f} ms")
    quiet: dict[str, np.ndarray] = {}
    context = multiprocessing.get_context("spawn")
    for neighbours in sorted({0, 1, usable_cores()}):
        busy = [context.Process(target=neighbour, daemon=True) for _ in range(neighbours)]
        for process in busy:
            process.start()
        time.sleep(3 if busy else 0)
        found: dict[str, list[list[float]]] = {name: [] for name in ways}
        spent = dict.fromkeys(ways, 0.0)
        for _ in range(sessions):
            for name, way in ways.items():
                started = time.perf_counter()
                found[name].append([latency for one in groups for latency in way(one)])
                spent[name] += time.perf_counter() - started
        for process in busy:
            process.terminate()
            process.join()
        for name, values in found.items():
            table = np.array(values)
            quiet.setdefault(name, table.mean(axis=0))
            variation = table.std(axis=0, ddof=1) / table.mean(axis=0)
            tau = np.mean([kendalltau(one, other).statistic for one, other in itertools.combinations(table, 2)])
            bias = np.mean(table / quiet[name]) - 1
            print(
                f"{neighbours} neighbours  {name:13}  variation {variation.mean():6.1%}  worst {variation.max():6.1%}  "
                f"tau {tau:.3f}  bias {bias:+6.1%}  {spent[name] / sessions / table.shape[1]:.2f} s per network"
            )
        if neighbours == 0:
            print("latencies (ms):", " ".join(f"{value:.3f}" for value in quiet["evomnas"]))


if __name__ == "__main__":
    main()
