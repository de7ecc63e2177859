"""TensorFlow Lite's `benchmark_model`: how it is called and what it prints.

There are two programs of this name. TensorFlow Lite's reads an input, writes the output, and prints whole microseconds.
LiteRT's own takes random input and writes none, so nobody can tell whether it computes the network: it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evomnas.core.errors import InputError
from evomnas.latency.devices.android.adb_client import quoted

ADDRESS = "storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest"
COARSE_US = 200.0  # below this the fastest run, in whole microseconds, is too coarse, and the mean is taken
_COUNTS = re.compile(r"count=(\d+)\b.*?\b(?:curr=([\d.e+]+) \(all same\)|min=([\d.e+]+).*?\bavg=([\d.e+]+))")


class ForeignTool(InputError):
    """A program that is not TensorFlow Lite's `benchmark_model`."""


@dataclass(frozen=True)
class Tool:
    """The program on a phone.

    Attributes:
        path: Its path there.
        threads: The threads that one inference may use.
        cores: The cores that it may run on; empty for all.
    """

    path: str
    threads: int
    cores: tuple[int, ...]

    def command(self, model: str, runs: int, *options: str) -> str:
        """Return the command that times a network.

        Args:
            model: The path of its file on the phone.
            runs: The number of timed inferences.
            options: Further options.
        """
        mask = f"{sum(1 << core for core in self.cores):x}"
        return quoted(
            *(("taskset", mask) if self.cores else ()), self.path, f"--graph={model}", f"--num_threads={self.threads}",
            f"--num_runs={runs}", "--min_secs=0", "--warmup_runs=1", "--warmup_min_secs=0", "--use_xnnpack=true",
            *options,
        )  # fmt: skip


def read_seconds(printed: str, runs: int) -> float:
    """Return the result of a burst from what the program printed: its fastest inference, or the mean of short ones.

    Args:
        printed: The program's output.
        runs: The number of inferences that were asked for.

    Returns:
        Seconds.

    Raises:
        ForeignTool: Another program printed this.
        RuntimeError: The program did not time so many inferences.
    """
    if "BENCHMARK RESULTS" in printed:
        raise ForeignTool(
            "this benchmark_model is LiteRT's, which takes no input and writes no logits: put TensorFlow Lite's there, "
            f"from {ADDRESS}"
        )
    found = _COUNTS.findall(printed)
    if not found:
        first = next((line.strip() for line in printed.splitlines() if line.strip()), "nothing")
        raise ForeignTool(f"this benchmark_model does not print what TensorFlow Lite's prints, but: {first[:80]}")
    count, same, fastest, mean = found[-1]
    if int(count) != runs:
        raise RuntimeError(f"benchmark_model timed {count} inferences and not {runs}")
    fastest_us, mean_us = float(same or fastest), float(same or mean)
    microseconds = fastest_us if fastest_us >= COARSE_US else mean_us
    if not microseconds > 0:
        raise RuntimeError("benchmark_model printed a time of 0: the network is too small to be timed by it")
    return microseconds / 1e6
