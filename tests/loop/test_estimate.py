"""The estimate: its arithmetic by hand, that it searches for real, and that it leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.loop.estimate import Sample, _training_seconds, _with_fewer_epochs, estimate
from evomnas.problem.loading import load_definition
from evomnas.report.words import estimate_lines
from evomnas.results.evaluation import Cut, Failure, NetworkEvaluation, Training
from evomnas.results.run import Run


def sample(first=(2.0,) * 10, later=(1.0,) * 16, workers=1, alone=1.0, startup=10.0, other=0.5) -> Sample:
    return Sample(np.array(first), np.array(later), workers, alone, startup, other)


def test_equal_trainings_take_as_many_rounds_as_workers_need_for_a_batch():
    """Three workers need 4 rounds of 2 s for the first ten networks; then 3 rounds of 1 s for each batch of 8, and 1
    for the last 2 of 60."""
    beside = 10 + 0.5 * 60
    assert sample().search_seconds(60, 3) == pytest.approx((beside + 4 * 2 + 6 * 3 + 1,) * 3)
    assert sample().search_seconds(60, 1) == pytest.approx((beside + 20 + 50,) * 3)


def test_a_search_that_ends_within_its_first_batch_has_no_later_networks():
    assert sample(first=(4.0, 3.0, 2.0, 1.0), later=()).search_seconds(2, 1) == pytest.approx((10 + 1 + 7,) * 3)


def test_a_training_alone_is_as_fast_as_it_was_alone():
    """Measured with four workers, beside which a training takes twice as long as alone."""
    one = sample(workers=4, alone=0.5, startup=0.0, other=0.0)
    assert one.search_seconds(18, 1) == pytest.approx((0.5 * 28,) * 3)
    assert one.search_seconds(18, 4) == pytest.approx((3 * 2 + 2 * 1,) * 3)
    assert one.search_seconds(18, 2) == pytest.approx(((0.5 + 0.5 / 3) * (5 * 2 + 4 * 1),) * 3)
    assert one.search_seconds(18, 8) == pytest.approx((2 * 2 + 1 * 1,) * 3)


def test_the_interval_says_how_little_a_small_sample_tells():
    few, many = (sample(later=(1.0, 3.0) * count).search_seconds(110, 1) for count in (2, 50))
    for low, middle, high in (few, many):
        assert low < middle < high
        assert middle == pytest.approx(10 + 55 + 20 + 200, rel=0.05)
    assert few[2] - few[0] > 2 * (many[2] - many[0])


def test_a_complete_training_is_scaled_to_all_epochs_and_one_that_was_cut_off_is_not(tiny, rng):
    architectures = [tiny.space.decode(tiny.space.draw(rng)) for _ in range(4)]
    halves = [Training(0.5, (1.0,), 2.0), Cut((1.0,), 0.5, 3.0), Failure("diverged", "NaN"), None]
    evaluations = [NetworkEvaluation(one, None, half) for one, half in zip(architectures, halves, strict=True)]
    assert _training_seconds(evaluations, 2.5).tolist() == [5.0, 3.0]


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (2, 1), (5, 2), (7, 3), (30, 12)])
def test_trainings_of_an_estimate_have_two_fifths_of_the_epochs(epochs, expected, tiny):
    training = tiny.training.model_copy(update={"epochs": epochs})
    assert _with_fewer_epochs(tiny.model_copy(update={"training": training})).epochs == expected


def test_an_estimate_searches_for_real_and_leaves_nothing_behind(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    told, factors = [], []
    price = NetworkEvaluator.price
    monkeypatch.setattr(
        NetworkEvaluator, "price", lambda self, known: factors.append(self.training_factor) or price(self, known)
    )
    counts: list[int] = []
    results = Run.results
    monkeypatch.setattr(Run, "results", lambda self: counts.append(len(results(self))) or results(self))
    changed = {
        "training": tiny.training.model_copy(update={"epochs": 4}),
        "constraints": tiny.constraints.model_copy(update={"max_params": 2500}),
    }
    monkeypatch.setattr("evomnas.loop.estimate.SAMPLED_NETWORKS", 12)  # a first batch, and two of the next
    found = estimate(tiny.model_copy(update=changed), budget=100, on_progress=told.append)
    assert found.networks == 12 < counts[-1]  # those beyond the limit do not count
    assert (told[-1].evaluated, told[-1].budget) == (12, 12)
    assert set(factors) == {2.0}
    assert 0 < found.training[0] <= found.training[1] <= found.training[2]
    assert found.latency > 0
    assert found.memory_gib > 0.1
    assert found.disk_bytes > 2**20
    assert found.seconds[1][1] >= 100 * found.latency
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("evomnas-") and path.suffix]
    lines = estimate_lines(found, 1)
    assert "from a short search of 12 networks with 1 worker" in lines[0]
    assert "for 100 networks with 1 worker (" in lines[1]


def test_a_table_needs_no_estimate(tabular_file):
    with pytest.raises(InputError, match="looks its networks up in a table"):
        estimate(load_definition(tabular_file))
