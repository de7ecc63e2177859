"""Ray clusters of several nodes on this machine: what tests need of them, and nothing that takes time to start."""

from __future__ import annotations

from typing import Any

HEAD = {
    "include_dashboard": False,
    "include_log_monitor": False,
    "no_monitor": True,  # it would start machines
    # A node that was killed is noticed within a second; one that is only slow still has ten seconds for an answer.
    "_system_config": {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 300,
        "health_check_failure_threshold": 3,
    },
}
MEMORY = {"object_store_memory": 100 * 2**20}


def start_cluster(**head: Any) -> Any:
    """Return a `ray.cluster_utils.Cluster` with a head alone, which has no CPUs unless `head` says so."""
    from ray.cluster_utils import Cluster

    return Cluster(initialize_head=True, head_node_args={"num_cpus": 0} | HEAD | MEMORY | head)


def add_node(cluster: Any, cpus: int = 1, **resources: float) -> Any:
    """Add a node to a cluster and return it."""
    return cluster.add_node(num_cpus=cpus, resources=resources, **MEMORY)


def kill_node(cluster: Any, node: Any) -> None:
    """End a node's processes with SIGKILL."""
    cluster.remove_node(node, allow_graceful=False)
