"""Test splits: they share no image with what may be trained on. That no search reads them is in test_layers.py."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.data.splits import load_dataset, load_training_images
from evomnas.deploy.testsplit import load_test_images
from evomnas.problem.sections import DataSection


def section(**values) -> DataSection:
    return DataSection(**({"dataset": "digits", "resolution": 8} | values))


def both(one: DataSection):
    training = load_training_images(one)
    return training, load_test_images(one, training)


def write_photos(folder, classes, count, rng):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def test_every_data_set_of_this_package_has_a_test_split():
    assert registry.available("testsplits").keys() == registry.available("datasets").keys()


def test_digits_are_all_either_trained_on_or_test_images():
    from sklearn.datasets import load_digits

    training, test = both(section())
    everything = load_digits()
    assert (np.bincount(training.labels) + np.bincount(test.labels) == np.bincount(everything.target)).all()
    seen = sorted(np.concatenate([training.images, test.images]).reshape(-1, 64).sum(1).tolist())
    expected = np.round(everything.images * (255 / 16)).astype(np.uint8).reshape(-1, 64).sum(1)
    assert seen == sorted(expected.tolist())


def test_a_search_s_images_are_what_full_trainings_train_on():
    training, dataset = load_training_images(section()), load_dataset(section(validation=0.3))
    assert len(training.labels) == len(dataset.train_labels) + len(dataset.validation_labels)
    of_search = {one.tobytes() for one in (*dataset.train_images, *dataset.validation_images)}
    assert of_search == {one.tobytes() for one in training.images}
    assert len(load_training_images(section(train_images=100)).labels) == len(training.labels)


def test_npz_files_have_their_test_images_in_x_test(tmp_path, rng):
    arrays = {
        "x_train": rng.integers(0, 256, (8, 6, 6), dtype=np.uint8),
        "y_train": np.arange(8) % 4,
        "x_test": rng.integers(0, 256, (3, 6, 6), dtype=np.uint8),
        "y_test": np.array([2, 0, 2]),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    _, test = both(section(dataset="npz", path=tmp_path / "a.npz", resolution=6))
    assert np.array_equal(test.images[:, 0], arrays["x_test"])
    assert test.labels.tolist() == [2, 0, 2]
    np.savez(tmp_path / "b.npz", **arrays | {"y_test": np.array([0, 1, 7])})
    with pytest.raises(InputError, match="classes that the training images lack: 4, 5, 6, 7"):
        both(section(dataset="npz", path=tmp_path / "b.npz", resolution=6))
    np.savez(tmp_path / "c.npz", **arrays | {"x_test": np.zeros((3, 6, 6, 3), np.uint8)})
    with pytest.raises(InputError, match="have 3 channels, those to train on 1"):
        both(section(dataset="npz", path=tmp_path / "c.npz", resolution=6))


@pytest.mark.parametrize("name", ["test", "val"])
def test_image_folders_name_their_test_images(tmp_path, rng, name):
    write_photos(tmp_path / "train", ["ants", "bees", "cats"], 3, rng)
    write_photos(tmp_path / name, ["bees", "cats"], 2, rng)
    training, test = both(section(dataset="image-folder", path=tmp_path))
    assert (len(training.labels), training.classes) == (9, test.classes)
    assert test.labels.tolist() == [1, 1, 2, 2]  # by name, not by place


def test_image_folders_without_a_split_keep_a_fifth_aside(tmp_path, rng):
    write_photos(tmp_path, ["ants", "bees"], 10, rng)
    training, test = both(section(dataset="image-folder", path=tmp_path))
    assert len(training.labels) > len(test.labels) >= 2
    images = {one.tobytes() for one in (*training.images, *test.images)}
    assert len(images) == 20


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_that_cannot_be_split_is_named_and_no_image_is_in_both_parts(tmp_path, rng, count):
    write_photos(tmp_path, ["ants", "bees"], 10, rng)
    write_photos(tmp_path, ["cats"], count, rng)
    message = rf"cats has {count} images?: a class needs 3 or more, one of which is kept aside for the test"
    for read in (load_training_images, load_dataset):
        with pytest.raises(InputError, match=message):
            read(section(dataset="image-folder", path=tmp_path))


def test_of_a_training_folder_alone_a_fifth_is_kept_aside_but_not_by_the_rules_of_version_0_1(tmp_path, rng):
    write_photos(tmp_path / "train", ["ants", "bees"], 3, rng)
    training, test = both(section(dataset="image-folder", path=tmp_path))
    assert (len(training.labels), len(test.labels)) == (4, 2)
    with pytest.raises(InputError, match="a folder train and none called test or val"):
        both(section(dataset="image-folder", path=tmp_path, rules=1))


def test_a_plug_in_without_a_test_split_is_told_what_to_register(monkeypatch):
    training = load_training_images(section())
    available = registry.available
    monkeypatch.setattr(registry, "available", lambda group: {} if group == "testsplits" else available(group))
    with pytest.raises(InputError, match="digits has no test split: register a function of that name in the group"):
        load_test_images(section(), training)


def test_torchvision_data_sets_have_their_own_test_split(fashion_mnist):
    training, test = both(section(dataset="fashion-mnist", path=fashion_mnist, resolution=28))
    assert (len(training.labels), test.labels.tolist(), test.classes[9]) == (40, [0, 1, 2, 3, 4], "Ankle boot")
    raw = (fashion_mnist / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()
    assert test.images[:].tobytes() == raw[-test.images.nbytes :]
