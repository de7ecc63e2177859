"""Does everything that a GPU can do work on this one, and how fast? Six minutes, for whoever has a machine with one.

Steps, each a whole command as a user types it, or the product's own functions:

- latency: published networks in four sessions on PyTorch's CUDA, and on ONNX Runtime's if it has it: do they agree?
- bfloat16: accuracies of trainings in bfloat16 and in float32, with the same seed, beside another seed's;
- throughput: training images per second, beside the loop that one would write (`training_throughput.py`);
- search: 32 networks of the digits, and of Fashion-MNIST if its npz file is given, several trainings at a time and one;
- target: a search whose latency is that of the GPU;
- ship: full training on the GPU, export to ONNX with int8, and the ONNX file's answers beside PyTorch's.

A step that fails is reported with what it had found, and the others go on. Results are printed as JSON, and after each
step written to --out. Fashion-MNIST's trainings here see 4,000 images.

    python benchmarks/gpu_check.py --fashion fashion_mnist.npz [--minutes 6] [--networks 32] [--out gpu.json]

`--device cpu --quick` goes through all steps on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.stats import kendalltau

from evomnas.core.system.machine import accelerator, processor, usable_cores
from evomnas.data.splits import load_dataset
from evomnas.latency.runtimes.base import installed_providers, open_runtime
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition
from evomnas.training.proxy_task import ProxyTask

NETWORKS = ("mobilenet-v2", "mnasnet-a1", "mnasnet-b1", "mnasnet-small", "mnasnet-small@0.35", "mobilenet-v2@0.35")
Found = dict[str, Any]


class Check:
    """The options, the time that is left, and a folder for runs."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.device, self.fashion, self.folder = options.device, options.fashion, folder
        self.networks = 4 if options.quick else options.networks
        self.sessions = 2 if options.quick else 4
        self.end = time.monotonic() + 60 * options.minutes

    def command(self, *words: str) -> float:
        """Run `evomnas` as a process of its own and return its seconds; raise with its last words if it fails."""
        started = time.perf_counter()
        left = max(5.0, self.end - time.monotonic())
        command = [sys.executable, "-m", "evomnas", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=left)
        if done.returncode:
            last = f"{done.stderr[-600:]}{done.stdout[-600:]}"
            raise RuntimeError(f"evomnas {' '.join(words)}: exit code {done.returncode}: {last}")
        self.said = done.stdout
        return time.perf_counter() - started

    def search(self, name: str, device: str, workers: int, budget: int, *more: str) -> Found:
        """Search a problem by one command, and return what it took and found."""
        out = self.folder / f"{name}-{device}-{workers}"
        words = [
            "run",
            *more,
            "--budget",
            str(budget),
            "--workers",
            str(workers),
            "--device",
            device,
            "--out",
            str(out),
        ]
        seconds = self.command(*words, "--archive", str(out) + ".sqlite")
        manifest = json.loads((out / "run.json").read_text())
        return {
            "workers": workers,
            "networks": manifest["evaluations"],
            "seconds": round(seconds, 1),
            "per_hour": round(3600 * manifest["evaluations"] / seconds),
            "training_s": round(manifest["seconds"]["training"], 1),
            "latency_s": round(manifest["seconds"]["latency"], 1),
            "hypervolume": round(manifest["hypervolume"], 4),
        }

    def fashion_words(self) -> list[str]:
        settings = ["data.dataset=npz", f"data.path={Path(self.fashion).resolve()}", "data.train_images=4000"]
        return ["fashion-mnist", *itertools.chain.from_iterable(("--set", setting) for setting in settings)]


def latency(check: Check, found: Found) -> None:
    """The protocol's latencies of published networks on each runtime that can use the device."""
    for name in ("torch", "onnxruntime"):
        if check.device not in installed_providers(open_runtime(name)):
            continue
        words = ["measure", *NETWORKS, "--runtime", name, "--provider", check.device, "--repeat", str(check.sessions)]
        seconds = check.command(*words, "--format", "json")
        rows = json.loads(check.said)
        table = np.array([row["sessions"] for row in rows]).T
        taus = [kendalltau(one, other).statistic for one, other in itertools.combinations(table, 2)]
        variation = table.std(axis=0, ddof=1) / table.mean(axis=0)
        found[f"{name} on {check.device}"] = {
            "ms": {network: round(row["latency_ms"], 4) for network, row in zip(NETWORKS, rows, strict=True)},
            "variation": round(float(variation.mean()), 4),
            "worst": round(float(variation.max()), 4),
            "tau": round(float(np.mean(taus)), 3),
            "precise": sum(row["precise"] for row in rows),
            "seconds per network and session": round(seconds / table.size, 2),
        }


def bfloat16(check: Check, found: Found) -> None:
    """Accuracies of the same trainings in bfloat16 and in float32, and in bfloat16 with another seed."""
    words = check.fashion_words() if check.fashion else ["digits"]
    count = min(check.networks, 10)
    rng = np.random.default_rng(0)
    space = load_definition(words[0], words[2::2]).space
    architectures = [space.decode(space.draw(rng)) for _ in range(count)]

    def accuracies(seed: int, in_bfloat16: bool) -> np.ndarray:
        definition = load_definition(words[0], [*words[2::2], f"training.seed={seed}"])
        assert isinstance(definition, ProblemDefinition)
        task = ProxyTask(load_dataset(definition.data), definition.data, definition.training, check.device)
        plain = mock.patch("torch.autocast", return_value=contextlib.nullcontext())
        precision = contextlib.nullcontext() if in_bfloat16 else plain
        started = time.perf_counter()
        with precision:
            values = np.array([task.train(one).accuracy for one in architectures])
        name = f"{'bfloat16' if in_bfloat16 else 'float32'}, seed {seed}"
        found[name] = {"accuracy": round(float(values.mean()), 4), "seconds": round(time.perf_counter() - started, 1)}
        return values

    half, full, again = accuracies(0, True), accuracies(0, False), accuracies(1, True)
    found["networks"] = count
    for name, other in (("float32", full), ("another seed", again)):
        found[f"bfloat16 and {name}"] = {
            "mean difference": round(float((half - other).mean()), 4),
            "mean absolute difference": round(float(np.abs(half - other).mean()), 4),
            "tau": round(float(kendalltau(half, other).statistic), 3),
        }


def throughput(check: Check, found: Found) -> None:
    """`training_throughput.py` on this device."""
    script = Path(__file__).with_name("training_throughput.py")
    problems = [check.fashion_words(), ["digits"]] if check.fashion else [["digits"]]
    for words in problems:
        command = [sys.executable, str(script), *words, "--device", check.device, "--json"]
        command += ["--networks", str(min(check.networks, 8))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(5, check.end - time.monotonic()))
        if done.returncode:
            raise RuntimeError(done.stderr[-600:])
        found[words[0]] = json.loads(done.stdout)


def search(check: Check, found: Found) -> None:
    """Searches on the GPU with several trainings at a time, and with one."""
    for workers in (4, 1):
        found[f"digits, {workers}"] = check.search("digits", check.device, workers, check.networks, "digits")
        if check.fashion:
            words = check.fashion_words()
            found[f"fashion-mnist, {workers}"] = check.search("fashion", check.device, workers, check.networks, *words)


def target(check: Check, found: Found) -> None:
    """A search whose latency is that of the device."""
    settings = ["--set", "latency.runtime=torch", "--set", f"latency.provider={check.device}"]
    found["digits"] = check.search("target", check.device, 2, min(check.networks, 16), "digits", *settings)


def ship(check: Check, found: Found) -> None:
    """Full training, export, and the files' answers to the test images beside PyTorch's."""
    out = check.folder / f"digits-{check.device}-4"
    length = ["--epochs", "5"]
    train_s = check.command("train", str(out), "--knee", *length, "--device", check.device)
    [folder] = (out / "networks").iterdir()
    name = folder.name.partition("-epochs")[0]
    export_s = check.command(
        "export", str(out), name, "--to", "onnx", "--quantize", "int8", *length, "--device", check.device
    )
    found |= {
        "train_s": round(train_s, 1),
        "export_s": round(export_s, 1),
        "test accuracy": json.loads((folder / "model.json").read_text())["test"]["accuracy"],
        "files": [
            {name: row[name] for name in ("file", "correct", "images", "agreement", "latency_ms")}
            for row in json.loads((folder / "exports.json").read_text())
        ],
    }


STEPS: tuple[Callable[[Check, Found], None], ...] = (latency, bfloat16, throughput, search, target, ship)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--fashion", type=Path, help="Fashion-MNIST as an npz file")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", action="append", choices=[step.__name__ for step in STEPS])
    parser.add_argument("--networks", type=int, default=32, help="networks of each search")
    parser.add_argument("--quick", action="store_true", help="few networks, to see whether everything works")
    options = parser.parse_args()
    found: Found = {
        "processor": processor(),
        "cores": usable_cores(),
        "gpu": accelerator(),
        "torch": torch.__version__,
        "device": options.device,
    }
    with tempfile.TemporaryDirectory() as folder:
        check = Check(options, Path(folder))
        for step in STEPS:
            if options.only and step.__name__ not in options.only:
                continue
            if time.monotonic() > check.end:
                found[step.__name__] = "no time was left"
                continue
            started, result = time.perf_counter(), found.setdefault(step.__name__, {})
            try:
                step(check, result)
            except Exception as error:
                traceback.print_exc()
                result["failed"] = f"{type(error).__name__}: {error}"
            result["step_s"] = round(time.perf_counter() - started, 1)
            print(f"{step.__name__}: {json.dumps(result)}", file=sys.stderr, flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))
    if any(isinstance(result, dict) and "failed" in result for result in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
