"""How long does the default search take, and where does the time go?

Runs `evomnas --help` (median of five) and `evomnas run` as whole processes, from outside, and splits the
search's time into training, latency and everything else (start, data, asking, archive, report, end).
Prints a JSON object. `--budget N` runs it short. About three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


def seconds(command: list[str]) -> float:
    """Wall-clock time of a process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    starts = [seconds(["evomnas", "--help"]) for _ in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = ["evomnas", "run", "--budget", str(options.budget), "--seed", str(options.seed), "--out", str(out)]
        total = seconds(command)
        manifest = json.loads((out / "run.json").read_text())
        front = (out / "front.csv").read_text().splitlines()[1:]
    spent = manifest["seconds"]
    other = total - spent["training"] - spent["latency"]
    result = {
        "help_s": round(statistics.median(starts), 3),
        "total_s": round(total, 1),
        "networks_per_minute": round(60 * manifest["evaluations"] / total, 1),
        "share_training": round(spent["training"] / total, 3),
        "share_latency": round(spent["latency"] / total, 3),
        "share_other": round(other / total, 3),
        "evaluations": manifest["evaluations"],
        "hypervolume": round(manifest["hypervolume"], 4),
        "front": len(front),
        "processor": manifest["machine"]["processor"],
        "cores": manifest["machine"]["cores"],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
