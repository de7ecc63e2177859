"""Settings that suit somebody's images: epochs, batch, folds, resolution and space by number and size."""

from __future__ import annotations

import pytest

from evomnas.problem.loading import load_definition
from evomnas.problem.sections import DataSection
from evomnas.problem.typed.suiting import (
    FOLDED_PASSES,
    MAX_EPOCHS,
    MIN_EPOCHS,
    PASSES,
    SMALL_SPACE,
    SUITED,
    OwnImages,
    suggest,
)

USUAL = DataSection(dataset="image-folder", resolution=96)
SIZE = {"data.resolution", *SMALL_SPACE}


def chosen(images: OwnImages, typed=(), data: DataSection = USUAL) -> dict[str, str]:
    return {key: value for one in suggest(images, data, typed) for key, value in one.settings.items()}


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (45, {"data.folds": "5", "training.epochs": "30", "training.batch": "16"}),
        (200, {"data.folds": "5", "training.epochs": "15", "training.batch": "16"}),  # 12,000 / (5 x 160)
        (499, {"data.folds": "5", "training.epochs": "6", "training.batch": "16"}),  # 12,000 / (5 x 399)
        (500, {"training.epochs": "10", "training.batch": "16"}),  # 4,000 / 400
        (700, {"training.epochs": "7"}),  # 4,000 / 560
        (1_000, {}),  # the usual settings: 5 epochs, batches of 32, a fifth validates
        (100_000, {}),
    ],
)
def test_fewer_images_get_more_epochs_and_folds(count, settings):
    assert chosen(OwnImages(count, 300)) == settings


@pytest.mark.parametrize("count", [2, 3, 20, 77, 160, 499, 500, 777, 1_500, 1_999, 2_400])
def test_candidates_of_few_images_see_about_equally_many(count):
    settings = chosen(OwnImages(count, 300))
    epochs, folds = int(settings.get("training.epochs", MIN_EPOCHS)), int(settings.get("data.folds", 1))
    passes = epochs * (count * (folds - 1) if folds > 1 else 0.8 * count)
    assert MIN_EPOCHS <= epochs <= MAX_EPOCHS
    wanted = FOLDED_PASSES if folds > 1 else PASSES
    assert passes <= wanted * 1.15 or epochs == MIN_EPOCHS
    assert passes >= wanted * 0.85 or epochs == MAX_EPOCHS
    assert folds <= max(count, 5)


@pytest.mark.parametrize(
    ("side", "resolution"), [(8, 8), (32, 32), (48, 48), (64, 64), (96, None), (500, None), (None, None)]
)
def test_pictures_are_not_enlarged_and_small_ones_get_a_space_of_smaller_strides(side, resolution):
    found = chosen(OwnImages(5_000, side))
    assert found.get("data.resolution") == (None if resolution is None else str(resolution))
    assert (SMALL_SPACE.items() <= found.items()) == (side is not None and side <= 48)


def test_the_space_of_small_images_is_that_of_the_built_in_problem():
    built_in = load_definition("fashion-mnist").space
    ours = load_definition("images", [f"{key}={value}" for key, value in SMALL_SPACE.items()] + ["data.path=."])
    assert ours.space == built_in


@pytest.mark.parametrize(
    ("typed", "gone", "kept"),
    [
        (["training.epochs"], {"training.epochs"}, {"data.folds", "training.batch"}),
        (["training.epochs", "training.batch"], {"training.epochs", "training.batch"}, {"data.folds"}),
        (["data.validation"], {"data.folds"}, {"training.epochs"}),
        (["data.folds"], {"data.folds"}, {"training.epochs"}),
        (["space.width"], set(SMALL_SPACE), {"data.resolution"}),
        (["data.resolution"], SIZE, set()),  # 96 pixels were typed
    ],
)
def test_what_somebody_typed_stays(typed, gone, kept):
    found = chosen(OwnImages(200, 32), typed)
    assert not gone & found.keys()
    assert kept <= found.keys()


def test_all_that_a_command_must_repeat_is_suited_and_switches_the_rest_off():
    """A command with these keys gives the same problem again, whatever the images are by then."""
    assert chosen(OwnImages(200, 32), SUITED) == {}


def test_folds_that_somebody_typed_count_for_the_epochs():
    folds = USUAL.model_copy(update={"folds": 2})
    assert chosen(OwnImages(1_000, 300), ["data.folds"], folds)["training.epochs"] == "12"  # 12,000 / (2 x 500)


def test_validation_images_of_the_owner_need_no_folds():
    found = chosen(OwnImages(300, 300, validating=100))
    assert found == {"training.epochs": "20", "training.batch": "16"}  # 4,000 / 200


def test_arrays_keep_the_size_that_chose_their_settings():
    assert not SIZE & chosen(OwnImages(200, 28), data=DataSection(dataset="npz", resolution=28)).keys()


def test_each_suggestion_gives_its_reason():
    lines = [one.describe() for one in suggest(OwnImages(200, 32), USUAL, ())]
    assert lines == [
        "data.resolution = 32: the middle picture has no more than 32 pixels",
        "space.width = 0.35, space.stem_stride = 2, space.strides = [1, 2, 1, 2, 1, 1, 1], "
        "space.layers = [1, 2, 2, 3, 2, 2, 1], space.head = 320: the usual strides would leave 1x1 of 32x32 pixels",
        "data.folds = 5: so all images validate; some 40 alone would tell an accuracy to ±8 points",  # 50 / sqrt(40)
        "training.epochs = 15, training.batch = 16: "
        "5 epochs of 32 images a step are 25 steps with some 160 images to train on",
    ]
