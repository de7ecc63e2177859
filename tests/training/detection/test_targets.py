"""Random changes of images with boxes: the boxes stay around what is in them."""

from __future__ import annotations

import pytest
import torch

from evomnas.training.detection.targets import BOX_AUGMENTATIONS, BatchTargets, flip, zoom

SIDE = 80


def drawn(corners: list[list[int]]) -> tuple[torch.Tensor, BatchTargets]:
    """Black images, each with a white rectangle, and the boxes around these."""
    images = torch.zeros(len(corners), 3, SIDE, SIDE)
    for image, (left, upper, right, lower) in zip(images, corners, strict=True):
        image[:, upper:lower, left:right] = 255
    count = torch.arange(len(corners))
    return images, BatchTargets(torch.tensor(corners) / SIDE, count, count)


def white_edges(image: torch.Tensor) -> torch.Tensor:
    """The box around what is white, in pixels."""
    rows, columns = torch.nonzero(image[0] > 127).unbind(1)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@pytest.mark.parametrize("name", BOX_AUGMENTATIONS)
def test_boxes_go_with_what_is_in_them(name):
    images, targets = drawn([[10, 20, 40, 70], [30, 0, 60, 10], [50, 50, 80, 80]] * 20)
    changed, moved = BOX_AUGMENTATIONS[name](images, targets, torch.Generator().manual_seed(3))
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    for corners, number in zip(moved.corners, moved.images, strict=True):
        assert (white_edges(changed[number]) - SIDE * corners).abs().max() <= 1.5
    assert torch.equal(moved.labels, moved.images)


def test_about_half_of_the_images_are_mirrored():
    images, targets = drawn([[0, 0, 20, 20]] * 200)
    mirrored = (flip(images, targets, torch.Generator().manual_seed(1))[1].corners[:, 0] > 0.5).sum()
    assert 70 < mirrored < 130


def test_boxes_whose_middle_is_not_seen_are_left_out():
    images, targets = drawn([[0, 0, 16, 16]] * 200)
    changed, moved = zoom(images, targets, torch.Generator().manual_seed(2))
    assert 0 < len(moved.images) < 200
    gone = torch.ones(200, dtype=torch.bool)
    gone[moved.images] = False
    assert all(not (image[0] > 127).any() or (white_edges(image)[2:] < 16).any() for image in changed[gone])
    assert moved.corners.min() >= 0
    assert (moved.corners[:, 2:] > moved.corners[:, :2]).all()


@pytest.mark.parametrize("name", BOX_AUGMENTATIONS)
def test_images_without_boxes_are_changed_as_well(name):
    empty = BatchTargets(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    images, targets = BOX_AUGMENTATIONS[name](torch.rand(4, 3, 32, 32), empty, torch.Generator().manual_seed(1))
    assert images.shape == (4, 3, 32, 32)
    assert targets.corners.shape == (0, 4)
