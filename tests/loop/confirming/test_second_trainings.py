"""Second trainings: what is kept of a budget for them, which networks have one, and what is shown of them.

Networks are not trained: their accuracies follow from their notations, and differ by a few images from seed to seed.
"""

from __future__ import annotations

import json
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from evomnas.cli import search as _search  # noqa: F401 it registers itself
from evomnas.cli import show as _show  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.core.errors import InputError
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.loop.callbacks.base import Callback
from evomnas.loop.launch import resume, search
from evomnas.problem.counting import count_architecture
from evomnas.report.certainty.certainty_words import confirmed_line
from evomnas.report.reproduce import run_command
from evomnas.report.words import result_table
from evomnas.results.archive import Archive
from evomnas.results.certainty.confirmed import choices
from evomnas.results.certainty.judged import judge_evaluations
from evomnas.results.evaluation import Cost, Measurement, Training
from evomnas.results.packing.pack import pack
from evomnas.results.run import Run
from evomnas.results.timing import Calibration
from evomnas.training.proxy_task import ProxyTask

IMAGES = 30  # behind an accuracy that is made up
ERROR = 0.1  # the standard error that each of them has
BUDGET, SHARE, KEPT = 20, 0.2, 4


def made_up_accuracy(architecture, seed: int) -> float:
    rng = np.random.default_rng([seed, zlib.crc32(str(architecture).encode())])
    layers = sum(block.layers for block in architecture.blocks)
    return float(rng.binomial(IMAGES, 0.9 - 0.5 * np.exp(-layers / 3))) / IMAGES


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def made_up(tiny):
    """Trainings and measurements that are made up; says what was trained, and ends the process where it is told to."""
    state = SimpleNamespace(trained=[], ends_after=None)

    def train(self, architecture, threshold=None):
        state.trained.append((str(architecture), self.recipe.seed))
        if len(state.trained) == state.ends_after:
            raise Killed
        return Training(made_up_accuracy(architecture, self.recipe.seed), (2.0, 1.0), 2.0)

    def measure(self, architectures):
        for one in architectures:
            counts = count_architecture(one, **self.reader.shape)
            ms = 0.1 + 1e-6 * counts.macs
            made = Measurement(Cost(counts.params, counts.macs, 0), ms, ms, ms, ms / 0.2, (1.0,), 0.1)
            self.archive.add_measurement(self.measurement_context, one, made, self.candidates)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProxyTask, "train", train)
        patch.setattr(NetworkEvaluator, "_measure", measure)
        patch.setattr("evomnas.results.readers.share_error", lambda correct, images: ERROR)
        yield state


@pytest.fixture
def new_archive(tiny, made_up, tmp_path):
    """Make archives in which the device is calibrated and that know no network."""
    made_up.trained.clear()
    made_up.ends_after = None
    return lambda name="archive": calibrated(tiny, tmp_path / f"{name}.sqlite")


def calibrated(problem, path):
    with open_evaluator(problem, Archive(path)) as evaluator:
        evaluator.archive.add_calibration(evaluator.measurement_context, Calibration(0.2, (0.2,), 0.0))
        evaluator.archive.close()
    return path


@pytest.fixture(scope="module")
def searched(tiny, made_up, tmp_path_factory):
    """A search that trained some of its networks once more, and what was trained in their order."""
    folder = tmp_path_factory.mktemp("confirmed")
    made_up.trained.clear()
    path = calibrated(tiny, folder / "archive.sqlite")
    run = search(tiny, "random", budget=BUDGET, seed=2, out=folder / "run", archive=path, confirm=SHARE)
    return run, list(made_up.trained)


def content(run: Run) -> tuple:
    """All that two runs must have in common to be the same."""
    rows = [result.to_dict() for result in run.results()]
    chosen = [(choice.asks, choice.networks) for choice in choices(run.archive, run.record.id)]
    return [ask.architecture for ask in run.asks], chosen, rows, run.manifest.hypervolume, run.manifest.evaluations


def test_the_last_share_of_the_budget_trains_the_most_undecided_networks_again(tiny, searched):
    searched, trained = searched
    first, again = [name for name, _ in trained[: BUDGET - KEPT]], [name for name, _ in trained[BUDGET - KEPT :]]
    seed = tiny.training.seed
    assert [own for _, own in trained] == [seed] * (BUDGET - KEPT) + [seed + 1] * KEPT
    [choice] = choices(searched.archive, searched.record.id)
    assert (choice.asks, list(choice.networks)) == (BUDGET - KEPT, again)
    assert searched.manifest.evaluations == searched.manifest.budget == BUDGET

    reader = searched.reader
    evaluations = [reader.evaluation(tiny.parse(name)) for name in first]
    chances = {first[place]: one.front_chance for place, one in judge_evaluations(tiny, evaluations).items()}
    undecided = sorted(abs(chance - 0.5) for chance in chances.values() if 0.1 <= chance <= 0.9)
    assert [abs(chances[name] - 0.5) for name in again] == undecided[:KEPT]


def test_results_have_the_mean_and_its_error(tiny, searched):
    searched, trained = searched
    seed = tiny.training.seed
    again = {name for name, own in trained if own == seed + 1}
    for result in searched.results():
        architecture = result.evaluation.architecture
        seeds = (seed, seed + 1) if str(architecture) in again else (seed,)
        accuracies = [made_up_accuracy(architecture, own) for own in seeds]
        assert result.trainings == len(seeds) == result.to_dict()["trainings"]
        assert result.evaluation.score == pytest.approx(np.mean(accuracies))
        assert result.evaluation.losses[0] == pytest.approx(1 - np.mean(accuracies))
        assert result.evaluation.score_error == pytest.approx(ERROR / len(seeds) ** 0.5)
        assert result.evaluation.trained.seconds == 2.0 * len(seeds)
    losses = [one.evaluation.losses for one in searched.results()]
    for one, own in zip(searched.results(), losses, strict=True):
        beaten = any(all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in losses)
        assert one.on_front != beaten
    assert searched.manifest.hypervolume == pytest.approx(searched.hypervolume(searched.front()))


def test_a_run_that_is_killed_resumes_to_the_same(tiny, searched, made_up, new_archive, tmp_path):
    folder, path = tmp_path / "run", new_archive()
    made_up.ends_after = BUDGET - 1  # within the second trainings
    with pytest.raises(Killed):
        search(tiny, "random", budget=BUDGET, seed=2, out=folder, archive=path, confirm=SHARE)
    made_up.ends_after = None
    assert content(resume(folder)) == content(searched[0])
    assert len(made_up.trained) == BUDGET + 1  # what was under way began again, and nothing else


def test_a_larger_budget_goes_on_searching_and_trains_more_of_them_again(tiny, made_up, new_archive, tmp_path):
    path = new_archive()
    first = search(tiny, "random", budget=BUDGET, seed=2, out=tmp_path / "run", archive=path, confirm=SHARE)
    before, known = choices(first.archive, first.record.id), {one.architecture for one in first.asks}
    made_up.trained.clear()
    run = resume(first.folder, budget=2 * BUDGET)
    more = choices(run.archive, run.record.id)
    assert more[:1] == before
    assert [(one.asks, len(one.networks)) for one in more] == [(BUDGET - KEPT, KEPT), (2 * (BUDGET - KEPT), KEPT)]
    assert not set(more[1].networks) & set(before[0].networks)
    assert {name for name, seed in made_up.trained if seed == tiny.training.seed}.isdisjoint(known)
    assert run.manifest.evaluations == 2 * BUDGET == sum(result.trainings for result in run.results())


class Watcher(Callback):
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def on_evaluation(self, run, result):
        self.told.append((result.evaluation.architecture.id, result.trainings))


def test_in_steady_state_as_well_and_those_who_watch_are_told_of_the_mean(tiny, made_up, new_archive, tmp_path):
    watcher = Watcher()
    run = search(
        tiny, "nsga2", budget=BUDGET, seed=2, out=tmp_path / "run", archive=new_archive(), asynchronous=True,
        confirm=SHARE, callbacks=[watcher],
    )  # fmt: skip
    twice = [one.evaluation.architecture.id for one in run.results() if one.trainings == 2]
    assert sorted(name for name, count in watcher.told if count == 2) == sorted(twice)
    assert len(watcher.told) == len(made_up.trained) == run.manifest.evaluations == BUDGET


def test_what_is_not_undecided_is_searched_with(tiny, new_archive, tmp_path, monkeypatch):
    monkeypatch.setattr("evomnas.algorithms.surrogate.certainty.UNDECIDED", (2.0, 3.0))  # nobody is
    run = search(tiny, "random", budget=BUDGET, seed=2, out=tmp_path / "run", archive=new_archive(), confirm=SHARE)
    assert choices(run.archive, run.record.id) == []
    assert len(run.results()) == BUDGET == run.manifest.evaluations


def test_another_run_of_the_archive_sees_first_trainings_alone(tiny, searched, made_up, tmp_path):
    searched, _ = searched
    path, kept = searched.archive.path, BUDGET - KEPT
    made_up.trained.clear()
    other = search(tiny, "random", budget=kept, seed=2, out=tmp_path / "other", archive=path)
    assert {result.trainings for result in other.results()} == {1}
    again = search(tiny, "random", budget=BUDGET, seed=2, out=tmp_path / "again", archive=path, confirm=SHARE)
    assert content(again) == content(searched)
    assert made_up.trained == []  # all was known, second trainings as well


def test_a_second_training_that_fails_counts_and_leaves_the_first(tiny, new_archive, tmp_path, monkeypatch):
    made_up_train = ProxyTask.train

    def train(self, architecture, threshold=None):
        if self.recipe.seed != tiny.training.seed:
            raise ArithmeticError("no")
        return made_up_train(self, architecture, threshold)

    monkeypatch.setattr(ProxyTask, "train", train)
    run = search(tiny, "random", budget=BUDGET, seed=2, out=tmp_path / "run", archive=new_archive(), confirm=SHARE)
    assert {result.trainings for result in run.results()} == {1}
    assert run.manifest.evaluations == BUDGET
    assert len(run.results()) == BUDGET - KEPT


def test_tables_and_words_say_which_networks_were_trained_twice(searched):
    searched, _ = searched
    folder = str(searched.folder)
    header = CliRunner().invoke(app, ["show", folder, "--all", "--format", "csv"]).stdout.splitlines()[0]
    assert header.endswith(",trainings")
    assert (searched.folder / "front.csv").read_text().splitlines()[0].endswith(",trainings") == any(
        result.trainings == 2 for result in searched.front()
    )
    header, cells = result_table(searched, searched.results())
    place = header.index("trainings")
    assert [row[place] for row in cells] == [str(result.trainings) for result in searched.results()]
    twice = [one for one in searched.results() if one.trainings == 2]
    line = confirmed_line(searched, searched.results())
    assert line.startswith("Trained once more: ")
    assert all(one.evaluation.architecture.id in line for one in twice)
    assert confirmed_line(searched, twice).startswith("Trained once more: All of them were")
    once = [one for one in searched.results() if one.trainings == 1]
    assert confirmed_line(searched, once) == ""
    assert "trainings" not in result_table(searched, once)[0]
    assert "--confirm 0.2" in run_command(searched)


def test_a_packed_run_keeps_them(searched, tmp_path):
    searched, _ = searched
    packed = Run.open(pack(searched, tmp_path / "packed.zip").path)
    assert [one.to_dict() for one in packed.results()] == [one.to_dict() for one in searched.results()]


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_a_share_out_of_range_is_one_line(tiny, share, tmp_path):
    with pytest.raises(InputError, match="--confirm is a share of the budget from 0 to 0.5, not .*: for example 0.1"):
        search(tiny, "random", out=tmp_path / "run", confirm=share)


def test_networks_that_inherit_are_trained_once(tiny, tmp_path):
    with pytest.raises(InputError, match="networks that inherit weights are trained once: drop --confirm"):
        search(tiny, "lemonade", options={"inherit": True}, out=tmp_path / "run", confirm=0.1)


def test_a_table_has_one_result_of_each_network(tabular_file, tmp_path):
    arguments = ["run", str(tabular_file), "--confirm", "0.1", "--out", str(tmp_path / "run")]
    for more in ([], ["--dry-run"]):
        done = CliRunner().invoke(app, [*arguments, *more])
        assert done.exit_code == 2
        assert "is a table, which has one result of each network: drop --confirm" in done.stderr


def test_a_dry_run_says_how_many(tiny_file, tmp_path):
    arguments = ["run", str(tiny_file), "--confirm", "0.1", "--out", str(tmp_path / "run"), "--dry-run"]
    assert "64 networks, up to 6 trainings of them" in CliRunner().invoke(app, arguments).stdout
    assert "up to" not in json.dumps(CliRunner().invoke(app, [*arguments[:2], *arguments[4:]]).stdout)
