"""Augmentations of torchvision: a draw for each image, of the training's own generator; mixtures and their labels."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import InterpolationMode, v2

from evomnas.core.errors import InputError
from evomnas.core.seeding import torch_generator
from evomnas.data.rows import ImageRows
from evomnas.problem.sections import Augmentation
from evomnas.training.augmentation import AUGMENTATIONS
from evomnas.training.batches import TrainingBatches
from evomnas.training.losses import balanced_weights, cross_entropy
from evomnas.training.proxy_task import ProxyTask
from evomnas.training.transforms import MIXTURES, TRANSFORMS, Mixing, erase

ORACLES = {
    "random-resized-crop": v2.RandomResizedCrop((12, 16)),
    "trivial-augment-wide": v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR),
    "rand-augment": v2.RandAugment(interpolation=InterpolationMode.BILINEAR),
    "color-jitter": v2.ColorJitter(0.4, 0.4, 0.4),
}


def images(seed, count=24, channels=3):
    return torch.randint(256, (count, channels, 12, 16), generator=torch_generator(seed)).float()


def test_every_name_of_a_problem_file_is_one_augmentation():
    names = [*AUGMENTATIONS, *TRANSFORMS, *MIXTURES]
    assert sorted(names) == sorted(get_args(Augmentation))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_draw_for_each_image_follows_the_generator_and_leaves_torch_s_own_alone(name, channels):
    same = images(1, 1, channels).expand(32, -1, -1, -1)
    state = torch.get_rng_state()
    first, again, other = (TRANSFORMS[name](same, torch_generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == same.shape
    assert first.dtype == torch.float32
    assert 0 <= first.min() <= first.max() <= 255
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first, dim=0)) > 8  # one draw for the batch would give one


@pytest.mark.parametrize("name", ORACLES)
def test_images_are_changed_as_by_torchvision_one_after_another(name):
    batch, generator = images(2), torch_generator(5)
    seed = int(torch.randint(2**62, (), generator=torch_generator(5)))
    found = TRANSFORMS[name](batch, generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = [ORACLES[name](image) for image in batch.to(torch.uint8)]
    assert torch.equal(found, torch.stack(expected).float())


def test_pixels_between_grey_levels_are_rounded_and_those_beyond_them_are_cut():
    batch = torch.tensor([-3.0, 0.4, 0.6, 254.6, 300.0]).view(5, 1, 1, 1).expand(-1, 3, 2, 2)
    flat = TRANSFORMS["random-resized-crop"](batch, torch_generator(0))[:, 0, 0, 0]
    assert flat.tolist() == [0, 0, 1, 255, 255]


def test_about_half_of_the_images_lose_a_rectangle_to_the_mean_colour():
    batch = images(6, 400)
    erased = erase(batch, torch_generator(7))
    changed = (erased != batch).any(1)
    assert 0.4 < changed.any((1, 2)).float().mean() < 0.6
    for image, mask in zip(erased, changed, strict=True):
        if mask.any():
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            part = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            torch.testing.assert_close(part, batch.mean((0, 2, 3)).view(3, 1, 1).expand_as(part))


@pytest.mark.parametrize("seed", range(5))
def test_mixup_adds_images_by_the_shares_of_their_classes(seed):
    batch, labels = images(seed, 6), torch.arange(6)
    mixed, shares = Mixing(["mixup"], 8)(batch, labels, torch_generator(seed))
    assert shares.shape == (6, 8)
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    torch.testing.assert_close(mixed, (shares[:, :6] @ batch.flatten(1)).view_as(batch))


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_takes_a_rectangle_of_the_share_that_its_class_gets(seed):
    plain = torch.arange(6.0).view(6, 1, 1, 1).expand(-1, 3, 12, 16).contiguous()  # a colour for each class
    mixed, shares = Mixing(["cutmix"], 8)(plain, torch.arange(6), torch_generator(seed))
    for image, share in zip(mixed, shares, strict=True):
        counts = np.bincount(image[0].long().flatten(), minlength=8)
        np.testing.assert_allclose(counts / (12 * 16), share, atol=1e-6)


def test_of_several_mixtures_one_is_drawn_for_each_batch():
    mixing, generator = Mixing(["mixup", "cutmix"], 6), torch_generator(0)
    plain = torch.arange(6.0).view(6, 1, 1, 1).expand(-1, 3, 12, 16).contiguous()
    drawn = [mixing(plain, torch.arange(6), generator)[0] for _ in range(20)]
    cut = [torch.equal(batch, batch.round()) for batch in drawn]  # a sum of two colours is none
    assert 4 < sum(cut) < 16


def test_batches_are_mixed_last_and_labels_stay_classes_without_mixtures():
    pixels, labels = ImageRows.all(images(8, 40).to(torch.uint8).numpy()), np.arange(40) % 4
    indices = torch.arange(16)
    for augment, shape in ((["mixup", "flip"], (16, 5)), (["flip"], (16,))):
        batches = TrainingBatches(pixels, labels, 5, augment, torch.device("cpu"))
        batch, found = batches.make_batch(indices, torch_generator(0))
        assert batch.shape == (16, 3, 12, 16)
        assert found.shape == shape
    assert found.tolist() == labels[:16].tolist()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_the_loss_of_whole_shares_is_that_of_the_classes(tiny, class_weights, smoothing):
    recipe = tiny.training.model_copy(update={"class_weights": class_weights, "label_smoothing": smoothing})
    every = torch.tensor([0, 0, 0, 1, 2, 2])
    logits, labels = torch.randn(6, 3, generator=torch_generator(1)), every[torch.tensor([5, 3, 1, 0, 4, 2])]
    loss = cross_entropy(recipe, every)
    torch.testing.assert_close(loss(None, logits, nn.functional.one_hot(labels, 3).float()), loss(None, logits, labels))


def test_a_mixed_image_has_the_mean_weight_of_its_classes(tiny):
    recipe = tiny.training.model_copy(update={"class_weights": "balanced", "label_smoothing": 0.0})
    every = torch.tensor([0, 0, 0, 1])
    logits, shares = torch.randn(2, 2, generator=torch_generator(1)), torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    losses = -(shares * torch.log_softmax(logits, 1)).sum(1)
    expected = ((shares @ balanced_weights(every)) * losses).mean()
    torch.testing.assert_close(cross_entropy(recipe, every)(None, logits, shares), expected)


def test_colours_are_not_changed_where_an_image_has_none():
    pixels, labels = ImageRows.all(images(9, 8, 2).to(torch.uint8).numpy()), np.zeros(8, dtype=np.int64)
    for name in ("trivial-augment-wide", "rand-augment", "color-jitter"):
        with pytest.raises(InputError, match=rf"augment: {name} is for grey and RGB images, and these have 2 channels"):
            TrainingBatches(pixels, labels, 1, ["flip", name], torch.device("cpu"))
    for name in {*get_args(Augmentation)} - {"trivial-augment-wide", "rand-augment", "color-jitter"}:
        batch, _ = TrainingBatches(pixels, labels, 1, [name], torch.device("cpu")).make_batch(
            torch.arange(8), torch_generator(0)
        )
        assert batch.shape == (8, 2, 12, 16)


@pytest.mark.parametrize(
    "augment",
    [
        ["trivial-augment-wide", "random-erasing"],
        pytest.param(["random-resized-crop", "mixup", "cutmix"], marks=pytest.mark.thorough),
    ],
)
def test_a_training_with_them_comes_out_the_same_again(tiny, tiny_dataset, augment):
    data = tiny.data.model_copy(update={"augment": tuple(augment)})
    recipe = tiny.training.model_copy(update={"dropout": 0.2})
    first, again = (ProxyTask(tiny_dataset, data, recipe).train(tiny.space.mobilenet_v2()) for _ in range(2))
    assert first.losses == again.losses
    assert first.answers == again.answers
    assert first.losses != ProxyTask(tiny_dataset, tiny.data, recipe).train(tiny.space.mobilenet_v2()).losses
