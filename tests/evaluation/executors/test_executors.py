"""Worker processes and candidates that misbehave: killed, hanging, greedy, diverging. Real ones throughout."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from waiting import wait_until
from worker_calls import WaitingJob

from evomnas.core.system import lock
from evomnas.evaluation.executors import base, deaths
from evomnas.evaluation.executors.jobs import PreparationJob, TrainingJob
from evomnas.evaluation.executors.pool import MAX_TRIES, PoolExecutor
from evomnas.loop import launch as loop
from evomnas.loop.launch import EverythingFailed, resume, search
from evomnas.problem.architecture import Architecture
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Training
from evomnas.results.run import Run
from evomnas.training.proxy_task import ProxyTask

HUGE = Architecture.parse("stem8_s1-conv_k3_s1_f8192_n2-head16")  # a layer of 2.25 GiB


@pytest.fixture
def slow(tiny):
    """The tiny problem with a training that never ends in this life."""
    return tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 1_000_000})})


class Killer:
    """Kills the one worker once it works on its task, so often."""

    def __init__(self, executor: PoolExecutor, times: int) -> None:
        self.executor, self.left = executor, times
        self.killed: set[int] = set()

    def __call__(self) -> None:
        alive = processes(self.executor) - self.killed
        if self.left and alive and wait_until(trains, 60):
            self.left -= 1
            self.killed |= alive
            os.kill(alive.pop(), signal.SIGKILL)


def processes(executor: PoolExecutor) -> set[int]:
    """Return the worker processes that an executor has had."""
    return {int(file.name.removeprefix("worker-")) for file in executor._folder.glob("worker-*")}


def trains() -> bool:
    """Return whether a worker trains: a measurement would have to wait."""

    def refuse() -> None:
        raise BlockingIOError

    try:
        with lock.measuring(refuse):
            return False
    except BlockingIOError:
        return True


def test_a_worker_that_is_killed_twice_over_a_candidate_is_its_failure_and_the_next_gets_a_new_one(slow, tiny_dataset):
    architecture = slow.space.mobilenet_v2()
    executor = PoolExecutor(slow, 1)
    try:
        executor.load(tiny_dataset)
        [(_, outcome)] = executor.run([TrainingJob(architecture)], Killer(executor, 100))
        assert (outcome.kind, outcome.tries) == ("killed", 2)
        assert "exit code -9" in outcome.message
        [(_, outcome)] = executor.run([PreparationJob(architecture)], lambda: None)
        assert outcome[0].params > 0
    finally:
        executor.close()


def test_a_candidate_whose_worker_is_killed_once_is_tried_again(tiny, tiny_dataset):
    patient = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 60})})
    executor = PoolExecutor(patient, 1)
    killer = Killer(executor, 1)
    try:
        executor.load(tiny_dataset)
        [(_, outcome)] = executor.run([TrainingJob(tiny.space.mobilenet_v2())], killer)
        assert len(killer.killed) == 1
        assert isinstance(outcome, Training)
        assert len(outcome.losses) == 60
    finally:
        executor.close()


def test_candidates_whose_workers_are_killed_together_are_innocent_however_often(
    tiny, tiny_dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(deaths, "SAME_CAUSE_S", 0.3)
    left = MAX_TRIES + 1

    def kill_both() -> None:
        nonlocal left
        files = list(tmp_path.glob("[0-9]*"))
        if left and len(files) == 2:
            for file in files:
                os.kill(int(file.name), signal.SIGKILL)
                file.unlink()
            left -= 1
            if left == 0:
                (tmp_path / "end").touch()

    executor = PoolExecutor(tiny, 2)
    try:
        executor.load(tiny_dataset)
        outcomes = dict(executor.run([WaitingJob("a", tmp_path), WaitingJob("b", tmp_path)], kill_both))
        assert outcomes == {"a": "done", "b": "done"}
        assert left == 0
    finally:
        executor.close()


def test_a_candidate_that_hangs_is_given_up_after_its_time(slow, tiny_dataset):
    executor = PoolExecutor(slow, 1, limits=CandidateLimits(seconds=1.0))
    try:
        executor.load(tiny_dataset)
        architecture = slow.space.mobilenet_v2()
        [(_, outcome)] = executor.run([TrainingJob(architecture)], lambda: None)
        assert (outcome.kind, outcome.message, outcome.tries) == ("time-out", "given up: it took more than 1 s", 1)
    finally:
        executor.close()


def test_without_a_limit_what_is_too_long_is_learnt_from_those_before(slow, tiny_dataset, monkeypatch):
    monkeypatch.setattr(base, "MIN_PATIENCE_S", 1.0)
    executor = PoolExecutor(slow, 1)
    assert executor._patience.seconds("train") is None
    executor._patience.learn("train", 0.15)
    assert executor._patience.seconds("train") == 1.5
    try:
        executor.load(tiny_dataset)
        [(_, outcome)] = executor.run([TrainingJob(slow.space.mobilenet_v2())], lambda: None)
        assert (outcome.kind, outcome.message) == ("time-out", "given up: it took 10 times as long as any before it")
    finally:
        executor.close()


def test_waiting_for_a_latency_is_no_part_of_a_candidate_s_time(tiny, tiny_dataset):
    executor = PoolExecutor(tiny, 1)
    architecture = tiny.space.mobilenet_v2()
    try:
        executor.load(tiny_dataset)
        list(executor.run([TrainingJob(architecture)], lambda: None))  # the next one takes a fraction of its time
        executor._patience.limits = CandidateLimits(seconds=3.0)
        outcomes = []
        job = executor.run([TrainingJob(architecture)], lambda: None)
        thread = threading.Thread(target=lambda: outcomes.extend(job))
        with lock.measuring():
            thread.start()
            time.sleep(3.5)
            assert not outcomes
        thread.join()
        assert isinstance(outcomes[0][1], Training)
    finally:
        executor.close()


def test_a_candidate_that_wants_too_much_memory_fails_alone(tiny, tiny_dataset):
    executor = PoolExecutor(tiny, 1, limits=CandidateLimits(memory_gib=1.5))
    try:
        executor.load(tiny_dataset)
        outcomes = dict(executor.run([TrainingJob(HUGE), TrainingJob(tiny.space.mobilenet_v2())], lambda: None))
        assert outcomes[HUGE].kind == "out-of-memory"
        assert isinstance(outcomes[tiny.space.mobilenet_v2()], Training)
    finally:
        executor.close()


def test_what_failed_by_small_limits_is_tried_again_with_others_and_stays_for_the_run_that_was_told(
    tiny, tmp_path, monkeypatch
):
    def greedy(self, architecture):
        raise MemoryError("not enough memory")

    monkeypatch.setattr(ProxyTask, "train", greedy)
    monkeypatch.setattr(loop, "check_candidates", lambda *_: None)  # this process is one that can be made greedy
    with pytest.raises(EverythingFailed, match="not enough memory"):
        search(tiny, budget=2, seed=1, out=tmp_path / "tight", candidates=CandidateLimits(memory_gib=1.5))
    monkeypatch.undo()
    free = search(tiny, budget=2, seed=1, out=tmp_path / "free")
    assert [result.evaluation.status for result in free.results()] == ["ok", "ok"]
    told = Run.open(tmp_path / "tight").results()
    assert [result.evaluation.failure.kind for result in told] == ["out-of-memory", "out-of-memory"]
    with pytest.raises(EverythingFailed, match="not enough memory"):
        resume(tmp_path / "tight")


def test_a_search_in_which_every_loss_diverges_ends_early_and_says_so(tiny_file, tmp_path):
    overrides = ["training.learning_rate=1e30"]
    with pytest.raises(EverythingFailed, match=r"all candidates failed \(10\), most often with: .*loss"):
        search(tiny_file, overrides=overrides, budget=60, out=tmp_path / "run", workers=1)
    failures = [result.evaluation.failure for result in Run.open(tmp_path / "run").results()]
    assert {(failure.kind, failure.tries) for failure in failures} == {("diverged", 1)}
    assert "Traceback" in failures[0].trace


@pytest.mark.thorough
def test_an_export_that_fails_is_recorded_and_the_search_goes_on(tiny, tmp_path, monkeypatch):
    from evomnas.latency.runtimes.onnx_runtime import OnnxRuntime

    original = OnnxRuntime.convert

    def convert(self, network, images):
        if any(block.se for block in network.architecture.blocks):
            raise ValueError("no operator for this")
        return original(self, network, images)

    monkeypatch.setattr(OnnxRuntime, "convert", convert)
    run = search(tiny, "nsga2", budget=8, seed=1, out=tmp_path / "run", workers=0)
    statuses = [result.evaluation.status for result in run.results()]
    assert {"ok", "failed"} == set(statuses)
    failure = next(result.evaluation.failure for result in run.results() if result.evaluation.failure)
    assert (failure.kind, failure.message) == ("error", "no operator for this")


def test_logits_that_disagree_are_recorded_and_the_search_goes_on(tiny, tmp_path, monkeypatch):
    from evomnas.latency.runtimes.onnx_runtime import OnnxRuntime
    from evomnas.networks.network import build_network

    original = OnnxRuntime.convert

    def convert(self, network, images):
        if any(block.se for block in network.architecture.blocks):  # another network than was asked for
            network = build_network(network.architecture, network.classifier.out_features, images.shape[1], seed=99)
        return original(self, network.eval(), images)

    monkeypatch.setattr(OnnxRuntime, "convert", convert)
    run = search(tiny, "nsga2", budget=8, seed=1, out=tmp_path / "run", workers=0)
    kinds = {result.evaluation.failure.kind for result in run.results() if result.evaluation.failure}
    assert kinds == {"mismatch"}
    assert any(result.evaluation.status == "ok" for result in run.results())
