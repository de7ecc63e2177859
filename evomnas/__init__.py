"""evomnas: search MnasNet's factorized hierarchical space for accuracy and measured latency together.

Where things are:

- `architecture`, `space`, `zoo`: what a network is, which can be searched, which are published.
- `defaults`: what nobody needs to say.
- `definition`: the problem file; `evomnas.problems` holds the built-in ones.
- `network`, `weights`, `cost`: from an architecture to a torch module, published weights, parameters, MACs.
- `counting`, `limits`: the same counts in closed form; what a network may have at most.
- `data`, `augmentation`, `training`: images, and the proxy task that gives an accuracy.
- `latency`, `meter`: what runs a network, where, how it is timed; latencies on one calibrated scale.
- `layer_table`, `stages`, `surroundings`: latencies added up from measured layers.
- `doctor`: is this machine fit to measure.
- `early_stop`: which candidates may stop before their last epoch.
- `evaluation`, `executors`, `archive`, `evaluator`, `lookup`: one architecture's results, where they are made, kept
  and looked up.
- `table`: published tables of networks, searched in place of trainings.
- `reward`: the paper's weighted product and its hard formulation, for searches that want one network.
- `pareto`, `problem`, `algorithms`: fronts, the pymoo problem, what asks.
- `generations`, `steady`, `loop`: how it is asked and told; searches begun and resumed.
- `traces`, `significance`, `comparison`, `benchmarking`: several runs side by side, and whole benchmarks of them.
- `estimate`: what a search will cost.
- `fitting`, `classifier`, `shelf`, `testsplit`, `deploy`, `finished`: full trainings, test scores, the
  networks from the shelf, exports.
- `runs`, `clock`: a run's folder, and where its time goes.
- `history`, `preferences`, `references`, `breakdown`: how a search went, what its front prefers, what to compare with,
  where a network's milliseconds go.
- `presentation`, `facts`, `reproduce`, `figures`, `run_figures`, `pages`, `report_data`, `report`, `cli`: what people
  see.

Names below are imported when they are first used: `import evomnas` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evomnas.algorithms.goals import weighted_product as weighted_product
    from evomnas.core.errors import InputError as InputError
    from evomnas.deploy.saving import load_network as load_network
    from evomnas.latency.meter import measure_latency as measure_latency
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
    from evomnas.problem.loading import load_definition as load_definition
    from evomnas.problem.published import published as published
    from evomnas.problem.search_space import SearchSpace as SearchSpace
    from evomnas.report.comparison.benchmark import benchmark as benchmark
    from evomnas.report.comparison.comparison import Comparison as Comparison
    from evomnas.report.comparison.comparison import compare as compare
    from evomnas.report.comparison.page import write_comparison as write_comparison
    from evomnas.report.run_report import write_report as write_report
    from evomnas.results.run import Run as Run

_HOMES = {
    "Architecture": "evomnas.problem.architecture",
    "Block": "evomnas.problem.architecture",
    "Comparison": "evomnas.report.comparison.comparison",
    "InputError": "evomnas.core.errors",
    "ProblemDefinition": "evomnas.problem.definition",
    "Run": "evomnas.results.run",
    "SearchProblem": "evomnas.loop.pymoo_problem",
    "SearchSpace": "evomnas.problem.search_space",
    "benchmark": "evomnas.report.comparison.benchmark",
    "build_network": "evomnas.networks.network",
    "compare": "evomnas.report.comparison.comparison",
    "count_cost": "evomnas.networks.layer_costs",
    "import_weights": "evomnas.networks.published_weights",
    "load_definition": "evomnas.problem.loading",
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

_CHECKOUT = Path(__file__).resolve().parents[1]
if (_CHECKOUT / "problems" / "digits.toml").is_file():
    __path__.append(str(_CHECKOUT))  # imported from a checkout: evomnas.problems and .reports lie beside it


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
