"""Objectives that a search may have beside the error and the latency of networks.

Each is a number of a network that follows from its architecture, in closed form: nothing is measured for it. Another
one is another row of `FURTHER`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evomnas.core.errors import InputError, unknown
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import Counts, NetworkShape
from evomnas.problem.memory.file_size import RULES, file_kb
from evomnas.problem.memory.peak import peak_kb
from evomnas.problem.sections import Precision

ERROR, LATENCY = "error", "latency_ms"  # the two that every search has


@dataclass(frozen=True, slots=True)
class CountedNetwork:
    """A network with all that its further objectives follow from.

    Attributes:
        architecture: The network.
        counts: Its parameters and MACs.
        shape: Its classes, channels and resolution.
        precision: Of the file that is measured.
        runtime: What measures it.
    """

    architecture: Architecture
    counts: Counts
    shape: NetworkShape
    precision: Precision
    runtime: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A further objective as people read it.

    Attributes:
        name: The key of its values in files.
        label: What it is, with its unit: `peak KiB`.
        unit: What stands behind a number: ` KiB`.
    """

    name: str
    label: str
    unit: str


@dataclass(frozen=True, slots=True)
class FurtherObjective:
    """A further objective. It is minimised.

    Attributes:
        axis: How people read it.
        amount: Its value, which is positive.
    """

    axis: Axis
    amount: Callable[[CountedNetwork], float]


def _peak_kb(network: CountedNetwork) -> float:
    return peak_kb(network.architecture, network.precision, **network.shape)


def _file_kb(network: CountedNetwork) -> float:
    return file_kb(network.architecture, RULES[network.runtime][network.precision], **network.shape)


FURTHER = {
    objective.axis.name: objective
    for objective in (
        FurtherObjective(Axis("params", "parameters", " parameters"), lambda network: network.counts.params),
        FurtherObjective(Axis("macs", "MACs", " MACs"), lambda network: network.counts.macs),
        FurtherObjective(Axis("peak_kb", "peak KiB", " KiB at the peak"), _peak_kb),
        FurtherObjective(Axis("file_kb", "file KiB", " KiB of file"), _file_kb),
    )
}


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check the objectives that a problem file names.

    Args:
        names: Their names, in the order of the losses.

    Returns:
        The names.

    Raises:
        InputError: A name is unknown or stands twice, or the first two are not error and latency.
    """
    for name in names:
        if name not in (ERROR, LATENCY, *FURTHER):
            raise unknown("objective", name, [ERROR, LATENCY, *FURTHER])
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is named twice")
    if tuple(names[:2]) != (ERROR, LATENCY):
        raise InputError(f'the first two are always {ERROR} and {LATENCY}, as in ["{ERROR}", "{LATENCY}", "params"]')
    return tuple(names)
