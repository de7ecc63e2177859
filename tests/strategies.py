"""What property tests draw from: any architecture, any space, any genome."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from evomnas.problem.architecture import SKIPS, Architecture, Block
from evomnas.problem.pretrained.traits import PLAIN, Traits
from evomnas.problem.search_space import SearchSpace

OPS = ("conv", "dconv", "mbconv3", "mbconv6")  # of MnasNet's space
OTHER_OPS = ("fmbconv4", "extradw2", "convnext3", "ffn2", "uib3a5", "shuffle3", "fire4", "condense2", "pass")

blocks = st.builds(
    Block,
    op=st.sampled_from([*OPS, *OTHER_OPS]),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    filters=st.integers(1, 8).map(lambda count: 8 * count),
    layers=st.integers(1, 4),
    se=st.sampled_from([0.0, 0.25, 0.5, 1 / 3, 1e-5, 1.0]),
    skip=st.sampled_from(SKIPS),
)
traits = st.just(PLAIN) | st.builds(
    Traits,
    activation=st.sampled_from(["relu", "relu6", "hswish"]),
    padding=st.sampled_from(["half", "same"]),
    head=st.sampled_from(["early", "late"]),
    epsilon=st.sampled_from([1e-3, 1e-5, 0.0123]) | st.floats(1e-12, 0.1),
)
resolutions = st.integers(1, 512) | st.tuples(st.integers(1, 512), st.integers(1, 512))  # squares, and any others
architectures = st.builds(
    Architecture,
    stem=st.sampled_from([8, 16, 24]),
    stem_stride=st.integers(1, 2),
    blocks=st.lists(blocks, min_size=1, max_size=7).map(tuple),
    head=st.integers(1, 1280),
    traits=traits,
    resolution=st.none() | resolutions,
)


@st.composite
def spaces(draw, max_filters=64):
    """Any search space, of up to four blocks."""
    count = draw(st.integers(1, 4))

    def per_block(values):
        return tuple(draw(st.lists(values, min_size=count, max_size=count)))

    return SearchSpace(
        filters=per_block(st.integers(4, max_filters)),
        layers=per_block(st.integers(1, 4)),
        strides=per_block(st.integers(1, 2)),
        stem=draw(st.integers(4, max_filters // 2)),
        stem_stride=draw(st.integers(1, 2)),
        head=draw(st.integers(8, 64)),
        width=draw(st.sampled_from([0.35, 0.5, 1.0, 1.4])),
        divisor=draw(st.sampled_from([1, 4, 8])),
        ops=draw(st.sampled_from([OPS, ("conv", *OTHER_OPS[:5], "pass"), OTHER_OPS[5:]])),
        se_ratios=draw(st.sampled_from([(0.0, 0.25), (0.0, 0.125, 0.25), (0.5,), (0.25, 0.3)])),
    )


@st.composite
def points(draw, max_filters=64):
    """A space and one of its genomes."""
    space = draw(spaces(max_filters))
    return space, np.array([draw(st.integers(0, int(size) - 1)) for size in space.gene_sizes])
