"""The examples of docs/plug-ins.md are a package that works: every kind of part is used as its page says."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import evomnas
from evomnas.algorithms.base import make_algorithm
from evomnas.deploy.testsplit import load_test_images
from evomnas.problem.ops.catalogue import operation
from evomnas.report.trackers.opening import open_trackers

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plug-ins.md").read_text()


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def entry_points() -> dict[str, dict[str, str]]:
    return tomllib.loads(examples("toml")[0])["project"]["entry-points"]


class StandIn:
    """Weights & Biases, as far as the example calls it."""

    def __init__(self) -> None:
        self.settings: dict = {}
        self.rows: list[tuple[dict, int]] = []
        self.files: list[str] = []
        self.finished = False

    def init(self, **settings: object) -> StandIn:
        self.settings = settings
        return self

    def log(self, row: dict, step: int) -> None:
        self.rows.append((row, step))

    def save(self, path: str, policy: str) -> None:
        self.files.append(path)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def installed(tmp_path, monkeypatch) -> SimpleNamespace:
    """The package of the page, as pip would install it, and its problem file."""
    site = tmp_path / "site"
    information = site / "my_parts-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "my_parts.py").write_text("\n\n".join(examples("python")))
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 1.0\n")
    groups = ("\n".join([f"[{group}]", *map(" = ".join, own.items())]) for group, own in entry_points().items())
    (information / "entry_points.txt").write_text("\n".join(groups))
    problem = tmp_path / "bars.toml"
    problem.write_text(examples("toml")[1])
    monkeypatch.syspath_prepend(str(site))
    wandb = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    yield SimpleNamespace(problem=problem, wandb=wandb)
    operation.cache_clear()
    sys.modules.pop("my_parts", None)


def test_the_page_has_an_example_of_each_kind_of_part():
    table = re.findall(r"^\| `(evomnas\.\w+)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    calls = (node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.keyword))
    [declared] = [ast.literal_eval(call.value) for call in calls if call.arg == "entry_points"]
    assert set(entry_points()) == set(table)
    assert set(declared) - {"console_scripts"} == set(table) - {"evomnas.ops"}


def test_a_search_uses_all_parts_at_once(installed, tmp_path):
    definition = evomnas.load_definition(str(installed.problem), ["training.epochs=1"])
    run = evomnas.search(
        definition, "climber", budget=3, seed=1, out=tmp_path / "run", workers=0, options={"neighbours": 2},
        callbacks=open_trackers(["wandb"]),
    )  # fmt: skip
    results = run.results()
    assert [result.evaluation.status for result in results] == ["ok"] * 3
    assert run.archive.context(run.record.measurement_context)["runtime"] == "reference"
    assert {block.op for result in results for block in result.evaluation.architecture.blocks} <= {"neck", "mbconv3"}
    assert run.image_data.majority.name == "upright"
    wandb = installed.wandb
    assert wandb.settings == {"project": "bars", "name": "run", "config": {"neighbours": 2}}
    assert [step for _, step in wandb.rows] == [0, 1, 2]
    assert [row["latency_ms"] for row, _ in wandb.rows] == [one.evaluation.measured.latency_ms for one in results]
    assert wandb.files == [str(run.folder / "report.html")]
    assert wandb.finished


def test_the_test_images_are_others_of_the_same_classes(installed):
    from evomnas.data.splits import load_training_images

    section = evomnas.load_definition(str(installed.problem)).data
    training = load_training_images(section)
    test = load_test_images(section, training)
    assert (len(training.labels), len(test.labels), test.classes) == (400, 200, ("upright", "level"))
    assert not np.array_equal(test.images[:1], training.images[:1])


def test_the_operation_has_the_weights_of_its_steps(installed):
    network = evomnas.Architecture.parse("stem8_s2-neck_k3_s1_f16_n1-head32")
    # 1x1 to 8 channels, 3x3, 1x1 to 16, each with a batch norm of two numbers a channel; stem, head, classifier
    layer = 8 * 8 + 16 + 9 * 8 * 8 + 16 + 8 * 16 + 32
    assert evomnas.count_cost(network, classes=2, channels=1, resolution=16).params == (
        9 * 8 + 16 + layer + 16 * 32 + 64 + 32 * 2 + 2
    )


def test_the_algorithm_climbs_and_asks_the_same_again(installed):
    space = evomnas.load_definition(str(installed.problem)).space

    def climb() -> list[float]:
        algorithm, errors = make_algorithm("climber", space, 1, {}), []
        for _ in range(30):
            genomes = algorithm.ask()
            losses = np.tile(genomes.sum(axis=1, dtype=float)[:, None], 2)  # the least of all is the genome of zeros
            algorithm.tell(genomes, losses, np.zeros(len(genomes)))
            errors.append(float(losses.min()))
        return errors

    first = climb()
    assert min(first[-5:]) < first[0]
    assert climb() == first
