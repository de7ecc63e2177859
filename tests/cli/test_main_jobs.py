"""What everybody does with evomnas, as the command in a process of its own.

`tox -e thorough` runs it on the newest packages. `tox -e lowest` and `tox -e lowest-executorch` run it on the oldest
ones that setup.py allows.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from evomnas.core import registry

pytestmark = pytest.mark.thorough
SMALL = "digits --set training.epochs=1 --set data.train_images=300 --set full.epochs=2"
RUNTIMES = ["onnxruntime", "torch", *(name for name in ["executorch", "openvino", "ncnn"] if find_spec(name))]
EXECUTORS = ["local", *(name for name in ["ray"] if find_spec(name))]
NOISE = ("Traceback", "Warning", "deprecated")  # lines of other packages that users would see


@pytest.fixture(scope="module")
def evomnas(tmp_path_factory) -> Callable[[str], str]:
    """The command, in one folder for all: returns what it prints, and fails if it fails."""
    folder = tmp_path_factory.mktemp("jobs")
    Image.fromarray((15 * load_digits().images[0]).astype("uint8")).resize((64, 64)).save(folder / "digit.png")

    def run(line: str, program: str = "from evomnas.cli import main; main()") -> str:
        command = [sys.executable, "-c", program, *shlex.split(line)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"evomnas {line}\n{done.stderr}"
        assert not [word for word in NOISE if word in done.stderr], done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def run(evomnas) -> str:
    """A finished search."""
    evomnas(f"run {SMALL} --algo nsga2 --budget 6 --workers 2 --out runs/first")
    return "runs/first"


@pytest.fixture(scope="module")
def network(evomnas, run) -> str:
    """The id of the front's fastest network."""
    return json.loads(evomnas(f"show {run} --format json"))[0]["id"]


@pytest.mark.parametrize("algorithm", registry.available("algorithms"))
def test_every_algorithm_searches_and_a_search_is_resumed(algorithm, evomnas, run):
    folder = f"runs/{algorithm}"
    evomnas(f"run {SMALL} --algo {algorithm} --budget 4 --workers 1 --out {folder}")
    evomnas(f"resume {folder} --budget 6")
    assert len(json.loads(evomnas(f"show {folder} --all --format json"))) == 6


@pytest.mark.parametrize("executor", EXECUTORS)
def test_searches_in_steady_state_on_every_executor(executor, evomnas):
    evomnas(f"run {SMALL} --algo nsga2 --async --executor {executor} --budget 4 --out runs/async-{executor}")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_measures(runtime, evomnas):
    [row] = json.loads(evomnas(f"measure mobilenet-v2 --runtime {runtime} --resolution 64 --format json"))
    assert row["latency_ms"] > 0


def test_a_network_is_trained_exported_and_classifies(evomnas, run, network):
    evomnas(f"train {run} {network}")
    formats = {"onnx": "onnx", "executorch": "pte"} if "executorch" in RUNTIMES else {"onnx": "onnx"}
    wanted = " ".join(f"--to {name}" for name in formats)
    evomnas(f"export {run} {network} {wanted} --quantize int8 --prune 0.5 --factorize 0.9 --huffman")
    for suffix in formats.values():
        file = f"{run}/networks/{network}/model-int8.{suffix}"
        [row] = json.loads(evomnas(f"predict {file} digit.png --top 10 --format json"))
        assert sum(one["probability"] for one in row["classes"]) == pytest.approx(1, abs=0.01)
        if suffix == "onnx":
            evomnas(f"measure {file}")


def test_off_the_shelf_networks_are_trained(evomnas):
    assert len(json.loads(evomnas(f"baselines {SMALL} mobilenet-v2 resnet18 --format json"))) == 2


def test_pages_figures_and_comparisons_are_written(evomnas, run):
    evomnas(f"report {run}")
    evomnas(f"report {run} --figures figures --format pdf")
    evomnas(f"benchmark {SMALL} --algo nsga2 --algo random --seeds 2 --budget 4 --out runs/benchmark")
    evomnas(f"compare {run} runs/benchmark/random-s1 --out compared.html")


@pytest.mark.parametrize(
    "line",
    [
        "describe mnasnet-a1 --figure a1.svg", "describe --space digits", f"estimate {SMALL} --budget 4", "doctor",
        "problems", "algorithms", "runtimes", "list", "--version", "run --help",
    ],
)  # fmt: skip
def test_the_other_commands_answer(line, evomnas, run):
    assert evomnas(line)


def test_pymoo_minimizes_the_problem(evomnas):
    program = """
import evomnas
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize

problem = evomnas.load_problem("digits", ["training.epochs=1", "data.train_images=300"])
result = minimize(problem, NSGA2(pop_size=4, **problem.operators()), ("n_gen", 2), seed=1)
print(len(result.F))
"""
    assert int(evomnas("", program)) > 0
