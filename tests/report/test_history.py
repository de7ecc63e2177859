"""Whether a search is still improving, counted again by brute force, and in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.problem.pareto import hypervolume
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.report.history import MIN_TREND_NETWORKS, Trend, read_trend
from evomnas.results.evaluation import Failure, TabularEvaluation
from evomnas.results.run import Result

REFERENCE_POINT = (0.5, 2.0)
GRID = st.tuples(st.integers(0, 6).map(lambda n: n / 10), st.integers(1, 6).map(lambda n: n / 2))  # with ties


def made(losses: tuple[float, float] | None, number: int, violation: float = 0.0) -> Result:
    """The result of a network; a failure without losses. The reference network costs 1."""
    failure = Failure("missing", "no such row") if losses is None else None
    evaluation = TabularEvaluation(TabularArchitecture(str(number)), losses, losses, {}, failure, violation)
    return Result(number, 0, evaluation, False)


def trend_of(losses) -> Trend:
    return read_trend([made(one, number) for number, one in enumerate(losses)], REFERENCE_POINT)


@given(st.lists(st.none() | GRID, max_size=45))
def test_a_network_joins_the_front_if_none_before_it_is_as_good_in_both_objectives(losses):
    joins = [
        one is not None
        and not any(other is not None and other[0] <= one[0] and other[1] <= one[1] for other in losses[:place])
        for place, one in enumerate(losses)
    ]
    trend = trend_of(losses)
    assert trend.evaluated == len(losses)
    assert trend.recent == (len(losses) // 3 if len(losses) >= MIN_TREND_NETWORKS else 0)
    first = len(losses) - trend.recent
    assert trend.joined == sum(joins[first:])
    assert trend.quiet == len(losses) - 1 - max((place for place, joined in enumerate(joins) if joined), default=-1)
    before, after = (
        hypervolume([one for one in part if one is not None], REFERENCE_POINT) for part in (losses[:first], losses)
    )
    if not trend.recent or before == 0:
        assert trend.gain is None
    else:
        assert trend.gain == pytest.approx(after / before - 1)


def test_networks_that_do_not_count_against_the_budget_do_not_count_here():
    beyond = [made(None, number, violation=1.0) for number in range(20)]
    assert read_trend(beyond, REFERENCE_POINT).evaluated == 0


@pytest.mark.parametrize("count", range(MIN_TREND_NETWORKS))
def test_nothing_is_claimed_of_a_few_networks(count):
    text = trend_of([(0.5 - number / 100, 1.0) for number in range(count)]).describe()
    assert text.startswith("Too early to say")
    assert f"{count} network{'s' * (count != 1)} " in text


@pytest.mark.parametrize(
    ("trend", "text"),
    [
        (Trend(30, 10, 3, 2, 0.0314), "Still improving: 3 of the last 10 networks joined the front and raised its "
         "hypervolume by 3.1%."),
        (Trend(30, 10, 3, 2, 0.999), "Still improving: 3 of the last 10 networks joined the front and raised its "
         "hypervolume by 99.9%."),
        (Trend(30, 10, 3, 2, 1.0), "Still improving: 3 of the last 10 networks joined the front and made its "
         "hypervolume 2 times as large."),
        (Trend(30, 10, 3, 2, 9.36), "Still improving: 3 of the last 10 networks joined the front and made its "
         "hypervolume 10 times as large."),
        (Trend(30, 10, 3, 2, 50.0), "Still improving: 3 of the last 10 networks joined the front and raised its "
         "hypervolume from nearly nothing."),
        (Trend(30, 10, 3, 2, None), "Still improving: 3 of the last 10 networks joined the front."),
        (Trend(90, 30, 1, 28, 0.02), "Still improving: 1 of the last 30 networks joined the front (the last of them 28 "
         "networks ago) and raised its hypervolume by 2.0%."),
        (Trend(30, 10, 1, 9, 0.0049), "Hardly improving any more: 1 of the last 10 networks joined the front and "
         "raised its hypervolume by less than 0.5%."),
        (Trend(60, 20, 0, 20, 0.0), "No new network on the front in the last 20: the search may have found what it "
         "can."),
        (Trend(16, 5, 0, 7, 0.0), "None of the last 7 networks joined the front, too few to say whether others would."),
    ],
)  # fmt: skip
def test_the_trend_in_words_has_the_numbers_that_it_rests_on(trend, text):
    assert trend.describe() == text
