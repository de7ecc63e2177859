"""The proxy task: it learns, repeats itself, and says when it diverged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evomnas.core.seeding import torch_generator
from evomnas.data.splits import load_dataset
from evomnas.results.evaluation import Failure, TrainingDiverged
from evomnas.training.augmentation import crop, flip, shift
from evomnas.training.proxy_task import ProxyTask
from evomnas.training.schedules import CosineSchedule


def test_a_short_training_learns_and_comes_out_the_same_again(tiny, tiny_dataset):
    recipe = tiny.training.model_copy(update={"epochs": 20, "learning_rate": 0.2})
    task = ProxyTask(tiny_dataset, tiny.data, recipe)
    first = task.train(tiny.space.mobilenet_v2())
    again = ProxyTask(tiny_dataset, tiny.data, recipe).train(tiny.space.mobilenet_v2())
    assert first.accuracy > 0.5  # chance is 0.1
    assert first.losses[-1] < first.losses[0]
    assert (first.accuracy, first.losses) == (again.accuracy, again.losses)


def test_dropout_comes_out_the_same_again_and_leaves_the_global_generator_alone(tiny, tiny_dataset):
    recipe = tiny.training.model_copy(update={"dropout": 0.5})
    task, state = ProxyTask(tiny_dataset, tiny.data, recipe), torch.get_rng_state()
    first = task.train(tiny.space.mobilenet_v2())
    torch.rand(3)
    again = task.train(tiny.space.mobilenet_v2())
    torch.set_rng_state(state)
    assert first.losses == again.losses
    task.train(tiny.space.mobilenet_v2())
    assert torch.equal(torch.get_rng_state(), state)


def test_training_leaves_the_caller_s_threads_and_generator_alone(tiny, tiny_dataset):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        ProxyTask(tiny_dataset, tiny.data, tiny.training).train(tiny.space.mobilenet_v2())
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw"])
def test_every_optimizer_trains(tiny, tiny_dataset, optimizer):
    recipe = tiny.training.model_copy(update={"optimizer": optimizer, "learning_rate": 0.01, "dropout": 0.2})
    assert ProxyTask(tiny_dataset, tiny.data, recipe).train(tiny.space.mobilenet_v2()).losses[0] > 0


def test_a_loss_that_is_not_finite_is_a_failure_of_its_own_kind(tiny, tiny_dataset):
    recipe = tiny.training.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(TrainingDiverged, match="not finite|became") as caught:
        ProxyTask(tiny_dataset, tiny.data, recipe).train(tiny.space.mobilenet_v2())
    assert Failure.of(caught.value).kind == "diverged"


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    rates = [CosineSchedule(0.2, 50)(step) for step in range(51)]
    assert max(rates) == rates[10] == 1.0
    assert sorted(rates[:11]) == rates[:11]
    assert sorted(rates[10:], reverse=True) == rates[10:]
    assert rates[50] == pytest.approx(0.0)


@given(st.integers(1, 6), st.sampled_from([1, 3]), st.integers(8, 17), st.integers(0, 2**31))
def test_augmentations_keep_shape_and_range_and_follow_their_generator(count, channels, size, seed):
    images = torch.rand(count, channels, size, size, generator=torch_generator(seed))
    for augment in (shift, flip, crop):
        first, again = augment(images, torch_generator(seed)), augment(images, torch_generator(seed))
        assert first.shape == images.shape
        assert torch.equal(first, again)
        assert first.min() >= images.min() - 1e-5
        assert first.max() <= images.max() + 1e-5


def test_shift_moves_each_image_as_a_whole():
    image = torch.zeros(200, 1, 8, 8)
    image[:, :, 3, 4] = 1
    moved = shift(image, torch_generator(0))
    places = {tuple(np.argwhere(one[0].numpy() == 1)[0] - (3, 4)) for one in moved}
    assert places == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    assert (moved.sum((1, 2, 3)) == 1).all()


def test_flip_mirrors_about_half_of_the_images():
    images = torch.arange(8.0).repeat(1000, 1, 8, 1)
    flipped = (flip(images, torch_generator(0))[:, 0, 0, 0] == 7).float().mean()
    assert 0.4 < flipped < 0.6


def test_the_proxy_task_normalises_by_the_training_images(tiny):
    dataset = load_dataset(tiny.data)
    images = ProxyTask(dataset, tiny.data, tiny.training).batches.normalise(torch.from_numpy(dataset.train_images))
    assert abs(float(images.mean())) < 1e-4
    assert float(images.std()) == pytest.approx(1, abs=1e-3)


def test_images_that_do_not_fit_on_the_device_come_batch_by_batch(tiny, tiny_dataset, monkeypatch):
    expected = ProxyTask(tiny_dataset, tiny.data, tiny.training).train(tiny.space.mobilenet_v2())
    monkeypatch.setattr("evomnas.training.trainer._fits", lambda images, device: False)
    found = ProxyTask(tiny_dataset, tiny.data, tiny.training).train(tiny.space.mobilenet_v2())
    assert found.losses == expected.losses


def test_a_few_large_images_are_normalised_too(tiny, rng):
    """More than ten million pixels in fewer than a thousand images."""
    from evomnas.data.images import Dataset

    images = rng.integers(0, 256, (400, 3, 96, 96), dtype=np.uint8)
    labels = np.arange(400, dtype=np.int64) % 2
    task = ProxyTask(Dataset(images, labels, images[:4], labels[:4], ("a", "b")), tiny.data, tiny.training)
    assert abs(float(task.batches.normalise(torch.from_numpy(images[:50])).mean())) < 0.05
