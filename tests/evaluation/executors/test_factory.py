"""How many workers there are by default."""

from __future__ import annotations

import pytest

from evomnas.evaluation.executors import factory
from evomnas.evaluation.executors.factory import default_workers


@pytest.mark.parametrize(
    ("free", "workers"),
    [(None, 8), (24.0, 8), (5.0, 8), (4.9, 7), (3.0, 4), (1.6, 1), (1.0, 1), (0.2, 1)],  # 1 GiB for all, 0.5 for each
)
def test_there_are_as_many_workers_as_cores_unless_memory_has_no_room_for_them(free, workers, monkeypatch):
    monkeypatch.setattr(factory, "usable_cores", lambda: 8)
    monkeypatch.setattr(factory, "free_memory_gib", lambda: free)
    assert default_workers("cpu") == workers
