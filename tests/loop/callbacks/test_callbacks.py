"""Callbacks: what they are told of a search, once each, and what becomes of those that fail."""

from __future__ import annotations

import pytest

from evomnas.core.errors import InputError
from evomnas.loop.callbacks.audience import Audience
from evomnas.loop.callbacks.base import Callback
from evomnas.loop.launch import resume, search


class Listener(Callback):
    """Keeps what it is told."""

    def __init__(self):
        self.told: list[tuple[str, object]] = []

    def on_begin(self, run):
        self.told.append(("begin", len(run.results())))

    def on_evaluation(self, run, result):
        self.told.append(("evaluation", result))

    def on_generation(self, run):
        self.told.append(("generation", run.manifest.evaluations))

    def on_end(self, run):
        self.told.append(("end", run.manifest.status))

    @property
    def results(self):
        return [what for event, what in self.told if event == "evaluation"]


class Broken(Callback):
    """Fails at the first network."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def on_evaluation(self, run, result):
        self.calls += 1
        raise self.error


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_callback_is_told_of_everything_in_order(asynchronous, tabular_file, tmp_path):
    listener = Listener()
    run = search(tabular_file, budget=12, out=tmp_path / "run", asynchronous=asynchronous, callbacks=[listener])
    assert listener.told[0] == ("begin", 0)
    assert listener.told[-1] == ("end", "finished")
    results = run.results()
    assert [one.order for one in listener.results] == sorted(one.order for one in results)
    assert {one.evaluation.architecture for one in listener.results} == {one.evaluation.architecture for one in results}
    assert listener.results[0].on_front  # the first one of all is
    assert "generation" in dict(listener.told)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_resumed_search_tells_of_its_own_networks_alone(asynchronous, tabular_file, tmp_path):
    search(tabular_file, budget=12, out=tmp_path / "run", asynchronous=asynchronous)
    listener = Listener()
    run = resume(tmp_path / "run", budget=20, callbacks=[listener])
    assert listener.told[0] == ("begin", 12)
    assert len(listener.results) == 20 - 12
    assert {one.order for one in listener.results} == {one.order for one in run.results()[12:]}


def test_an_interrupted_search_tells_that_it_ends(tabular_file, tmp_path, stopped_at):
    listener = Listener()
    with stopped_at("add_asks", 2):
        search(tabular_file, budget=30, out=tmp_path / "run", callbacks=[listener])
    assert listener.told[-1] == ("end", "interrupted")


def test_a_callback_that_fails_is_warned_of_once_and_ends_nothing(tabular_file, tmp_path):
    broken, listener = Broken(ValueError("no disk")), Listener()
    with pytest.warns(UserWarning, match=r"callback Broken failed.*ValueError: no disk") as warned:
        run = search(tabular_file, budget=9, out=tmp_path / "run", callbacks=[broken, listener])
    assert (run.manifest.status, broken.calls, len(warned), len(listener.results)) == ("finished", 1, 1, 9)


def test_an_output_that_nobody_reads_any_more_ends_the_search(tabular_file, tmp_path):
    with pytest.raises(BrokenPipeError, match="gone"):
        search(tabular_file, budget=9, out=tmp_path / "run", callbacks=[Broken(BrokenPipeError("gone"))])


def test_what_is_no_callback_is_refused_before_anything_happens(tabular_file, tmp_path):
    with pytest.raises(InputError, match="callbacks must be a list of Callbacks, not"):
        search(tabular_file, budget=9, out=tmp_path / "run", callbacks=[Listener])
    assert not (tmp_path / "run").exists()
    Audience([Callback()]).on_begin(None)  # one that wants nothing
