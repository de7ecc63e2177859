"""What does each measure for training speed bring, per training step on the CPU?

Random networks of a problem take the same steps in three ways, in turn, so that a change of the machine's
speed meets all of them: the default memory layout, channels-last, and channels-last with the layers of
`evomnas.networks.fast_layers` (what a search does). One thread. Prints the median time of a step and its ratio to
the default layout's, per batch size, as JSON. `--networks 2` runs it short. About a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median

import numpy as np
import torch

from evomnas.networks.fast_layers import use_fast_layers
from evomnas.networks.network import build_network
from evomnas.problem.loading import load_definition

STEPS = 8
WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="digits")
    parser.add_argument("--networks", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    definition = load_definition(options.problem)
    size = definition.data.resolution
    genomes = definition.space.sample(options.networks, np.random.default_rng(0))
    result = {}
    for batch in (64, 128):
        images, labels = torch.randn(batch, 1, size, size), torch.arange(batch) % 10
        times: dict[str, list[float]] = {"default": [], "channels_last": [], "fast_layers": []}
        for genome in genomes:
            networks = {way: build_network(definition.space.decode(genome), 10, 1) for way in times}
            for way in ("channels_last", "fast_layers"):
                networks[way] = networks[way].to(memory_format=torch.channels_last)
            use_fast_layers(networks["fast_layers"])
            for step in range(WARM_UP + STEPS):
                for way, network in networks.items():
                    layout = torch.contiguous_format if way == "default" else torch.channels_last
                    started = time.perf_counter()
                    logits = network(images.contiguous(memory_format=layout))
                    torch.nn.functional.cross_entropy(logits, labels).backward()
                    if step >= WARM_UP:
                        times[way].append(time.perf_counter() - started)
        base = median(times["default"])
        result[f"batch {batch}"] = {
            way: {"step_ms": round(1e3 * median(taken), 1), "of_default": round(median(taken) / base, 2)}
            for way, taken in times.items()
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
