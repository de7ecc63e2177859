"""Hopeless candidates: the rule against a slow, independent one; searches that cut, are played again and share."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tiny_problem import TINY
from typer.testing import CliRunner

from evomnas.algorithms.base import make_algorithm
from evomnas.cli import search as _commands  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.evaluation.executors.factory import make_executor
from evomnas.evaluation.executors.jobs import TrainingJob
from evomnas.evaluation.factory import open_evaluator
from evomnas.loop.launch import resume, search
from evomnas.problem.counting import count_architecture
from evomnas.problem.loading import validate_definition
from evomnas.problem.pareto import Front, PlaneFront
from evomnas.report.comparison.comparison import compare
from evomnas.report.reproduce import run_command
from evomnas.report.run_report import write_report
from evomnas.report.words import cut_line
from evomnas.results.archive import Archive
from evomnas.results.evaluation import (
    Cost,
    Cut,
    Failure,
    Measurement,
    NetworkEvaluation,
    Training,
    losses_and_violations,
)
from evomnas.results.records import SearchMode
from evomnas.results.run import Run
from evomnas.results.timing import Calibration
from evomnas.training.early_stop import ERROR_FLOOR, FAMILYWISE_ERROR_RATE, MIN_COMPLETED_TRAININGS, EarlyStop, PowerLaw
from evomnas.training.proxy_task import ProxyTask

# --- the rule ----------------------------------------------------------------------------------------------

seeds = st.integers(0, 10_000)


def curves(seed: int, epochs: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Losses (n, epochs) and final errors (n,) that follow them, more or less."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=int(rng.integers(MIN_COMPLETED_TRAININGS, 40)))
    noise = 10 ** rng.uniform(-2, 0)
    losses = np.exp(0.3 * quality[:, None] + noise * rng.normal(size=(len(quality), epochs)))
    return losses, 1 / (1 + np.exp(2.0 - quality - noise * rng.normal(size=len(quality))))


def measured(latency_ms: float, training=None, low_ms: float | None = None) -> NetworkEvaluation:
    low = latency_ms if low_ms is None else low_ms
    half = Measurement(Cost(1, 1, 0), latency_ms, low, latency_ms, latency_ms, (), 0.1)
    return NetworkEvaluation(None, half, training)  # type: ignore[arg-type]


def taught(losses: np.ndarray, errors: np.ndarray, rival: tuple[float, float] = (0.2, 1.0)) -> EarlyStop:
    front: Front[None] = PlaneFront()
    front.add(rival, None)
    rule = EarlyStop(losses.shape[1], front)
    for curve, error in zip(losses, errors, strict=True):
        rule.learn(measured(1.0, Training(1 - error, tuple(curve), 1.0)))
    return rule


def lower_bound(xs: np.ndarray, ys: np.ndarray, x: float) -> float:
    """Of y at x, from the textbook: Student's t prediction bound, and deviations from lines without a point."""

    def ahead(where: np.ndarray, at: float) -> float:
        return math.sqrt(1 + 1 / len(where) + (at - where.mean()) ** 2 / ((where - where.mean()) ** 2).sum())

    line = stats.linregress(xs, ys)
    deviation = math.sqrt(((ys - line.intercept - line.slope * xs) ** 2).sum() / (len(xs) - 2))
    margins = [stats.t.ppf(1 - FAMILYWISE_ERROR_RATE / len(xs), len(xs) - 2) * deviation]
    for place in range(len(xs)):
        others = np.arange(len(xs)) != place
        without = stats.linregress(xs[others], ys[others])
        below = without.intercept + without.slope * xs[place] - ys[place]
        margins.append(below / ahead(xs[others], xs[place]))
    return line.intercept + line.slope * x - max(margins) * ahead(xs, x)


@given(seeds, st.floats(0.01, 0.9))
def test_the_largest_loss_with_hope_is_where_the_textbook_s_bound_meets_the_rival(seed, rival):
    losses, errors = curves(seed, 1)
    xs, ys = np.log(losses[:, 0]), np.log(errors + ERROR_FLOOR)
    line = PowerLaw.fit(xs, ys)
    goal, most = math.log(rival + ERROR_FLOOR), line.max_loss(rival)
    if math.isinf(most):  # the bound does not rise with the loss for ever: the slope may be chance
        assert lower_bound(xs, ys, xs.mean() + 1e6) <= lower_bound(xs, ys, xs.mean() + 1e3)
    else:
        assert lower_bound(xs, ys, math.log(most)) == pytest.approx(goal, abs=1e-6)
        assert lower_bound(xs, ys, math.log(most) + 0.01) > goal
        assert line.predict_error(most) >= min(rival, 1 - ERROR_FLOOR) - 1e-9


@given(seeds)
def test_no_completed_training_would_have_been_stopped_for_one_that_is_no_better(seed):
    losses, errors = curves(seed)
    for curve, error in zip(losses, errors, strict=True):
        threshold = taught(losses, errors, (error, 1.0)).threshold(measured(1.0))
        assert not any(threshold.should_stop(curve[:epoch]) for epoch in range(1, len(curve) + 1))


@given(seeds, st.floats(0.01, 0.9), st.floats(0.01, 0.9))
def test_the_better_the_rival_the_lower_the_threshold(seed, one, other):
    rule = [taught(*curves(seed), (min(one, other), 1.0)), taught(*curves(seed), (max(one, other), 1.0))]
    low, high = (each.threshold(measured(1.0)).max_losses for each in rule)
    assert all(a <= b for a, b in zip(low, high, strict=True))


@pytest.fixture
def plain() -> tuple[np.ndarray, np.ndarray]:
    """Errors that follow the losses closely."""
    quality = np.linspace(-1, 1, 30)
    wave = 0.02 * np.sin(40 * quality)
    return np.exp(np.outer(quality, [0.1, 0.3, 0.5])), 0.2 * np.exp(quality + wave)


def test_what_is_far_behind_stops_and_the_last_epoch_stops_nothing(plain):
    threshold = taught(*plain, (0.08, 1.0)).threshold(measured(1.0))
    assert threshold.should_stop([plain[0][-1, 0]])
    assert not threshold.should_stop([plain[0][0, 0]])
    assert not threshold.should_stop([*plain[0][0, :2], 1e9])
    assert threshold.predict_error([plain[0][-1, 0]]) == pytest.approx(plain[1][-1], rel=0.1)


def test_only_rivals_that_are_surely_no_slower_count(plain):
    rule = taught(*plain, (0.08, 1.0))
    assert rule.threshold(measured(1.0)) is not None
    assert rule.threshold(measured(0.99)) is None
    assert rule.threshold(measured(1.01, low_ms=0.99)) is None
    assert rule.threshold(NetworkEvaluation(None)) is None  # nobody knows yet how fast it is


def test_there_is_no_threshold_before_enough_trainings_are_complete(plain):
    losses, errors = plain
    assert (
        taught(losses[: MIN_COMPLETED_TRAININGS - 1], errors[: MIN_COMPLETED_TRAININGS - 1]).threshold(measured(1.0))
        is None
    )
    rule = taught(losses[: MIN_COMPLETED_TRAININGS - 1], errors[: MIN_COMPLETED_TRAININGS - 1])
    rule.learn(measured(1.0, Cut((2.0,), 0.5, 1.0)))
    rule.learn(measured(1.0, Failure("diverged", "the loss became NaN")))
    assert rule.threshold(measured(1.0)) is None
    rule.learn(measured(1.0, Training(0.9, tuple(losses[-1]), 1.0)))
    assert rule.threshold(measured(1.0)) is not None


@pytest.mark.parametrize("losses", [np.ones(30), np.tile([1.0, 2.0], 15)])
def test_losses_that_say_nothing_stop_nobody(losses):
    errors = np.linspace(0.1, 0.5, 30)
    threshold = taught(np.column_stack([losses, losses]), errors, (0.1, 1.0)).threshold(measured(1.0))
    assert threshold.max_losses == (math.inf,)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12), st.integers(-1, 7))
def test_the_least_error_within_a_latency_is_found_on_the_front(losses, limit):
    front: Front[None] = PlaneFront()
    for loss in losses:
        front.add(loss, None)
    assert front.least_first_loss((limit,)) == min((x for x, y in losses if y <= limit), default=None)


# --- searches ------------------------------------------------------------------------------------------------

BUDGET, SEED, EPOCHS = 28, 1, 3


@pytest.fixture(scope="module")
def problem():
    values = copy.deepcopy(TINY)
    values["training"] = {"epochs": EPOCHS, "batch": 20, "learning_rate": 0.1}
    return validate_definition(values)


@pytest.fixture(scope="module")
def latencies(problem, tmp_path_factory):
    """An archive with latencies, made up so that nobody waits, of all that a random search will ask for."""
    path = tmp_path_factory.mktemp("latencies") / "evomnas.sqlite"
    with open_evaluator(problem, Archive(path)) as evaluator:
        archive, device = evaluator.archive, evaluator.measurement_context
        archive.add_calibration(device, Calibration(0.2, (0.2, 0.2), 0.0))
        algorithm = make_algorithm("random", problem.space, SEED, {})
        for _ in range(2):
            genomes = algorithm.ask()
            for place, network in enumerate(map(problem.space.decode, genomes)):
                counts, latency = (
                    count_architecture(network, classes=10, channels=1, resolution=8),
                    0.1 + 0.001 * (place % 7),
                )
                cost = Cost(counts.params, counts.macs, 0)
                half = Measurement(cost, latency, latency, latency, 5 * latency, (5 * latency,), 0.1)
                archive.add_measurement(device, network, half)
            algorithm.tell(genomes, np.full((len(genomes), 2), np.inf), np.full(len(genomes), np.inf))
        archive.close()
    return path


def copied(path: Path, folder: Path) -> Path:
    """An archive that nobody else has: a copy, with what is still in its journal."""
    with contextlib.closing(sqlite3.connect(path)) as source, sqlite3.connect(folder / "evomnas.sqlite") as target:
        source.backup(target)
    target.close()
    return folder / "evomnas.sqlite"


@pytest.fixture(scope="module")
def cutting_run(problem, latencies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cutting")
    copied(latencies, folder)
    return search(problem, "random", budget=BUDGET, seed=SEED, out=folder / "run")


@pytest.fixture(scope="module")
def full_run(problem, cutting_run):
    """The same search in the same archive, and nothing cut off."""
    folder = cutting_run.folder.parent / "full"
    return search(problem, "random", budget=BUDGET, seed=SEED, out=folder, early_stop=False)


def of_status(run, status: str) -> list[NetworkEvaluation]:
    return [result.evaluation for result in run.results() if result.evaluation.status == status]


def rows(run) -> list[dict]:
    return [result.to_dict() for result in run.results()]


def test_a_search_cuts_off_and_says_so(cutting_run):
    cuts = of_status(cutting_run, "cut")
    assert 0 < len(cuts) < BUDGET / 2
    assert len(of_status(cutting_run, "ok")) == BUDGET - len(cuts)
    assert cutting_run.manifest.evaluations == BUDGET
    assert all(result.generation == 1 for result in cutting_run.results() if result.evaluation.status == "cut")
    assert all(1 <= len(one.training.losses) < EPOCHS for one in cuts)
    saved = sum(one.training.seconds * (EPOCHS - len(one.training.losses)) / len(one.training.losses) for one in cuts)
    assert cutting_run.manifest.cut.networks == len(cuts)
    assert cutting_run.manifest.cut.saved_seconds == pytest.approx(saved, abs=1e-3)
    assert json.loads((cutting_run.folder / "run.json").read_text())["cut"]["networks"] == len(cuts)
    assert cut_line(cutting_run, cutting_run.results()).startswith(f"{len(cuts)} networks were cut off")


def test_what_was_cut_off_has_no_losses_and_is_told_as_feasible_with_the_error_it_foretells(cutting_run):
    front = [one.evaluation.losses for one in cutting_run.front()]
    for one in of_status(cutting_run, "cut"):
        assert (one.losses, one.relative_losses, one.failure) == (None, None, None)
        assert "accuracy" not in one.quantities
        losses, violations = losses_and_violations([one])
        assert losses.tolist() == [[one.training.error, one.measurement.latency_ms]]
        assert violations.tolist() == [0.0]
        assert any(a < losses[0, 0] and b <= losses[0, 1] for a, b in front)


@pytest.mark.thorough
def test_without_it_every_candidate_is_trained_to_the_end_and_none_on_the_front_was_lost(cutting_run, full_run):
    assert len(of_status(full_run, "ok")) == BUDGET
    assert full_run.mode == SearchMode()
    assert full_run.manifest.cut is None
    assert "--no-early-stop" in run_command(full_run)
    assert "--no-early-stop" not in run_command(cutting_run)
    cut = {one.architecture: one.training for one in of_status(cutting_run, "cut")}
    for one in of_status(full_run, "ok"):
        if one.architecture in cut:  # the start of the full training is the one that was cut off
            count = len(cut[one.architecture].losses)
            assert one.training.losses[:count] == cut[one.architecture].losses
    front = [one.evaluation.architecture for one in full_run.front()]
    assert front == [one.evaluation.architecture for one in cutting_run.front()]


@pytest.mark.thorough
def test_a_search_that_cuts_off_and_one_that_does_not_are_two_searches_to_a_comparison(cutting_run, full_run):
    compared = compare([cutting_run.folder, full_run.folder])
    assert sorted(name for name, _ in compared.runs) == ["random", "random (early stop yes)"]


@pytest.mark.thorough
def test_a_run_stays_as_it_was_whatever_others_train_in_full(cutting_run, full_run):
    before = rows(cutting_run)
    again = resume(cutting_run.folder)
    assert rows(again) == before
    assert {row["status"] for row in before} == {"ok", "cut"}


@pytest.mark.thorough
def test_a_search_that_is_killed_among_its_cuts_resumes_to_the_one_that_nobody_disturbed(
    problem, cutting_run, tmp_path, monkeypatch
):
    with sqlite3.connect(copied(cutting_run.archive.path, tmp_path)) as archive:  # all is known but what was cut off
        cut = [(str(one.architecture),) for one in of_status(cutting_run, "cut")]
        archive.executemany("DELETE FROM trainings WHERE architecture = ?", cut)
    archive.close()
    trained, original = [], ProxyTask.train

    def stopped(self, architecture, threshold=None):
        if len(trained) == 2:
            raise KeyboardInterrupt("stop here")
        trained.append(architecture)
        return original(self, architecture, threshold)

    monkeypatch.setattr(ProxyTask, "train", stopped)
    with pytest.raises(KeyboardInterrupt, match="stop here"):
        search(problem, "random", budget=BUDGET, seed=SEED, out=tmp_path / "run")
    half = Run.open(tmp_path / "run")
    assert [one.architecture for one in of_status(half, "cut")] == trained
    assert half.manifest.cut.networks == 2
    trained.append(None)  # the third one was stopped
    resumed = resume(tmp_path / "run")
    assert rows(resumed) == rows(cutting_run)
    assert len(trained) == len(set(trained)) == 1 + len(of_status(cutting_run, "cut"))


@pytest.mark.thorough
def test_a_search_in_steady_state_cuts_off_too_and_is_played_again(problem, cutting_run, full_run, tmp_path):
    copied(cutting_run.archive.path, tmp_path)
    with sqlite3.connect(tmp_path / "evomnas.sqlite") as archive:
        cut = [(str(one.architecture),) for one in of_status(cutting_run, "cut")]
        archive.executemany("DELETE FROM trainings WHERE architecture = ?", cut)
    archive.close()
    settings = {"budget": BUDGET, "seed": SEED, "asynchronous": True}
    run = search(problem, "random", out=tmp_path / "run", **settings)
    assert of_status(run, "cut")
    assert rows(resume(tmp_path / "run")) == rows(run)
    assert "--async" in run_command(run)


@pytest.mark.thorough
def test_runs_of_older_versions_cut_nothing_off_when_they_go_on(cutting_run, full_run, tmp_path):
    with sqlite3.connect(copied(full_run.archive.path, tmp_path)) as archive:
        cut = [(str(one.architecture),) for one in of_status(cutting_run, "cut")]
        archive.executemany("DELETE FROM trainings WHERE architecture = ?", cut)
        archive.execute("UPDATE runs SET manner = '{}'")  # as an older archive's runs have it
    archive.close()
    manifest = json.loads((full_run.folder / "run.json").read_text())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(manifest | {"archive": "../evomnas.sqlite"}))
    assert rows(resume(tmp_path / "run")) == rows(full_run)


def test_worker_processes_cut_off_where_this_process_does(problem, tiny_dataset, cutting_run):
    cuts = of_status(cutting_run, "cut")
    front: Front[None] = PlaneFront()
    rule = EarlyStop(EPOCHS, front)
    for result in cutting_run.results():
        if result.generation == 0:
            rule.learn(result.evaluation)
            front.add(result.evaluation.losses, None)
    executor = make_executor(problem, 1)
    try:
        executor.load(tiny_dataset)
        jobs = [TrainingJob(one.architecture, rule.threshold(one)) for one in cuts]
        outcomes = dict(executor.run(jobs, lambda: None))
    finally:
        executor.close()
    for one in cuts:
        here, there = one.training, outcomes[one.architecture]
        assert (there.losses, there.error) == (here.losses, here.error)


@pytest.mark.thorough
def test_the_command_cuts_nothing_off_where_it_is_told_so(tiny_file, tmp_path):
    command = ["run", str(tiny_file), "--no-early-stop", "--budget", "1", "--workers", "0", "--out", f"{tmp_path}/run"]
    done = CliRunner().invoke(app, [*command, "--set", "training.epochs=2"])
    assert done.exit_code == 0, done.output
    assert Run.open(tmp_path / "run").mode == SearchMode(early_stop=False)


def test_one_epoch_or_a_table_leaves_nothing_to_cut_off(tiny, tabular_file, tmp_path):
    assert search(tiny, budget=1, out=tmp_path / "tiny").mode == SearchMode()
    assert search(tabular_file, budget=4, out=tmp_path / "tabular").mode == SearchMode()


def test_the_report_counts_what_was_cut_off_and_draws_it_nowhere(cutting_run, no_drawings):
    text = write_report(cutting_run).read_text(encoding="utf-8")
    cuts = of_status(cutting_run, "cut")
    assert f"{len(cuts)} networks were cut off after the first epochs" in text
    table = text[text.index('id="cut-title"') : text.index('id="settings-title"')]
    assert [one.architecture.id in table for one in cuts] == [True] * len(cuts)
    assert f'<td class="n">1 of {EPOCHS}</td>' in table
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["networks"]["id"]) == BUDGET - len(cuts)
    assert not {one.architecture.id for one in cuts} & set(data["networks"]["id"])
