"""The estimate: its arithmetic by hand, and that it evaluates real networks and leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.loop.estimate import SAMPLED_NETWORKS, _search_seconds, estimate
from evomnas.problem.loading import load_definition
from evomnas.report.words import estimate_lines


def test_equal_trainings_take_as_many_rounds_as_workers_need_for_a_batch():
    """60 networks are seven batches of 8 and one of 4; three workers need seven times 3 and then 2 rounds of 2 s."""
    seconds = _search_seconds(np.full(5, 2.0), latency=0.5, startup=10.0, budget=60, workers=3)
    assert seconds == pytest.approx((10 + 0.5 * 60 + 2.0 * 23,) * 3)
    assert _search_seconds(np.full(5, 2.0), 0.5, 10.0, 60, 1) == pytest.approx((10 + 30 + 120,) * 3)


def test_spread_trainings_give_an_interval_around_their_mean():
    low, middle, high = _search_seconds(np.array([1.0, 3.0]), 0.0, 0.0, 100, 1)
    assert low < middle < high
    assert middle == pytest.approx(200, rel=0.05)


def test_an_estimate_evaluates_real_networks_and_leaves_nothing_behind(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    found = estimate(tiny, budget=100)
    assert found.networks == SAMPLED_NETWORKS
    assert 0 < found.training[0] <= found.training[1] <= found.training[2]
    assert found.latency > 0
    assert found.memory_gib > 0.1
    assert found.disk_bytes > 2**20
    assert found.seconds[1][1] >= 100 * found.training[0]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("evomnas-") and path.suffix]
    lines = estimate_lines(found, 1)
    assert "for 100 networks with 1 worker (" in lines[1]


def test_a_table_needs_no_estimate(tabular_file):
    with pytest.raises(InputError, match="looks its networks up in a table"):
        estimate(load_definition(tabular_file))
