"""Pictures of other proportions: the middle, the whole on black, or the whole stretched, alike in every source."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from picture_files import DISPLAY_P3, rgb_profile
from PIL import Image

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.core.resolution import sides
from evomnas.data.colours import crop_box, inner_size, to_picture
from evomnas.data.images import LabelledImages, TrainingImages, fit_images
from evomnas.data.photographs import Preprocessing, describe_fit
from evomnas.data.splits import load_training_images
from evomnas.problem.sections import FITS, DataSection

lengths = st.integers(1, 600)
SIZES = (16, (12, 24), (24, 12))
DEFAULTS = {"digits": "crop", "image-folder": "crop", "npz": "stretch"}


@given(lengths, lengths, st.tuples(lengths, lengths))
def test_the_middle_of_a_picture_has_the_proportions_and_one_side_of_it(width, height, size):
    left, top, right, bottom = crop_box(width, height, size)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert abs(left - (width - right)) <= 1
    assert abs(top - (height - bottom)) <= 1
    assert right - left == width or bottom - top == height
    wanted_height, wanted_width = size
    assert abs((right - left) * wanted_height - (bottom - top) * wanted_width) <= max(size)  # less than a pixel off


@given(lengths, lengths, st.tuples(lengths, lengths))
def test_a_padded_picture_fits_in_and_keeps_its_proportions(width, height, size):
    inner_height, inner_width = inner_size(width, height, size)
    assert 1 <= inner_height <= size[0]
    assert 1 <= inner_width <= size[1]
    assert inner_height == size[0] or inner_width == size[1]
    assert abs(inner_height * width - inner_width * height) <= max(width, height)


@given(lengths, st.tuples(lengths, lengths))
def test_a_picture_of_the_same_proportions_is_used_whole_whatever_the_fit(factor, size):
    width, height = factor * size[1], factor * size[0]
    assert crop_box(width, height, size) == (0, 0, width, height)
    assert inner_size(width, height, size) == size


def picture(height: int, width: int) -> np.ndarray:
    """A frame of red with a green middle, so that what is cut off and what is added are seen."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:] = (200, 0, 0)
    pixels[height // 4 : -(height // 4), width // 4 : -(width // 4)] = (0, 200, 0)
    return pixels


@pytest.mark.parametrize("shape", [(40, 80), (80, 40)])
def test_what_each_fit_shows(shape, tmp_path):
    """By hand: a wide and a tall picture in a square of 16 pixels."""
    Image.fromarray(picture(*shape)).save(tmp_path / "a.png")
    shown = {
        fit: Preprocessing(channels=3, resolution=16, fit=fit).read(tmp_path / "a.png").transpose(1, 2, 0)
        for fit in FITS
    }
    upright = {fit: pixels if shape[0] < shape[1] else pixels.transpose(1, 0, 2) for fit, pixels in shown.items()}
    assert (upright["crop"][8, 1:-1] == (0, 200, 0)).all()  # the middle half of the width is the green one
    assert (upright["crop"][0] == (200, 0, 0)).all()
    assert (upright["pad"][:4] == 0).all()
    assert (upright["pad"][12:] == 0).all()
    assert (upright["pad"][4] == (200, 0, 0)).all()
    assert [tuple(upright["pad"][8, place]) for place in (0, 8, 15)] == [(200, 0, 0), (0, 200, 0), (200, 0, 0)]
    assert (upright["stretch"][0] == (200, 0, 0)).all()
    assert (upright["stretch"][8, 5:11] == (0, 200, 0)).all()
    assert tuple(upright["stretch"][8, 0]) == (200, 0, 0)


@pytest.mark.parametrize("kind", ["ink", "profile"])
def test_what_is_added_is_black_whatever_the_colours_of_the_file(kind, tmp_path):
    if kind == "ink":
        Image.fromarray(picture(20, 40)).convert("CMYK").save(tmp_path / "a.tif")
    else:
        Image.fromarray(picture(20, 40)).save(tmp_path / "a.tif", icc_profile=rgb_profile(DISPLAY_P3, 2.2))
    pixels = Preprocessing(channels=3, resolution=16, fit="pad").read(tmp_path / "a.tif")
    assert (pixels[:, :4] == 0).all()
    assert pixels[0, 4].min() > 150
    grey = Preprocessing(channels=1, resolution=16, fit="pad").read(tmp_path / "a.tif")
    assert (grey[:, :4] == 0).all()
    assert grey[0, 4].min() > 30


@given(st.integers(4, 60), st.integers(4, 60), st.sampled_from(SIZES), st.sampled_from(FITS[1:]), st.integers(0, 99))
def test_arrays_are_fitted_as_the_pictures_of_files_are(height, width, resolution, fit, seed):
    """By Pillow, which may reduce a file's picture in two steps, so that images are smooth here."""
    assume(max(height, width) <= 4 * min(height, width))
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(1, 256, (3, 3), dtype=np.uint8))
    smooth = coarse.resize((width, height), Image.Resampling.BILINEAR)
    [[found]] = fit_images(np.array(smooth)[None, None], resolution, fit)
    shown = np.asarray(to_picture(smooth, None, 1, sides(resolution), fit))
    assert found.shape == shown.shape == sides(resolution)
    assert np.abs(found.astype(int) - shown).max() <= 12
    assert ((found == 0) == (shown == 0)).all()


@pytest.mark.parametrize("resolution", SIZES)
def test_the_middle_of_arrays_is_resized(resolution, rng):
    images = rng.integers(0, 256, (3, 2, 31, 20), dtype=np.uint8)
    left, top, right, bottom = crop_box(20, 31, sides(resolution))
    middle = images[:, :, top:bottom, left:right]
    assert (fit_images(images, resolution, "crop") == fit_images(middle, resolution, "stretch")).all()


@pytest.fixture
def sources(tmp_path, rng):
    """The path of each source, with the same pictures of 12x20 pixels."""
    pictures = rng.integers(0, 256, (20, 12, 20, 3), dtype=np.uint8)
    for index, pixels in enumerate(pictures):
        folder = tmp_path / "photos" / ("train" if index < 16 else "test") / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    labels = np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x_train=pictures[:16], y_train=labels[:16], x_test=pictures[16:], y_test=labels[16:])
    return {"image-folder": tmp_path / "photos", "npz": tmp_path / "a.npz", "digits": None}


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("fit", [None, *FITS])
@pytest.mark.parametrize("dataset", sorted(DEFAULTS))
def test_every_source_and_its_test_split_are_fitted_alike(dataset, fit, resolution, sources):
    section = DataSection(dataset=dataset, path=sources[dataset], resolution=resolution, fit=fit)
    training = load_training_images(section)
    assert training.fit == (fit or DEFAULTS[dataset])
    assert training.images.shape[2:] == sides(resolution)
    test: TrainingImages = registry.load("testsplits", dataset)(section)
    test_images = LabelledImages.of(test, resolution, section.fit)
    assert (test_images.fit, test_images.images.shape[2:]) == (training.fit, training.images.shape[2:])
    height, width = (8, 8) if dataset == "digits" else (12, 20)
    is_reshaped = height * sides(resolution)[1] != width * sides(resolution)[0]
    assert training.used_fit == (training.fit if is_reshaped else None)
    if is_reshaped and fit == "pad":
        is_bar = training.images[:].max(axis=(0, 1)) == 0
        assert is_bar[[0, -1]].all() or is_bar[:, [0, -1]].all()
        assert not is_bar.all()


@pytest.mark.parametrize("fit", FITS)
def test_files_and_arrays_of_the_same_pictures_are_nearly_the_same_images(fit, sources):
    """Pillow reduces files in two steps where they are much larger, and torch arrays in one."""
    found = {
        dataset: load_training_images(DataSection(dataset=dataset, path=sources[dataset], resolution=16, fit=fit))
        for dataset in ("image-folder", "npz")
    }
    by_sum = {name: np.sort(images.images[:].reshape(16, -1).sum(axis=1)) for name, images in found.items()}
    np.testing.assert_allclose(by_sum["image-folder"], by_sum["npz"], rtol=0.01)


def test_a_data_set_that_crops_by_itself_refuses_another_fit():
    source = TrainingImages(np.zeros((2, 4, 4), np.uint8), np.arange(2), ("a", "b"), "crop")
    assert LabelledImages.of(source, 4, "crop").fit == "crop"
    with pytest.raises(InputError, match="data.fit = 'crop' alone: drop data.fit"):
        LabelledImages.of(source, 4, "pad")
    assert LabelledImages.of(TrainingImages(source.images, source.labels, source.classes), 4, "pad").fit == "pad"


def test_words_say_what_a_network_gets_of_a_picture():
    assert describe_fit("crop", 32) == "the middle square of a picture"
    assert describe_fit("crop", (24, 32)) == "the middle of a picture in these proportions"
    assert describe_fit("pad", 32) == "a whole picture, on black"
    assert describe_fit("stretch", 32) == "a whole picture, whatever its sides"
