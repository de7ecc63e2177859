"""Settings that suit images of one's own, by their number and size.

The settings of the built-in problem `images` suit some thousand photographs. With 200 of them they train 25 steps and
score a network on 40 images, which is noise: with more epochs and folds the tau with a full training rose from 0.15 to
0.73. With 500 and more, folds cost three times as much and rank no better. All that was measured by
benchmarks/suited_settings.py; docs/problem-files.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from evomnas.core.resolution import sides
from evomnas.problem.sections import DataSection
from evomnas.problem.typed.paths import SMALL_SIDE

FEW, FOLDS = 500, 5  # below so many images, so many folds
PASSES, FOLDED_PASSES = 4_000, 12_000  # images x epochs of a candidate: of one training, of all folds together
MIN_EPOCHS, MAX_EPOCHS = 5, 30
FEW_TRAINED, SMALL_BATCH, BATCH = 512, 16, 32  # below so many images to train on, the small batch
USUAL_STRIDE = 32  # in all, of the problem `images`
SMALL_SPACE = {  # of the built-in problem fashion-mnist
    "space.width": "0.35",
    "space.stem_stride": "2",
    "space.strides": "[1, 2, 1, 2, 1, 1, 1]",
    "space.layers": "[1, 2, 2, 3, 2, 2, 1]",
    "space.head": "320",
}
SUITED = ("data.resolution", "data.validation", "training.epochs", "training.batch", "space.strides")


@dataclass(frozen=True, slots=True)
class OwnImages:
    """Facts about somebody's images.

    Attributes:
        count: Images that a search may use, those included that validate it.
        side: The shorter side of the middle one in pixels; None where that is not known.
        validating: How many of them their owner chose to validate a search; 0 where nobody chose.
    """

    count: int
    side: int | None = None
    validating: int = 0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Settings that belong together.

    Attributes:
        settings: Values by key, such as `training.epochs`, as TOML.
        reason: Why, in words.
    """

    settings: dict[str, str]
    reason: str

    def describe(self) -> str:
        """Return the settings with their reason, in a line."""
        return f"{', '.join(f'{key} = {value}' for key, value in self.settings.items())}: {self.reason}"


def suggest(images: OwnImages, data: DataSection, typed: Collection[str]) -> list[Suggestion]:
    """Return settings that suit images.

    Args:
        images: What is known of them.
        data: The section of the problem as it is without these settings.
        typed: The keys that somebody typed, which stay as they are.

    Returns:
        The settings that are not the usual ones, without those that somebody typed.
    """
    folds = _folds(images, data, typed)
    found = [] if data.dataset == "npz" else list(_suit_size(images, data, typed))  # the size of arrays chose already
    return [*found, *_suit_validation(images, folds, data), *_suit_training(images, folds, data, typed)]


def _suit_size(images: OwnImages, data: DataSection, typed: Collection[str]) -> Iterator[Suggestion]:
    """Yield the resolution of pictures that are smaller than the usual one, and the space of small ones."""
    side = min(sides(data.resolution))
    if "data.resolution" not in typed and images.side is not None and images.side < side:
        side = images.side
        yield Suggestion({"data.resolution": str(side)}, f"the middle picture has no more than {side} pixels")
    if side <= SMALL_SIDE and not any(key.startswith("space.") for key in typed):
        left = -(-side // USUAL_STRIDE)
        yield Suggestion(SMALL_SPACE, f"the usual strides would leave {left}x{left} of {side}x{side} pixels")


def _folds(images: OwnImages, data: DataSection, typed: Collection[str]) -> int | None:
    """Return the folds that suit images; None for a share of them that validates."""
    if "data.folds" in typed:
        return data.folds
    if images.validating or "data.validation" in typed:
        return None
    return FOLDS if images.count < FEW else None


def _suit_validation(images: OwnImages, folds: int | None, data: DataSection) -> Iterator[Suggestion]:
    if folds not in (None, data.folds):
        share = max(1, round(data.validation * images.count))
        reason = (
            f"so all images validate; some {share:,} alone would tell an accuracy to "
            f"±{50 / math.sqrt(share):.0f} points"
        )
        yield Suggestion({"data.folds": str(folds)}, reason)


def _suit_training(
    images: OwnImages, folds: int | None, data: DataSection, typed: Collection[str]
) -> Iterator[Suggestion]:
    share = 1 / folds if folds else data.validation
    trained = max(1, images.count - (images.validating or round(share * images.count)))
    epochs = round(FOLDED_PASSES / (trained * folds) if folds else PASSES / trained)
    epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, epochs))
    batch = SMALL_BATCH if trained < FEW_TRAINED else BATCH
    suited = {"training.epochs": (epochs, MIN_EPOCHS), "training.batch": (batch, BATCH)}
    settings = {key: str(value) for key, (value, usual) in suited.items() if value != usual and key not in typed}
    if settings:
        steps = MIN_EPOCHS * max(1, trained // BATCH)
        reason = (
            f"{MIN_EPOCHS} epochs of {BATCH} images a step are {steps} steps with some {trained:,} images to train on"
        )
        yield Suggestion(settings, reason)
