"""Many runs at a glance: what their run.json says, without the archive, so that hundreds of runs take no time."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.results.manifest import MANIFEST, read_manifest
from evomnas.results.packing.content import FRONT
from evomnas.results.packing.moved import find_archive

LEVELS = 2  # of folders in which runs are looked for: those of a benchmark are one level further down


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as its run.json and front.csv show it.

    Attributes:
        folder: Its folder.
        problem: The name of its problem; None here and below where the run cannot be read.
        algorithm: The name of its algorithm.
        seed: The algorithm's seed.
        evaluations: Networks evaluated so far.
        budget: Networks to evaluate.
        status: As in run.json, or `broken`.
        hypervolume: Of its front.
        best_accuracy: The accuracy of the network on its front with the best score; None also where there is none.
        best_latency_ms: The latency of that network in milliseconds; None also where there is none.
        created: When it began, in ISO format, UTC.
        fault: Why the run is broken; None if it is not.
        best_score: The best score on its front; None also where there is none.
        score_name: What the search maximises, as in problem files; None also where networks are looked up in a table.
    """

    folder: Path
    problem: str | None = None
    algorithm: str | None = None
    seed: int | None = None
    evaluations: int | None = None
    budget: int | None = None
    status: str = "broken"
    hypervolume: float | None = None
    best_accuracy: float | None = None
    best_latency_ms: float | None = None
    created: str | None = None
    fault: str | None = None
    best_score: float | None = None
    score_name: str | None = None


def list_runs(folder: Path) -> list[RunSummary]:
    """Return the runs in a folder, the latest last. Broken ones come first.

    Args:
        folder: A folder of runs, of benchmarks, or of both; or a run's own.

    Raises:
        InputError: There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} to list the runs of")
    return sorted(map(_summarize, _run_folders(folder, LEVELS)), key=lambda run: (run.created or "", str(run.folder)))


def _run_folders(folder: Path, levels: int) -> Iterator[Path]:
    """Yield the folders that hold a run.json: this one, or those within it that can be read."""
    if (folder / MANIFEST).exists():
        yield folder
    elif levels:
        try:
            inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        except OSError:  # somebody else's
            return
        for path in inner:
            yield from _run_folders(path, levels - 1)


def _summarize(folder: Path) -> RunSummary:
    try:
        manifest = read_manifest(folder)
    except InputError as error:
        return RunSummary(folder, fault=str(error))
    fault = None
    if not (folder / manifest.archive).is_file():
        try:
            find_archive(folder, manifest)
        except InputError as error:
            fault = str(error)
    accuracy, latency_ms, score = _best(folder / FRONT)
    data = manifest.definition.get("data")
    return RunSummary(
        folder=folder,
        problem=manifest.problem,
        algorithm=manifest.algorithm,
        seed=manifest.seed,
        evaluations=manifest.evaluations,
        budget=manifest.budget,
        status="broken" if fault else manifest.status,
        hypervolume=manifest.hypervolume,
        best_accuracy=accuracy,
        best_latency_ms=latency_ms,
        created=manifest.created or None,
        fault=fault,
        best_score=score,
        score_name=data.get("score", "accuracy") if isinstance(data, dict) else None,
    )


def _best(path: Path) -> tuple[float | None, float | None, float | None]:
    """Return accuracy, latency and score of the best network of a front.csv; None where it has none.

    Older versions wrote no scores: then the accuracy is the score.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("accuracy")]
        scored = [(float(row.get("score") or row["accuracy"]), row) for row in rows]
        score, best = max(scored, key=lambda pair: pair[0], default=(None, {}))
        if score is None:
            return None, None, None
        return float(best["accuracy"]), float(best["latency_ms"]) if best.get("latency_ms") else None, score
    except (OSError, ValueError, csv.Error):
        return None, None, None
