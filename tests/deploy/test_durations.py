"""What work will take: the arithmetic, by hand, and how it is corrected as steps pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.deploy import durations
from evomnas.deploy.durations import SAMPLE_S, Plan, measure_pace


class Clock:
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_expected_time_is_the_sum_of_what_is_known():
    assert Plan({"a": 10.0, "b": 0.0, "c": 5.0}).seconds == 15
    assert Plan({}).seconds == 0


def test_the_rest_is_corrected_by_what_the_epochs_took():
    """Twice as long as expected: so the other network will take as well. The first epoch is no measure for others."""
    clock = Clock()
    plan = Plan({"a": 10.0, "b": 20.0}, clock=clock)
    clock.now += 60
    assert plan.remaining("a", 1, 5) == pytest.approx(4 * 2 + 20)
    for epoch in (2, 3, 4, 5):
        clock.now += 4
        assert plan.remaining("a", epoch, 5) == pytest.approx((5 - epoch) * 4 + 40)
    clock.now += 60
    assert plan.remaining("b", 1, 4) == pytest.approx(3 * 10)
    clock.now += 5  # as long as it was expected to take
    assert plan.remaining("b", 2, 4) == pytest.approx(10)


def test_work_of_one_step_is_compared_as_a_whole():
    clock = Clock()
    plan = Plan({"writing": 10.0, "measuring": 4.0, "running": 6.0}, clock=clock)
    clock.now += 20
    assert plan.remaining("writing", 1, 1) == pytest.approx(20)
    clock.now += 8
    assert plan.remaining("measuring", 1, 1) == pytest.approx(12)


def test_a_continued_training_has_fewer_epochs_left():
    clock = Clock()
    plan = Plan({"a": 8.0}, clock=clock)  # of the epochs 57 to 60
    assert plan.remaining("a", 57, 60) == pytest.approx(6)
    clock.now += 3
    assert plan.remaining("a", 58, 60) == pytest.approx(6)


def test_what_follows_the_last_piece_takes_as_long_as_was_expected():
    """However long the pieces take. Where there are none to do, nothing follows either."""
    clock = Clock()
    plan = Plan({"a": 10.0, "b": 20.0}, 3.0, clock)
    assert plan.seconds == 33
    clock.now += 30
    assert plan.remaining("a", 1, 1) == pytest.approx(60 + 3)
    clock.now += 60
    assert plan.remaining("b", 1, 1) == pytest.approx(3)
    assert Plan({"a": 0.0}, 3.0).seconds == 0


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=5), st.floats(0.1, 10), st.integers(1, 9))
def test_at_the_end_nothing_is_left_and_a_constant_factor_is_found_with_the_second_epoch(expected, factor, epochs):
    clock = Clock()
    plan = Plan({str(number): seconds for number, seconds in enumerate(expected)}, clock=clock)
    spent, total = 0.0, factor * sum(expected)
    for number, seconds in enumerate(expected):
        for epoch in range(1, epochs + 1):
            clock.now += factor * seconds / epochs
            spent += factor * seconds / epochs
            left = plan.remaining(str(number), epoch, epochs)
            if number or epoch > 1 or epochs == 1:
                assert left == pytest.approx(total - spent, rel=1e-6, abs=1e-6 * total)
    assert left == pytest.approx(0, abs=1e-6 * total)


def test_the_pace_of_a_core_is_that_of_its_best_of_three(monkeypatch):
    ticks = iter([0, 9 * SAMPLE_S, 1, 1 + 2 * SAMPLE_S, 2, 2 + 5 * SAMPLE_S])
    monkeypatch.setattr(durations.time, "perf_counter", lambda: next(ticks))
    assert measure_pace() == pytest.approx(2)
