"""The loop: budget, replay, sharing, failures, interruption. Real trainings of tiny networks throughout."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil

import pytest

from evomnas.core.errors import InputError
from evomnas.evaluation.executors.factory import make_executor
from evomnas.evaluation.executors.jobs import TrainingJob
from evomnas.latency.devices.protocol import MIN_ROUNDS
from evomnas.loop import launch
from evomnas.loop.launch import EverythingFailed, resume, search
from evomnas.loop.run_clock import Pace
from evomnas.report.words import headline, reuse_line
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Training
from evomnas.results.run import Run
from evomnas.training.proxy_task import ProxyTask


def sequence(run) -> list[str]:
    return [str(ask.architecture) for ask in run.asks]


def test_a_run_evaluates_its_budget_of_distinct_networks(finished_run):
    results = finished_run.results()
    assert len(results) == 24 == len({result.evaluation.architecture for result in results})
    assert {result.evaluation.status for result in results} == {"ok"}
    assert results[0].evaluation.architecture == finished_run.definition.space.mobilenet_v2()
    assert [result.order for result in results] == list(range(24))
    assert {result.generation for result in results} == {0, 1}


def test_the_front_is_what_no_evaluation_dominates(finished_run):
    losses = [result.evaluation.losses for result in finished_run.results()]
    expected = [
        not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in losses) for a in losses
    ]  # fmt: skip
    assert [result.on_front for result in finished_run.results()] == expected


def test_every_measurement_keeps_its_samples_and_spread(finished_run):
    for result in finished_run.results():
        measurement = result.evaluation.measurement
        assert len(measurement.samples) >= MIN_ROUNDS
        assert measurement.low_ms <= measurement.latency_ms <= measurement.high_ms
    reference = finished_run.results()[0].evaluation.measurement
    assert 1 / 3 < reference.ratio < 3  # the reference network against itself


def test_the_folder_says_what_was_done(finished_run):
    manifest = json.loads((finished_run.folder / "run.json").read_text())
    assert (manifest["problem"], manifest["algorithm"], manifest["seed"], manifest["budget"]) == (
        "tiny",
        "nsga2",
        3,
        24,
    )
    assert manifest["status"] == "finished"
    assert manifest["evaluations"] == 24
    assert 0 < manifest["hypervolume"] < 1
    assert manifest["seconds"]["total"] >= manifest["seconds"]["training"] > 0
    assert manifest["versions"]["torch"]
    assert manifest["machine"]["processor"]
    with (finished_run.folder / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [result.evaluation.architecture.id for result in finished_run.front()]


def test_the_same_seed_with_the_archive_at_hand_gives_the_same_run_without_training(finished_run, tiny, monkeypatch):
    monkeypatch.setattr(ProxyTask, "train", lambda *_: pytest.fail("was trained again"))
    again = search(tiny, "nsga2", budget=24, seed=3, out=finished_run.folder.parent / "again", workers=0)
    assert sequence(again) == sequence(finished_run)
    assert [r.to_dict() for r in again.front()] == [r.to_dict() for r in finished_run.front()]
    assert again.manifest.hypervolume == finished_run.manifest.hypervolume


def test_another_seed_asks_for_other_networks_and_shares_what_is_known(finished_run, tiny, tmp_path):
    seen, beside = [], shutil.copytree(finished_run.folder.parent, tmp_path / "copy")
    other = search(tiny, budget=3, seed=4, out=beside / "other", workers=0, on_progress=seen.append)
    assert sequence(other)[1:] != sequence(finished_run)[1:3]
    assert seen[-1].reused >= 1  # the reference network is everyone's first
    known = other.results()[0].evaluation
    assert other.manifest.reused.networks == seen[-1].reused
    assert other.manifest.reused.seconds >= round(known.training.seconds + known.measurement.seconds, 3)
    assert "known from other runs" in reuse_line(other) or other.manifest.reused.seconds < 1


class Interrupt(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("job", ["train", "measure"])
def test_an_interrupted_run_resumes_to_the_run_that_nobody_disturbed(job, tiny, tmp_path, finished_run, monkeypatch):
    """Stopped in a training or a measurement; then what had ended is never taken again."""
    from evomnas.latency.devices import local

    # The undisturbed run's archive holds every number, so that both runs see the same latencies.
    shutil.copy(finished_run.folder.parent / "evomnas.sqlite", tmp_path / "all.sqlite")
    calls = {"count": 0}
    original_train, original_compare = ProxyTask.train, local.compare

    def count_and_stop() -> None:
        calls["count"] += 1
        if calls["count"] == 3:
            raise Interrupt("stop here")

    def interrupted_train(*args):
        count_and_stop()
        return original_train(*args)

    def interrupted_compare(*args):
        for result in original_compare(*args):
            count_and_stop()
            yield result

    if job == "train":
        monkeypatch.setattr(ProxyTask, "train", interrupted_train)
    else:
        monkeypatch.setattr(local, "compare", interrupted_compare)
    with pytest.raises(Interrupt, match="stop here"):
        search(tiny, "nsga2", budget=5, seed=3, out=tmp_path / "run", workers=0)
    monkeypatch.undo()
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["status"] == "interrupted"
    before = [result.evaluation.measurement for result in Run.open(tmp_path / "run").results()]
    assert sum(one is not None for one in before) == (5 if job == "train" else 2)
    trained = []
    monkeypatch.setattr(ProxyTask, "train", lambda self, one: trained.append(one) or original_train(self, one))
    run = resume(tmp_path / "run", workers=0)
    assert len(trained) == (3 if job == "train" else 5)
    after = [result.evaluation.measurement for result in run.results()]
    assert all(one == two for one, two in zip(before, after, strict=True) if one is not None)
    assert sequence(run) == sequence(finished_run)[:5]
    assert [r.evaluation.training.accuracy for r in run.results()] == [
        r.evaluation.training.accuracy for r in finished_run.results()[:5]
    ]
    assert run.manifest.status == "finished"


def test_an_algorithm_is_told_the_images_behind_an_error_and_the_reference_latency(tiny, tmp_path, monkeypatch):
    from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate

    measures = []
    monkeypatch.setattr(NSGA2Surrogate, "learn_measure", lambda self, measure: measures.append(measure))
    run = search(tiny, "nsga2-surrogate", budget=1, out=tmp_path / "run", workers=0)
    [measure] = measures
    error, relative_latency = run.definition.hypervolume.reference_point
    assert measure.reference_point == (error, relative_latency * run.reference_cost())
    assert measure.images == run.image_data.validation > 0


def test_candidates_are_measured_before_training_and_a_stopped_run_measures_none_again(tiny, tmp_path, monkeypatch):
    from evomnas.algorithms import weighing

    monkeypatch.setattr(weighing, "MAX_SHARE", 2.0)  # these trainings take no longer than a measurement
    settings = {"options": {"batch": 2}, "budget": 12, "seed": 1, "workers": 0}
    added, original = [], Archive.add_measurement

    def stopped(self, device, architecture, *rest):
        added.append(architecture)
        if len(added) == 13:  # ten in the first batch, the others among candidates
            raise Interrupt("stop here")
        original(self, device, architecture, *rest)

    monkeypatch.setattr(Archive, "add_measurement", stopped)
    with pytest.raises(Interrupt, match="stop here"):
        search(tiny, "nsga2-surrogate", out=tmp_path / "run", **settings)
    run = resume(tmp_path / "run", workers=0)
    assert len(added) == len(set(added)) + 1  # but for the one that was stopped
    trained = {result.evaluation.architecture for result in run.results()}
    assert len(trained) == 12 < len(set(added))
    assert trained <= set(added)
    known = len(added)
    again = search(tiny, "nsga2-surrogate", out=tmp_path / "again", **settings)
    assert sequence(again) == sequence(run)
    said, said_again = (
        [(one.generation, one.metrics) for one in each.archive.generations(each.record.id)] for each in (run, again)
    )
    assert said == said_again
    assert len(added) == known  # nothing was measured for it


def test_resuming_with_a_larger_budget_goes_on_where_the_run_ended(tiny, tmp_path):
    search(tiny, budget=3, seed=3, out=tmp_path / "run", workers=0)
    run = resume(tmp_path / "run", budget=5, workers=0)
    assert len(run.results()) == 5
    assert run.manifest.budget == 5
    with pytest.raises(InputError, match="budget is 5 already"):
        resume(tmp_path / "run", budget=4)


@pytest.mark.parametrize(("device", "expected"), [("auto", "cpu"), ("cpu", "cpu"), ("cuda", "cuda")])
def test_a_run_goes_on_with_the_device_on_which_it_began(device, expected, finished_run, monkeypatch):
    monkeypatch.setattr(launch, "choose_device", lambda: "cuda")  # a machine whose GPU it did not use
    assert launch.own_device(finished_run, device) == expected


def test_a_run_that_began_on_a_gpu_goes_on_as_well_as_it_can_without_one(finished_run, monkeypatch):
    monkeypatch.setattr(type(finished_run.archive), "context", lambda archive, key: {"device": "cuda"})
    assert launch.own_device(finished_run) == "auto"
    monkeypatch.setattr(launch, "choose_device", lambda: "cuda")
    assert launch.own_device(finished_run) == "cuda"


def test_resuming_with_other_images_is_refused(tiny_file, tmp_path, rng):
    import numpy as np

    path = tmp_path / "images.npz"

    def write():
        images = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
        np.savez(path, x_train=images, y_train=np.arange(60) % 3, x_test=images, y_test=np.arange(60))

    write()
    overrides = ["data.dataset=npz", f"data.path={path}", "data.train_images=20"]
    search(tiny_file, overrides=overrides, budget=1, out=tmp_path / "run", workers=0)
    write()
    with pytest.raises(InputError, match=r"the images of .* have changed since its search: .*--accept-changes"):
        resume(tmp_path / "run", budget=2, workers=0)


def test_those_who_watch_see_every_phase_before_the_first_network_and_how_long_the_rest_takes(tiny, tmp_path):
    seen = []
    run = search(tiny, "random", budget=4, seed=1, out=tmp_path / "run", workers=0, on_progress=seen.append)
    phases = list(dict.fromkeys(state.phase for state in seen))
    assert [phase for phase in phases if phase != "waiting"] == [
        "starting", "reading", "loading", *(["calibrating"] if "calibrating" in phases else []),  # once a machine
        "preparing", "measuring", "training",
    ]  # fmt: skip
    assert all(state.evaluated == 0 for state in seen if state.phase in ("reading", "loading", "calibrating"))
    assert all((state.seconds_left is None) == (state.evaluated < 2) for state in seen)
    assert seen[-1].seconds_left == 0
    for state in seen:
        known = [result.evaluation.losses for result in run.results()[: state.evaluated]]
        assert state.best == min(known, default=None)
        assert state.best_accuracy == (None if state.best is None else 1 - state.best[0])


def test_the_time_that_is_left_is_at_most_that_of_the_limit(finished_run, tiny, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Pace, "seconds", lambda self, remaining, measured: 5000.0)
    out = finished_run.folder.parent / "limited"  # all is known from the other run
    search(tiny, "nsga2", budget=24, seed=3, out=out, workers=0, time_limit_s=1000, on_progress=seen.append)
    assert {round(state.seconds_left, -3) for state in seen if state.seconds_left is not None} == {1000.0}


@pytest.mark.thorough
def test_a_time_limit_stops_in_the_middle_of_a_generation_and_loses_nothing(tiny, tmp_path, monkeypatch):
    import evomnas.loop.launch as search_module

    original = ProxyTask.train
    clock = {"offset": 0.0}

    def slow(self, architecture):
        clock["offset"] += 100.0
        return original(self, architecture)

    real = search_module.time.perf_counter
    monkeypatch.setattr(ProxyTask, "train", slow)
    monkeypatch.setattr(search_module.time, "perf_counter", lambda: real() + clock["offset"])
    run = search(tiny, "nsga2", budget=6, seed=1, out=tmp_path / "run", workers=0, time_limit_s=250.0)
    assert run.manifest.status == "out of time"
    assert run.manifest.evaluations == 3
    assert "; 3 networks in" in headline(run, run.results())
    assert sum(result.evaluation.status == "stopped" for result in run.results()) == 3


def test_failed_candidates_are_recorded_and_the_search_goes_on(tiny, tmp_path, monkeypatch):
    original = ProxyTask.train

    def broken(self, architecture):
        if any(block.se for block in architecture.blocks):
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 byte")
        return original(self, architecture)

    monkeypatch.setattr(ProxyTask, "train", broken)
    run = search(tiny, budget=6, seed=1, out=tmp_path / "run", workers=0)
    failures = [result.evaluation.failure for result in run.results() if result.evaluation.status == "failed"]
    assert failures
    assert {failure.kind for failure in failures} == {"out-of-memory"}
    assert "Traceback" in failures[0].trace
    assert not any(result.on_front for result in run.results() if result.evaluation.status == "failed")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_in_which_all_fails_stops_with_the_cause(tiny, tmp_path, monkeypatch, asynchronous):
    def broken(self, architecture):
        raise RuntimeError("the cable is loose")

    monkeypatch.setattr(ProxyTask, "train", broken)
    with pytest.raises(EverythingFailed, match=r"all candidates failed \(4\), most often with: the cable is loose"):
        search(tiny, budget=4, seed=1, out=tmp_path / "run", workers=0, asynchronous=asynchronous)


def test_a_run_under_a_symbolic_link_is_found_again(tabular_file, tmp_path):
    (tmp_path / "deep" / "er" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er" / "real")
    run = search(tabular_file, budget=10, out=tmp_path / "link" / "run")
    assert len(Run.open(tmp_path / "link" / "run").results()) == len(run.results())
    assert len(resume(tmp_path / "link" / "run", budget=20).results()) > 10


def test_a_folder_in_use_is_never_written_over(finished_run, tiny, tmp_path):
    before = (finished_run.folder / "run.json").read_bytes()
    with pytest.raises(InputError, match="holds a run already: go on with it .evomnas resume"):
        search(tiny, budget=2, out=finished_run.folder)
    assert (finished_run.folder / "run.json").read_bytes() == before
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not an empty folder"):
        search(tiny, budget=2, out=tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_what_a_killed_process_left_of_a_file_is_no_content_and_goes(tiny, tabular_file, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    left, alive = folder / ".run.json.999999999.part", folder / f".run.json.{os.getppid()}.part"
    left.write_text("{")
    alive.write_text("{")
    search(tabular_file, budget=2, out=folder)
    assert not left.exists()
    assert alive.exists()  # another process is at it


@pytest.mark.parametrize(
    "damage",
    [
        {"budget": "x"},
        {"evaluations": None},
        {"seconds": 3},
        {"seconds": {}},
        {"data": []},
        {"run": []},
        {"machine": 1},
        {"budget": -1},
        {"goals": 5},
        {"true_front": 3},
        {"explanations": "of nothing"},
        {"seconds": dict.fromkeys(("total", "training", "latency", "algorithm", "other"), math.nan)},
    ],
)
def test_a_damaged_manifest_is_named(damage, finished_run, tmp_path):

    manifest = json.loads((finished_run.folder / "run.json").read_text()) | damage
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"cannot read .*run.json"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget must be at least 1 evaluation, got 0: for example --budget 64"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"time_limit_s": 0.0}, "time limit must be positive"),
        ({"workers": -1}, "workers must lie between"),
        ({"algorithm": "nsga22"}, "unknown algorithm 'nsga22': there are .*; did you mean nsga2"),
        ({"algorithm": "nsga2", "options": {"tournament": 3}}, "nsga2 has no option tournament: it takes population"),
        ({"algorithm": "nsga2", "options": {"population": 2.5}}, "population must be a whole number from 4"),
        ({"candidates": CandidateLimits(seconds=60)}, "is kept by worker processes: drop it, or use --workers 1"),
        ({"device": "tpu"}, "unknown device 'tpu': there are auto, cpu, cuda"),
        ({"problem": "digit"}, "unknown problem 'digit'"),
    ],
)
def test_wrong_arguments_start_nothing(arguments, message, tmp_path):
    with pytest.raises(InputError, match=message):
        search(**({"problem": "digits", "out": tmp_path / "run"} | arguments))
    assert not (tmp_path / "run").exists()


def test_worker_processes_give_the_results_of_this_process(tiny, tiny_dataset, finished_run):
    architectures = [result.evaluation.architecture for result in finished_run.results()[:4]]
    executor = make_executor(tiny, 2)
    try:
        executor.load(tiny_dataset)
        outcomes = dict(executor.run(map(TrainingJob, architectures), lambda: None))
    finally:
        executor.close()
    expected = {r.evaluation.architecture: r.evaluation.training for r in finished_run.results()[:4]}
    for architecture, training in outcomes.items():
        assert isinstance(training, Training)
        assert training.accuracy == expected[architecture].accuracy
        assert training.losses == expected[architecture].losses
    assert len(outcomes) == 4
