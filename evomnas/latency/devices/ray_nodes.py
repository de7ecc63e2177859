"""Nodes of a Ray cluster that have a custom resource.

A target `ray://pi4` names the nodes that were started with `ray start --resources '{"pi4": 1}'`. One of them measures,
as this machine would, with any runtime that is installed there. All nodes of a name should be machines of one kind,
with the same processor, number of cores and version of the runtime. If a node is lost, another one of the same kind
takes over; a node of another kind is refused.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, cast

from evomnas.core.errors import InputError
from evomnas.core.ray_connection import join_cluster
from evomnas.core.system import lock
from evomnas.core.system.machine import usable_cores
from evomnas.latency.devices.local import IndexedResults, LocalDevice
from evomnas.latency.devices.remote import ConnectionLost, RemoteDevice
from evomnas.latency.runtimes.base import CPU, PreparedNetwork, open_runtime
from evomnas.problem.target import RAY_BUILTIN_RESOURCES, RayTarget
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration, Ratio

START_TIMEOUT_S = 120.0  # for a process on a node to start and to import the runtime


class NodeDevice(RemoteDevice):
    """A node with the resource as a device, with an actor that measures there."""

    def __init__(self, nodes: RayTarget, runtime: str, threads: int, provider: str = CPU) -> None:
        """Start an actor on one of the nodes.

        Args:
            nodes: The resource by which nodes are chosen.
            runtime: The name of the runtime that runs the networks.
            threads: The threads that one inference may use.
            provider: What the runtime runs them on.

        Raises:
            InputError: This process belongs to no cluster, no node has the resource, or none of them can measure.
        """
        ray, address = sys.modules.get("ray"), os.environ.get("RAY_ADDRESS")
        if address is None and (ray is None or not ray.is_initialized()):
            raise InputError(
                f"{nodes.target} names nodes of a Ray cluster, and none was joined: add --executor ray to a search, or "
                "set RAY_ADDRESS=HEAD:6379"
            )
        self._ray: Any = join_cluster(address)
        self._nodes, self._arguments = nodes, (runtime, threads, provider)
        self._actor: Any = None
        self._kind: dict[str, str] | None = None  # the kind of machine; None before the first one is connected
        self._reference: tuple[PreparedNetwork, list[Any]] | None = None
        super().__init__()

    def _connect(self) -> dict[str, str]:
        self.close()
        refused: list[str] = []
        for node_id in self._find_nodes():
            self._actor = self._start_actor(node_id)
            try:
                kind = cast("dict[str, str]", self._get(self._actor.open.remote(*self._arguments), START_TIMEOUT_S))
            except ConnectionLost as error:
                refused.append(str(error))
                continue
            if self._kind in (None, kind):
                self._kind = kind
                return {"host": self._nodes.resource, **kind}
            refused.append(f"a node is of another kind ({_differences(kind, self._kind)})")
        self.close()
        raise InputError(f"no node can measure for {self._nodes.target}: {'; '.join(refused)}")

    def _find_nodes(self) -> list[str]:
        """Return the ids of the nodes that have the resource, ordered by name."""
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        nodes = [node for node in alive if node["Resources"].get(self._nodes.resource, 0) > 0]
        if nodes:
            return [node["NodeID"] for node in sorted(nodes, key=lambda node: (node["NodeName"], node["NodeID"]))]
        names = {
            name
            for node in alive
            for name in node["Resources"]
            if name not in RAY_BUILTIN_RESOURCES and ":" not in name
        }
        hint = f"; it has {', '.join(sorted(names))}" if names else ""
        raise InputError(
            f"no node of the cluster has the resource {self._nodes.resource}{hint}: start one on the device with "
            f"ray start --address HEAD:6379 --resources '{{\"{self._nodes.resource}\": 1}}'"
        )

    def _start_actor(self, node_id: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
        return self._ray.remote(num_cpus=0, scheduling_strategy=strategy)(_NodeMeter).remote()

    def _get(self, result: Any, timeout_s: float | None = None) -> Any:
        """Wait for an actor's result; raise ConnectionLost if its node is lost."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(result, timeout=timeout_s)
        except errors.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise InputError(f"a node of {self._nodes.target} cannot measure: {error.cause}") from None
            raise error.cause from None
        except errors.RayError as error:
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ConnectionLost(f"the node of {self._nodes.target} was lost ({reason[0]})") from None

    def _store(self, reference: PreparedNetwork) -> list[Any]:
        """Put the reference network into the cluster's memory, once.

        Returns:
            Its object reference, in a list: an object reference that is an argument itself would be replaced by the
            network, and unpacked with every call.
        """
        if self._reference is None or self._reference[0] is not reference:
            self._reference = reference, [self._ray.put(reference)]
        return self._reference[1]

    def _calibrate(self, reference: PreparedNetwork) -> Calibration:
        if self._actor is None:
            raise ConnectionLost(f"the node of {self._nodes.target} was lost")
        return cast(Calibration, self._get(self._actor.calibrate.remote(self._store(reference))))

    def _compare(
        self, candidates: dict[int, PreparedNetwork], reference: PreparedNetwork, time_limit_s: float
    ) -> IndexedResults:
        if not self._suspects:
            yield from self._measure(candidates, reference, time_limit_s)
            return
        for index, prepared in list(candidates.items()):  # one by one, to see which of them ends the actor
            try:
                yield from self._measure({index: prepared}, reference, time_limit_s)
            except ConnectionLost as error:
                error.index = index
                raise

    def _measure(
        self, candidates: dict[int, PreparedNetwork], reference: PreparedNetwork, time_limit_s: float
    ) -> IndexedResults:
        if self._actor is None:
            raise ConnectionLost(f"the node of {self._nodes.target} was lost")
        if self._get(self._actor.is_busy.remote()):
            self._on_wait()
        indices = list(candidates)
        results = self._actor.compare.options(num_returns="streaming").remote(
            list(candidates.values()), self._store(reference), time_limit_s
        )
        for result in results:
            position, ratio = self._get(result)
            yield indices[position], ratio

    def close(self) -> None:
        """End the actor; see `Device.close`."""
        if self._actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(self._actor)
            self._actor = None


def _differences(kind: dict[str, str], expected: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind[name]}, not {expected[name]}" for name in kind if kind[name] != expected[name])


# --- on the node -----------------------------------------------------------------------------------------


class _Busy(Exception):
    """Another process measures or trains."""


def _raise_busy() -> NoReturn:
    raise _Busy


class _NodeMeter:
    """The actor: a `LocalDevice` on a node."""

    _stored: list[Any] = []  # the reference network in the cluster's memory, as `NodeDevice._store` returns it

    def open(self, runtime: str, threads: int, provider: str) -> dict[str, str]:
        """Open the device and return the kind of machine: its description without `host`, and its `cores`."""
        self._device = LocalDevice(open_runtime(runtime, provider), threads)
        machine = self._device.describe()
        del machine["host"]
        return machine | {"cores": str(usable_cores())}

    def is_busy(self) -> bool:
        """Return whether a measurement would have to wait now."""
        try:
            with lock.measuring(_raise_busy):
                return False
        except _Busy:
            return True

    def calibrate(self, stored: list[Any]) -> Calibration:
        """Measure the reference network itself; see `Device.calibrate`."""
        return self._device.calibrate(self._load_reference(stored))

    def compare(
        self, candidates: list[PreparedNetwork], stored: list[Any], time_limit_s: float
    ) -> Iterator[tuple[int, Ratio | Failure]]:
        """Measure candidates; see `Device.compare`. `NodeDevice` has called `on_wait` before, if it waits here."""
        yield from self._device.compare(candidates, self._load_reference(stored), lambda: None, time_limit_s)

    def _load_reference(self, stored: list[Any]) -> PreparedNetwork:
        if stored != self._stored:
            import ray

            self._stored, self._reference = stored, cast(PreparedNetwork, ray.get(stored[0]))
        return self._reference
