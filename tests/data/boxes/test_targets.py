"""Boxes follow their pictures into a network's input, and come back."""

from __future__ import annotations

import numpy as np
import pytest
from box_files import draw, write_voc
from hypothesis import given
from hypothesis import strategies as st

from evomnas.data.boxes.boxes import Boxes
from evomnas.data.boxes.targets import BoxTargets
from evomnas.data.splits import load_training_images
from evomnas.problem.sections import DataSection

counts = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def some(numbers: list[int]) -> Boxes:
    total = sum(numbers)
    corners = np.arange(total * 4, dtype=float).reshape(-1, 4) % 50
    corners[:, 2:] = corners[:, :2] + 5
    return Boxes.of(numbers, corners, np.arange(total) % 3, np.arange(total) % 4 == 3, np.full(total, 25.0))


@given(counts, st.data())
def test_selected_images_keep_their_boxes(numbers, data):
    boxes = some(numbers)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(numbers) - 1), max_size=8)), dtype=np.int64)
    found = boxes.select(chosen)
    assert len(found) == len(chosen)
    for place, image in enumerate(chosen):
        assert (found.corners[found.part(place)] == boxes.corners[boxes.part(image)]).all()
        assert (found.labels[found.part(place)] == boxes.labels[boxes.part(image)]).all()
    mask = np.array([number % 2 == 1 for number in range(len(boxes.labels))], dtype=bool)
    assert boxes.keep(mask).counts.tolist() == [int(mask[boxes.part(one)].sum()) for one in range(len(boxes))]


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(48, 64), (64, 40), (50, 50)])
@pytest.mark.parametrize("resolution", [96, (64, 128)])
def test_boxes_are_where_the_things_are_in_the_network_s_input(tmp_path, fit, size, resolution):
    """Drawn rectangles are bright in one channel: their pixels begin and end at the boxes' edges, to a pixel."""
    root = write_voc(tmp_path, draw(4, size))
    images = load_training_images(DataSection(dataset="boxes", path=root, resolution=resolution, fit=fit))
    boxes = images.targets.fitted(resolution)
    assert len(boxes.corners)
    for image, corners, label in zip(boxes.images, boxes.corners, boxes.labels, strict=True):
        bright = images.images[image][label] > 128
        left, top, right, bottom = corners
        middle = ((left + right) / 2, (top + bottom) / 2)
        x, y = (min(int(one), side - 1) for one, side in zip(middle, bright.shape[::-1], strict=True))
        assert bright[y, x]
        columns, rows = np.flatnonzero(bright[y]), np.flatnonzero(bright[:, x])
        near = columns[(columns > left - 3) & (columns < right + 3)], rows[(rows > top - 3) & (rows < bottom + 3)]
        edges = near[0][0], near[1][0], near[0][-1] + 1, near[1][-1] + 1
        assert edges == pytest.approx(corners.tolist(), abs=1.5)


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@given(st.integers(20, 300), st.integers(20, 300), st.sampled_from([32, 96, (64, 128)]))
def test_boxes_come_back_to_the_picture(fit, width, height, resolution):
    corners = np.array([[0.4, 0.4, 0.6, 0.6]]) * (width, height, width, height)
    boxes = Boxes.of([1], corners, np.zeros(1, np.int64), np.zeros(1, bool), np.ones(1))
    targets = BoxTargets(boxes, np.array([[width, height]]), 96, fit)
    found = targets.fitted(resolution)
    if len(found.corners):
        back = targets.to_pictures(found.corners, found.images, resolution)
        assert back[0] == pytest.approx(corners[0], rel=1e-9) or fit == "crop"
    outside = targets.to_pictures(np.array([[-1e6, -1e6, 1e6, 1e6]]), np.zeros(1, np.int64), resolution)
    assert outside[0].tolist() == [0, 0, width, height]


def test_crowds_and_what_was_cut_off_are_not_trained_on():
    corners = np.array([[0, 10, 20, 20], [45, 0, 55, 50], [20, 10, 60, 40], [10, 10, 50, 30]], dtype=float)
    boxes = Boxes.of([4], corners, np.arange(4), np.array([False, False, False, True]), np.ones(4))
    targets = BoxTargets(boxes, np.array([[100, 50]]), 50, "crop")  # columns 25 to 75 are left
    found = targets.fitted(50)
    assert found.labels.tolist() == [1, 2]
    assert found.corners.tolist() == [[20, 0, 30, 50], [0, 10, 35, 40]]
