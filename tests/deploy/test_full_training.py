"""Full trainings: they learn, go on where they stopped, and are scored by an interval of the textbook's."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from evomnas.deploy import checkpoint, full_training
from evomnas.deploy.full_training import FullTask, Teacher, distillation_loss
from evomnas.networks.classifier import Classifier
from evomnas.networks.torchvision_models import TorchvisionNetwork
from evomnas.results.evaluation import Score, TrainingDiverged
from evomnas.training.quantized.fake_quantization import FakeQuantized
from evomnas.training.schedules import ExponentialSchedule


def weights(classifier: Classifier) -> dict[str, torch.Tensor]:
    return classifier.network.state_dict()


@pytest.fixture(scope="module")
def whole(task, tiny, tmp_path_factory):
    """The full training of MobileNetV2's point from beginning to end: what it shipped, its losses and its seconds."""
    return task.train(tiny.space.mobilenet_v2(), tmp_path_factory.mktemp("whole") / "checkpoint.pt")


def test_a_full_training_learns_and_takes_pixels(task, tiny, whole):
    classifier, losses, seconds = whole
    assert len(losses) == tiny.full.epochs
    assert losses[-1] < losses[0]
    assert seconds > 0
    score = task.score(task.predictions(classifier))
    assert score.accuracy > 0.3  # chance is 0.1
    images = torch.from_numpy(task.test.images[:50])
    by_hand = (images.double() - task.training.images[:].mean()) / task.training.images[:].std()
    torch.testing.assert_close(classifier(images), classifier.network(by_hand.float()), rtol=1e-3, atol=1e-3)


class Stopped(Exception):
    pass


def test_an_interrupted_training_ends_as_it_would_have_without(task, tiny, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_INTERVAL_S", 0.0)
    network = tiny.space.mobilenet_v2()

    def stop(epoch, epochs, loss):
        if epoch == 2:
            raise Stopped

    with pytest.raises(Stopped):
        task.train(network, tmp_path / "parts.pt", on_epoch=stop)
    done = []
    parts, losses_of_parts, _ = task.train(
        network, tmp_path / "parts.pt", on_epoch=lambda epoch, *_: done.append(epoch)
    )
    assert done == [3, 4]
    assert losses_of_parts == whole.losses
    assert all(torch.equal(one, weights(parts)[name]) for name, one in weights(whole.classifier).items())


@pytest.fixture(scope="module")
def for_int8(tiny):
    """The images and the recipe of trainings for int8."""
    return FullTask(tiny.model_copy(update={"full": tiny.full.model_copy(update={"precision": "int8"})}), "cpu")


def test_a_training_for_int8_is_one_in_float_up_to_its_last_fifth(tiny, whole, for_int8, tmp_path, monkeypatch):
    done, calibrated, calibrate = [], [], FakeQuantized.calibrate
    monkeypatch.setattr(FakeQuantized, "calibrate", lambda *args: calibrated.append(len(done)) or calibrate(*args))
    network = tiny.space.mobilenet_v2()
    quantized = for_int8.train(network, tmp_path / "whole.pt", on_epoch=lambda epoch, *_: done.append(epoch))
    assert calibrated == [3]  # of four epochs, before the last one
    assert quantized.losses[:3] == whole.losses[:3]
    assert 0 < abs(quantized.losses[3] - whole.losses[3]) < 0.2
    assert not torch.equal(weights(quantized.classifier)["head.0.weight"], weights(whole.classifier)["head.0.weight"])


def test_an_interrupted_training_for_int8_ends_with_the_same_bits(for_int8, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(full_training, "QUANTIZED_SHARE", 0.5)  # two epochs: it stops before them, and between them
    network, path = tiny.space.mobilenet_v2(), tmp_path / "parts.pt"

    def stop(epoch, epochs, loss):
        if epoch in (2, 3):
            raise Stopped

    whole = for_int8.train(network, tmp_path / "whole.pt")
    for _ in range(2):
        with pytest.raises(Stopped):
            for_int8.train(network, path, on_epoch=stop)
    parts = for_int8.train(network, path)
    assert parts.losses == whole.losses
    assert all(torch.equal(one, weights(parts.classifier)[name]) for name, one in weights(whole.classifier).items())


def test_precision_is_part_of_a_training_s_context_and_absent_of_one_in_float(task, for_int8):
    assert for_int8.context()["recipe"]["precision"] == "int8"
    assert "precision" not in task.context()["recipe"]


@pytest.mark.thorough
def test_what_is_left_of_a_training_is_known_before_it_goes_on(task, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_INTERVAL_S", 0.0)
    network, path = tiny.space.mobilenet_v2(), tmp_path / "parts.pt"

    def stop(epoch, epochs, loss):
        if epoch == 3:
            raise Stopped

    assert task.remaining_epochs(network, path) == 4
    with pytest.raises(Stopped):
        task.train(network, path, on_epoch=stop)
    assert task.remaining_epochs(network, path) == 1
    assert task.remaining_epochs(network, path, "another teacher") == 4


@pytest.mark.thorough
def test_timing_a_step_leaves_a_training_as_it_is(task, tiny, whole, tmp_path):
    network = tiny.space.mobilenet_v2()
    assert task.time_step(network) > 0
    assert task.train(network, tmp_path / "after.pt").losses == whole.losses


def test_a_checkpoint_of_another_training_or_a_torn_one_is_not_used(task, tiny, tmp_path):
    network = tiny.space.mobilenet_v2()
    path = tmp_path / "checkpoint.pt"
    longer = FullTask(tiny.model_copy(update={"full": tiny.full.model_copy(update={"epochs": 1})}), "cpu")
    longer.train(network, path)
    done = []
    task.train(network, path, on_epoch=lambda epoch, *_: done.append(epoch))
    assert done == [1, 2, 3, 4]
    path.write_bytes(path.read_bytes()[:1000])
    assert len(task.train(network, path)[1]) == 4


@pytest.mark.thorough
def test_the_weights_that_ship_are_the_average(tiny, whole, tmp_path):
    """Without looking back the average is the last step's weights, and the network is another one."""
    network = tiny.space.mobilenet_v2()
    recipe = tiny.full.model_copy(update={"averaging": 1e-9})
    last, same_losses, _ = FullTask(tiny.model_copy(update={"full": recipe}), "cpu").train(network, tmp_path / "b.pt")
    assert whole.losses == same_losses
    assert not torch.equal(weights(whole.classifier)["stem.0.weight"], weights(last)["stem.0.weight"])


def test_a_loss_that_is_not_finite_ends_a_full_training(tiny, tmp_path):
    recipe = tiny.full.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    task = FullTask(tiny.model_copy(update={"full": recipe}), "cpu")
    with pytest.raises(TrainingDiverged, match="not finite|became"):
        task.predictions(task.train(tiny.space.mobilenet_v2(), tmp_path / "c.pt")[0])


def test_the_rate_rises_and_then_falls_by_the_same_share_every_step():
    rates = [ExponentialSchedule(0.1, 0.012, 100)(step) for step in range(101)]
    assert max(rates) == rates[10] == 1.0
    shares = np.diff(np.log(rates[10:]))
    assert np.allclose(shares, shares[0])
    assert rates[100] == pytest.approx(0.012)
    assert pytest.approx(0.012, rel=0.02) == 0.97 ** (350 / 2.4)  # what the paper's staircase comes to


def test_a_teacher_s_part_of_the_loss_is_hinton_s(tiny, rng):
    recipe = tiny.full.model_copy(update={"temperature": 3.0, "teaching": 0.25, "label_smoothing": 0.0})
    answers, logits = (torch.from_numpy(rng.normal(size=(5, 4))) for _ in range(2))
    labels = torch.tensor([0, 1, 2, 3, 0])
    found = distillation_loss(recipe, lambda images: answers, labels)(torch.zeros(5), logits, labels)
    p, q = F.softmax(answers / 3, 1), F.softmax(logits / 3, 1)
    divergence = (p * (p / q).log()).sum(1).mean()
    own = -F.softmax(logits, 1)[torch.arange(5), labels].log().mean()
    assert float(found) == pytest.approx(float(0.25 * 9 * divergence + 0.75 * own))


def test_what_a_teacher_says_changes_the_student_and_the_context(task, tiny, whole, tmp_path, trained):
    from evomnas.deploy.saving import load_network

    student = tiny.space.mobilenet_v2()
    teacher = Teacher(trained.network, load_network(trained.folder))
    taught, *_ = task.train(student, tmp_path / "b.pt", teacher)
    assert not torch.equal(weights(whole.classifier)["stem.0.weight"], weights(taught)["stem.0.weight"])
    assert task.context() != task.context(teacher.notation)


def test_a_context_has_what_matters_and_nothing_else(task, tiny):
    other = {"temperature": 9.0, "teaching": 0.1}
    same = FullTask(tiny.model_copy(update={"full": tiny.full.model_copy(update=other)}), "cpu")
    assert same.context() == task.context()
    teacher = str(tiny.space.mobilenet_v2())
    assert same.context(teacher) != task.context(teacher)
    assert task.scored_context() == task.context() | {"test": task.test.fingerprint}
    search = {"training": tiny.training.model_copy(update={"epochs": 9})}
    assert FullTask(tiny.model_copy(update=search), "cpu").context() == task.context()
    augmented = {"full": tiny.full.model_copy(update={"augment": ("shift",)})}
    assert FullTask(tiny.model_copy(update=augmented), "cpu").context() != task.context()


@pytest.mark.thorough
def test_an_off_the_shelf_network_trains_by_the_same_recipe(tiny, tmp_path):
    recipe = tiny.full.model_copy(update={"epochs": 1, "batch": 400})
    task = FullTask(tiny.model_copy(update={"full": recipe}), "cpu")
    state = torch.get_rng_state()
    first, losses, _ = task.train(TorchvisionNetwork("mobilenet_v3_small"), tmp_path / "a.pt")
    again, same, _ = task.train(TorchvisionNetwork("mobilenet_v3_small"), tmp_path / "b.pt")
    assert torch.equal(torch.get_rng_state(), state)
    assert losses == same
    assert all(torch.equal(one, weights(again)[name]) for name, one in weights(first).items())


def test_batch_norm_s_statistics_follow_a_short_training_and_leave_a_long_one_alone(tiny, tmp_path):
    """With the recipe's momentum 0.01, four epochs of 11 steps would ship statistics that are mostly their start."""
    recipe = tiny.full.model_copy(update={"bn_momentum": 0.01})
    task = FullTask(tiny.model_copy(update={"full": recipe}), "cpu")
    assert task.bn_momentum == pytest.approx(10 / 44)
    shipped = task.train(tiny.space.mobilenet_v2(), tmp_path / "a.pt")[0]
    assert task.score(task.predictions(shipped)).accuracy > 0.5  # it would be 0.39
    longer = recipe.model_copy(update={"epochs": 100})
    assert FullTask(tiny.model_copy(update={"full": longer}), "cpu").bn_momentum == 0.01
    wider = recipe.model_copy(update={"bn_momentum": 0.5})
    assert FullTask(tiny.model_copy(update={"full": wider}), "cpu").bn_momentum == 0.5


@pytest.mark.thorough
def test_an_off_the_shelf_network_s_statistics_follow_a_short_training_as_well(tiny, tmp_path):
    recipe = tiny.full.model_copy(update={"bn_momentum": 0.01})
    task = FullTask(tiny.model_copy(update={"full": recipe}), "cpu")
    network = TorchvisionNetwork("mobilenet_v3_small")  # its own momentum is 0.01, too
    baseline = task.train(network, tmp_path / "b.pt").classifier
    assert task.score(task.predictions(baseline)).accuracy > 0.3  # it would be 0.1


@given(images=st.integers(1, 10_000), data=st.data())
def test_the_interval_is_wilson_s(images, data):
    correct = data.draw(st.integers(0, images))
    z, p = 1.959963984540054, correct / images
    middle = (p + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * math.sqrt(p * (1 - p) / images + z * z / (4 * images * images))
    assert Score(correct, images).interval == pytest.approx((middle - half, middle + half), abs=1e-9)


def test_schedules_are_objects_that_a_checkpoint_can_keep():
    """A closure's state would be lost."""
    assert vars(partial(ExponentialSchedule, 0.1, 0.5)(10)) == {"rise": 1.0, "end": 0.5, "steps": 10}
