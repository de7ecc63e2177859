"""Shared fixtures: a tiny problem that trains in a fraction of a second, and one finished run of it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from evomnas.definition import ProblemDefinition, validate_definition

settings.register_profile("suite", deadline=None, max_examples=40, derandomize=bool(os.environ.get("CI")))
settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="session")
def own_machine_archive(tmp_path_factory):
    """Calibrations and programs of the tests' own, not those of the user who runs them."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("XDG_CACHE_HOME") if before is None else os.environ.update(XDG_CACHE_HOME=before)


TINY = {
    "name": "tiny",
    "summary": "digits of 8 pixels, two blocks",
    "space": {
        "filters": [8, 8], "layers": [1, 2], "strides": [2, 2], "stem": 8, "stem_stride": 1, "head": 16, "divisor": 4,
    },
    "data": {"dataset": "digits", "resolution": 8, "validation": 0.5, "train_images": 200},
    "training": {"epochs": 1, "batch": 50},
    "full": {"epochs": 4, "batch": 128, "learning_rate": 0.016, "bn_momentum": 0.1},
}  # fmt: skip


@pytest.fixture
def tiny_values() -> dict:
    import copy

    return copy.deepcopy(TINY)


@pytest.fixture(scope="session")
def tiny() -> ProblemDefinition:
    return validate_definition(TINY)


@pytest.fixture(scope="session")
def tiny_dataset(tiny):
    from evomnas.data import load_dataset

    return load_dataset(tiny.data)


@pytest.fixture(scope="session")
def finished_run(tiny, tmp_path_factory):
    """A search of 24 networks of the tiny problem, in this process, with its report."""
    from evomnas.loop import search
    from evomnas.report import write_report

    run = search(tiny, budget=24, seed=3, out=tmp_path_factory.mktemp("finished") / "run", workers=0)
    write_report(run)
    return run


@pytest.fixture
def tiny_file(tmp_path) -> Path:
    """The tiny problem as a TOML file."""
    path = tmp_path / "tiny.toml"
    lines = [f'name = "{TINY["name"]}"']
    for section in ("space", "data", "training", "full"):
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml(value)}" for key, value in TINY[section].items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.fixture
def tabular_file(tmp_path) -> Path:
    """A tabular problem with a complete table: 5 genes of 3 choices, accuracy and latency in conflict."""
    return _write_tabular(tmp_path)


@pytest.fixture(scope="session")
def benchmarked(tmp_path_factory) -> Path:
    """The folder of a finished benchmark of the tabular problem: nsga2 and random, 5 seeds, 40 evaluations."""
    from evomnas.benchmarking import benchmark

    folder = tmp_path_factory.mktemp("benchmarked")
    benchmark(_write_tabular(folder), ["nsga2", "random"], seeds=5, budget=40, out=folder / "bench")
    return folder / "bench"


def _write_tabular(folder: Path) -> Path:
    lines = ["g0,g1,g2,g3,g4,top1,ms"]
    for genes in itertools.product(range(3), repeat=5):
        accuracy = 40 + 5 * sum(genes) - 3 * (genes[0] - genes[4]) ** 2
        latency = 1 + sum((place + 1) * gene for place, gene in enumerate(genes)) / 5
        lines.append(",".join(map(str, (*genes, accuracy, latency))))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    path = folder / "tabular.toml"
    path.write_text(TABULAR)
    return path


TABULAR = """
name = "tabular"
summary = "243 networks"
[table]
path = "table.csv"
genes = ["g0", "g1", "g2", "g3", "g4"]
objectives = [
    { column = "top1", direction = "maximize", scale = 0.01, quantity = "accuracy" },
    { column = "ms", direction = "minimize", quantity = "latency_ms" },
]
"""


@pytest.fixture
def fashion_mnist(tmp_path, rng) -> Path:
    """A folder with Fashion-MNIST's own files, tiny: 40 images to train on and 5 test images."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 5)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = np.array([0x803, count, 28, 28], dtype=">i4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = np.array([0x801, count], dtype=">i4").tobytes()
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header + (np.arange(count, dtype=np.uint8) % 10).tobytes())
    return tmp_path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
