"""evomnas: search MnasNet's factorized hierarchical space for accuracy and measured latency together.

The rooms, from the ground up; each imports only from those above it. docs/architecture.md has a picture.

- `core`: errors, files, and the machine that everything runs on.
- `problem`: the question: architectures, spaces, tables, problem files.
- `algorithms`: ask and tell.
- `data`: images that may be trained on.
- `results`: the answers, and where they are kept.
- `networks`: architectures as torch modules.
- `training`: networks fed and trained.
- `latency`: how long a network takes on a device.
- `evaluation`: architecture in, evaluation out.
- `loop`: ask, evaluate, tell.
- `deploy`: from the front to a network that ships.
- `report`: what people see of runs.
- `cli`: the command, the one place that prints.

Names below are imported when they are first used: `import evomnas` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evomnas.algorithms.goals import weighted_product as weighted_product
    from evomnas.core.errors import InputError as InputError
    from evomnas.data.suited import load_definition as load_definition
    from evomnas.deploy.detection.detector_files import load_detector as load_detector
    from evomnas.deploy.saving import load_network as load_network
    from evomnas.latency.meter import measure_latency as measure_latency
    from evomnas.loop.callbacks.base import Callback as Callback
    from evomnas.loop.launch import resume as resume
    from evomnas.loop.launch import search as search
    from evomnas.loop.pymoo_problem import SearchProblem as SearchProblem
    from evomnas.loop.pymoo_problem import load_problem as load_problem
    from evomnas.networks.layer_costs import count_cost as count_cost
    from evomnas.networks.network import build_network as build_network
    from evomnas.networks.published_weights import import_weights as import_weights
    from evomnas.problem.architecture import Architecture as Architecture
    from evomnas.problem.architecture import Block as Block
    from evomnas.problem.definition import ProblemDefinition as ProblemDefinition
    from evomnas.problem.pretrained.traits import Traits as Traits
    from evomnas.problem.published import published as published
    from evomnas.problem.search_space import SearchSpace as SearchSpace
    from evomnas.report.comparison.benchmark import benchmark as benchmark
    from evomnas.report.comparison.comparison import Comparison as Comparison
    from evomnas.report.comparison.comparison import compare as compare
    from evomnas.report.comparison.page import write_comparison as write_comparison
    from evomnas.report.run_report import write_report as write_report
    from evomnas.results.run import Run as Run

    __version__: str

_HOMES = {
    "Architecture": "evomnas.problem.architecture",
    "Block": "evomnas.problem.architecture",
    "Callback": "evomnas.loop.callbacks.base",
    "Comparison": "evomnas.report.comparison.comparison",
    "InputError": "evomnas.core.errors",
    "ProblemDefinition": "evomnas.problem.definition",
    "Run": "evomnas.results.run",
    "SearchProblem": "evomnas.loop.pymoo_problem",
    "SearchSpace": "evomnas.problem.search_space",
    "Traits": "evomnas.problem.pretrained.traits",
    "benchmark": "evomnas.report.comparison.benchmark",
    "build_network": "evomnas.networks.network",
    "compare": "evomnas.report.comparison.comparison",
    "count_cost": "evomnas.networks.layer_costs",
    "import_weights": "evomnas.networks.published_weights",
    "load_definition": "evomnas.data.suited",
    "load_detector": "evomnas.deploy.detection.detector_files",
    "load_network": "evomnas.deploy.saving",
    "load_problem": "evomnas.loop.pymoo_problem",
    "measure_latency": "evomnas.latency.meter",
    "published": "evomnas.problem.published",
    "resume": "evomnas.loop.launch",
    "search": "evomnas.loop.launch",
    "weighted_product": "evomnas.algorithms.goals",
    "write_comparison": "evomnas.report.comparison.page",
    "write_report": "evomnas.report.run_report",
}
__all__ = sorted(_HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def __getattr__(name: str) -> object:
    if name == "__version__":  # of the installed package: setup.py is the one place that says it
        from importlib.metadata import version  # it takes ten times as long as this module

        return version("evomnas")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
