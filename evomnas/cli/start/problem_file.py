"""A problem file for somebody's images, with comments that say what each value does and why it was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evomnas.core.resolution import format_resolution
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.search_space import SearchSpace
from evomnas.report.reproduce import format_toml

SHOWN: dict[str, dict[str, str]] = {  # the keys that the file has, with what they do
    "space": {
        "width": "of all networks; 1.0 is more accurate and slower",
        "stem_stride": "",
        "strides": "of the seven blocks",
        "layers": "of the seven blocks in the middle of the space",
        "head": "",
    },
    "data": {
        "dataset": "",
        "path": "from the folder of this file",
        "resolution": "in pixels; 224 sees small objects, at five times the cost of 96",
        "fit": "",
        "validation": "share that scores networks in the search, where no folder and no folds do",
        "folds": "trainings of each network",
        "augment": "random changes of training images",
        "score": "what is maximised: also balanced-accuracy, macro-f1, likelihood",
    },
    "training": {
        "epochs": "of each network in the search",
        "batch": "images per step",
        "learning_rate": "at its peak",
    },
    "full": {
        "epochs": "of evomnas train",
        "batch": "images per step",
        "learning_rate": "at its peak",
    },
    "latency": {
        "runtime": "evomnas runtimes lists others",
        "target": "the device that is to run the network",
        "threads": "of one inference",
    },
    "constraints": {"max_latency_ms": "networks beyond it are not trained"},
    "hypervolume": {"reference_point": "error, latency relative to the reference network"},
}
COLUMN = 38  # in which comments begin


def write_problem(problem: ProblemDefinition, name: str, path: str, reasons: Mapping[str, str]) -> str:
    """Return the text of a problem file.

    Args:
        problem: The problem.
        name: What it is to be called.
        path: Where its images are, as seen from the file.
        reasons: Why values were chosen, by keys such as `training.epochs`.
    """
    values = _values(problem)
    values["data"]["path"] = path
    lines = [
        f"# A search on the images in {path}, written by evomnas init. docs/problem-files.md explains every key.",
        f"name = {format_toml(name)}",
        f'summary = "images of your own in {_plain(path)}, {format_resolution(problem.data.resolution)} pixels"',
    ]
    for section, keys in SHOWN.items():
        shown = {key: values[section][key] for key in keys if key in values.get(section, {})}
        lines += ["", f"[{section}]"] if shown else []
        for key, value in shown.items():
            lines += _commented(key, value, keys[key], reasons.get(f"{section}.{key}", ""))
    if problem.constraints.max_latency_ms is None:
        lines += ["", "# [constraints]", "# max_latency_ms = 5.0               # without it there is no limit"]
    return "\n".join(lines) + "\n"


def _values(problem: ProblemDefinition) -> dict[str, Any]:
    """Return what the file may show: all but the space's usual values, and what has no effect."""
    values = problem.model_dump(mode="json", exclude_none=True)
    usual, space = asdict(SearchSpace()), values["space"]
    space = {key: space[key] for key in space if key == "width" or getattr(problem.space, key) != usual[key]}
    data = {key: value for key, value in values["data"].items() if key != "validation" or problem.data.folds is None}
    return {**values, "space": space, "data": data}


def _plain(text: str) -> str:
    """Return a text as it may stand within a string of TOML."""
    return format_toml(text)[1:-1]


def _commented(key: str, value: Any, meaning: str, reason: str) -> list[str]:
    """Return the lines of a value: why it was chosen above it, what it does behind it."""
    line = f"{key} = {format_toml(value)}"
    above = [f"# {reason}"] if reason else []
    return [*above, f"{line.ljust(COLUMN - 1)} # {meaning}" if meaning else line]
