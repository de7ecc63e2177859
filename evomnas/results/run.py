"""A run's folder: its settings, what the archive has of it, and the files that people and scripts read."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evomnas.core.errors import InputError
from evomnas.core.files import check_place, is_partial, write_atomically
from evomnas.core.machine import describe_environment
from evomnas.evaluation.interface import AnyEvaluator
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import AnyDefinition, ProblemDefinition, TableDefinition
from evomnas.problem.loading import validate_definition
from evomnas.problem.pareto import hypervolume, non_dominated
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.archive import Archive, Ask, RunRecord
from evomnas.results.constraints import Limits
from evomnas.results.evaluation import AnyEvaluation, Cut, Evaluation, TabularEvaluation

MANIFEST = "run.json"
SECONDS = ("total", "training", "latency", "algorithm", "other")
COLUMNS = (
    "id",
    "architecture",
    "status",
    "losses",
    "accuracy",
    "latency_ms",
    "latency_ci",
    "params",
    "macs",
    "on_front",
    "order",
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run searches, beside its algorithm; what older versions did not know is as they did it.

    Attributes:
        asynchronous: It breeds whenever a worker is free, and does not wait for a generation's end.
        early_stop: It cuts candidates off that their first epochs show to be dominated beyond doubt.
    """

    asynchronous: bool = False
    early_stop: bool = False

    def to_json(self) -> str:
        """As the archive keeps it; `from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Manner:
        """The manner that `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Result:
    """One distinct architecture of a run: where it was first asked for, and what came of it."""

    order: int
    generation: int
    evaluation: AnyEvaluation
    on_front: bool

    def to_dict(self) -> dict[str, Any]:
        """The row that `evomnas show --format json` prints; what is not known is None."""
        evaluation, losses, interval = self.evaluation, self.evaluation.losses, self.evaluation.latency_ci
        quantities = evaluation.quantities
        return {
            "id": evaluation.architecture.id,
            "architecture": str(evaluation.architecture),
            "status": evaluation.status,
            "losses": list(losses) if losses else None,
            "accuracy": quantities.get("accuracy"),
            "latency_ms": quantities.get("latency_ms"),
            "latency_ci": list(interval) if interval else None,
            "params": quantities.get("params"),
            "macs": quantities.get("macs"),
            "on_front": self.on_front,
            "order": self.order,
        }

    def point(self, definition: AnyDefinition) -> dict[str, Any]:
        """Where a network with losses lies in a plot: its cost `x` with its `interval`, its quality `y`."""
        losses, interval = self.evaluation.losses, self.evaluation.latency_ci
        if losses is None:
            raise ValueError(f"{self.evaluation.architecture} has no losses")
        cost, quality = definition.shown(losses)
        return {"x": cost, "y": quality, "interval": list(interval or (cost, cost)), "on_front": self.on_front}


class Run:
    """A run's folder and its part of the archive."""

    def __init__(self, folder: Path, archive: Archive, record: RunRecord, manifest: dict[str, Any]) -> None:
        self.folder, self.archive, self.record, self.manifest = folder, archive, record, manifest
        self.definition = validate_definition(json.loads(record.definition))

    @classmethod
    def create(
        cls,
        folder: Path,
        evaluator: AnyEvaluator,
        algorithm: str,
        seed: int,
        budget: int,
        options: Mapping[str, Any],
        manner: Manner = Manner(),
    ) -> Run:
        """A new run in an empty or new folder."""
        check_free(folder)
        definition = evaluator.definition
        record = RunRecord(
            id=uuid.uuid4().hex,
            algorithm=algorithm,
            seed=seed,
            definition=json.dumps(definition.model_dump(mode="json")),
            proxy=evaluator.proxy_key,
            device=evaluator.device_key,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            options=json.dumps(dict(options)),
            candidates=evaluator.candidates.to_json(),
            manner=manner.to_json(),
        )
        evaluator.archive.add_run(record)
        manifest = {
            "problem": definition.name,
            "algorithm": algorithm,
            "options": dict(options),
            "candidates": asdict(evaluator.candidates),
            "manner": asdict(manner),
            "seed": seed,
            "budget": budget,
            "evaluations": 0,
            "hypervolume": 0.0,
            "status": "running",
            "run": record.id,
            "created": record.created,
            "archive": os.path.relpath(str(evaluator.archive.path), folder.resolve()),
            "seconds": dict.fromkeys(SECONDS, 0.0),
            **evaluator.describe(),
            "definition": json.loads(record.definition),
            **describe_environment(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, evaluator.archive, record, manifest)
        run.write(0, [])
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run of a folder.

        Raises:
            InputError: The folder holds no run, or its archive is gone.
        """
        path = folder / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            archive_path, identity = folder.resolve() / manifest["archive"], manifest["run"]
            _check_manifest(manifest)
        except FileNotFoundError:
            raise InputError(f"{folder} holds no run (no {MANIFEST}): give the folder that evomnas run wrote") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"cannot read {path}: {error!r}") from None
        if not archive_path.is_file():
            raise InputError(f"the archive of {folder} is not at {archive_path}: move it back beside its runs")
        archive = Archive(archive_path.resolve(), create=False)
        return cls(folder, archive, archive.run(identity), manifest)

    @property
    def tabular(self) -> bool:
        """Whether its networks were looked up in a table."""
        return isinstance(self.definition, TableDefinition)

    @property
    def options(self) -> dict[str, Any]:
        """The algorithm's options, all settled."""
        return dict(json.loads(self.record.options))

    @property
    def manner(self) -> Manner:
        """How it searches."""
        return Manner.from_json(self.record.manner)

    @cached_property
    def shape(self) -> dict[str, int]:
        """Classes, channels and resolution of the networks that were measured."""
        data, resolution = self.manifest["data"], self.images.latency_resolution
        return {"classes": data["classes"], "channels": data["channels"], "resolution": resolution}

    @property
    def images(self) -> ProblemDefinition:
        """The problem of a run whose networks are trained and measured.

        Raises:
            InputError: They were looked up in a table.
        """
        if isinstance(self.definition, TableDefinition):
            raise InputError(f"{self.folder} searched a table: its networks cannot be built or measured")
        return self.definition

    @property
    def searched(self) -> str:
        """The fingerprint of the images that it searched with."""
        return str(self.archive.context(self.record.proxy)["data"])

    def read_data_from(self, path: Path) -> None:
        """Let its images be read elsewhere than where they were when it began."""
        data = self.images.data.model_copy(update={"path": path.expanduser().resolve()})
        self.definition = self.images.model_copy(update={"data": data})

    def typed(self, architecture: Architecture) -> str:
        """An architecture as it is typed behind a command: by its id where the run has it, else by its notation."""
        known = any(one.architecture == str(architecture) for one in self.asks)
        return architecture.id if known else shlex.quote(str(architecture))

    @property
    def argument(self) -> str:
        """The folder as it is typed behind a command."""
        return shlex.quote(str(self.folder))

    @property
    def reference_id(self) -> str:
        """The id of the reference network."""
        if isinstance(self.definition, TableDefinition):
            return TabularArchitecture(self.manifest["data"]["reference"]).id
        return self.definition.space.mobilenet_v2().id

    @property
    def asks(self) -> list[Ask]:
        """All that the algorithm asked for, in order."""
        return self.archive.asks(self.record.id)

    def results(self) -> list[Result]:
        """One result per distinct architecture, in the order of the asks."""
        first: dict[str, Ask] = {}
        for ask in self.asks:
            first.setdefault(ask.architecture, ask)
        return judge([(ask, self._evaluation(ask.architecture)) for ask in first.values()])

    def _evaluation(self, notation: str) -> AnyEvaluation:
        architecture = self.definition.parse(notation)
        if isinstance(architecture, TabularArchitecture):
            found = self.archive.lookup(self.record.proxy, architecture)
            return self._limits.apply(found or TabularEvaluation(architecture, None, None, {}))
        record = self.record
        known = self.archive.evaluation(record.proxy, record.device, architecture, record.candidates, record.id)
        return self._limits.apply(known)

    @cached_property
    def _limits(self) -> Limits:
        tabular = isinstance(self.definition, TableDefinition)
        return Limits(self.definition.constraints, None if tabular else self.shape)

    def front(self, results: list[Result] | None = None) -> list[Result]:
        """The Pareto set, fastest first; of `results` where they are at hand."""
        chosen = [result for result in (self.results() if results is None else results) if result.on_front]
        return sorted(chosen, key=lambda result: result.evaluation.losses[1] if result.evaluation.losses else np.inf)

    def cut_off(self, results: Sequence[Result]) -> dict[str, Any]:
        """How many of the trainings were cut off, and what the rest of them would have taken, in seconds."""
        trainings = [one.evaluation.training for one in results if isinstance(one.evaluation, Evaluation)]
        cuts = [one for one in trainings if isinstance(one, Cut)]
        saved = sum(one.saved(self.images.training.epochs) for one in cuts)
        return {"networks": len(cuts), "saved_seconds": round(saved, 3)}

    def hypervolume(self, results: list[Result]) -> float:
        """Share of the problem's reference box that these results dominate."""
        points = [result.evaluation.relative_losses for result in results]
        return hypervolume([p for p in points if p is not None], self.definition.hypervolume.reference_point)

    def reference_cost(self) -> float | None:
        """The reference network's second objective: its calibrated latency in milliseconds, or a table's cost."""
        if isinstance(self.definition, TableDefinition):
            return float(self.archive.context(self.record.proxy)["reference"])
        calibration = self.archive.calibration(self.record.device)
        return None if calibration is None else calibration.latency_ms

    def true_share(self) -> float | None:
        """Hypervolume relative to that of the true front; None where the problem is not a complete table."""
        true = self.manifest.get("true_front")
        return self.manifest["hypervolume"] / true["hypervolume"] if true and true["hypervolume"] > 0 else None

    def write(self, evaluations: int, front: list[Result]) -> None:
        """Bring run.json and front.csv up to date; no reader sees half a file."""
        self.manifest["evaluations"] = evaluations
        self.manifest["hypervolume"] = self.hypervolume(front)
        write_atomically(self.folder / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")
        write_atomically(self.folder / "front.csv", to_csv([result.to_dict() for result in self.front(front)]))


def judge(evaluated: Sequence[tuple[Ask, AnyEvaluation]]) -> list[Result]:
    """Results of distinct architectures, each with its first ask, that say which of them are on the front."""
    complete = [index for index, (_, one) in enumerate(evaluated) if one.losses is not None]
    keep = non_dominated([one.losses for _, one in evaluated if one.losses is not None])
    front = {index for index, kept in zip(complete, keep, strict=True) if kept}
    return [
        Result(ask.position, ask.generation, evaluation, index in front)
        for index, (ask, evaluation) in enumerate(evaluated)
    ]


def _check_manifest(manifest: dict[str, Any]) -> None:
    """Raise TypeError or KeyError where something is not as this package writes it."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "problem": str, "algorithm": str, "seed": int, "budget": int, "evaluations": int, "hypervolume": (int, float),
        "status": str, "run": str, "seconds": dict, "data": dict, "definition": dict, "versions": dict, "machine": dict,
    }  # fmt: skip
    kinds |= {
        name: kind for name, kind in (("goals", list), ("true_front", dict), ("explanations", dict)) if name in manifest
    }
    for name, kind in kinds.items():
        if not isinstance(manifest[name], kind):
            raise TypeError(f"{name} is {manifest[name]!r}")
    manifest["seconds"].setdefault("algorithm", 0.0)  # which older runs did not tell apart
    numbers = [manifest["seconds"][name] for name in SECONDS]
    names = ("rows",) if "table" in manifest["definition"] else ("classes", "channels")
    numbers += [manifest["data"][name] for name in names]
    if not all(isinstance(number, int | float) and 0 <= number < math.inf for number in numbers):
        raise TypeError("seconds and data must hold numbers")
    if manifest["budget"] < 1:
        raise ValueError(f"budget is {manifest['budget']!r}")


def check_free(folder: Path) -> None:
    """Raise InputError where `folder` holds a run or anything else."""
    check_place(folder / MANIFEST, "--out DIR")
    if (folder / MANIFEST).exists():
        raise InputError(
            f"{folder} holds a run already: go on with it (evomnas resume {shlex.quote(str(folder))}), or start "
            "another with --seed N or --out DIR"
        )
    if folder.exists() and (not folder.is_dir() or any(not is_partial(path) for path in folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder: choose another with --out DIR")


def to_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV with a header; lists become their parts separated by spaces."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()})
    return buffer.getvalue()
