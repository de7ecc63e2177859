"""The proxy task: it learns, repeats itself, and says when it diverged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from evomnas.core.seeding import torch_generator
from evomnas.data.images import Dataset
from evomnas.data.rows import ImageRows
from evomnas.data.splits import load_dataset
from evomnas.problem.architecture import Architecture
from evomnas.problem.sections import TrainingSection
from evomnas.results.evaluation import Cut, Failure, TrainingDiverged
from evomnas.training.augmentation import crop, flip, shift
from evomnas.training.early_stop import LossThreshold, PowerLaw
from evomnas.training.lessons import Lessons
from evomnas.training.losses import balanced_weights, cross_entropy
from evomnas.training.pixels import Pixels
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


def test_a_network_with_a_resolution_is_trained_and_scored_on_images_of_that_size(tiny, tiny_dataset):
    """As one without a resolution is on images that were resized before."""
    network = tiny.space.mobilenet_v2()
    recipe = tiny.training.model_copy(update={"epochs": 3})
    task, found = ProxyTask(tiny_dataset, tiny.data, recipe), {}
    for resolution in (6, 8):
        small = replace(
            tiny_dataset,
            train_images=tiny_dataset.train_images.resize(resolution),
            validation_images=tiny_dataset.validation_images.resize(resolution),
        )
        found[resolution] = task.train(replace(network, resolution=resolution))
        expected = ProxyTask(small, tiny.data, recipe).train(network)
        assert (found[resolution].accuracy, found[resolution].losses) == (expected.accuracy, expected.losses)
    assert found[6].losses != found[8].losses
    assert found[8].losses == task.train(network).losses


def test_the_answers_of_a_training_are_those_of_its_network(tiny, tiny_dataset):
    recipe = tiny.training.model_copy(update={"epochs": 5})
    found = ProxyTask(tiny_dataset, tiny.data, recipe).train(tiny.space.mobilenet_v2())
    confusion = found.answers.confusion
    assert found.accuracy == confusion.score("accuracy")
    np.testing.assert_array_equal(confusion.images, np.bincount(tiny_dataset.validation_labels))
    for mistake in found.answers.mistakes:
        assert tiny_dataset.validation_labels[mistake.image] == mistake.label != mistake.answer
        assert 0.1 < mistake.confidence <= 1
    confidences = [mistake.confidence for mistake in found.answers.mistakes]
    assert confidences == sorted(confidences, reverse=True)


def test_the_loss_of_a_training_is_scikit_learn_s(tiny, tiny_dataset):
    task = ProxyTask(tiny_dataset, tiny.data, tiny.training.model_copy(update={"epochs": 5, "label_smoothing": 0.2}))
    found = task.train(tiny.space.mobilenet_v2())
    network = task.fit(tiny.space.mobilenet_v2()).network.eval()
    part = task.part(0, None)
    with torch.no_grad():
        probabilities = (
            network(part.batches.normalise(torch.from_numpy(tiny_dataset.validation_images[:]))).softmax(1).numpy()
        )
    expected = log_loss(tiny_dataset.validation_labels, probabilities, labels=range(10))
    assert found.loss == found.answers.loss == pytest.approx(expected, rel=1e-5)
    assert task.predict(network).losses.mean() == pytest.approx(expected, rel=1e-5)


def test_a_teacher_s_answers_are_part_of_the_loss(rng):
    """Hinton et al. 2015, written down for each image."""
    theirs, ours = rng.normal(size=(6, 3)), rng.normal(size=(2, 3))
    lessons = Lessons(torch.from_numpy(theirs), temperature=2.0, share=0.25)
    found = lessons.mix(torch.tensor(0.8), torch.from_numpy(ours), torch.tensor([4, 1]))
    probabilities, logs = softmax(theirs[[4, 1]] / 2, axis=1), log_softmax(ours / 2, axis=1)
    divergence = (probabilities * (np.log(probabilities) - logs)).sum(1).mean()
    assert float(found) == pytest.approx(0.25 * 4 * divergence + 0.75 * 0.8)


def test_a_network_that_only_listens_to_its_teacher_learns_what_it_says(tiny, tiny_dataset):
    """A teacher that calls every image by the next class."""
    wrong = (tiny_dataset.train_labels + 1) % 10
    lessons = Lessons(20 * torch.eye(10)[torch.from_numpy(wrong)], temperature=1.0, share=1.0)
    recipe = tiny.training.model_copy(update={"epochs": 20, "learning_rate": 0.2})
    task = ProxyTask(tiny_dataset, tiny.data, recipe)
    task.lessons = (lessons,)
    found = task.train(tiny.space.mobilenet_v2())
    answers = task.predict(task.fit(tiny.space.mobilenet_v2()).network).classes
    assert found.accuracy < 0.1
    assert (answers == (tiny_dataset.validation_labels + 1) % 10).mean() > 0.5


def folded(tiny, **changes):
    """The tiny problem's data with three folds, and its proxy task."""
    data = tiny.data.model_copy(update={"folds": 3})
    recipe = tiny.training.model_copy(update=changes)
    return load_dataset(data), ProxyTask(load_dataset(data), data, recipe)


def test_with_folds_every_image_is_answered_by_a_network_that_was_not_trained_on_it(tiny):
    dataset, task = folded(tiny, epochs=3, dropout=0.1)
    found = task.train(tiny.space.mobilenet_v2())
    np.testing.assert_array_equal(found.answers.confusion.images, dataset.counts)
    split = dataset.split(0)
    alone = ProxyTask(Dataset(*split[:4], dataset.classes), tiny.data, task.recipe).train(tiny.space.mobilenet_v2())
    assert found.losses == alone.losses
    cells = alone.answers.confusion.cells
    assert (found.answers.confusion.dense().ravel()[cells] >= alone.answers.confusion.counts).all()
    assert {split.places[one.image] for one in alone.answers.mistakes} <= set(split.places)
    assert task.train(tiny.space.mobilenet_v2()).answers == found.answers


def test_a_training_of_the_first_fold_that_stops_early_is_the_last(tiny):
    _, task = folded(tiny, epochs=3)
    law = PowerLaw.fit(np.log([1.0, 2.0, 3.0]), np.log([0.1, 0.2, 0.3]))
    cut = task.train(tiny.space.mobilenet_v2(), LossThreshold((law, law), (1e-9, 1e-9)))
    assert isinstance(cut, Cut)
    assert len(cut.losses) == 1
    complete = task.train(tiny.space.mobilenet_v2(), LossThreshold((law, law), (1e9, 1e9)))
    assert complete.losses[0] == cut.losses[0]
    assert complete.answers == task.train(tiny.space.mobilenet_v2()).answers


def test_balanced_weights_are_scikit_learn_s():
    labels = np.repeat([0, 1, 2], [90, 9, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = balanced_weights(torch.from_numpy(labels))
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    assert float(weights[torch.from_numpy(labels)].mean()) == pytest.approx(1)


def test_a_balanced_loss_weighs_images_and_not_what_label_smoothing_gives_to_other_classes(rng):
    labels = torch.from_numpy(np.repeat([0, 1], [97, 3]))
    recipe = TrainingSection(epochs=1, label_smoothing=0.2, class_weights="balanced")
    logits, few = torch.from_numpy(rng.normal(size=(4, 2))), torch.tensor([0, 1, 0, 0])
    found = cross_entropy(recipe, labels)(torch.zeros(4), logits, few)
    logs = torch.log_softmax(logits, 1).numpy()
    targets = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1]])
    weights = np.array([100 / 2 / 97, 100 / 2 / 3, 100 / 2 / 97, 100 / 2 / 97])
    assert float(found) == pytest.approx(float((-(targets * logs).sum(1) * weights).mean()))
    plain = cross_entropy(recipe.model_copy(update={"class_weights": None}), labels)
    assert float(plain(torch.zeros(4), logits, few)) == pytest.approx(float(-(targets * logs).sum(1).mean()))


def test_with_balanced_weights_a_rare_class_is_found(rare):
    architecture = Architecture.parse("stem8_s1-conv_k5_s2_f12_n1_se0.25_pool-dconv_k3_s2_f12_n1_pool-head16")
    recalls = {}
    for weights in ("none", "balanced"):
        recipe = rare.training.model_copy(update={"class_weights": weights})
        answers = ProxyTask(load_dataset(rare.data), rare.data, recipe).train(architecture).answers
        recalls[weights] = answers.confusion.recall
    assert recalls["none"].tolist() == [1, 0]
    assert recalls["balanced"][1] > 0.5


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
    images = ProxyTask(dataset, tiny.data, tiny.training).batches.normalise(torch.from_numpy(dataset.train_images[:]))
    assert abs(float(images.mean())) < 1e-4
    assert float(images.std()) == pytest.approx(1, abs=1e-3)


def test_images_that_do_not_fit_on_the_device_come_batch_by_batch(tiny, tiny_dataset, monkeypatch):
    expected = ProxyTask(tiny_dataset, tiny.data, tiny.training).train(tiny.space.mobilenet_v2())
    monkeypatch.setattr(Pixels, "is_on_device", False)
    found = ProxyTask(tiny_dataset, tiny.data, tiny.training).train(tiny.space.mobilenet_v2())
    assert found.losses == expected.losses


def test_a_few_large_images_are_normalised_too(tiny, rng):
    """More than ten million pixels in fewer than a thousand images."""
    images = rng.integers(0, 256, (400, 3, 96, 96), dtype=np.uint8)
    labels = np.arange(400, dtype=np.int64) % 2
    rows = ImageRows.all(images)
    dataset = Dataset(rows, labels, rows.select(slice(4)), labels[:4], ("a", "b"))
    task = ProxyTask(dataset, tiny.data, tiny.training)
    assert abs(float(task.batches.normalise(torch.from_numpy(images[:50])).mean())) < 0.05
