"""Arrays that are not quite right: the message says the one line that mends them, and that line does."""

from __future__ import annotations

import re

import numpy
import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.data.first_look import check_images
from evomnas.data.gallery.listing import list_images
from evomnas.data.splits import load_training_images
from evomnas.deploy.testsplit import load_test_images
from evomnas.problem.loading import load_definition

RNG = np.random.default_rng(4)
PIXELS = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4


def write(tmp_path, **changes):
    arrays = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS[:8], "y_test": LABELS[:8]} | changes
    np.savez(tmp_path / "a.npz", **{name: value for name, value in arrays.items() if value is not None})
    return tmp_path / "a.npz"


def check(path):
    """What `evomnas run FILE` checks, and then reads."""
    definition = load_definition(str(path), ["data.resolution=32"])
    check_images(definition)
    return load_training_images(definition.data)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (PIXELS / 255, PIXELS),
        ((PIXELS / 255).astype(np.float32), PIXELS),
        ((PIXELS / 127.5 - 1).astype(np.float32), PIXELS),
        (PIXELS.astype(np.float64), PIXELS),
        (PIXELS.astype(np.int64), PIXELS),
        (PIXELS.astype(np.uint16) * 257, PIXELS),
        (PIXELS > 127, 255 * (PIXELS > 127).astype(np.uint8)),
        (COLOURS.transpose(0, 3, 1, 2), COLOURS),
        ((COLOURS / 255).transpose(0, 3, 1, 2), COLOURS),
        (PIXELS[:, None], PIXELS[..., None]),
        (np.concatenate([COLOURS, COLOURS[..., :1]], axis=3), COLOURS),
    ],
)
@pytest.mark.parametrize("names", [("x_train", "y_train"), ("train_images", "train_labels")])
def test_images_are_mended_by_the_line_of_the_message(images, expected, names, tmp_path):
    changes = {names[0]: images, names[1]: LABELS}
    if names[0] == "train_images":
        changes |= dict.fromkeys(("x_train", "y_train", "x_test", "y_test"))
    with pytest.raises(InputError, match="images must be uint8 of shape .*, got .* mends it$") as caught:
        check(write(tmp_path, **changes))
    line = re.search(rf": ({names[0]} = .*) mends it$", str(caught.value))[1]
    scope = {names[0]: images, "numpy": numpy}
    exec(line, scope)
    np.testing.assert_array_equal(scope[names[0]], expected)
    changes[names[0]] = scope[names[0]]
    if names[0] == "x_train" and scope[names[0]].ndim == 4:
        changes["x_test"] = scope[names[0]][:8]
    assert len(check(write(tmp_path, **changes)).labels) > 0


@pytest.mark.parametrize(
    "images", [PIXELS - 300.0, np.full((40, 8, 8), np.nan), np.zeros((40, 64), np.uint8), PIXELS.astype(complex)]
)
def test_images_that_nobody_can_mend_get_no_such_line(images, tmp_path):
    with pytest.raises(InputError, match="images must be uint8 of shape") as caught:
        check(write(tmp_path, x_train=images))
    assert "mends" not in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS + 1,
        np.eye(4)[LABELS],
        np.eye(4, dtype=np.uint8)[LABELS],
        LABELS.astype(float),
        np.array(list("abcd"))[LABELS],
    ],
)
def test_labels_are_mended_by_the_line_of_the_message(labels, tmp_path):
    with pytest.raises(InputError, match="y_train = .* mends it") as caught:
        check(write(tmp_path, y_train=labels))
    line = re.search(r"(y_train = .*?) mends it", str(caught.value))[1]
    scope = {"y_train": labels, "numpy": numpy}
    exec(line, scope)
    np.testing.assert_array_equal(scope["y_train"], LABELS)
    assert check(write(tmp_path, y_train=scope["y_train"])).classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("labels", [LABELS - 0.5, np.tile(LABELS[:, None], 3), LABELS - 1, np.full(40, np.nan)])
def test_labels_that_nobody_can_mend_get_no_such_line(labels, tmp_path):
    with pytest.raises(InputError, match="one non-negative integer per image of x_train") as caught:
        check(write(tmp_path, y_train=labels))
    assert "mends" not in str(caught.value)


MEDMNIST = {
    "train_images": PIXELS, "train_labels": LABELS[:, None], "val_images": PIXELS[:8, ::-1],
    "val_labels": LABELS[:8, None], "test_images": PIXELS[:, :, ::-1], "test_labels": LABELS[:, None],
    "x_train": None, "y_train": None, "x_test": None, "y_test": None,
}  # fmt: skip


def test_with_medmnist_s_names_val_validates_and_test_is_for_the_end(tmp_path):
    path = write(tmp_path, **MEDMNIST)
    definition = load_definition(str(path))
    assert (definition.data.dataset, definition.data.resolution) == ("npz", 8)
    training = load_training_images(definition.data)
    assert training.channels == 1
    assert [training.origin.validates.sum(), len(training.labels)] == [8, 48]
    np.testing.assert_array_equal(training.images[:40, 0], PIXELS)
    test = load_test_images(definition.data, training)
    np.testing.assert_array_equal(test.images[:, 0], PIXELS[:, :, ::-1])
    assert list_images(training, definition.data).found.splits == {"training": 40, "validation": 8, "test": 40}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": None}, "has val_images and lacks val_labels"),
        ({"train_labels": None}, "lacks train_labels: .* or train_images and train_labels, with the same of val and"),
        ({"test_images": PIXELS[:, :6]}, r"has images of several sizes: \(6, 8\) and \(8, 8\)"),
        ({"train_labels": np.tile(LABELS[:, None], 14)}, "train_labels must hold one non-negative integer per image"),
        ({"train_images": np.zeros((40, 8, 8, 5), np.uint8)}, "images must be uint8 of shape"),
        ({"val_labels": LABELS[:7]}, "val_labels must hold one non-negative integer per image of val_images"),
    ],
)
def test_what_is_wrong_with_medmnist_s_names_is_said(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        check(write(tmp_path, **(MEDMNIST | changes)))


def test_files_with_keras_names_are_read_as_before(tmp_path):
    """They have no files of their own: splits follow from the order."""
    assert check(write(tmp_path)).origin is None
    assert check(write(tmp_path, train_images=PIXELS, train_labels=LABELS)).origin is None
