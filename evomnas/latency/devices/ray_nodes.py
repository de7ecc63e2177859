"""Nodes of the Ray cluster that have a custom resource.

A target of the form `ray://pi4` names the nodes that were started with `ray start --resources '{"pi4": 1}'`. One of
them measures, alone, as the machine of a search would; any runtime that is installed there will do. All nodes of a
name are to be machines of one kind, with the same processor, number of cores and version of the runtime: where a node
is lost, another of its kind goes on, and one of another kind is refused.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, cast

from evomnas.core import lock
from evomnas.core.errors import InputError
from evomnas.core.machine import usable_cores
from evomnas.core.ray_connection import join_cluster
from evomnas.latency.devices.local import LocalDevice, Measured
from evomnas.latency.devices.remote import ConnectionLost, RemoteDevice
from evomnas.latency.runtimes.base import Prepared, open_runtime
from evomnas.problem.target import RAY_BUILTIN_RESOURCES, RayTarget
from evomnas.results.evaluation import Failure
from evomnas.results.timing import Calibration, Ratio

START_S = 120.0  # for a process on a node to start and import the runtime


class NodeDevice(RemoteDevice):
    """A node with the resource, and an actor that measures there."""

    def __init__(self, nodes: RayTarget, runtime: str, threads: int) -> None:
        ray, address = sys.modules.get("ray"), os.environ.get("RAY_ADDRESS")
        if address is None and (ray is None or not ray.is_initialized()):
            raise InputError(
                f"{nodes.target} names nodes of a Ray cluster, and none was joined: add --executor ray to a search, or "
                "set RAY_ADDRESS=HEAD:6379"
            )
        self._ray: Any = join_cluster(address)
        self._nodes, self._arguments = nodes, (runtime, threads)
        self._actor: Any = None
        self._kind: dict[str, str] | None = None  # of machine; None before the first one is known
        self._reference: tuple[Prepared, list[Any]] | None = None
        super().__init__()

    def _connect(self) -> dict[str, str]:
        self.close()
        refused: list[str] = []
        for identity in self._candidates():
            self._actor = self._start(identity)
            try:
                kind = cast("dict[str, str]", self._get(self._actor.open.remote(*self._arguments), START_S))
            except ConnectionLost as error:
                refused.append(str(error))
                continue
            if self._kind in (None, kind):
                self._kind = kind
                return {"host": self._nodes.resource, **kind}
            refused.append(f"a node is of another kind ({_differences(kind, self._kind)})")
        self.close()
        raise InputError(f"no node can measure for {self._nodes.target}: {'; '.join(refused)}")

    def _candidates(self) -> list[str]:
        """The nodes that have the resource, by name."""
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        found = [node for node in alive if node["Resources"].get(self._nodes.resource, 0) > 0]
        if found:
            return [node["NodeID"] for node in sorted(found, key=lambda node: (node["NodeName"], node["NodeID"]))]
        names = {
            name
            for node in alive
            for name in node["Resources"]
            if name not in RAY_BUILTIN_RESOURCES and ":" not in name
        }
        some = f"; it has {', '.join(sorted(names))}" if names else ""
        raise InputError(
            f"no node of the cluster has the resource {self._nodes.resource}{some}: start one on the device with "
            f"ray start --address HEAD:6379 --resources '{{\"{self._nodes.resource}\": 1}}'"
        )

    def _start(self, identity: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(identity, soft=False)
        return self._ray.remote(num_cpus=0, scheduling_strategy=there)(_Bench).remote()

    def _get(self, reference: Any, seconds: float | None = None) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference, timeout=seconds)
        except errors.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise InputError(f"a node of {self._nodes.target} cannot measure: {error.cause}") from None
            raise error.cause from None
        except errors.RayError as error:
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ConnectionLost(f"the node of {self._nodes.target} was lost ({reason[0]})") from None

    def _boxed(self, reference: Prepared) -> list[Any]:
        """The reference network in the cluster's memory, not unpacked with every call."""
        if self._reference is None or self._reference[0] is not reference:
            self._reference = reference, [self._ray.put(reference)]
        return self._reference[1]

    def _calibrate(self, reference: Prepared) -> Calibration:
        if self._actor is None:
            raise ConnectionLost(f"the node of {self._nodes.target} was lost")
        return cast(Calibration, self._get(self._actor.calibrate.remote(self._boxed(reference))))

    def _compare(self, candidates: dict[int, Prepared], reference: Prepared, time_limit_s: float) -> Measured:
        if not self._suspects:
            yield from self._measure(candidates, reference, time_limit_s)
            return
        for index, prepared in list(candidates.items()):  # alone, to see whether one of them ends the actor
            try:
                yield from self._measure({index: prepared}, reference, time_limit_s)
            except ConnectionLost as error:
                error.index = index
                raise

    def _measure(self, candidates: dict[int, Prepared], reference: Prepared, time_limit_s: float) -> Measured:
        if self._actor is None:
            raise ConnectionLost(f"the node of {self._nodes.target} was lost")
        if self._get(self._actor.is_busy.remote()):
            self._on_wait()
        indices = list(candidates)
        results = self._actor.compare.options(num_returns="streaming").remote(
            list(candidates.values()), self._boxed(reference), time_limit_s
        )
        for result in results:
            place, ratio = self._get(result)
            yield indices[place], ratio

    def close(self) -> None:
        """End the actor."""
        if self._actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(self._actor)
            self._actor = None


def _differences(kind: dict[str, str], wanted: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind[name]}, not {wanted[name]}" for name in kind if kind[name] != wanted[name])


# --- on the node -----------------------------------------------------------------------------------------


class _Busy(Exception):
    """Somebody else measures or trains."""


def _stop() -> NoReturn:
    raise _Busy


class _Bench:
    """`LocalDevice` on a node."""

    _boxed: list[Any] = []

    def open(self, runtime: str, threads: int) -> dict[str, str]:
        """Get ready; what kind of machine this is."""
        self._device = LocalDevice(open_runtime(runtime), threads)
        described = self._device.describe()
        return {"processor": described["processor"], "cores": str(usable_cores()), "version": described["version"]}

    def is_busy(self) -> bool:
        """Whether a measurement has to wait now."""
        try:
            with lock.measuring(_stop):
                return False
        except _Busy:
            return True

    def calibrate(self, boxed: list[Any]) -> Calibration:
        """Time the reference network itself."""
        return self._device.calibrate(self._unboxed(boxed))

    def compare(
        self, candidates: list[Prepared], boxed: list[Any], time_limit_s: float
    ) -> Iterator[tuple[int, Ratio | Failure]]:
        """As `LocalDevice.compare`; who waits is told before."""
        yield from self._device.compare(candidates, self._unboxed(boxed), lambda: None, time_limit_s)

    def _unboxed(self, boxed: list[Any]) -> Prepared:
        if boxed != self._boxed:
            import ray

            self._boxed, self._reference = boxed, cast(Prepared, ray.get(boxed[0]))
        return self._reference
