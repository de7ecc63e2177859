"""Torch generators that follow from numpy's seeds."""

from __future__ import annotations

import numpy as np
import torch


def torch_generator(seed: int | np.random.SeedSequence) -> torch.Generator:
    """Return a torch generator that follows from a seed of numpy's kind.

    Args:
        seed: A number or a seed sequence; a sequence is not changed.

    Returns:
        A generator on the CPU. Equal seeds give generators in equal states.
    """
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
