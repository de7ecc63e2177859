"""Whose fault deaths of workers are: those of calls that are made up."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from evomnas.core.errors import WorkersLost
from evomnas.evaluation.executors import deaths
from evomnas.evaluation.executors.crew import WorkerDied
from evomnas.evaluation.executors.deaths import MAX_MASSACRES, Inquest


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(deaths, "SAME_CAUSE_S", 0.01)


def call(exit_code: int | None = 0) -> Future:
    """A call whose worker has ended so; 0 for one that has a result."""
    one: Future = Future()
    if exit_code == 0:
        one.set_result("result")
    else:
        code: Future = Future()
        code.set_result(exit_code)
        one.set_exception(WorkerDied(code))
    return one


def test_calls_with_results_end_as_they_are():
    ended, other = {call(), call()}, Future()
    assert Inquest().hold(ended, [*ended, other]) == (ended, set(), False)


@pytest.mark.parametrize("exit_code", [-9, -15, None])
def test_a_worker_that_is_killed_alone_is_its_call_s_fault(exit_code):
    killed, other = call(exit_code), Future()
    assert Inquest().hold({killed}, [killed, other]) == ({killed}, set(), False)


@pytest.mark.parametrize("exit_code", [-9, -15, None])
def test_workers_that_are_killed_together_are_nobody_s_fault(exit_code):
    first, second, result = call(exit_code), call(-9), call()
    verdict = Inquest().hold({first}, [first, second, result])  # the others are seen a moment later
    assert verdict == ({first, second, result}, {first, second}, False)


@pytest.mark.parametrize("exit_code", [-11, -4, 1])
def test_workers_that_crash_together_have_only_themselves_to_blame(exit_code):
    both = {call(exit_code), call(exit_code)}
    assert Inquest().hold(both, both) == (both, set(), False)


def test_a_call_that_was_killed_beside_one_that_crashed_was_killed_alone():
    killed, crashed = call(-9), call(-11)
    assert Inquest().hold({killed}, [killed, crashed]) == ({killed, crashed}, set(), False)


def test_who_wanted_too_much_memory_is_to_blame_also_beside_others(monkeypatch):
    kills = iter([5, 7, 7])
    monkeypatch.setattr(deaths, "kills_for_memory", lambda: next(kills))
    inquest = Inquest()
    both = {call(-9), call(-9)}
    assert inquest.hold(both, both) == (both, set(), True)
    assert inquest.hold(both, both) == (both, both, False)  # nothing since then


def test_killing_all_workers_again_and_again_ends_it_unless_something_is_finished():
    inquest, other = Inquest(), Future()
    for _ in range(2):
        for _ in range(MAX_MASSACRES):
            both = {call(-9), call(-9)}
            inquest.hold(both, [*both, other])
            inquest.hold(set(), [other])  # nothing has ended
        inquest.hold({call()}, [other])
    for _ in range(MAX_MASSACRES):
        both = {call(-9), call(-9)}
        inquest.hold(both, both)
    with pytest.raises(WorkersLost, match="all worker processes were killed, 6 times in a row"):
        inquest.hold(both, both)
