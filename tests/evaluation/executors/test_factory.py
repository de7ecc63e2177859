"""How many workers there are by default, and on which device a search trains."""

from __future__ import annotations

import pytest

from evomnas.evaluation.executors import factory
from evomnas.evaluation.executors.factory import default_workers, search_device
from evomnas.problem.loading import load_definition

DIGITS, FASHION, CIFAR = (load_definition(name) for name in ("digits", "fashion-mnist", "cifar10"))


@pytest.mark.parametrize(
    ("free", "workers"),
    [(None, 8), (24.0, 8), (5.0, 8), (4.9, 7), (3.0, 4), (1.6, 1), (1.0, 1), (0.2, 1)],  # 1 GiB for all, 0.5 for each
)
def test_there_are_as_many_workers_as_cores_unless_memory_has_no_room_for_them(free, workers, monkeypatch):
    monkeypatch.setattr(factory, "usable_cores", lambda: 8)
    monkeypatch.setattr(factory, "free_memory_gib", lambda: free)
    assert default_workers(DIGITS, "cpu") == workers


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, as far as the choice can tell."""
    monkeypatch.setattr(factory, "choose_device", lambda device: "cpu" if device == "cpu" else "cuda")


# The expected steps a second of all cores, by hand: cores / (0.02 + 3 * batch * MACs / 9e9), against 90.
@pytest.mark.parametrize(
    ("definition", "cores", "device"),
    [
        (DIGITS, 16, "cpu"),  # 128 images of 0.463 million MACs: 402
        (DIGITS, 2, "cuda"),  # 50
        (FASHION, 16, "cpu"),  # 64 of 3.82 million: 158
        (FASHION, 4, "cuda"),  # 39
        (CIFAR, 16, "cuda"),  # 128 of 12.3 million: 29
        (CIFAR, 128, "cpu"),  # 234
    ],
)
def test_small_networks_are_trained_by_many_cores_where_there_is_a_gpu(definition, cores, device, gpu, monkeypatch):
    monkeypatch.setattr(factory, "usable_cores", lambda: cores)
    monkeypatch.setattr(factory, "free_memory_gib", lambda: None)
    assert search_device(definition) == device
    assert default_workers(definition) == (cores if device == "cpu" else 1)


def test_a_device_that_was_asked_for_is_taken(gpu, monkeypatch):
    monkeypatch.setattr(factory, "usable_cores", lambda: 128)
    assert (search_device(DIGITS, "cuda"), search_device(DIGITS, "cpu")) == ("cuda", "cpu")


def test_workers_that_were_asked_for_are_those_that_count(gpu, monkeypatch):
    monkeypatch.setattr(factory, "usable_cores", lambda: 16)
    assert [search_device(DIGITS, "auto", workers) for workers in (0, 1, 3, 4, 16, 64)] == ["cuda"] * 3 + ["cpu"] * 3


def test_without_a_gpu_the_processor_trains(monkeypatch):
    monkeypatch.setattr(factory, "choose_device", lambda device: "cpu")
    assert search_device(CIFAR) == "cpu"
