"""The archive: every training, measurement and ask in one SQLite file. Each is committed as soon as it has ended.

The key of a training or measurement is its network and its context. A context is everything that the result depends on
beside the network, and nothing else; its key is a hash (`context_key`). Results are added once and never changed, so
that runs can share them. The same holds for full trainings, which use all training images and are scored on the test
images. A run is stored as its settings, the sequence of the networks that its algorithm asked for, and the trainings
that it cut off.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.candidate import Candidate
from evomnas.problem.sections import PrecisionName, SearchScoreName
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.answers.mistakes import Answers
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.database.connection import Database
from evomnas.results.database.contexts import limited_context, result_context
from evomnas.results.database.rows import (
    calibration_from_row,
    calibration_to_row,
    cut_from_row,
    cut_to_row,
    full_training_from_row,
    full_training_to_row,
    lookup_from_row,
    lookup_to_row,
    measurement_from_row,
    measurement_to_row,
    training_from_row,
    training_to_row,
)
from evomnas.results.detection.findings import Findings
from evomnas.results.evaluation import (
    Cut,
    Failure,
    FullTraining,
    Measurement,
    NetworkEvaluation,
    TabularEvaluation,
    Training,
)
from evomnas.results.records import Ask, GenerationRecord, RunRecord, Tell
from evomnas.results.timing import Calibration

NO_LIMITS = CandidateLimits()


def context_key(content: Mapping[str, Any]) -> str:
    """Return the key of a context: a short hash of its content.

    Args:
        content: A JSON-ready mapping. The order of its keys does not matter.

    Returns:
        24 hexadecimal digits.
    """
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()


class Archive(Database):
    """An open archive file; see `Database` for how it is opened."""

    # --- contexts and calibrations ---

    def add_context(self, content: Mapping[str, Any]) -> str:
        """Store the content of a context.

        Args:
            content: A JSON-ready mapping of everything that a result depends on beside the network.

        Returns:
            The key of the context.
        """
        key = context_key(content)
        if self._row("contexts", key=key) is None:  # a known context needs no write, which a read-only disk refuses
            self._insert("contexts", {"key": key, "content": json.dumps(content, sort_keys=True)})
        return key

    def context(self, key: str) -> dict[str, Any]:
        """Return the content of a context.

        Args:
            key: The key of the context.

        Returns:
            The content; empty if the archive has no such context.
        """
        row = self._row("contexts", key=key)
        return dict(json.loads(row["content"])) if row is not None else {}

    def calibration(self, context: str) -> Calibration | None:
        """Return the latency of the reference network on a device.

        Args:
            context: The context of measurements on the device.

        Returns:
            The calibration; None if there is none.
        """
        row = self._row("calibrations", context=context)
        return None if row is None else calibration_from_row(row)

    def add_calibration(self, context: str, calibration: Calibration) -> Calibration:
        """Store the calibration of a device, unless it has one.

        Args:
            context: The context of measurements on the device.
            calibration: The calibration.

        Returns:
            The calibration that counts: the first one that was stored.
        """
        self._insert("calibrations", {"context": context, **calibration_to_row(calibration), "created": _now()})
        return self.calibration(context) or calibration

    def busy_calibrations(self, max_load: float) -> list[str]:
        """Return the contexts of calibrations that were taken while other programs were at work.

        Args:
            max_load: Cores that may be busy with something else.
        """
        rows = self._connection.execute("SELECT context FROM calibrations WHERE load > ? ORDER BY context", (max_load,))
        return [row["context"] for row in rows]

    def forget_calibrations(self, contexts: Iterable[str]) -> None:
        """Forget calibrations, so that they are taken again. Only the archive of a machine may forget them.

        Args:
            contexts: The contexts of measurements on the device.
        """
        with self._transaction():
            self._connection.executemany("DELETE FROM calibrations WHERE context = ?", [(one,) for one in contexts])

    def layer(self, context: str, layer: str) -> float | None:
        """Return the latency of a layer on a device, relative to the reference network.

        Args:
            context: The context of measurements on the device.
            layer: The key of the layer.

        Returns:
            The ratio; None if the layer was not measured.
        """
        row = self._row("layers", context=context, layer=layer)
        return None if row is None else float(row["ratio"])

    def add_layer(self, context: str, layer: str, ratio: float) -> None:
        """Store the latency of a layer on a device, unless it has one.

        Args:
            context: The context of measurements on the device.
            layer: The key of the layer.
            ratio: The latency relative to the reference network.
        """
        self._insert("layers", {"context": context, "layer": layer, "ratio": ratio})

    def add_alias(self, alias: str, context: str) -> None:
        """Store an alias of a context, and make that context the latest of the alias.

        The key of a full training's context can only be computed from the images. An alias is a key that follows from
        the problem alone. By it a report finds the context without reading the images.

        Args:
            alias: The key that is known without the images.
            context: The key of the context.
        """
        if self.alias_contexts(alias)[-1:] != [context]:
            with self._transaction():
                self._connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (alias, context))

    def alias_contexts(self, alias: str) -> list[str]:
        """Return the contexts that have an alias.

        Args:
            alias: The key that is known without the images.

        Returns:
            The keys of the contexts, the latest last.
        """
        rows = self._connection.execute("SELECT context FROM aliases WHERE alias = ? ORDER BY rowid", (alias,))
        return [row["context"] for row in rows]

    # --- evaluations ---

    def add_measurement(
        self,
        measurement_context: str,
        network: object,
        result: Measurement | Failure,
        candidates: CandidateLimits = NO_LIMITS,
    ) -> None:
        """Store the measurement of a network, unless there is one.

        Args:
            measurement_context: The context of the measurement.
            network: An architecture, or any other network by its notation.
            result: Its costs and latency, or why it has none.
            candidates: The limits of time and memory under which it failed, if it did.
        """
        context = result_context(measurement_context, result, candidates)
        key = {"context": context, "architecture": str(network)}
        self._insert("measurements", {**key, **measurement_to_row(result), "created": _now()})

    def add_training(
        self,
        training_context: str,
        architecture: Candidate,
        result: Training | Failure,
        candidates: CandidateLimits = NO_LIMITS,
    ) -> None:
        """Store the training of an architecture on a proxy task, unless there is one.

        Of a training that has no answers or no loss yet, those of `result` are stored: older versions kept none.

        Args:
            training_context: The context of the training.
            architecture: The architecture, or any other network.
            result: The training, or why it failed.
            candidates: The limits of time and memory under which it failed, if it did.
        """
        context = result_context(training_context, result, candidates)
        key = {"context": context, "architecture": str(architecture)}
        with self._transaction():
            self._write("trainings", {**key, **training_to_row(result), "created": _now()})
            self._write_answers(context, architecture, result)
            self._write_findings(context, architecture, result)

    def add_cut(self, run: str, architecture: Architecture, cut: Cut) -> None:
        """Store the part of a training that a run cut off. For other runs the network is not trained.

        Args:
            run: The id of the run.
            architecture: The architecture.
            cut: The part of the training.
        """
        self._insert("cuts", {"run": run, "architecture": str(architecture), **cut_to_row(cut), "created": _now()})

    def evaluation(
        self,
        training_context: str,
        measurement_context: str,
        architecture: Candidate,
        candidates: CandidateLimits = NO_LIMITS,
        run: str | None = None,
        score: SearchScoreName | PrecisionName = "accuracy",
    ) -> NetworkEvaluation:
        """Return what is known of a network. A half that is not there yet is None.

        Args:
            training_context: The context of its training.
            measurement_context: The context of its measurement.
            architecture: The architecture, or any other network.
            candidates: The limits of time and memory of a candidate. A failure under these limits takes precedence over
                any other result.
            run: The run whose own cuts count. A training that it cut off stays so for it, even if another run has
                trained that network to the end since. None to count no cuts.
            score: What the search maximises. A training whose answers were not kept is none, if they are needed for it.

        Returns:
            The measurement and the training, as far as they are known.
        """
        notation = str(architecture)
        row = self._half("measurements", measurement_context, notation, candidates)
        measurement = None if row is None else measurement_from_row(row)
        row = None if run is None else self._row("cuts", run=run, architecture=notation)
        if row is not None:
            return NetworkEvaluation(architecture, measurement, cut_from_row(row))
        row = self._half("trainings", training_context, notation, candidates)
        training = None if row is None else training_from_row(row)
        if isinstance(training, Training):
            training = self._scored(training, training_context, notation, score)
        return NetworkEvaluation(architecture, measurement, training)

    def accuracies(self) -> dict[str, dict[str, float]]:
        """Return the accuracies of all networks that were trained in a search, by context and notation."""
        found: dict[str, dict[str, float]] = {}
        rows = self._connection.execute(
            "SELECT context, architecture, accuracy FROM trainings WHERE accuracy IS NOT NULL ORDER BY rowid"
        )
        for row in rows:
            found.setdefault(row["context"], {})[row["architecture"]] = row["accuracy"]
        return found

    def _scored(
        self, training: Training, context: str, notation: str, score: SearchScoreName | PrecisionName
    ) -> Training | None:
        """Return a training with its loss and its score; None where what was kept does not tell the score."""
        if score == "ap" or score == "ap50":
            found = self.findings(context, notation)
            return (
                None if found is None else replace(training, score=found.score(score), score_error=found.error(score))
            )
        row = self._row("answers", context=context, network=notation)
        if row is None:
            return training if score == "accuracy" else None
        loss = row["loss"]
        training = replace(training, loss=loss)
        if score == "accuracy":
            return training
        if score == "likelihood":
            likelihood = None if loss is None else math.exp(-loss)
            error = None if likelihood is None else likelihood * row["loss_error"]
            return None if loss is None else replace(training, score=likelihood, score_error=error)
        confusion = Answers.from_row(row).confusion
        return replace(training, score=confusion.score(score), score_error=confusion.score_error(score))

    def _half(self, table: str, context: str, notation: str, candidates: CandidateLimits) -> sqlite3.Row | None:
        """Return the row of one half. A failure under these limits comes first, since the run was told of it."""
        for key in (limited_context(context, candidates), context):
            row = self._row(table, context=key, architecture=notation)
            if row is not None:
                return row
        return None

    def add_full_training(self, context: str, network: object, result: FullTraining | Failure) -> None:
        """Store the full training of a network, unless there is one; or its answers alone, if these are missing.

        Args:
            context: The context of the full training and its score.
            network: An architecture, or any other network by its notation.
            result: The full training, or why it failed.
        """
        key = {"context": context, "network": str(network)}
        with self._transaction():
            self._write("full_trainings", {**key, **full_training_to_row(result), "created": _now()})
            self._write_answers(context, network, result)
            self._write_findings(context, network, result)

    def full_training(self, context: str, network: object) -> FullTraining | Failure | None:
        """Return the full training of a network.

        Args:
            context: The context of the full training and its score.
            network: An architecture, or any other network by its notation.

        Returns:
            The full training, or why it failed; None if there was none.
        """
        row = self._row("full_trainings", context=context, network=str(network))
        return None if row is None else self._full_training(row)

    def _full_training(self, row: sqlite3.Row) -> FullTraining | Failure:
        result = full_training_from_row(row)
        if isinstance(result, Failure):
            return result
        key = row["context"], row["network"]
        return replace(result, answers=self.answers(*key), findings=self.findings(*key))

    def full_trainings(self, context: str) -> dict[str, FullTraining | Failure]:
        """Return all full trainings of a context.

        Args:
            context: The context of the full trainings and their scores.

        Returns:
            The full trainings or why they failed, by the notation of the network, the oldest first.
        """
        rows = self._connection.execute("SELECT * FROM full_trainings WHERE context = ? ORDER BY created", (context,))
        return {row["network"]: self._full_training(row) for row in rows}

    def measurement(self, measurement_context: str, network: object) -> Measurement | Failure | None:
        """Return the measurement of a network, without failures that came of a candidate's limits.

        Args:
            measurement_context: The context of the measurement.
            network: An architecture, or any other network by its notation.

        Returns:
            The measurement, or why it failed; None if there was none.
        """
        row = self._row("measurements", context=measurement_context, architecture=str(network))
        return None if row is None else measurement_from_row(row)

    # --- answers to images ---

    def _write_answers(self, context: str, network: object, result: Training | FullTraining | Failure) -> None:
        """Store the answers of a result within a transaction, unless there are some; of those without loss its loss."""
        if isinstance(result, Failure) or result.answers is None:
            return
        answers, key = result.answers, (context, str(network))
        self._write("answers", {"context": context, "network": str(network), **answers.to_row()})
        if answers.loss is None:
            return
        self._connection.execute(
            "UPDATE answers SET loss = ?, loss_error = ? WHERE context = ? AND network = ? AND loss IS NULL",
            (answers.loss, answers.loss_error, *key),
        )

    def _write_findings(self, context: str, network: object, result: Training | FullTraining | Failure) -> None:
        """Store what was found in images within a transaction, unless there is something."""
        if not isinstance(result, Failure) and result.findings is not None:
            self._write("findings", {"context": context, "network": str(network), **result.findings.to_row()})

    def answers(self, context: str, network: object) -> Answers | None:
        """Return the answers of a trained network to the images that score it.

        Args:
            context: The context of its training, or of its full training and score.
            network: An architecture, or any other network by its notation.

        Returns:
            The answers; None if there are none.
        """
        row = self._row("answers", context=context, network=str(network))
        return None if row is None else Answers.from_row(row)

    def findings(self, context: str, network: object) -> Findings | None:
        """Return what a trained network finds in the images that score it.

        Args:
            context: The context of its training.
            network: An architecture, or any other network by its notation.

        Returns:
            The findings; None if there are none.
        """
        row = self._row("findings", context=context, network=str(network))
        return None if row is None else Findings.from_row(row)

    def add_class_names(self, images: str, names: Sequence[str]) -> None:
        """Store the names of the classes of images, unless they are known.

        Args:
            images: The fingerprint of the images.
            names: The names, in the order of the labels.
        """
        if not self.class_names(images):  # nothing is written without need, which a read-only disk would refuse
            self._insert("class_names", {"images": images, "names": json.dumps(list(names))})

    def class_names(self, images: str) -> list[str]:
        """Return the names of the classes of images.

        Args:
            images: The fingerprint of the images.

        Returns:
            The names, in the order of the labels; empty if they are not known.
        """
        row = self._row("class_names", images=images)
        return [] if row is None else list(json.loads(row["names"]))

    def add_pictures(self, images: str, pictures: Mapping[int, bytes]) -> None:
        """Store small pictures of images, unless there are some.

        Args:
            images: The fingerprint of the images.
            pictures: The content of a PNG or JPEG file, by the place of the image.
        """
        rows = ({"images": images, "image": place, "content": content} for place, content in pictures.items())
        self._insert("pictures", *rows)

    def picture(self, images: str, place: int) -> bytes | None:
        """Return a small picture of an image.

        Args:
            images: The fingerprint of the images.
            place: The place of the image.

        Returns:
            The content of a PNG or JPEG file; None if there is none.
        """
        row = self._row("pictures", images=images, image=place)
        return None if row is None else bytes(row["content"])

    # --- tables ---

    def add_lookups(self, context: str, evaluations: Iterable[TabularEvaluation]) -> None:
        """Store evaluations from a table, so that a run can be read without the table.

        Args:
            context: The context of the table.
            evaluations: The evaluations.
        """
        self._insert(
            "lookups",
            *(
                {"context": context, "architecture": str(evaluation.architecture), **lookup_to_row(evaluation)}
                for evaluation in evaluations
            ),
        )

    def lookup(self, context: str, architecture: TabularArchitecture) -> TabularEvaluation | None:
        """Return the evaluation of a network from a table.

        Args:
            context: The context of the table.
            architecture: The network.

        Returns:
            The evaluation, without any limits; None if the network was not looked up.
        """
        row = self._row("lookups", context=context, architecture=str(architecture))
        return None if row is None else lookup_from_row(row, architecture)

    # --- runs ---

    def add_run(self, record: RunRecord) -> None:
        """Store the settings of a new run.

        Args:
            record: The settings.
        """
        self._insert("runs", record.to_row())

    def run(self, run: str) -> RunRecord:
        """Return the settings of a run.

        Args:
            run: The id of the run.

        Returns:
            The settings.

        Raises:
            InputError: The archive has no such run.
        """
        row = self._row("runs", id=run)
        if row is None:
            raise InputError(f"the archive {self.path} has no run {run}: it is not the archive of this folder")
        return RunRecord.from_row(dict(row))

    def add_asks(self, run: str, asks: Iterable[Ask]) -> None:
        """Store which networks a run's algorithm asked for.

        Args:
            run: The id of the run.
            asks: The networks with their places in the sequence of all asks.
        """
        self._insert("asks", *({"run": run, **asdict(ask)} for ask in asks))

    def asks(self, run: str) -> list[Ask]:
        """Return the networks that a run's algorithm asked for.

        Args:
            run: The id of the run.

        Returns:
            The asks, in order.
        """
        rows = self._connection.execute("SELECT * FROM asks WHERE run = ? ORDER BY position", (run,))
        return [Ask(row["position"], row["generation"], row["architecture"]) for row in rows]

    def add_tell(self, run: str, tell: Tell) -> None:
        """Store that a run's algorithm was told a result.

        Args:
            run: The id of the run.
            tell: The result's ask, and the order of the events.
        """
        self._insert("tells", {"run": run, **asdict(tell)})

    def tells(self, run: str) -> list[Tell]:
        """Return the results that a run's algorithm was told one by one.

        Args:
            run: The id of the run.

        Returns:
            The tells, in order; none of a run that searched generation by generation.
        """
        rows = self._connection.execute("SELECT * FROM tells WHERE run = ? ORDER BY number", (run,))
        return [Tell(row["number"], row["asks"], row["ask"]) for row in rows]

    def add_generations(self, run: str, records: Iterable[GenerationRecord]) -> None:
        """Store generations whose results a run's algorithm was told. A generation that is stored again is replaced.

        Args:
            run: The id of the run.
            records: The generations. One that was told only in part is stored again when it is complete.
        """
        rows = (asdict(record) | {"metrics": json.dumps(record.metrics)} for record in records)
        self._insert("generations", *({"run": run, **row} for row in rows), otherwise="REPLACE")

    def generations(self, run: str) -> list[GenerationRecord]:
        """Return the generations whose results a run's algorithm was told.

        Args:
            run: The id of the run.

        Returns:
            The generations, in order; none of runs of older versions.
        """
        rows = self._connection.execute("SELECT * FROM generations WHERE run = ? ORDER BY generation", (run,))
        return [GenerationRecord(row["generation"], row["seconds"], json.loads(row["metrics"])) for row in rows]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
