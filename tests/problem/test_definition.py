"""Problem files: what is accepted, and that every fault is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import builtin_problems, load_definition, validate_definition


@pytest.mark.parametrize("name", sorted(builtin_problems()))
def test_built_in_problems_are_valid(name):
    definition = load_definition(name)
    assert definition.name == name
    if isinstance(definition, ProblemDefinition):  # the others need a table
        assert definition.space.decode(definition.space.reference()) == definition.space.mobilenet_v2()


def test_overrides_change_single_values():
    overrides = ["training.epochs=9", "data.dataset=npz", "space.kernels=[3]", "training.learning_rate = 0.5"]
    definition = load_definition("digits", overrides)
    assert definition.training.epochs == 9
    assert definition.data.dataset == "npz"
    assert definition.space.kernels == (3,)
    assert definition.training.learning_rate == 0.5


def test_paths_are_relative_to_the_file_or_to_where_the_override_was_typed(tiny_file, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    tiny_file.write_text(tiny_file.read_text().replace("[data]", '[data]\npath = "photos"'))
    monkeypatch.chdir(elsewhere)
    assert load_definition(tiny_file).data.path == tmp_path / "photos"
    assert load_definition(tiny_file, ["data.path=mine"]).data.path == elsewhere / "mine"


@pytest.mark.parametrize(
    ("problem", "overrides", "message"),
    [
        ("digit", [], "unknown problem 'digit': there are .*did you mean digits"),
        ("nowhere.toml", [], "cannot read the problem file"),
        ("digits", ["training.epoch=3"], "unknown key 'training.epoch': .*did you mean training.epochs"),
        ("digits", ["space.fiters=[3]"], "unknown key 'space.fiters'.*did you mean space.filters"),
        ("digits", ["trainin.epochs=3"], "unknown key 'trainin'.*did you mean training"),
        ("digits", ["training.epochs=0"], "training.epochs: .*greater than or equal to 1, got '0'"),
        ("digits", ["training.epochs"], "write it as section.key=value"),
        ("digits", ["name.x=3"], "name is a value, not a section"),
        ("digits", ["data.dataset=cifar"], "unknown dataset 'cifar'.*did you mean cifar10"),
        ("digits", ["latency.runtime=tflite"], "unknown runtime 'tflite': there are executorch, onnxruntime, torch"),
        ("digits", ["data.resolution=2"], "block 4 brings the total stride to 4, more than the image's 2 pixels"),
        ("digits", ["space.ops=['conv', 'skip']"], "space: unknown op 'skip'"),
        ("digits", ["training.epochs=1\nfoo=2"], "training.epochs: "),
        ("digits", ["training.epochs=" + "[" * 3000], "training.epochs: "),
        ("digits", ['data.path="a\\u0000b"'], "null character"),
        ("~nobody/x.toml", [], "cannot read the problem file"),
        ("digits", ["name='../x'"], "name: string should match pattern"),
        ("digits", ["training.epochs=-1", "training.batch=1"], "training.epochs.*; training.batch"),
        (
            "digits",
            [
                "data.dataset=digit",
                "latency.runtime=onyx",
                "training.optimizer=sdg",
                "space.ops=['convv']",
                "space.kernels=[4]",
                "training.epoch=2",
                "latency.target=ssh://",
            ],
            "(?=.*space: unknown op 'convv')(?=.*kernel size 4)(?=.*did you mean digits)(?=.*unknown runtime 'onyx')"
            "(?=.*unknown training.optimizer 'sdg': there are adamw, rmsprop, sgd; did you mean sgd)"
            "(?=.*unknown key 'training.epoch')(?=.*latency.target: cannot read the target 'ssh://')",
        ),
        (
            "digits",
            ["space.fitlers=[3]", "space.stem='x'", "space.ops=['no']", "space.layers=3", "data=1"],
            "(?=.*did you mean space.filters)(?=.*space.stem)(?=.*unknown op 'no')"
            "(?=.*space.layers: input should be a list)(?=.*data: input should be a section of keys)",
        ),
        ("digits", ["training.learning_rate=nan"], "training.learning_rate: input should be a finite number"),
    ],
)
def test_faults_are_named_with_what_is_allowed(problem, overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        load_definition(problem, overrides)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_toml_says_so(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[space\n")
    with pytest.raises(InputError, match="not valid TOML"):
        load_definition(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read the problem file"):
        load_definition(path)


def test_a_definition_survives_its_own_json():
    definition = load_definition("digits", ["data.path=somewhere"])
    again = validate_definition(definition.model_dump(mode="json"))
    assert again == definition
    assert isinstance(again.data.path, Path)
