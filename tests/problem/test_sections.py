"""Keys of a problem file: which values are allowed, exactly, and what holds where none is given."""

from __future__ import annotations

import math

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition, validate_definition
from evomnas.problem.sections import ConstraintsSection, DataSection, FullSection, LatencySection, TrainingSection

TINY = {"name": "a", "data": {"dataset": "digits", "resolution": 32}, "training": {"epochs": 1}}

RANGES = [  # the last values that are allowed, and the first ones that are not
    ("data.resolution", ["32", "4096"], ["0", "4097"]),  # below 32 the network does not fit: see test_definition.py
    ("data.validation", ["0.001", "0.999"], ["0.0", "1.0"]),
    ("data.train_images", ["1"], ["0"]),
    ("training.epochs", ["1"], ["0"]),
    ("training.batch", ["2"], ["1"]),
    ("training.learning_rate", ["1e-9", "100.0"], ["0.0"]),
    ("training.warmup", ["0.0", "0.999"], ["1.0", "-0.1"]),
    ("training.momentum", ["0.0", "0.999"], ["1.0", "-0.1"]),
    ("training.weight_decay", ["0.0", "100.0"], ["-1e-9"]),
    ("training.label_smoothing", ["0.0", "0.999"], ["1.0", "-0.1"]),
    ("training.bn_momentum", ["1e-9", "1.0"], ["0.0", "1.01"]),
    ("training.dropout", ["0.0", "0.999"], ["1.0", "-0.1"]),
    ("training.seed", ["0", "9223372036854775807"], ["-1", "9223372036854775808"]),
    ("full.epochs", ["1"], ["0"]),
    ("full.learning_rate", ["1e-9"], ["0.0"]),
    ("full.warmup", ["0.0", "0.999"], ["1.0", "-0.1"]),
    ("full.weight_decay", ["0.0"], ["-1e-9"]),
    ("full.bn_momentum", ["1e-9", "1.0"], ["0.0", "1.01"]),
    ("full.dropout", ["0.0", "0.999"], ["1.0", "-0.1"]),
    ("full.final_rate", ["1e-9", "1.0"], ["0.0", "1.01"]),
    ("full.averaging", ["1e-9", "0.999"], ["0.0", "1.0"]),
    ("full.temperature", ["1e-9", "100.0"], ["0.0"]),
    ("full.teaching", ["0.0", "1.0"], ["-0.01", "1.01"]),
    ("latency.threads", ["1"], ["0"]),
    ("latency.batch", ["1"], ["0"]),
    ("latency.resolution", ["32", "4096"], ["0", "4097"]),
    ("constraints.max_latency_ms", ["1e-9"], ["0.0"]),
    ("constraints.max_params", ["1"], ["0"]),
    ("constraints.max_macs", ["1"], ["0"]),
    ("constraints.max_peak_kb", ["1e-9"], ["0.0"]),
    ("hypervolume.reference_point", ["[1.0, 1e9]", "[1e-9, 1e-9]"], ["[1.01, 1.0]", "[0.0, 1.0]", "[1.0, 0.0]"]),
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text('name = "a"\n[data]\ndataset = "digits"\nresolution = 32\n[training]\nepochs = 1\n')
    return path


@pytest.mark.parametrize(("key", "allowed", "refused"), RANGES, ids=[key for key, *_ in RANGES])
def test_a_range_ends_where_it_should(key, allowed, refused, file):
    for value in allowed:
        load_definition(file, [f"{key}={value}"])
    for value in refused:
        with pytest.raises(InputError, match=rf"{key}.*got"):
            load_definition(file, [f"{key}={value}"])


@pytest.mark.parametrize("name", ["a", "9", "a" * 64, "a.b_c-d"])
def test_a_name_can_be_part_of_a_folder_s(name):
    assert validate_definition(TINY | {"name": name}).name == name


@pytest.mark.parametrize("name", ["", "a" * 65, "-a", ".a", "a/b", "a b", "a\n"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="name: string should match pattern"):
        validate_definition(TINY | {"name": name})


def test_the_full_recipe_is_the_paper_s_scaled_to_its_length():
    """350 epochs of 1,281,167 images in batches of 4096; learning rate 0.256, which falls by 0.97 every 2.4 epochs."""
    full = FullSection()
    steps = 350 * 1_281_167 / 4096
    assert full.final_rate == pytest.approx(0.97 ** (350 / 2.4), rel=0.05)
    assert full.averaging == pytest.approx(10_000 / steps, rel=0.05)  # an average with decay 0.9999
    assert full.rmsprop_epsilon == pytest.approx(math.sqrt(0.001), rel=1e-3)
    assert full.learning_rate * 256 / full.batch == pytest.approx(0.256 / 4096 * 256)
    assert (full.optimizer, full.momentum, full.weight_decay, full.bn_momentum, full.dropout) == (
        "rmsprop", 0.9, 1e-5, 0.01, 0.2,
    )  # fmt: skip
    assert full.warmup == pytest.approx(5 / 350, abs=0.05)
    assert full.label_smoothing == 0.1


def test_what_a_file_leaves_out_is_as_documented():
    """docs/problem-files.md lists the defaults; they are part of what an archive's keys are made of."""
    definition = validate_definition(TINY)
    assert isinstance(definition, ProblemDefinition)
    assert definition.data == DataSection(
        dataset="digits", resolution=32, path=None, validation=0.2, train_images=None, augment=()
    )
    assert definition.training == TrainingSection(
        epochs=1, batch=64, optimizer="sgd", learning_rate=0.1, warmup=0.2, momentum=0.9, weight_decay=1e-4,
        label_smoothing=0.1, bn_momentum=0.1, dropout=0.0, seed=0,
    )  # fmt: skip
    assert definition.full == FullSection(
        epochs=60, batch=64, optimizer="rmsprop", learning_rate=0.004, warmup=0.05, momentum=0.9, weight_decay=1e-5,
        label_smoothing=0.1, bn_momentum=0.01, dropout=0.2, seed=0, final_rate=0.012, averaging=0.09, augment=None,
        temperature=4.0, teaching=0.5,
    )  # fmt: skip
    assert definition.latency == LatencySection(
        runtime="onnxruntime", target="local", method="network", threads=1, batch=1, resolution=None
    )
    assert definition.constraints == ConstraintsSection(max_latency_ms=None, max_params=None, max_macs=None)
    assert definition.hypervolume.reference_point == (1.0, 2.0)
    assert definition.summary == ""


def test_the_proxy_task_s_rmsprop_has_the_usual_epsilon():
    assert TrainingSection.rmsprop_epsilon == 1e-3


def test_sections_are_values_that_nobody_can_change():
    definition = validate_definition(TINY)
    assert hash(definition.data) == hash(validate_definition(TINY).data)
    for section in (definition, definition.data, definition.training, definition.latency):
        with pytest.raises(ValueError, match="frozen"):
            section.__setattr__(next(iter(type(section).model_fields)), 1)


def test_trained_networks_are_judged_by_the_score_of_the_search_or_where_that_is_a_likelihood_by_accuracy():
    scores = ("accuracy", "balanced-accuracy", "macro-f1", "likelihood")
    judged = [DataSection(dataset="digits", resolution=32, score=score).test_score for score in scores]
    assert judged == ["accuracy", "balanced-accuracy", "macro-f1", "accuracy"]


@pytest.mark.parametrize(("section", "known"), [("training", "training.epochs"), ("data", "data.resolution")])
def test_an_unknown_key_is_told_beside_those_of_its_own_section(section, known):
    with pytest.raises(InputError, match=f"{section}.nothing") as caught:
        validate_definition({**TINY, section: {**TINY[section], "nothing": 1}})
    assert known in str(caught.value)
    assert "summary" not in str(caught.value)
