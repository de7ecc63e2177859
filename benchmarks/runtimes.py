"""How do the runtimes compare on this machine, and do they compute what PyTorch computes?

Four published networks in every runtime that is installed, at 224 pixels, one thread, in one run. Printed for each
network and runtime: the latency by evomnas' protocol with its 95 % interval, the time that the conversion and loading
take, and the largest difference of a logit from PyTorch's, relative to the largest logit. Intervals span all sessions;
a session loads every network anew, and the runtimes take turns.

    python benchmarks/runtimes.py [--sessions 3] [--resolution 224]

It takes about 2 minutes on two cores; the first run of ExecuTorch lowers its networks for a minute more.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field

import numpy as np

from evomnas.core import registry
from evomnas.core.system.machine import processor, usable_cores
from evomnas.latency.meter import open_meter
from evomnas.latency.prepare import prepare_here
from evomnas.latency.runtimes.base import PreparedNetwork, installed_version, open_runtime
from evomnas.latency.setting import Setting, default_reference
from evomnas.problem.published import published
from evomnas.results.evaluation import Cost, Failure, Measurement

NETWORKS = ("mobilenet-v2", "mnasnet-a1", "mnasnet-b1", "mnasnet-small")


@dataclass
class Row:
    """A network in a runtime: what was measured of it."""

    prepared: tuple[Cost, PreparedNetwork]
    convert_s: float
    load_s: float
    difference: float
    latencies: list[Measurement] = field(default_factory=list)

    def describe(self) -> str:
        middle = np.median([one.latency_ms for one in self.latencies])
        low, high = min(one.low_ms for one in self.latencies), max(one.high_ms for one in self.latencies)
        latency = f"{middle:8.2f} ms ({low:.2f} to {high:.2f})".ljust(30)
        return f"{latency} convert {self.convert_s:6.2f} s  load {self.load_s:5.2f} s  logits {self.difference:.1e}"


def prepare_row(setting: Setting, name: str) -> Row:
    start = time.perf_counter()
    cost, prepared = prepare_here(setting, published(name))
    converted = time.perf_counter()
    run = open_runtime(setting.runtime).load(prepared.model, prepared.images, setting.threads)
    loaded = time.perf_counter()
    difference = float(np.abs(run() - prepared.logits).max() / np.abs(prepared.logits).max())
    return Row((cost, prepared), converted - start, loaded - converted, difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--resolution", type=int, default=224)
    options = parser.parse_args()
    names = [name for name in registry.available("runtimes") if installed_version(registry.load("runtimes", name)())]
    reference = default_reference(options.resolution)
    settings = {name: Setting(name, "local", 1, 1, 3, options.resolution, 1000, reference) for name in names}
    print(f"{processor()}, {usable_cores()} cores, {options.resolution} pixels, {options.sessions} sessions")
    rows = {runtime: {name: prepare_row(setting, name) for name in NETWORKS} for runtime, setting in settings.items()}
    for _ in range(options.sessions):
        for runtime, setting in settings.items():
            with open_meter(setting) as meter:
                for name, result in meter.measure({name: row.prepared for name, row in rows[runtime].items()}):
                    if isinstance(result, Failure):
                        raise SystemExit(f"{name} in {runtime}: {result.message}")
                    rows[runtime][name].latencies.append(result)
    for name in NETWORKS:
        for runtime in names:
            version = installed_version(open_runtime(runtime))
            print(f"{name:14s} {runtime:12s} {version:13s} {rows[runtime][name].describe()}")


if __name__ == "__main__":
    main()
