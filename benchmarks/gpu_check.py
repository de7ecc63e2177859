"""Does everything that a GPU can do work on this one, and how fast? Six minutes, for whoever has a machine with one.

Steps, each a whole command as a user types it, or the product's own functions:

- search: 32 networks of the digits, and of Fashion-MNIST if its npz file is given; one training at a time and several;
  the digits on the CPU as well;
- throughput: training images per second, beside the loop that one would write (`training_throughput.py`);
- bfloat16: accuracies of trainings in bfloat16 and in float32, with the same seed, beside another seed's;
- latency: published networks in four sessions on PyTorch's CUDA, and on ONNX Runtime's if it has it: do they agree?
- target: a search whose latency is that of the GPU;
- ship: full training on the GPU, export to ONNX with int8, and the ONNX file's answers beside PyTorch's.

A step that fails is reported, and the others go on. Results are printed as JSON, and after each step written to --out.

    python benchmarks/gpu_check.py --fashion fashion_mnist.npz [--minutes 6] [--out gpu.json] [--only STEP]

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
        self.quick = options.quick
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
        return ["fashion-mnist", "--set", "data.dataset=npz", "--set", f"data.path={Path(self.fashion).resolve()}"]


def search(check: Check) -> Found:
    """Searches on the GPU with one training at a time and with several, and on the CPU with as many as cores."""
    budget = 4 if check.quick else 32
    found = {"digits": [check.search("digits", check.device, workers, budget, "digits") for workers in (1, 4)]}
    if not check.quick:
        found["digits on the CPU"] = [check.search("digits", "cpu", usable_cores(), budget, "digits")]
    if check.fashion:
        found["fashion-mnist"] = [
            check.search("fashion", check.device, workers, budget, *check.fashion_words())
            for workers in ((4,) if check.quick else (1, 4, 8))
        ]
    return found


def throughput(check: Check) -> Found:
    """`training_throughput.py` on this device."""
    script = Path(__file__).with_name("training_throughput.py")
    found = {}
    problems = {"digits": ["digits"]}
    if check.fashion:
        problems["fashion-mnist"] = check.fashion_words()
    for name, words in problems.items():
        command = [sys.executable, str(script), *words, "--device", check.device, "--json"]
        command += ["--networks", "2" if check.quick else "10" if name == "digits" else "5"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(5, check.end - time.monotonic()))
        if done.returncode:
            raise RuntimeError(done.stderr[-600:])
        found[name] = json.loads(done.stdout)
    return found


def bfloat16(check: Check) -> Found:
    """Accuracies of the same trainings in bfloat16 and in float32, and in bfloat16 with another seed."""
    words = check.fashion_words() if check.fashion else ["digits"]
    settings = words[2::2] + (["data.train_images=1000"] if check.quick else [])
    count = 2 if check.quick else 10
    definition = load_definition(words[0], settings)
    rng = np.random.default_rng(0)
    architectures = [definition.space.decode(definition.space.draw(rng)) for _ in range(count)]

    def accuracies(seed: int, in_bfloat16: bool) -> tuple[np.ndarray, float]:
        changed = load_definition(words[0], [*settings, f"training.seed={seed}"])
        assert isinstance(changed, ProblemDefinition)
        task = ProxyTask(load_dataset(changed.data), changed.data, changed.training, check.device)
        plain = mock.patch("torch.autocast", return_value=contextlib.nullcontext())
        precision = contextlib.nullcontext() if in_bfloat16 else plain
        started = time.perf_counter()
        with precision:
            values = np.array([task.train(one).accuracy for one in architectures])
        return values, time.perf_counter() - started

    (half, half_s), (full, full_s), (again, _) = accuracies(0, True), accuracies(0, False), accuracies(1, True)
    return {
        "networks": count,
        "accuracy": {"bfloat16": round(float(half.mean()), 4), "float32": round(float(full.mean()), 4)},
        "mean difference": round(float((half - full).mean()), 4),
        "mean absolute difference": round(float(np.abs(half - full).mean()), 4),
        "of another seed": round(float(np.abs(half - again).mean()), 4),
        "tau": round(float(kendalltau(half, full).statistic), 3),
        "tau of another seed": round(float(kendalltau(half, again).statistic), 3),
        "seconds": {"bfloat16": round(half_s, 1), "float32": round(full_s, 1)},
    }


def latency(check: Check) -> Found:
    """The protocol's latencies of published networks on each runtime that can use the device, in four sessions."""
    found = {}
    for name in ("onnxruntime", "torch"):
        for provider in dict.fromkeys(("cpu", check.device)):
            if provider not in installed_providers(open_runtime(name)) or (name, provider) == ("torch", "cpu"):
                continue
            words = [
                "measure",
                *NETWORKS,
                "--runtime",
                name,
                "--provider",
                provider,
                "--repeat",
                "2" if check.quick else "4",
            ]
            seconds = check.command(*words, "--format", "json")
            rows = json.loads(check.said)
            table = np.array([row["sessions"] for row in rows]).T
            taus = [kendalltau(one, other).statistic for one, other in itertools.combinations(table, 2)]
            variation = table.std(axis=0, ddof=1) / table.mean(axis=0)
            found[f"{name} on {provider}"] = {
                "ms": {row_name: round(row["latency_ms"], 4) for row_name, row in zip(NETWORKS, rows, strict=True)},
                "variation": round(float(variation.mean()), 4),
                "worst": round(float(variation.max()), 4),
                "tau": round(float(np.mean(taus)), 3),
                "precise": sum(row["precise"] for row in rows),
                "seconds per network and session": round(seconds / table.size, 2),
            }
    return found


def target(check: Check) -> Found:
    """A search whose latency is that of the device."""
    provider = "cuda" if check.device == "cuda" else "cpu"
    settings = ["--set", "latency.runtime=torch", "--set", f"latency.provider={provider}"]
    return check.search("target", check.device, 2, 4 if check.quick else 16, "digits", *settings)


def ship(check: Check) -> Found:
    """Full training, export, and the files' answers to the test images beside PyTorch's."""
    out = check.folder / f"digits-{check.device}-4"
    length = ["--epochs", "2" if check.quick else "10"]
    train_s = check.command("train", str(out), "--knee", *length, "--device", check.device)
    [folder] = (out / "networks").iterdir()
    name = folder.name.partition("-epochs")[0]
    export_s = check.command(
        "export", str(out), name, "--to", "onnx", "--quantize", "int8", *length, "--device", check.device
    )
    return {
        "train_s": round(train_s, 1),
        "export_s": round(export_s, 1),
        "test accuracy": json.loads((folder / "model.json").read_text())["test"]["accuracy"],
        "files": [
            {name: row[name] for name in ("file", "correct", "images", "agreement", "latency_ms")}
            for row in json.loads((folder / "exports.json").read_text())
        ],
    }


STEPS: tuple[Callable[[Check], Found], ...] = (search, throughput, bfloat16, latency, target, ship)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--fashion", type=Path, help="Fashion-MNIST as an npz file")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", action="append", choices=[step.__name__ for step in STEPS])
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
            started = time.perf_counter()
            try:
                found[step.__name__] = step(check)
            except Exception as error:
                traceback.print_exc()
                found[step.__name__] = {"failed": f"{type(error).__name__}: {error}"}
            found[step.__name__]["step_s"] = round(time.perf_counter() - started, 1)
            print(f"{step.__name__}: {found[step.__name__]}", file=sys.stderr, flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))
    if any(isinstance(result, dict) and "failed" in result for result in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
