"""Learning rates over a training's steps, relative to their peak."""

from __future__ import annotations

import math


class CosineSchedule:
    """Learning rate over its peak: a linear rise over `warmup` of the steps, then half a cosine to 0."""

    def __init__(self, warmup: float, steps: int) -> None:
        self.rise, self.steps = warmup * steps, steps

    def __call__(self, step: int) -> float:
        if step < self.rise:
            return (step + 1) / (self.rise + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - self.rise) / max(1.0, self.steps - self.rise)))


class ExponentialSchedule:
    """Learning rate over its peak: a linear rise over `warmup` of the steps, then an even decline to `end`."""

    def __init__(self, warmup: float, end: float, steps: int) -> None:
        self.rise, self.end, self.steps = warmup * steps, end, steps

    def __call__(self, step: int) -> float:
        if step < self.rise:
            return (step + 1) / (self.rise + 1)
        return float(self.end ** ((step - self.rise) / max(1.0, self.steps - self.rise)))
