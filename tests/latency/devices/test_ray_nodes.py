"""Nodes of a real Ray cluster on this machine that measure: placed by a custom resource, lost, replaced, refused.

The thorough part starts a node that really is of another kind.
"""

from __future__ import annotations

import os

import pytest
import ray
from ray_nodes import add_node, kill_node, start_cluster
from waiting import assert_waits

from evomnas.core.errors import InputError
from evomnas.core.system import lock
from evomnas.core.system.machine import usable_cores
from evomnas.evaluation.executors.base import Cluster
from evomnas.latency.devices import ray_nodes as nodes
from evomnas.latency.devices import remote
from evomnas.latency.devices.factory import open_device
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.loop.launch import search
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Failure


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs, a node that trains, and a node without CPUs that has the resource `pi4`."""
    cluster = start_cluster()
    add_node(cluster)
    cluster.pi4 = [add_node(cluster, cpus=0, pi4=1)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def device(cluster):
    """The device of all tests that leave the nodes as they are."""
    device = open_device("ray://pi4", "onnxruntime", 1)
    yield device
    device.close()


@pytest.fixture
def own_device(cluster):
    device = open_device("ray://pi4", "onnxruntime", 1)
    yield device
    device.close()


def where(device) -> str:
    """The node on which the device's actor runs."""
    return ray.get(device._actor.__ray_call__.remote(lambda self: ray.get_runtime_context().get_node_id()))


def compared(device, networks) -> dict:
    return dict(device.compare(networks[1:], networks[0], lambda: None))


def test_the_node_with_the_resource_measures_by_the_same_protocol(cluster, device, networks):
    assert where(device) == cluster.pi4[-1].node_id
    assert where(device) != ray.get_runtime_context().get_node_id()
    here = open_device("local", "onnxruntime", 1)
    there, expected = compared(device, networks), compared(here, networks)
    assert sorted(there) == [0, 1, 2]
    for index in range(3):  # the same machine; no claim about its speed
        assert 1 / 3 < there[index].ratio / expected[index].ratio < 3
    assert there[2].ratio > 3 * there[0].ratio
    assert device.calibrate(networks[0]).latency_ms > 0
    described = device.describe()
    assert described["host"] == "pi4"
    assert {name: described[name] for name in ("processor", "version")}.items() <= here.describe().items()


@pytest.mark.thorough
def test_a_search_measures_there_and_trains_elsewhere(cluster, tiny, tmp_path):
    definition = tiny.model_copy(update={"latency": tiny.latency.model_copy(update={"target": "ray://pi4"})})
    run = search(definition, budget=4, seed=3, out=tmp_path / "run", workers=Cluster(cluster.address))
    results = run.results()
    assert len(results) == 4
    assert all(result.evaluation.measurement.latency_ms > 0 for result in results)
    context = Archive(tmp_path / "evomnas.sqlite").context(run.record.measurement_context)
    assert (context["target"], context["host"]) == ("ray://pi4", "pi4")
    assert int(context["cores"]) >= 1


@pytest.mark.thorough
def test_it_waits_for_the_lock_of_its_machine(device, networks):
    assert_waits(device, networks, lock.training())


@pytest.mark.thorough
def test_a_network_with_other_logits_fails_alone(device, networks):
    wrong = PreparedNetwork(networks[1].model, networks[1].images, networks[1].logits * 2)
    results = dict(device.compare([wrong, networks[2]], networks[0], lambda: None))
    assert results[0].kind == "mismatch"
    assert not isinstance(results[1], Failure)


@pytest.mark.thorough
def test_a_network_that_ends_the_actor_twice_fails_alone(device, networks, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1, 0.1, 0.1))
    fatal = PreparedNetwork(networks[2].model, Fatal(), networks[2].logits)
    results = dict(device.compare([networks[1], fatal, networks[3]], networks[0], lambda: None))
    assert results[1].kind == "connection"
    assert not isinstance(results[0], Failure)
    assert not isinstance(results[2], Failure)


class Fatal:
    """Images that end the process which unpacks them."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.thorough
def test_where_a_node_is_lost_another_of_its_kind_goes_on_and_one_of_another_kind_does_not(
    cluster, own_device, networks, monkeypatch
):
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1, 1.0))
    before = where(own_device)
    cluster.pi4.append(add_node(cluster, cpus=0, pi4=1))
    results = {}
    for index, result in own_device.compare(networks[1:], networks[0], lambda: None):
        results[index] = result
        if len(results) == 1:
            kill_node(cluster, cluster.pi4.pop(0))
    assert sorted(results) == [0, 1, 2]
    assert not any(isinstance(result, Failure) for result in results.values()), results
    assert where(own_device) == cluster.pi4[-1].node_id != before
    monkeypatch.setattr(own_device, "_kind", own_device._kind | {"cores": "99"})  # as if the lost one had been so
    ray.kill(own_device._actor)
    assert_refused(own_device, networks, f"cores {usable_cores()}, not 99")


@pytest.mark.thorough
def test_a_node_with_fewer_cores_is_of_another_kind(cluster, own_device, networks, monkeypatch):
    """It is this machine with one core less, as a process sees it that may not use all."""
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.1, 1.0))
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("needs two cores")
    os.sched_setaffinity(0, set(list(cores)[1:]))
    try:
        cluster.pi4.append(add_node(cluster, cpus=0, pi4=1))
    finally:
        os.sched_setaffinity(0, cores)
    kill_node(cluster, cluster.pi4.pop(0))
    assert_refused(own_device, networks, f"cores {len(cores) - 1}, not {len(cores)}")
    kill_node(cluster, cluster.pi4.pop())
    cluster.pi4.append(add_node(cluster, cpus=0, pi4=1))


def assert_refused(device, networks, difference: str) -> None:
    results = compared(device, networks)
    assert {result.kind for result in results.values()} == {"connection"}
    assert f"of another kind ({difference})" in results[0].message
    with pytest.raises(InputError, match="could not be taken up again: .* of another kind"):
        device.calibrate(networks[0])


@pytest.mark.thorough
def test_what_cannot_measure_is_one_line(cluster):
    with pytest.raises(
        InputError, match=r"no node of the cluster has the resource pi5; it has pi4: start one .*pi5"
    ) as caught:
        open_device("ray://pi5", "onnxruntime", 1)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="a node of ray://pi4 cannot measure: unknown runtime 'nothing'"):
        nodes.NodeDevice(nodes.RayTarget("ray://pi4", "pi4"), "nothing", 1)
