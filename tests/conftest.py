"""Shared fixtures: a tiny problem that trains in a fraction of a second, and one finished run of it."""

from __future__ import annotations

import gc
import itertools
import multiprocessing.util
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from tiny_problem import TINY

from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import validate_definition

# Before torch is imported: where cores are busy, its threads spend ten times as long waiting for each other.
os.environ["OMP_NUM_THREADS"] = "1"
settings.register_profile("suite", deadline=None, max_examples=30, derandomize=bool(os.environ.get("CI")))
settings.load_profile("suite")
gc.disable()  # until all tests are collected: what is imported stays, and looking at it again and again takes seconds


def pytest_collection_finish() -> None:
    """Leave what was imported out of all later searches for garbage, each of which would take half a second."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def own_machine(tmp_path_factory):
    """Calibrations, locks and temporary files of this test process alone.

    With the locks of the user, nothing here would train while any other test process measures. The temporary folder's
    name is short, since Ray's sockets are in it.
    """
    cache = tmp_path_factory.mktemp("cache")  # before the temporary folder changes, as the next line:
    multiprocessing.util.get_temp_dir()  # pytest and multiprocessing clean up theirs on their own
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder,
    ):
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("XDG_CONFIG_HOME", str(cache))  # without the developer's own defaults
        # All test processes share it, so that only one looks for fonts.
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp().parent / "matplotlib"))
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk():
    """Archives that this process writes do not wait for the disk: only a power failure could tell the difference."""
    connect = sqlite3.connect

    def connect_without_waiting(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect_without_waiting)
        yield


SHORT = {"PRECISION": 1.0, "MIN_SECONDS": 0.0, "MAX_COPIES": 1, "MAX_COPIES_OF_SMALL": 1, "MIN_COPIES": 1}


@pytest.fixture(autouse=True, scope="session")
def short_measurements():
    """Latencies that this process takes itself end after the fewest rounds: tests want a number, not a precise one.

    Yields:
        What `real_measurements` takes back, by name. Other processes measure as long as users' ones.
    """
    from evomnas.latency.devices import protocol

    before = {name: getattr(protocol, name) for name in SHORT}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHORT.items():
            patch.setattr(protocol, name, value)
        patch.setattr(protocol.calibrate, "__defaults__", (0.05,))
        yield before


@pytest.fixture
def real_measurements(short_measurements, monkeypatch):
    """The protocol as users have it."""
    from evomnas.latency.devices import protocol

    for name, value in short_measurements.items():
        monkeypatch.setattr(protocol, name, value)
    monkeypatch.setattr(protocol.calibrate, "__defaults__", (protocol.CALIBRATION_S,))


@pytest.fixture
def tiny_values() -> dict:
    import copy

    return copy.deepcopy(TINY)


@pytest.fixture(scope="session")
def tiny() -> ProblemDefinition:
    return validate_definition(TINY)


@pytest.fixture(scope="session")
def tiny_dataset(tiny):
    from evomnas.data.splits import load_dataset

    return load_dataset(tiny.data)


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory) -> list[str]:
    """Settings of a problem for 300 of the digits, and 60 to test on: large networks take seconds for all of them."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x_train=images[:300], y_train=labels[:300], x_test=images[300:360], y_test=labels[300:360])
    return ["data.dataset=npz", f"data.path={path}"]


@pytest.fixture(scope="session")
def rare(tmp_path_factory) -> ProblemDefinition:
    """A problem with 97 images of one class to 3 of the other, which differ little: one answer for all has 97 %.

    Classes weigh the same in the loss, so that some of its networks find the rare one, at the cost of accuracy.
    """
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("rare") / "rare.npz"
    arrays = {}
    for part, sizes in (("train", (388, 12)), ("test", (97, 3))):
        labels = np.repeat([0, 1], sizes)
        pixels = rng.normal(110, 110, (len(labels), 8, 8))
        pixels[labels == 1, :4] += 40
        arrays |= {f"x_{part}": pixels.clip(0, 255).astype(np.uint8), f"y_{part}": labels}
    np.savez(path, **arrays)
    data = {"dataset": "npz", "path": str(path), "resolution": 8, "validation": 0.5}
    training = {"epochs": 2, "batch": 32, "class_weights": "balanced"}
    return validate_definition(TINY | {"name": "rare", "data": data, "training": training})


@pytest.fixture(scope="session")
def built(request, tmp_path_factory):
    """Folders that take seconds to fill: one test process fills one, and each gets a copy of its own."""

    def build(name: str, fill: Callable[[Path], None]) -> Path:
        own = tmp_path_factory.mktemp(name, numbered=False)
        if not hasattr(request.config, "workerinput"):  # there is no other process
            fill(own)
            return own
        shared = tmp_path_factory.getbasetemp().parent / f"built-{name}"
        with FileLock(f"{shared}.lock"):
            if not shared.exists():
                fill(own)
                shutil.copytree(own, shared)
        return shutil.copytree(shared, own, dirs_exist_ok=True)

    return build


@pytest.fixture(scope="session")
def finished_folder(tiny, built) -> Path:
    """The folder of a search of 24 networks of the tiny problem, one of them trained and exported, and its archive.

    Nobody changes it; whoever wants to opens a copy.
    """
    from evomnas.deploy.export import export_network
    from evomnas.deploy.trained_networks import most_accurate_network, train_networks
    from evomnas.loop.launch import search

    def fill(folder: Path) -> None:
        run = search(tiny, "nsga2", budget=24, seed=3, out=folder / "run", workers=0)
        [trained] = train_networks(run, [most_accurate_network(run)], device="cpu")
        export_network(run, trained.network, exported(), device="cpu")
        # Whoever copies a file gives up all locks of its process on it, and SQLite's usual journal lives by them.
        run.archive.make_portable()

    return built("finished", fill)


@pytest.fixture(scope="session")
def finished_run(finished_folder, tmp_path_factory):
    """That run with its report, in a copy that all tests share: its archive may get more."""
    from evomnas.report.run_report import write_report
    from evomnas.results.run import Run

    run = Run.open(shutil.copytree(finished_folder, tmp_path_factory.mktemp("shared") / "finished") / "run")
    write_report(run)
    return run


@pytest.fixture(scope="session")
def trained(finished_run):
    """The front's most accurate network after its full training."""
    from evomnas.deploy.trained_networks import most_accurate_network, train_networks

    [one] = train_networks(finished_run, [most_accurate_network(finished_run)], device="cpu")
    return one


@pytest.fixture(scope="session")
def exports(finished_run, trained):
    """The trained network's ONNX files, all options given, by variant."""
    from evomnas.deploy.export import export_network

    result = export_network(finished_run, trained.network, exported(), device="cpu")
    return {export.variant: export for export in result.exports}


def exported():
    """What `exports` asks for."""
    from evomnas.deploy.formats.request import Request

    return Request(("onnx",), quantize=True, prune=0.5, factorize=0.9, huffman=True)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """Colour photographs of two kinds, in ImageNet's form; a fifth is the kind's own, the rest is noise."""
    from PIL import Image

    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("photographs") / "photos"
    for part, count in (("train", 12), ("val", 3)):
        for label, name in enumerate(("n01 ants", "n02 bees")):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 200, (40, 48, 3), dtype=np.uint8)
                pixels[:, :, label] += 55
                Image.fromarray(pixels).save(folder / part / name / f"{index}.jpeg")
    return folder


@pytest.fixture(scope="session")
def photograph_exports(photographs, tmp_path_factory):
    """A network of the photographs with its ONNX files, float and int8: the imagenet problem in small.

    Yields:
        The run, the trained network and the result of the export.
    """
    from evomnas.deploy.export import export_network
    from evomnas.deploy.formats.request import Request
    from evomnas.deploy.trained_networks import knee_network, train_networks
    from evomnas.loop.launch import search

    small = [
        "data.resolution=32", "data.validation=0.25", "space.width=0.1", "space.head=32", "space.divisor=4",
        "space.filters=[16,24,32]", "space.layers=[1,1,1]", "space.strides=[1,2,2]", "training.batch=8",
        "training.epochs=1", "full.epochs=2", "full.batch=8", f"data.path={photographs}",
    ]  # fmt: skip
    out = tmp_path_factory.mktemp("photograph-runs") / "run"
    run = search("imagenet", overrides=small, budget=2, out=out, device="cpu")
    [trained] = train_networks(run, [knee_network(run)], device="cpu")
    return run, trained, export_network(run, trained.network, Request(("onnx",), quantize=True), device="cpu")


@pytest.fixture(scope="session")
def shown_run(tiny, tmp_path_factory):
    """A run of 30 networks that is always the same, with its report: its figures are made up, so that nobody waits.

    Its front has several networks, one of its candidates failed, the algorithm said something of itself, and
    the reference network is not on the front.
    """
    from evomnas.evaluation.factory import open_evaluator
    from evomnas.loop.launch import begin
    from evomnas.problem.counting import count_architecture
    from evomnas.report.run_report import write_report
    from evomnas.results.archive import Archive
    from evomnas.results.evaluation import Cost, Failure, Measurement, Training
    from evomnas.results.manifest import Seconds
    from evomnas.results.records import Ask, GenerationRecord
    from evomnas.results.timing import Calibration

    folder = tmp_path_factory.mktemp("shown")
    rng = np.random.default_rng(11)
    with open_evaluator(tiny, Archive(folder / "evomnas.sqlite")) as evaluator:
        archive, proxy, device = evaluator.archive, evaluator.training_context, evaluator.measurement_context
        archive.add_calibration(device, Calibration(0.2, (0.2, 0.21), 0.0))
        run = begin(evaluator, folder / "run", "nsga2", 1, 30, {})
    genomes = tiny.space.sample(60, rng)
    networks = list(dict.fromkeys([tiny.space.mobilenet_v2(), *map(tiny.space.decode, genomes)]))[:30]
    for number, one in enumerate(networks):
        counts = count_architecture(one, **run.shape)
        layers = sum(block.layers for block in one.blocks)
        latency = 0.02 * layers + 2e-6 * counts.macs * (1 + 0.2 * float(rng.random()))
        accuracy = round(0.6 + 0.35 * (1 - np.exp(-latency / 0.1)) - 0.1 * float(rng.random()), 4)
        ratio = latency / 0.2
        measurement = Measurement(
            Cost(counts.params, counts.macs, 0),
            latency,
            0.98 * latency,
            1.03 * latency,
            ratio,
            (ratio,) * 9,
            0.5,
            True,
            0.1,
        )
        archive.add_measurement(device, one, measurement)
        failed = Failure("diverged", "the loss became NaN") if number == 7 else None
        archive.add_training(proxy, one, failed or Training(accuracy, (2.0, 1.0), 2.0))
    asked = [*networks, networks[3], networks[4]]  # two were asked for again
    archive.add_asks(run.record.id, [Ask(number, number // 8, str(one)) for number, one in enumerate(asked)])
    said = [{"reward": 0.5 + 0.1 * number, "entropy": 1.0 - 0.2 * number} for number in range(4)]
    generations = [GenerationRecord(number, 20.0 * (number + 1), metrics) for number, metrics in enumerate(said)]
    archive.add_generations(run.record.id, generations)
    run.manifest.status = "finished"
    run.manifest.seconds = Seconds(total=80.0, training=56.0, latency=16.0, algorithm=0.4, other=7.6)
    results = run.results()
    run.write(30, run.front(results))
    write_report(run, results)
    run.archive.make_portable()  # as that of `finished_run`
    return run


@pytest.fixture
def no_drawings(monkeypatch):
    """Pages without still drawings, which take longer than small searches, where nobody looks at them."""
    for page in ("run_report", "comparison.page"):
        monkeypatch.setattr(f"evomnas.report.{page}.figure_markup", lambda figure: "")


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
    from evomnas.report.comparison.benchmark import benchmark

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


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser():
    """Chromium; where there is none its tests are skipped, and fail in CI."""
    if CHROMIUM is None:
        message = "needs Chromium: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens pages from disk, offline; whatever they complain of or ask for fails the test."""
    contexts, complaints, requests = [], [], []

    def opened(path: Path, scheme: str = "light", width: int = 1280):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.resolve().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


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


@pytest.fixture
def stopped_at(monkeypatch):
    """A block whose search is interrupted when it calls a method of the archive for the so many-th time."""
    from evomnas.results.archive import Archive

    @contextmanager
    def stopped(place: str, count: int):
        original, calls = getattr(Archive, place), []

        def stop(self, *args):
            calls.append(1)
            if len(calls) == count:
                raise KeyboardInterrupt("stop here")
            original(self, *args)

        monkeypatch.setattr(Archive, place, stop)
        with pytest.raises(KeyboardInterrupt, match="stop here"):
            yield
        monkeypatch.setattr(Archive, place, original)

    return stopped
