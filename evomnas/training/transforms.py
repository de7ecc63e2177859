"""Augmentations of torchvision, with random numbers that are a training's own.

torchvision draws one change for all images that it is given. So each image of a batch is given to it alone, and only
whole batches are mixed at once. It draws from torch's global generator, which is seeded for that and restored.

torchvision is imported when it is first needed: that takes half as long again as importing torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

JITTER = 0.4  # the largest change of brightness, contrast and saturation, as a share
MIXUP_ALPHA = 0.2  # as Zhang et al. 2018 train ImageNet: most mixtures are nearly one of the two images
CUTMIX_ALPHA = 1.0  # as Yun et al. 2019: every share is as likely


def _v2() -> Any:
    """Return torchvision's transforms."""
    from torchvision.transforms import v2

    return v2


def _each(make: Callable[[], Callable[[Tensor], Tensor]]) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Return an augmentation that changes each image of a batch by a draw of its own, from what makes its transform."""

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        transform = make()
        pixels = images.round().clamp(0, 255).to(torch.uint8)
        with _draws_of(generator):
            return torch.stack([transform(image) for image in pixels]).float()

    return augment


@contextmanager
def _draws_of(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global generator continue a generator of a training inside the block."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _resized_crop(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    cropped: Tensor = _v2().RandomResizedCrop((height, width), antialias=True)(image)
    return cropped


def erase(images: Tensor, generator: torch.Generator) -> Tensor:
    """Fill a rectangle of half of the images with the batch's mean colour (Zhong et al. 2020).

    Args:
        images: Float, pixel values from 0 to 255, shape (n, channels, h, w).
        generator: A generator on the CPU, from which the images and rectangles are drawn.

    Returns:
        The images, with a rectangle or not, of the same shape.
    """
    transform = _v2().RandomErasing(p=0.5, value=images.mean((0, 2, 3)).tolist())
    with _draws_of(generator):
        return torch.stack([transform(image) for image in images])


COLOUR_TRANSFORMS = {  # what they do to colours is defined for grey and RGB images alone
    "trivial-augment-wide": _each(lambda: _v2().TrivialAugmentWide(interpolation=_v2().InterpolationMode.BILINEAR)),
    "rand-augment": _each(lambda: _v2().RandAugment(interpolation=_v2().InterpolationMode.BILINEAR)),
    "color-jitter": _each(lambda: _v2().ColorJitter(JITTER, JITTER, JITTER)),
}
TRANSFORMS = COLOUR_TRANSFORMS | {"random-resized-crop": _each(lambda: _resized_crop), "random-erasing": erase}
MIXTURES = {
    "mixup": lambda classes: _v2().MixUp(num_classes=classes, alpha=MIXUP_ALPHA),
    "cutmix": lambda classes: _v2().CutMix(num_classes=classes, alpha=CUTMIX_ALPHA),
}


class Mixing:
    """Each image of a batch is mixed with another one, and its label with the other's label."""

    def __init__(self, names: list[str], classes: int) -> None:
        """Choose the ways of mixing.

        Args:
            names: Names of `MIXTURES`. Of several, one is drawn for each batch.
            classes: The number of classes.
        """
        self._transforms = [MIXTURES[name](classes) for name in names]

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mix the images of a batch.

        Args:
            images: Float, shape (n, channels, h, w).
            labels: Their classes, shape (n,).
            generator: A generator on the CPU, from which partners and shares are drawn.

        Returns:
            The mixed images, of the same shape, and the share of every class in each, shape (n, classes).
        """
        choice = int(torch.randint(len(self._transforms), (), generator=generator))
        with _draws_of(generator):
            mixed, shares = self._transforms[choice](images, labels)
        return mixed, shares
