"""Learning rates over the steps of a training, relative to their peak.

Schedules are objects and not functions, so that a checkpoint can keep their state. Checkpoints hold their attributes by
name: do not rename these.
"""

from __future__ import annotations

import math


class CosineSchedule:
    """A linear rise from 0 to the peak, then half a cosine down to 0.

    Attributes:
        rise: The number of steps of the rise.
        steps: The number of all steps.
    """

    def __init__(self, warmup: float, steps: int) -> None:
        """Set the length of the schedule.

        Args:
            warmup: The share of the steps in which the rate rises, from 0 to 1.
            steps: The number of all steps of the training.
        """
        self.rise, self.steps = warmup * steps, steps

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step.

        Args:
            step: The number of steps before it.

        Returns:
            The learning rate relative to its peak, from 0 to 1.
        """
        if step < self.rise:
            return (step + 1) / (self.rise + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - self.rise) / max(1.0, self.steps - self.rise)))


class ExponentialSchedule:
    """A linear rise from 0 to the peak, then an exponential decay.

    Attributes:
        rise: The number of steps of the rise.
        end: The rate at the end, relative to the peak.
        steps: The number of all steps.
    """

    def __init__(self, warmup: float, end: float, steps: int) -> None:
        """Set the length of the schedule.

        Args:
            warmup: The share of the steps in which the rate rises, from 0 to 1.
            end: The rate at the end, relative to the peak.
            steps: The number of all steps of the training.
        """
        self.rise, self.end, self.steps = warmup * steps, end, steps

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step.

        Args:
            step: The number of steps before it.

        Returns:
            The learning rate relative to its peak, from 0 to 1.
        """
        if step < self.rise:
            return (step + 1) / (self.rise + 1)
        return float(self.end ** ((step - self.rise) / max(1.0, self.steps - self.rise)))
