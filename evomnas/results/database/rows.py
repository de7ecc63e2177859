"""Results as rows of the archive's tables: mappings from column to value, and back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from typing import Any

from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.evaluation import (
    Cost,
    Cut,
    Failure,
    FullTraining,
    Measurement,
    Score,
    TabularEvaluation,
    Training,
)
from evomnas.results.timing import Calibration

_MEASUREMENT_COLUMNS = ("latency_ms", "low_ms", "high_ms", "ratio", "seconds", "precise", "load")


def measurement_to_row(result: Measurement | Failure) -> dict[str, Any]:
    """Return a measurement as columns of the table `measurements`; `measurement_from_row` is the inverse.

    Args:
        result: The measurement, or why it failed.
    """
    if isinstance(result, Failure):
        return _failure_to_row(result)
    columns = {name: getattr(result, name) for name in _MEASUREMENT_COLUMNS}
    return columns | asdict(result.cost) | {"samples": json.dumps(result.samples)}


def measurement_from_row(row: sqlite3.Row) -> Measurement | Failure:
    """Return the measurement of a row of the table `measurements`.

    Args:
        row: The row.
    """
    if row["failure"]:
        return _failure_from_row(row)
    return Measurement(
        cost=Cost(row["params"], row["macs"], row["se_macs"]),
        latency_ms=row["latency_ms"],
        low_ms=row["low_ms"],
        high_ms=row["high_ms"],
        ratio=row["ratio"],
        samples=tuple(json.loads(row["samples"])),
        seconds=row["seconds"],
        precise=row["precise"] != 0,  # NULL in rows of older archives counts as precise
        load=row["load"],
    )


def training_to_row(result: Training | Failure) -> dict[str, Any]:
    """Return a training as columns of the table `trainings`; `training_from_row` is the inverse.

    Args:
        result: The training, or why it failed.
    """
    if isinstance(result, Failure):
        return _failure_to_row(result)
    return {"accuracy": result.accuracy, "losses": json.dumps(result.losses), "seconds": result.seconds}


def training_from_row(row: sqlite3.Row) -> Training | Failure:
    """Return the training of a row of the table `trainings`.

    Args:
        row: The row.
    """
    if row["failure"]:
        return _failure_from_row(row)
    return Training(row["accuracy"], tuple(json.loads(row["losses"])), row["seconds"])


def cut_to_row(cut: Cut) -> dict[str, Any]:
    """Return a training that was cut off as columns of the table `cuts`; `cut_from_row` is the inverse.

    Args:
        cut: The part of the training.
    """
    return asdict(cut) | {"losses": json.dumps(cut.losses)}


def cut_from_row(row: sqlite3.Row) -> Cut:
    """Return the training that was cut off, of a row of the table `cuts`.

    Args:
        row: The row.
    """
    return Cut(tuple(json.loads(row["losses"])), row["error"], row["seconds"])


def full_training_to_row(result: FullTraining | Failure) -> dict[str, Any]:
    """Return a full training as columns of the table `full_trainings`; `full_training_from_row` is the inverse.

    Args:
        result: The full training, or why it failed.
    """
    if isinstance(result, Failure):
        return _failure_to_row(result)
    counts = {"correct": None, "images": result.images} if result.score is None else asdict(result.score)
    return counts | {"losses": json.dumps(result.losses), "seconds": result.seconds}


def full_training_from_row(row: sqlite3.Row) -> FullTraining | Failure:
    """Return the full training of a row of the table `full_trainings`.

    Args:
        row: The row.
    """
    if row["failure"]:
        return _failure_from_row(row)
    score = None if row["correct"] is None else Score(row["correct"], row["images"])  # detectors count no images
    return FullTraining(score, tuple(json.loads(row["losses"])), row["seconds"])


def calibration_to_row(calibration: Calibration) -> dict[str, Any]:
    """Return a calibration as columns of the table `calibrations`; `calibration_from_row` is the inverse.

    Args:
        calibration: The calibration.
    """
    return asdict(calibration) | {"samples_ms": json.dumps(calibration.samples_ms)}


def calibration_from_row(row: sqlite3.Row) -> Calibration:
    """Return the calibration of a row of the table `calibrations`.

    Args:
        row: The row.
    """
    return Calibration(row["latency_ms"], tuple(json.loads(row["samples_ms"])), row["load"])


def lookup_to_row(evaluation: TabularEvaluation) -> dict[str, Any]:
    """Return an evaluation from a table as columns of the table `lookups`; `lookup_from_row` is the inverse.

    The violation of limits is left out, since limits belong to the problem and not to the table.

    Args:
        evaluation: The evaluation.
    """
    content = asdict(evaluation)
    del content["architecture"], content["violation"]
    return {"content": json.dumps(content)}


def lookup_from_row(row: sqlite3.Row, architecture: TabularArchitecture) -> TabularEvaluation:
    """Return the evaluation of a row of the table `lookups`, without any limits.

    Args:
        row: The row.
        architecture: The network of the row.
    """
    content = json.loads(row["content"])
    losses, relative_losses = (content[name] and tuple(content[name]) for name in ("losses", "relative_losses"))
    failure = content["failure"] and Failure(**content["failure"])
    return TabularEvaluation(architecture, losses, relative_losses, content["quantities"], failure)


def _failure_to_row(failure: Failure) -> dict[str, Any]:
    return {"failure": json.dumps(asdict(failure))}


def _failure_from_row(row: sqlite3.Row) -> Failure:
    return Failure(**json.loads(row["failure"]))
