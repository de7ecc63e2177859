"""Images of each resolution: they are made once, kept within bounds, and always the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evomnas.data.splits import load_dataset
from evomnas.training import parts
from evomnas.training.parts import Parts


@pytest.fixture
def tiny_parts(tiny_dataset):
    return Parts(tiny_dataset, (), torch.device("cpu"), None)


def test_images_of_a_resolution_are_made_once(tiny_parts, tiny_dataset):
    small = tiny_parts.get(0, 6)
    np.testing.assert_array_equal(small.batches.pixels.images, tiny_dataset.train_images.resize(6))
    np.testing.assert_array_equal(small.validation_images.images, tiny_dataset.validation_images.resize(6))
    tiny_parts.get(0, 5)
    assert tiny_parts.get(0, 6) is small
    own = tiny_dataset.train_images.shape[2]
    assert tiny_parts.get(0, own) is tiny_parts.get(0, None) is tiny_parts.first


def test_what_was_not_used_for_longest_goes_first_where_there_is_no_room(tiny_parts, monkeypatch):
    small, smaller = tiny_parts.get(0, 6), tiny_parts.get(0, 5)
    monkeypatch.setattr(parts, "MAX_KEPT_BYTES", small.size + smaller.size)
    assert tiny_parts.get(0, 6) is small
    smallest = tiny_parts.get(0, 4)  # in place of the one with 5 pixels
    assert tiny_parts.get(0, 6) is small
    assert tiny_parts.get(0, 4) is smallest
    again = tiny_parts.get(0, 5)
    assert again is not smaller
    np.testing.assert_array_equal(again.batches.pixels.images, smaller.batches.pixels.images)


def test_images_that_are_too_large_to_be_kept_are_there_all_the_same(tiny_parts, monkeypatch):
    monkeypatch.setattr(parts, "MAX_KEPT_BYTES", 0)
    first, second = tiny_parts.get(0, 6), tiny_parts.get(0, 6)
    assert first is not second
    np.testing.assert_array_equal(first.validation_images.images, second.validation_images.images)


def test_folds_have_images_of_their_own(tiny):
    dataset = load_dataset(tiny.data.model_copy(update={"folds": 3}))
    folds = Parts(dataset, (), torch.device("cpu"), None)
    for number in range(3):
        split = dataset.split(number)
        np.testing.assert_array_equal(folds.get(number, None).places, split.places)
        np.testing.assert_array_equal(folds.get(number, 6).batches.pixels.images, split.train_images.resize(6))
    assert folds.get(1, 6) is folds.get(1, 6)
