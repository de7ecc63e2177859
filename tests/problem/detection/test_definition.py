"""Problem files whose networks find things in images."""

from __future__ import annotations

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.counting import count_gate_macs
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.detection.definition import DetectionDefinition
from evomnas.problem.loading import validate_definition
from evomnas.problem.published import published

SHAPES = {
    "name": "shapes", "task": "detection",
    "space": {"filters": [8, 16], "layers": [1, 1], "strides": [2, 2], "stem": 8, "head": 32, "divisor": 4},
    "data": {"dataset": "boxes", "path": "/shapes", "resolution": 96, "score": "ap50"},
    "training": {"epochs": 2},
}  # fmt: skip


def changed(section: str, **values: object) -> dict[str, object]:
    return {**SHAPES, section: {**SHAPES.get(section, {}), **values}}


def without_task(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name != "task"}


def test_a_problem_of_detection_has_recipes_and_words_of_its_own():
    problem = validate_definition(SHAPES)
    assert isinstance(problem, DetectionDefinition)
    assert (problem.training.batch, problem.training.learning_rate, problem.data.augment) == (8, 0.03, ("flip", "zoom"))
    assert problem.axes == ("validation AP50 (%)", "latency (ms)")
    assert problem.words.best == "best"
    assert problem.training_context == {"task": "detection"}
    assert validate_definition(problem.model_dump(mode="json")) == problem


def test_the_score_is_ap_unless_the_file_says_ap50():
    data = {name: value for name, value in SHAPES["data"].items() if name != "score"}
    assert validate_definition({**SHAPES, "data": data}).score_words == "AP"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**SHAPES, "task": "counting"}, "unknown task 'counting': there are detection"),
        (changed("data", score="accuracy"), "unknown data.score 'accuracy': there are ap, ap50"),
        (changed("data", augment=["cutmix"]), "unknown data.augment.0 'cutmix': there are flip, zoom"),
        (changed("data", resolution=64), "a detector takes images of 96 to 512 pixels a side"),
        (changed("space", resolutions=[64, 96]), "a detector takes images of 96 to 512 pixels a side"),
        (changed("training", class_weights="balanced"), "training.class_weights is for networks that tell classes"),
        (changed("training", dropout=0.2), "training.dropout is for networks that tell classes apart: drop it"),
        (changed("latency", method="layers"), r"detectors are measured whole: drop latency.method"),
        (changed("latency", precision="int8"), "detectors are searched as float networks: drop latency.precision"),
        (changed("weights", donor="mobilenet-v2"), r"start from random weights: drop --donor, or \[weights\]"),
        (without_task(changed("data", score="accuracy")), 'add task = "detection"'),
    ],
)  # fmt: skip
def test_what_does_not_suit_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        validate_definition(values)


def test_networks_that_tell_classes_apart_keep_their_archives():
    problem = validate_definition(
        {**{k: v for k, v in SHAPES.items() if k != "task"}, "data": {"dataset": "digits", "resolution": 8}}
    )
    assert type(problem) is ProblemDefinition
    assert problem.training_context == {}
    assert "task" not in problem.model_dump(mode="json")


def test_the_costs_of_a_candidate_are_those_of_the_whole_detector():
    """MnasNet-A1 with 91 logits: the published size."""
    network, shape = published("mnasnet-a1"), {"classes": 90, "channels": 3, "resolution": 320}
    counts = validate_definition(SHAPES).count(network, shape)
    assert (counts.params, counts.macs + count_gate_macs(network)) == (4_912_181, 837_819_232)
