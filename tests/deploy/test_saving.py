"""Trained networks in folders: they come back as they were, and what is wrong with one is said in a line."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import evomnas
from evomnas.core.errors import InputError
from evomnas.data.photographs import Preprocessing
from evomnas.deploy.cards.card import ModelDetails, model_card, replace_usage
from evomnas.deploy.cards.markdown import escape_markdown
from evomnas.deploy.saving import load_network, save_network
from evomnas.networks.network import build_network

OLD = Path(__file__).parents[1] / "version_0_1" / "runs" / "tiny-nsga2-s1" / "networks" / "2b1f90b9" / "model.json"


GREY = Preprocessing(channels=1, resolution=8, fit="crop")


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of a trained network's folder."""
    return shutil.copytree(trained.folder, tmp_path / "network")


def change_manifest(folder, **changes):
    """Change some keys of a folder's model.json."""
    content = json.loads((folder / "model.json").read_text()) | changes
    (folder / "model.json").write_text(json.dumps(content))


def test_a_trained_network_comes_back_with_its_score(trained, task):
    network = evomnas.load_network(trained.folder)
    assert not network.training
    assert (network.classes, network.channels, network.resolution) == (tuple("0123456789"), 1, 8)
    assert task.score(task.predictions(network)) == trained.result.score
    for part in ("weights.safetensors", "model.json"):
        again = load_network(trained.folder / part)
        assert torch.equal(again.network.stem[0].weight, network.network.stem[0].weight)


def test_the_folder_says_what_the_network_is_and_where_it_comes_from(trained, finished_run):
    content = json.loads((trained.folder / "model.json").read_text())
    score = trained.result.score
    assert content["network"] == str(trained.network)
    assert content["test"]["accuracy"] == pytest.approx(score.correct / 359)
    assert content["test"]["interval"] == list(score.interval)
    row = next(one for one in finished_run.results() if one.evaluation.architecture == trained.network).to_dict()
    assert content["origin"]["accuracy"] == row["accuracy"]
    assert content["latency"]["ms"] == row["latency_ms"]
    assert content["cost"]["params"] == row["params"]
    assert len(content["losses"]) == finished_run.definition.full.epochs
    card = (trained.folder / "README.md").read_text()
    low, high = score.interval
    for text in (str(trained.network), f"{100 * score.accuracy:.2f} %", f"{100 * low:.2f} % to {100 * high:.2f} %"):
        assert text in card
    for text in ("nsga2, seed 3", f"{row['latency_ms']:.4f} ms", "1,438 images", "## Limits"):
        assert text in card
    assert {path.name for path in trained.folder.iterdir()} >= {"weights.safetensors", "model.json", "README.md"}
    assert not (trained.folder / "checkpoint.pt").exists()


def test_the_file_has_the_keys_of_version_0_1_in_the_same_order_and_says_how_pictures_are_fitted(trained):
    """And details that are read from such a file are written as they were."""
    old = json.loads(OLD.read_text())
    new = json.loads((trained.folder / "model.json").read_text())
    assert [name for name in new if name != "fit"] == [*old]
    assert new["fit"] == "crop"
    for name in ("origin", "cost", "test", "latency", "machine"):
        assert [*new[name]][: len(old[name])] == [*old[name]]  # younger keys come last
    for content in (old, new):
        details = ModelDetails.model_validate(content).to_json()
        assert details == {name: content[name] for name in details}
        assert content.keys() - details.keys() - {"fit"} == {
            "format", "network", "id", "weights", "classes", "channels", "resolution", "mean", "std"
        }  # fmt: skip


def test_details_of_a_network_that_no_search_found_name_no_search(trained):
    content = json.loads(OLD.read_text())
    content["origin"] = {"problem": "tiny", "data": "digits"}
    details = ModelDetails.model_validate(content)
    assert details.to_json()["origin"] == content["origin"]
    card = model_card(details, ["a", "b"], GREY)
    assert "Found by" not in card
    assert "Validation accuracy" not in card


def test_weights_of_another_architecture_are_refused_by_name(folder, finished_run):
    other = next(
        one.evaluation.architecture
        for one in finished_run.results()
        if str(one.evaluation.architecture) != json.loads((folder / "model.json").read_text())["network"]
    )
    change_manifest(folder, network=str(other))
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
def test_a_wrong_manifest_is_one_line(folder, change, message):
    change_manifest(folder, **change)
    with pytest.raises(InputError, match=message) as raised:
        load_network(folder)
    assert "\n" not in str(raised.value)


def test_a_manifest_that_lacks_something_names_it(folder):
    content = json.loads((folder / "model.json").read_text())
    for name in ("network", "weights", "classes", "mean"):
        (folder / "model.json").write_text(json.dumps({key: value for key, value in content.items() if key != name}))
        with pytest.raises(InputError, match=f"cannot read .*model.json: {name} Field required; evomnas train"):
            load_network(folder)


def test_what_is_for_people_may_be_changed_or_missing(folder):
    content = json.loads((folder / "model.json").read_text())
    for name in ("title", "origin", "cost", "test", "latency", "latency_said", "recipe", "recipe_said"):
        (folder / "model.json").write_text(json.dumps({key: value for key, value in content.items() if key != name}))
        assert load_network(folder).classes == tuple(content["classes"])
        change_manifest(folder, **{name: ["mine"]})
        assert load_network(folder).classes == tuple(content["classes"])


def rewrite_weights(folder, state, network):
    """Put other weights into a folder, with a manifest that has their hash."""
    content = safetensors.torch.save(state, {"network": network})
    (folder / "weights.safetensors").write_bytes(content)
    change_manifest(folder, weights=hashlib.sha256(content).hexdigest())


def test_weights_of_equal_shapes_from_another_network_are_refused(folder, trained):
    """A stride changes no shape."""
    state = safetensors.torch.load_file(folder / "weights.safetensors")
    rewrite_weights(folder, state, str(trained.network).replace("_s2", "_s1"))
    with pytest.raises(InputError, match="holds weights of another network than .*: they are of "):
        load_network(folder)


def test_weights_of_another_type_or_without_a_value_are_refused(folder, trained):
    state = safetensors.torch.load_file(folder / "weights.safetensors")
    rewrite_weights(folder, state | {"classifier.bias": state["classifier.bias"].double()}, str(trained.network))
    with pytest.raises(
        InputError, match="classifier.bias must hold finite numbers of torch.float32, not torch.float64"
    ):
        load_network(folder)
    rewrite_weights(folder, state | {"classifier.bias": state["classifier.bias"] * float("nan")}, str(trained.network))
    with pytest.raises(InputError, match="classifier.bias must hold finite numbers"):
        load_network(folder)


def test_the_same_network_is_the_same_file_and_a_misspelt_folder_is_none(trained, folder, tmp_path):
    text = (folder / "model.json").read_text()
    details = ModelDetails.model_validate_json(text)
    save_network(tmp_path / "again", load_network(folder), trained.network, details, "card")
    again = (tmp_path / "again" / "weights.safetensors").read_bytes()
    assert hashlib.sha256(again).hexdigest() == json.loads(text)["weights"]
    assert (tmp_path / "again" / "model.json").read_text() == text
    with pytest.raises(InputError, match="typo holds no trained network"):
        load_network(folder / "typo")


def test_a_card_shows_names_from_outside_as_they_are(trained):
    content = json.loads((trained.folder / "model.json").read_text())
    details = ModelDetails.model_validate(content | {"latency_said": None})
    names = ["[click](http://example.com)", "www.example.com", "a|b", "<b>x</b>", "two\nlines"]
    card = model_card(details, names, GREY)
    for live in ("click](", "http:", "www.", "<b>", "a|b", "two\nlines"):
        assert live not in card
    assert "that are named above" not in card


def test_ordinary_text_stays_as_it_is_on_a_card(trained):
    card = (trained.folder / "README.md").read_text()
    assert "&#" not in card
    assert "\\" not in card
    for text in ("tiny: digits of 8 pixels, two blocks", "black_cat & co.", "8 -> 4, 50 % (half); it's 12:30", "C3"):
        assert escape_markdown(text) == text


AWKWARD = [*" \t\\`*_[]()<>&|~:@.#$!-+=1a", "www", "http", "amp;", "x27;", "\n", "é"]


@given(st.lists(st.sampled_from(AWKWARD)).map("".join))
def test_any_text_is_shown_as_it_is_in_a_table_and_in_a_title(text):
    """By a renderer of Markdown with HTML, tables and strikethrough."""
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    words = " ".join(text.split())
    escaped = escape_markdown(text)
    table = markdown.parse(f"| {escaped} | second |\n| --- | --- |\n")
    cells = [token for token in table if token.type == "inline"]
    assert [plain(cell) for cell in cells] == [words, "second"]
    title = markdown.parse(f"# {escaped}\n")
    assert [plain(token) for token in title if token.type == "inline"] == [words]


def plain(inline) -> str:
    """The text of a part of a page, which must be nothing but text."""
    assert {token.type for token in inline.children} <= {"text", "text_special"}
    return "".join(token.content for token in inline.children)


def test_new_usage_leaves_what_users_wrote_on_a_card():
    mine = "# Mine\n\nby me\n\n## Use\n\nold\n```python\n# a comment\n```\n\n## Licence\n\nCC0\n"
    assert replace_usage(mine, "## Use\n\nnew\n") == "# Mine\n\nby me\n\n## Use\n\nnew\n\n## Licence\n\nCC0\n"
    assert replace_usage("# Mine\n\n## Use\n", "## Use\n\nnew\n") == "# Mine\n\n## Use\n\nnew\n"
    assert replace_usage("# Mine\n", "## Use\n\nnew\n") == "# Mine\n\n## Use\n\nnew\n"
    assert replace_usage("", "## Use\n\nnew\n") == "## Use\n\nnew\n"


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


def test_an_off_the_shelf_network_comes_back(task, tmp_path):
    from evomnas.networks.torchvision_models import TorchvisionNetwork, build_any_network

    network = TorchvisionNetwork("mobilenet_v3_small")
    classifier = task.build_classifier(build_any_network(network, 10, 1, dropout=0.2, bn_momentum=0.1, seed=3))
    save_network(tmp_path / "it", classifier, network, None, "card")
    images = torch.from_numpy(task.test.images[:3])
    torch.testing.assert_close(load_network(tmp_path / "it")(images), classifier(images))


def test_weights_are_checked_before_anything_is_loaded(task, tiny, tmp_path):
    classifier = task.build_classifier(build_network(tiny.space.mobilenet_v2(), 7, 1, seed=1))
    save_network(tmp_path / "it", classifier, tiny.space.mobilenet_v2(), None, "card")
    with pytest.raises(InputError, match=r"classifier.bias is \(7,\) there and \(10,\) here"):
        load_network(tmp_path / "it")


def test_loading_a_network_imports_no_search_no_archive_and_no_runtime(trained):
    code = """
import sys, evomnas
evomnas.load_network(sys.argv[1])
heavy = ("evomnas", "scipy", "pymoo", "onnxruntime", "torchvision")
print(*sorted(name for name in sys.modules if name.partition(".")[0] in heavy))
"""
    command = [sys.executable, "-c", code, str(trained.folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] if "." in name else name for name in result.stdout.split()}
    assert rooms == {"evomnas", "core", "data", "deploy", "networks", "problem"}
    assert "evomnas.deploy.saving" in result.stdout
