"""What evaluations are known by: everything that changes a result, and nothing else."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_problem import TINY

from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.in_process import InProcessExecutor
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.problem.loading import validate_definition
from evomnas.results.archive import Archive

ARCHIVE = Archive()
DATASETS: dict = {}

IRRELEVANT = [
    ("name", "another-name"), ("summary", "other words"), ("constraints.max_params", 10**9),
    ("hypervolume.reference_point", [0.5, 3.0]), ("space.se_ratios", [0.0]), ("space.layer_offsets", [0]),
    ("data.score", "macro-f1"), ("training.class_weights", "none"),
]  # fmt: skip
RECIPE = [
    ("training.epochs", 2), ("training.batch", 40), ("training.optimizer", "adamw"), ("training.learning_rate", 0.2),
    ("training.warmup", 0.1), ("training.momentum", 0.8), ("training.weight_decay", 0.0),
    ("training.label_smoothing", 0.0), ("training.bn_momentum", 0.2), ("training.dropout", 0.1), ("training.seed", 1),
    ("data.augment", ["shift"]), ("data.validation", 0.4), ("data.train_images", 150), ("data.folds", 3),
    ("training.class_weights", "balanced"),
]  # fmt: skip
DEVICE = [
    ("latency.threads", 2), ("latency.batch", 2), ("latency.resolution", 16), ("latency.runtime", "torch"),
    ("latency.method", "layers"), ("space.filters", [8, 12]),  # another reference network
]  # fmt: skip


def keys(changes: list[tuple[str, object]]) -> tuple[str, str]:
    """The contexts of trainings and of measurements."""
    values = copy.deepcopy(TINY)
    for place, value in changes:
        *sections, name = place.split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        target[name] = value
    definition = validate_definition(values)
    data = definition.data.model_dump_json()
    if data not in DATASETS:
        DATASETS[data] = load_dataset(definition.data)
    executor = InProcessExecutor(definition)
    evaluator = NetworkEvaluator(definition, DATASETS[data], ARCHIVE, executor, executor)
    evaluator.close()
    return evaluator.training_context, evaluator.measurement_context


@pytest.fixture(scope="module")
def base() -> tuple[str, str]:
    """The keys of the problem as it is."""
    return keys([])


@settings(max_examples=10)
@given(changes=st.lists(st.sampled_from(IRRELEVANT), unique_by=lambda change: change[0]))
def test_what_changes_no_result_changes_no_key(base, changes):
    assert keys(changes) == base


@pytest.mark.parametrize("change", RECIPE, ids=lambda change: change[0])
def test_every_change_of_the_recipe_or_the_images_misses_trainings_and_no_measurement(base, change):
    proxy, device = keys([*(other for other in IRRELEVANT if other[0] != change[0]), change])
    assert proxy != base[0]
    assert device == base[1]


@pytest.mark.parametrize("change", DEVICE, ids=lambda change: change[0])
def test_every_change_of_the_device_misses_measurements_and_no_training(base, change):
    proxy, device = keys([*(other for other in IRRELEVANT if not other[0].startswith("space.")), change])
    assert proxy == base[0]
    assert device != base[1]


def test_two_recipes_never_share_a_key():
    assert len({keys([change])[0] for change in RECIPE}) == len(RECIPE)
