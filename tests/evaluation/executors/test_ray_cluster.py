"""Candidates on a real Ray cluster of several nodes on this machine, one of which is lost in the middle."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ray
import ray_nodes
import worker_calls
from PIL import Image
from ray_nodes import add_node, kill_node, start_cluster

from evomnas.core.errors import InputError
from evomnas.core.ray_connection import join_cluster
from evomnas.data.prepared import pictures
from evomnas.data.prepared.cache import VARIABLE
from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.base import Cluster
from evomnas.evaluation.executors.factory import make_executor
from evomnas.evaluation.executors.in_process import InProcessExecutor
from evomnas.evaluation.executors.jobs import CountingJob, TrainingJob
from evomnas.evaluation.executors.ray_images import Sender, images_here
from evomnas.loop.launch import search
from evomnas.problem.architecture import Architecture
from evomnas.problem.sections import DataSection
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.run import Run

SMALL = Architecture.parse("stem8_s1-conv_k3_s1_f8_n1-head16")
HUGE = Architecture.parse("stem8_s1-conv_k3_s1_f8192_n2-head16")  # a layer of 2.25 GiB


@pytest.fixture(scope="module")
def nodes():
    """A head without CPUs, and one node that trains one candidate at a time."""
    nodes = start_cluster()
    add_node(nodes)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def joined(nodes):
    """This process as part of the cluster: executors leave it there, and find workers that have imported all."""
    if not ray.is_initialized():
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")


@pytest.fixture
def executor(nodes, joined, tiny, tiny_dataset):
    executor = make_executor(tiny, Cluster(nodes.address))
    executor.load(tiny_dataset)
    yield executor
    executor.close()


def test_a_search_on_a_cluster_is_the_search_on_this_machine(nodes, tiny, finished_run, tmp_path):
    """It joins the cluster by its address and leaves it again."""
    with sqlite3.connect(tmp_path / "evomnas.sqlite") as archive, sqlite3.connect(finished_run.archive.path) as known:
        known.backup(archive)
        archive.execute("DELETE FROM trainings WHERE rowid % 4 = 0")  # not latencies: those never come out alike
    run = search(tiny, "nsga2", budget=24, seed=3, out=tmp_path / "run", workers=Cluster(nodes.address))
    assert [result.to_dict() for result in run.results()] == [result.to_dict() for result in finished_run.results()]
    assert not ray.is_initialized()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("architecture", "limits", "kind"),
    [
        (SMALL, CandidateLimits(seconds=1.0), "time-out"),
        (HUGE, CandidateLimits(memory_gib=1.5), "out-of-memory"),
    ],
)
def test_a_candidate_that_hangs_or_wants_too_much_memory_fails_alone(
    architecture, limits, kind, nodes, joined, tiny, tiny_dataset
):
    slow = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 1_000_000})})
    executor = make_executor(slow, Cluster(nodes.address), limits=limits)
    try:
        executor.load(tiny_dataset)
        [(_, failure)] = executor.run([TrainingJob(architecture)], lambda: None)
        assert failure.kind == kind, failure
        executor._patience.limits = CandidateLimits()  # on a busy machine counting may take longer than a second
        [(_, cost)] = executor.run([CountingJob(SMALL)], lambda: None)
        assert cost.params > 0
    finally:
        executor.close()


@pytest.mark.thorough
def test_candidates_of_a_lost_node_are_tried_elsewhere_and_come_out_as_in_this_process(
    nodes, executor, tiny, tiny_dataset
):
    architectures = [tiny.space.decode(genome) for genome in tiny.space.sample(5, np.random.default_rng(1))]
    here = InProcessExecutor(tiny)
    here.load(tiny_dataset)
    expected = {one: result.accuracy for one, result in here.run(map(TrainingJob, architectures), lambda: None)}
    [lost] = nodes.worker_nodes
    found = {}
    for architecture, result in executor.run(map(TrainingJob, architectures), lambda: None):
        found[architecture] = result.accuracy
        if len(found) == 1:
            add_node(nodes)
            kill_node(nodes, lost)
    assert found == expected


def test_what_no_node_has_is_said_in_one_line(nodes, joined, tiny, tiny_dataset):
    executor = make_executor(tiny, Cluster(nodes.address, gpus=1.0))
    with pytest.raises(InputError, match="at most 1 CPUs, 0 GPUs: change --candidate-cpus or --candidate-gpus"):
        executor.load(tiny_dataset)
    executor.close()


def test_a_cluster_without_nodes_is_waited_for_only_so_long(nodes, joined, tiny, tiny_dataset, monkeypatch):
    """The last one that needs the node."""
    monkeypatch.setattr("evomnas.evaluation.executors.ray_cluster.DESERTED_S", 0.5)
    executor = make_executor(tiny, Cluster(nodes.address))
    executor.load(tiny_dataset)
    [lost] = nodes.worker_nodes
    kill_node(nodes, lost)
    with pytest.raises(InputError, match="at most 0 CPUs, 0 GPUs, for 0.5 s now: start one, and resume"):
        list(executor.run([CountingJob(SMALL)], lambda: None))
    executor.close()


def test_a_cluster_that_is_not_there_is_said_in_one_line(tiny):
    ray.shutdown()
    with pytest.raises(InputError, match="no Ray cluster answers at 127.0.0.1:1"):
        make_executor(tiny, Cluster("127.0.0.1:1"))
    with pytest.raises(InputError, match="for example --candidate-cpus 1"):
        Cluster(cpus=0)


@pytest.mark.thorough
def test_a_new_cluster_is_no_other_that_this_machine_has(nodes, tiny, tmp_path, monkeypatch):
    """Neither the one that runs here, as Ray itself would take it, nor what a killed one left."""
    ray.shutdown()  # tests before this one may have joined
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", partial(ray.init, include_dashboard=False, num_cpus=1))  # what starts fast
    known = Path(ray._private.utils.get_ray_address_file(None))
    before = known.read_text() if known.exists() else None
    known.write_text(nodes.address)
    try:
        executor = make_executor(tiny, Cluster())
        assert ray.get_runtime_context().gcs_address != nodes.address
        executor.close()
    finally:
        known.unlink(missing_ok=True)
        if before is not None:
            known.write_text(before)


def test_what_answers_and_is_no_cluster_is_one_line(monkeypatch):
    monkeypatch.setattr("evomnas.core.ray_connection.JOIN_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"no Ray cluster answers at {address}: what is there lets nobody join"):
            join_cluster(address)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "127.0.0.1:99999", "127.0.0.1", ":6379", ""])
def test_an_address_that_is_none_is_one_line(address):
    with pytest.raises(InputError, match="write HOST:PORT, or auto"):
        join_cluster(address)


BEHEADED = """
import os, sys
from ray_nodes import start_cluster
import evomnas.evaluation.executors.ray_cluster
from evomnas.problem.loading import load_definition
from evomnas.core.errors import InputError
from evomnas.data.prepared import pictures
from evomnas.data.prepared.cache import VARIABLE
from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.base import Cluster
from evomnas.latency.devices import protocol
from evomnas.evaluation.executors.ray_images import Sender, images_here
from evomnas.loop.launch import search

def on_progress(progress):
    if progress.evaluated and not killed:
        killed.append(nodes.head_node.kill_gcs_server())

evomnas.evaluation.executors.ray_cluster.HEADLESS_S = 1.0
protocol.PRECISION, protocol.MIN_SECONDS = 1.0, 0.0
killed = []
nodes = start_cluster(num_cpus=1)
try:
    tiny = load_definition(sys.argv[1])
    search(tiny, "random", budget=60, out="run", workers=Cluster(nodes.address), on_progress=on_progress)
except InputError as error:
    print(error, flush=True)
os._exit(0)
"""


@pytest.mark.thorough
def test_a_search_outlives_the_head_of_its_cluster(tiny_file, tmp_path):
    """Ray would end the process in the middle of anything."""
    path = os.pathsep.join(filter(None, [str(Path(ray_nodes.__file__).parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", BEHEADED, str(tiny_file)], cwd=tmp_path, capture_output=True, text=True, timeout=500,
        check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert "was lost, and what had ended is kept: start one, and evomnas resume the run" in done.stdout, done.stderr
    run = Run.open(tmp_path / "run")
    assert run.manifest.status == "interrupted"
    assert 0 < run.manifest.evaluations < 60


@pytest.mark.thorough
def test_a_node_that_does_not_see_prepared_images_copies_them_once(joined, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "SMALL_BYTES", 0)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    for number in range(20):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number, 2 * number, 0)).save(path)
    dataset = load_dataset(DataSection(dataset="image-folder", path=tmp_path / "photos", resolution=6))
    sender = Sender.of(dataset, ray.get_runtime_context().get_node_id())
    ray.cloudpickle.register_pickle_by_value(worker_calls)  # of which that node has no file
    task = ray.remote(num_cpus=0)(worker_calls.take_on_a_blind_node)
    for _ in range(2):
        train, validation, path = ray.get(task.remote(dataset, sender, tmp_path / "node"))
        np.testing.assert_array_equal(train, dataset.train_images)
        np.testing.assert_array_equal(validation, dataset.validation_images)
        assert path == tmp_path / "node" / sender.path.parent.name / "images.npy"
    seen = images_here(dataset, sender)
    assert seen is dataset
