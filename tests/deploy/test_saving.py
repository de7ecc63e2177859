"""Trained networks in folders: they come back as they were, and what is wrong with one is said in a line."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil

import pytest
import safetensors.torch
import torch

import evomnas
from evomnas.core.errors import InputError
from evomnas.deploy.card import model_card
from evomnas.deploy.saving import load_network, save_network
from evomnas.networks.network import build_network


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of a trained network's folder."""
    return shutil.copytree(trained.folder, tmp_path / "network")


def test_a_trained_network_comes_back_with_its_score(trained, task):
    network = evomnas.load_network(trained.folder)
    assert not network.training
    assert (network.classes, network.channels, network.resolution) == (tuple("0123456789"), 1, 8)
    assert task.score(task.predictions(network)) == trained.result.score
    for part in ("weights.safetensors", "model.json"):
        again = load_network(trained.folder / part)
        assert torch.equal(again.network.stem[0].weight, network.network.stem[0].weight)


def test_the_folder_says_what_the_network_is_and_where_it_comes_from(trained, finished_run):
    facts = json.loads((trained.folder / "model.json").read_text())
    score = trained.result.score
    assert facts["network"] == str(trained.network)
    assert facts["test"]["accuracy"] == pytest.approx(score.correct / 359)
    assert facts["test"]["interval"] == list(score.interval)
    row = next(one for one in finished_run.results() if one.evaluation.architecture == trained.network).to_dict()
    assert facts["origin"]["accuracy"] == row["accuracy"]
    assert facts["latency"]["ms"] == row["latency_ms"]
    assert facts["cost"]["params"] == row["params"]
    assert len(facts["losses"]) == finished_run.definition.full.epochs
    card = (trained.folder / "README.md").read_text()
    low, high = score.interval
    for text in (str(trained.network), f"{100 * score.accuracy:.2f} %", f"{100 * low:.2f} % to {100 * high:.2f} %"):
        assert text in card
    for text in ("nsga2, seed 3", f"{row['latency_ms']:.4f} ms", "1,438 images", "## Limits"):
        assert text in card
    assert {path.name for path in trained.folder.iterdir()} >= {"weights.safetensors", "model.json", "README.md"}
    assert not (trained.folder / "checkpoint.pt").exists()


def test_weights_of_another_architecture_are_refused_by_name(folder, finished_run):
    other = next(
        one.evaluation.architecture
        for one in finished_run.results()
        if str(one.evaluation.architecture) != json.loads((folder / "model.json").read_text())["network"]
    )
    facts = json.loads((folder / "model.json").read_text()) | {"network": str(other)}
    (folder / "model.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="holds weights of another network than .*: .* there and .* here"):
        load_network(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "cannot read .*format .*it is 2, and this evomnas reads 1: update evomnas"),
        ({"mean": [1.0, 2.0]}, "cannot read .*mean and std must have one value per channel"),
        ({"resolution": 10**9}, "cannot read .*resolution .*less than or equal to 4096"),
        ({"resolution": True}, "cannot read .*resolution .*valid integer"),
        ({"resolution": "8"}, "cannot read .*resolution .*valid integer"),
        ({"classes": list(range(10))}, "cannot read .*classes"),
        ({"classes": ["a"] * 10}, "classes must have different names"),
        ({"classes": "0123456789"}, "cannot read .*classes"),
        ({"classes": list("0123456789a")}, "holds weights of another network"),
        ({"mean": [float("nan")]}, "cannot read .*mean.0 .*finite"),
        ({"mean": [1e30]}, "cannot read .*mean.0 .*less than or equal to 255"),
        ({"std": [0.0]}, "cannot read .*std.0 .*greater than 0"),
        ({"std": [float("inf")]}, "cannot read .*std.0 .*finite"),
        ({"std": "1"}, "cannot read .*std"),
        ({"network": None}, "cannot read .*network .*string"),
        ({"network": 7}, "cannot read .*network .*string"),
        ({"weights": "0" * 64}, "is not the file that model.json describes"),
        ({"weights": "../x"}, "cannot read .*weights"),
        ({"network": "torchvision:os"}, "unknown network of torchvision 'os'"),
        ({"network": "stem8"}, "not an architecture"),
    ],
)
def test_wrong_facts_are_one_line(folder, change, message):
    facts = json.loads((folder / "model.json").read_text()) | change
    (folder / "model.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=message) as raised:
        load_network(folder)
    assert "\n" not in str(raised.value)


def test_facts_that_lack_something_name_it(folder):
    facts = json.loads((folder / "model.json").read_text())
    for name in ("network", "weights", "classes", "mean"):
        (folder / "model.json").write_text(json.dumps({key: value for key, value in facts.items() if key != name}))
        with pytest.raises(InputError, match=f"cannot read .*model.json: {name} Field required; evomnas train"):
            load_network(folder)


def rewritten(folder, state, network):
    """Put other weights into a folder, with facts that know their hash."""
    content = safetensors.torch.save(state, {"network": network})
    (folder / "weights.safetensors").write_bytes(content)
    facts = json.loads((folder / "model.json").read_text()) | {"weights": hashlib.sha256(content).hexdigest()}
    (folder / "model.json").write_text(json.dumps(facts))


def test_weights_of_equal_shapes_from_another_network_are_refused(folder, trained):
    """A stride changes no shape."""
    state = safetensors.torch.load_file(folder / "weights.safetensors")
    rewritten(folder, state, str(trained.network).replace("_s2", "_s1"))
    with pytest.raises(InputError, match="holds weights of another network than .*: they are of "):
        load_network(folder)


def test_weights_of_another_type_or_without_a_value_are_refused(folder, trained):
    state = safetensors.torch.load_file(folder / "weights.safetensors")
    rewritten(folder, state | {"classifier.bias": state["classifier.bias"].double()}, str(trained.network))
    with pytest.raises(
        InputError, match="classifier.bias must hold finite numbers of torch.float32, not torch.float64"
    ):
        load_network(folder)
    rewritten(folder, state | {"classifier.bias": state["classifier.bias"] * float("nan")}, str(trained.network))
    with pytest.raises(InputError, match="classifier.bias must hold finite numbers"):
        load_network(folder)


def test_the_same_network_is_the_same_file_and_a_misspelt_folder_is_none(trained, folder, tmp_path):
    facts = json.loads((folder / "model.json").read_text())
    save_network(tmp_path / "again", load_network(folder), trained.network, facts, "card")
    again = (tmp_path / "again" / "weights.safetensors").read_bytes()
    assert hashlib.sha256(again).hexdigest() == facts["weights"]
    with pytest.raises(InputError, match="typo holds no trained network"):
        load_network(folder / "typo")


def test_a_card_shows_names_from_outside_as_they_are(trained):
    facts = json.loads((trained.folder / "model.json").read_text()) | {"folder": 'it\'s "mine"', "latency_said": None}
    card = model_card(facts, ["[click](http://example.com)", "www.example.com", "a|b", "<b>x</b>", "two\nlines"])
    for live in ("](", "http:", "www.", "<b>", "a|b", "two\nlines"):
        assert live not in card
    code = card[card.index("```python") : card.index("  # a torch")]
    assert ast.literal_eval(code[code.index("load_network(") + 13 : -1]) == facts["folder"]
    assert "that are named above" not in card
    assert "that are named above" in (trained.folder / "README.md").read_text()


def test_what_is_missing_or_torn_is_one_line(folder, tmp_path):
    with pytest.raises(InputError, match=r"holds no trained network \(no model.json\): evomnas train writes"):
        load_network(tmp_path / "nowhere")
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot read the weights"):
        load_network(folder)
    weights.unlink()
    with pytest.raises(InputError, match="cannot read the weights"):
        load_network(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(InputError, match="cannot read .*model.json"):
        load_network(folder)


def test_a_network_from_the_shelf_comes_back(task, tmp_path):
    from evomnas.networks.torchvision_models import TorchvisionNetwork, build_any_network

    shelf = TorchvisionNetwork("mobilenet_v3_small")
    made = task.classifier(build_any_network(shelf, 10, 1, dropout=0.2, bn_momentum=0.1, seed=3))
    save_network(tmp_path / "it", made, shelf, {}, "card")
    images = torch.from_numpy(task.test.images[:3])
    torch.testing.assert_close(load_network(tmp_path / "it")(images), made(images))


def test_weights_are_checked_before_anything_is_loaded(task, tiny, tmp_path):
    made = task.classifier(build_network(tiny.space.mobilenet_v2(), 7, 1, seed=1))
    save_network(tmp_path / "it", made, tiny.space.mobilenet_v2(), {}, "card")
    with pytest.raises(InputError, match=r"classifier.bias is \(7,\) there and \(10,\) here"):
        load_network(tmp_path / "it")
