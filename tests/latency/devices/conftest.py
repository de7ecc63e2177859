"""Networks that devices measure."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import PreparedNetwork, open_runtime
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import SearchSpace

SPACE = SearchSpace(filters=(8, 12), layers=(1, 2), strides=(1, 2), stem=8, stem_stride=1, head=24, divisor=4)
SLOW = Architecture.parse("stem8_s1-conv_k5_s1_f64_n2-head24")  # takes many times as long as any of the space


@pytest.fixture(scope="session")
def networks() -> list[PreparedNetwork]:
    """A reference network and three candidates, the last of which is far slower than the others."""
    runtime = open_runtime("onnxruntime")
    architectures = [*(SPACE.decode(genome) for genome in SPACE.sample(3, np.random.default_rng(3))), SLOW]
    return [prepare(runtime, architecture, 5, 3, 16) for architecture in architectures]
