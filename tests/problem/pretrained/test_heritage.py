"""Which layers can inherit from which, by their steps. What is inherited is tested in tests/networks/pretrained."""

from __future__ import annotations

from evomnas.problem.ops.base import Concatenation, Convolution, Gate
from evomnas.problem.pretrained.heritage import is_alike


def chain(*filters: int) -> tuple[Convolution, ...]:
    """Convolutions of one pixel, one behind another, from 4 channels."""
    return tuple(map(lambda before, now: Convolution(before, now, 1), (4, *filters), filters))


def test_a_layer_may_have_other_filters_and_gates():
    assert is_alike(chain(8, 16), (*chain(12, 20), Gate(20)))
    assert not is_alike(chain(8, 16), chain(8))


def test_branches_need_the_same_filters_only_at_their_ends():
    ours = Concatenation((chain(8, 6, 16), chain(8)))
    assert is_alike([Concatenation((chain(8, 12, 16), chain(8)))], [ours])
    assert not is_alike([Concatenation((chain(8, 6, 12), chain(8)))], [ours])
    assert not is_alike([Concatenation((chain(8, 6, 16), chain(8), chain(8)))], [ours])
    assert not is_alike(chain(8), [ours])
