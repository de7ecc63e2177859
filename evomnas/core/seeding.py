"""Torch generators that follow from a seed of numpy's kind."""

from __future__ import annotations

import numpy as np
import torch


def torch_generator(seed: int | np.random.SeedSequence) -> torch.Generator:
    """A torch generator on the CPU that follows from a seed of numpy's kind."""
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
