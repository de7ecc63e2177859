"""Data sets: splits, formats, and one clear line for whatever cannot be read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.data import check, first_look
from evomnas.data.images import TRAINED
from evomnas.data.pictures import encode_picture
from evomnas.data.splits import load_dataset, stratified_folds
from evomnas.problem.sections import DataSection

RULES_1 = "fff14aea85da5f67"  # of `photos` by evomnas 0.1


def section(**values) -> DataSection:
    return DataSection(**({"dataset": "digits", "resolution": 8} | values))


def test_packages_with_data_sets_of_their_own_find_the_class_of_their_result_in_the_room():
    from evomnas.data import TrainingImages

    assert isinstance(registry.load("datasets", "digits")(section()), TrainingImages)


@pytest.fixture
def npz_file(tmp_path, rng):
    def write(**changes):
        arrays = {
            "x_train": rng.integers(0, 256, (40, 6, 6), dtype=np.uint8),
            "y_train": np.arange(40) % 4,
            "x_test": np.zeros((4, 6, 6), dtype=np.uint8),
            "y_test": np.arange(4),
        } | changes
        path = tmp_path / "images.npz"
        np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
        return path

    return write


@pytest.fixture
def photos(tmp_path, rng):
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


def test_digits_keep_a_fifth_of_every_class_aside_and_split_the_rest():
    dataset = load_dataset(section(validation=0.25))
    seen = np.bincount(np.r_[dataset.train_labels, dataset.validation_labels])
    from sklearn.datasets import load_digits

    everything = np.bincount(load_digits().target)
    assert (seen == everything - np.round(0.2 * everything)).all()
    assert (np.bincount(dataset.validation_labels) == np.round(0.25 * seen)).all()
    assert dataset.train_images.shape[1:] == (1, 8, 8)
    assert dataset.train_images.dtype == np.uint8
    assert dataset.train_images[:].max() == 255


def test_splits_share_no_image_and_come_out_the_same_again():
    first, again = load_dataset(section()), load_dataset(section())
    assert first.fingerprint == again.fingerprint
    train = {image.tobytes() for image in first.train_images}
    held = [image.tobytes() for image in first.validation_images]
    assert sum(image in train for image in held) == 0


def test_fewer_training_images_leave_the_validation_images_as_they_are():
    full, few = load_dataset(section()), load_dataset(section(train_images=100))
    assert len(few.train_labels) == 100
    assert np.bincount(few.train_labels).min() >= 8
    assert np.array_equal(full.validation_images, few.validation_images)
    assert full.fingerprint != few.fingerprint


@given(st.lists(st.integers(2, 30), min_size=2, max_size=6), st.integers(2, 12), st.randoms(use_true_random=False))
def test_folds_have_the_same_size_and_the_same_share_of_every_class(sizes, folds, random):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    random.shuffle(labels)
    labels, folds = np.array(labels), min(folds, len(labels))
    numbers = stratified_folds(labels, folds)
    counts = np.bincount(numbers, minlength=folds)
    assert counts.max() - counts.min() <= 1
    for label, size in enumerate(sizes):
        of_class = np.bincount(numbers[labels == label], minlength=folds)
        assert of_class.max() - of_class.min() <= 1
        assert (size - of_class > 0).all()  # some are left to train on, whichever fold is validated
    assert (numbers == stratified_folds(labels, folds)).all()


def test_with_folds_every_image_is_validated_once_by_a_network_that_was_not_trained_on_it():
    dataset, whole = load_dataset(section(folds=5)), load_dataset(section())
    splits = [dataset.split(number) for number in range(dataset.trainings)]
    assert sorted(np.concatenate([split.places for split in splits])) == list(range(len(dataset.train_labels)))
    images, labels = dataset.validated
    for split in splits:
        assert len(split.train_labels) + len(split.validation_labels) == len(labels)
        np.testing.assert_array_equal(images[split.places], split.validation_images)
        np.testing.assert_array_equal(labels[split.places], split.validation_labels)
        seen = np.bincount(split.train_labels) + np.bincount(split.validation_labels)
        np.testing.assert_array_equal(seen, dataset.counts)
    np.testing.assert_array_equal(dataset.counts, whole.counts)
    assert len({one.fingerprint for one in (dataset, whole, load_dataset(section(folds=4)))}) == 3
    assert dataset.fingerprint == load_dataset(section(folds=5, validation=0.5)).fingerprint


def test_fewer_training_images_are_fewer_in_each_fold():
    dataset = load_dataset(section(folds=3, train_images=100))
    for number in range(3):
        split = dataset.split(number)
        assert len(split.train_labels) == 100
        assert np.bincount(split.train_labels).min() >= 8
        assert not set(split.places) & set(np.flatnonzero(dataset.folds[number] == TRAINED))
    assert len(dataset.validated[1]) == len(load_dataset(section(folds=3)).train_labels)
    with pytest.raises(InputError, match="train_images must be at least the number of classes, 10"):
        load_dataset(section(folds=3, train_images=9))


def test_more_folds_than_images_are_refused(npz_file):
    with pytest.raises(InputError, match="data.folds is 41, and there are 40 images: at most 40 folds"):
        load_dataset(section(dataset="npz", path=npz_file(), folds=41))
    assert load_dataset(section(dataset="npz", path=npz_file(), folds=40)).trainings == 40


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 8), (3, 64), (1, 100), (3, 300)])
def test_a_picture_is_a_small_file_of_the_image(rng, channels, side):
    smooth = np.linspace(0, 255, side).astype(np.uint8) * np.ones((channels, side, 1), dtype=np.uint8)
    content = encode_picture(smooth)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == ({8: 48}.get(side, min(side, 64)),) * 2
        shown = np.asarray(picture.convert("RGB"), dtype=float)
    assert np.abs(shown[:, 0] - shown[-1, 0]).max() < 4
    assert shown[0, 0, 0] < 12 < 240 < shown[0, -1, 0]
    noise = rng.integers(0, 256, (channels, side, side), dtype=np.uint8)
    assert len(encode_picture(noise)) < 8000


def test_resolution_resizes():
    assert load_dataset(section(resolution=12)).train_images.shape[2:] == (12, 12)


def test_npz_reads_the_training_part_alone(npz_file):
    path = npz_file(x_test=np.array(["not", "an", "image"]), y_test=np.array([0.5]))
    dataset = load_dataset(section(dataset="npz", path=path, resolution=6))
    assert len(dataset.train_labels) + len(dataset.validation_labels) == 40
    assert dataset.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "lacks y_test"),
        ({"x_train": np.zeros((40, 6, 6))}, "images must be uint8"),
        ({"x_train": np.zeros((40, 36), dtype=np.uint8)}, "images must be uint8 of shape"),
        ({"x_train": np.zeros((40, 0, 6), dtype=np.uint8)}, "images must be uint8 of shape"),
        ({"y_train": np.arange(39) % 4}, "one non-negative integer per image"),
        ({"y_train": np.zeros(40)}, "one non-negative integer per image"),
        ({"y_train": np.zeros(40, dtype=int)}, "at least 2 classes"),
        ({"y_train": np.arange(40) % 4 * 1000}, "labels must number the classes from 0"),
        ({"y_train": np.array([object()] * 40)}, "cannot read the npz file .*: it holds objects"),
        ({"x_train": np.array(3), "y_train": np.array(3)}, "must be arrays, one entry per image"),
    ],
)
def test_a_wrong_npz_file_says_what_is_wrong(npz_file, changes, message):
    with pytest.raises(InputError, match=message):
        load_dataset(section(dataset="npz", path=npz_file(**changes), resolution=6))


def test_an_npz_file_that_is_none_says_so(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(InputError, match="cannot read the npz file"):
        load_dataset(section(dataset="npz", path=path))
    path.write_text("text")
    with pytest.raises(InputError, match="is no npz file"):
        load_dataset(section(dataset="npz", path=path))
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="it holds one array"):
        load_dataset(section(dataset="npz", path=path))


def test_an_image_folder_gives_square_colour_images_and_class_names(photos):
    dataset = load_dataset(section(dataset="image-folder", path=photos))
    assert dataset.classes == ("cats", "dogs")
    assert dataset.train_images.shape[1:] == (3, 8, 8)
    assert 10 <= len(dataset.train_labels) + len(dataset.validation_labels) <= 18  # some are kept for the test


def test_by_the_rules_of_version_0_1_a_fifth_is_kept_and_test_images_are_never_opened(photos, tmp_path):
    dataset = load_dataset(section(dataset="image-folder", path=photos, rules=1))
    assert len(dataset.train_labels) + len(dataset.validation_labels) == 16
    assert dataset.fingerprint == RULES_1
    root = tmp_path / "split"
    root.mkdir()
    photos.rename(root / "train")
    (root / "test" / "cats").mkdir(parents=True)
    (root / "test" / "cats" / "broken.png").write_bytes(b"never opened")
    dataset = load_dataset(section(dataset="image-folder", path=root, rules=1))
    assert len(dataset.train_labels) + len(dataset.validation_labels) == 20


def test_hidden_files_and_folders_are_no_images(photos):
    (photos / ".git").mkdir()
    (photos / ".git" / "icon.png").write_bytes(b"not an image")
    (photos / "cats" / "._1.png").write_bytes(b"not an image")
    assert load_dataset(section(dataset="image-folder", path=photos)).classes == ("cats", "dogs")


def test_a_class_with_one_image_is_named_with_its_count(photos):
    for path in sorted((photos / "dogs").iterdir())[1:]:
        path.unlink()
    with pytest.raises(InputError, match="dogs has 1 image: a class needs 3 or more, one of which is kept aside"):
        load_dataset(section(dataset="image-folder", path=photos))


def test_an_image_that_cannot_be_read_is_named(photos):
    for broken in (photos / "dogs").iterdir():
        broken.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(
        InputError,
        match=r"10 of 20 images cannot be read, remove or replace them: (.*dogs/\d.png,? ){10}\(it is damaged",
    ):
        load_dataset(section(dataset="image-folder", path=photos))


def test_an_image_whose_format_has_errors_of_its_own_is_named(photos):
    for broken in (photos / "dogs").iterdir():
        broken.write_bytes(b"BLP2" + bytes(200))
    with pytest.raises(
        InputError,
        match=r"10 of 20 images cannot be read, remove or replace them: (.*dogs/\d.png,? ){10}\(it is damaged",
    ):
        load_dataset(section(dataset="image-folder", path=photos))


@pytest.mark.parametrize("dataset", ["npz", "image-folder"])
def test_a_missing_path_says_what_to_type(dataset, tmp_path):
    with pytest.raises(InputError, match=r"needs a path: --set data.path="):
        load_dataset(section(dataset=dataset))
    with pytest.raises(InputError, match=r"does not exist: --data "):
        load_dataset(section(dataset=dataset, path=tmp_path / "nowhere"))


def test_a_folder_without_images_says_what_is_expected(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(InputError, match="expected one sub-folder of images per class"):
        load_dataset(section(dataset="image-folder", path=tmp_path))
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(InputError, match="is not a folder"):
        load_dataset(section(dataset="image-folder", path=tmp_path / "file.txt"))


def test_images_that_have_no_room_in_memory_are_refused_before_they_are_read(photos, npz_file, monkeypatch):
    folder = section(dataset="image-folder", path=photos, resolution=16, validation=0.25)
    assert load_dataset(folder).train_images.shape[1:] == (3, 16, 16)
    monkeypatch.setattr(check, "free_memory_gib", lambda: 1e-6)  # a thousand bytes
    with pytest.raises(InputError, match=r"20 images of 768 bytes need .* GiB of memory, and 0\.0 GiB are free"):
        load_dataset(folder)
    with pytest.raises(InputError, match=r"40 images of 36 bytes need .* GiB of memory"):
        first_look.check_npz(npz_file())


def test_torchvision_data_that_cannot_be_had_is_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made here")
    with pytest.raises(InputError, match="cannot load FashionMNIST into .*set data.path"):
        load_dataset(section(dataset="fashion-mnist", path=blocked, resolution=28))


def test_torchvision_data_sets_are_read_from_their_files(fashion_mnist):
    """Fashion-MNIST's own file format, tiny: torchvision finds it and downloads nothing."""
    dataset = load_dataset(section(dataset="fashion-mnist", path=fashion_mnist, resolution=28))
    assert dataset.train_images.shape[1:] == (1, 28, 28)
    assert dataset.classes[9] == "Ankle boot"
    assert len(dataset.train_labels) + len(dataset.validation_labels) == 40
