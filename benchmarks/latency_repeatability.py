"""Does a latency come out the same when it is taken again, with neighbours at work?

Fifteen networks from about 0.1 to 5 ms, measured in several sessions with 0, 1 and as many busy neighbours as
there are cores, four ways in turn within every session: one cold run, the mean and the median of 60 runs in a
row, and evomnas' protocol. A session loads every network anew. Printed per way and number of neighbours:

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

import numpy as np
from scipy.stats import kendalltau

from evomnas.latency.protocol import PROCESSOR, Copies, calibrate, compare, load_copies
from evomnas.latency.runtimes import Prepared, open_runtime
from evomnas.machine import processor, usable_cores
from evomnas.workbench import prepare
from evomnas.zoo import published

NETWORKS = [
    ("mnasnet-small@0.35", 64), ("mnasnet-small@0.5", 96), ("mnasnet-small", 96), ("mnasnet-b1@0.35", 96),
    ("mobilenet-v2@0.35", 128), ("mnasnet-small", 160), ("mnasnet-a1@0.5", 128), ("mnasnet-small", 224),
    ("mnasnet-b1@0.5", 192), ("mobilenet-v2@0.75", 160), ("mnasnet-a1@0.75", 192), ("mnasnet-b1@0.75", 224),
    ("mobilenet-v2", 224), ("mnasnet-a1", 224), ("mnasnet-b1@1.3", 224),
]  # fmt: skip
REFERENCE = ("mobilenet-v2@0.5", 128)
IN_A_ROW = 60

Way = Callable[[list[Prepared], Prepared], list[float]]


def load(prepared: Prepared) -> Callable[[], object]:
    return open_runtime("onnxruntime").load(prepared.model, prepared.images, 1)


def copies(prepared: Prepared) -> Copies:
    return load_copies(lambda: load(prepared))


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3


def one_cold_run(networks: list[Prepared], reference: Prepared) -> list[float]:
    return [timed(load(one)) for one in networks]


def in_a_row(summary: Callable[[list[float]], float]) -> Way:
    def way(networks: list[Prepared], reference: Prepared) -> list[float]:
        results = []
        for one in networks:
            run = load(one)
            for _ in range(3):
                run()
            results.append(float(summary([timed(run) for _ in range(IN_A_ROW)])))
        return results

    return way


def ours(scale_ms: float) -> Way:
    def way(networks: list[Prepared], reference: Prepared) -> list[float]:
        ratios = dict(compare([copies(one) for one in networks], copies(reference), PROCESSOR))
        return [ratios[index].ratio * scale_ms for index in range(len(networks))]

    return way


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
    runtime = open_runtime("onnxruntime")
    networks = [prepare(runtime, published(name), 1000, 3, resolution) for name, resolution in NETWORKS]
    reference = prepare(runtime, published(REFERENCE[0]), 1000, 3, REFERENCE[1])
    scale = calibrate(copies(reference), PROCESSOR).latency_ms
    ways: dict[str, Way] = {
        "one cold run": one_cold_run,
        f"mean of {IN_A_ROW}": in_a_row(np.mean),
        f"median of {IN_A_ROW}": in_a_row(np.median),
        "evomnas": ours(scale),
    }
    print(f"{processor()}, {usable_cores()} cores; reference {scale:.3f} ms; {sessions} sessions")
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
                found[name].append(way(networks, reference))
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
                f"tau {tau:.3f}  bias {bias:+6.1%}  {spent[name] / sessions / len(networks):.2f} s per network"
            )
        if neighbours == 0:
            print("latencies (ms):", " ".join(f"{value:.2f}" for value in quiet["evomnas"]))


if __name__ == "__main__":
    main()
