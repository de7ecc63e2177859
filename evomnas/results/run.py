"""A run's folder: its settings, what the archive has of it, and the files that people and scripts read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from evomnas.core.arguments import checked
from evomnas.core.errors import InputError
from evomnas.core.files import write_atomically
from evomnas.core.system.machine import describe_environment
from evomnas.core.system.shell import quote
from evomnas.data.gallery.listing import ListedImage, describe_changes, read_listing
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import NetworkShape
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.pareto import hypervolume, knees, non_dominated
from evomnas.problem.typed.stated import describe_faults
from evomnas.results.archive import Archive
from evomnas.results.certainty.confirmed import evaluations_of_means
from evomnas.results.constraints import memory_of
from evomnas.results.evaluation import Evaluation, FullTraining, Score
from evomnas.results.manifest import (
    MANIFEST,
    AcceptedImages,
    CutTrainings,
    ImageData,
    LaterRules,
    Manifest,
    Seconds,
    TrueFront,
    check_free,
    read_manifest,
)
from evomnas.results.packing.content import FRONT
from evomnas.results.packing.moved import find_archive, run_folder
from evomnas.results.readers import READERS, EvaluationReader
from evomnas.results.records import Ask, RunRecord, SearchMode
from evomnas.results.showing.flat_rows import flat_row, to_csv

if TYPE_CHECKING:  # of notebooks alone
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Result:
    """One distinct network of a run.

    Attributes:
        order: The position of the ask by which it was first asked for, from 0.
        generation: The generation of that ask, from 0.
        evaluation: What came of it.
        on_front: Whether it is on the run's Pareto front.
        training: Its full training with its test score; None where it was not trained in full.
        test_quality: The score by which the problem judges that training, with the ends of its 95 % interval; None
            where it is not known.
        peak_kb: The peak memory of its activations in the precision of its latency; None where none is built.
        file_kb: The size of its file in that precision; None where none is built, or the size is not known.
        expected_score: The score that is expected without the luck of the validation images; None where it is not known
            or nobody asked (`evomnas.results.certainty.judged`).
        front_chance: How likely it is on the true front of the run's networks; None likewise.
    """

    order: int
    generation: int
    evaluation: Evaluation
    on_front: bool
    training: FullTraining | None = None
    peak_kb: float | None = None
    test_quality: tuple[float, float, float] | None = None
    file_kb: float | None = None
    expected_score: float | None = None
    front_chance: float | None = None

    @property
    def score(self) -> Score | None:
        """Its test images that were classified correctly after a full training; None where none were."""
        return None if self.training is None else self.training.score

    @property
    def trainings(self) -> int:
        """How many trainings its score is the mean of."""
        return 0 if self.evaluation.trained is None else self.evaluation.trained.trainings

    def to_dict(self) -> dict[str, Any]:
        """Return the row that `evomnas show --format json` prints; what is not known is None."""
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
            "test_accuracy": None if self.score is None else self.score.accuracy,
            "test_interval": None if self.score is None else list(self.score.interval),
            "score": evaluation.score,
            "score_error": evaluation.score_error,
            "validation_loss": None if evaluation.trained is None else evaluation.trained.loss,
            "peak_kb": self.peak_kb,
            "test_score": None if self.test_quality is None else self.test_quality[0],
            "test_score_interval": None if self.test_quality is None else list(self.test_quality[1:]),
            "file_kb": self.file_kb,
            "expected_score": self.expected_score,
            "front_chance": self.front_chance,
            "trainings": self.trainings,
        }

    def point(self, definition: Definition) -> dict[str, Any]:
        """Return where the network lies in a plot: its cost `x` with its `interval`, its quality `y`, `on_front`.

        Args:
            definition: The problem.

        Raises:
            ValueError: The network has no losses.
        """
        losses, interval = self.evaluation.losses, self.evaluation.latency_ci
        if losses is None:
            raise ValueError(f"{self.evaluation.architecture} has no losses")
        cost, quality = definition.plot_point(losses)
        return {"x": cost, "y": quality, "interval": list(interval or (cost, cost)), "on_front": self.on_front}


class Run:
    """A run's folder and its part of the archive.

    Attributes:
        folder: The folder.
        archive: The archive that its evaluations are in.
        record: Its settings, which never change.
        manifest: The content of its run.json.
        definition: The problem; its images may have moved since the record was made.
    """

    def __init__(self, folder: Path, archive: Archive, record: RunRecord, manifest: Manifest) -> None:
        self.folder, self.archive, self.record, self.manifest = folder, archive, record, manifest
        self.definition = record.definition

    @classmethod
    def create(
        cls,
        folder: Path,
        archive: Archive,
        record: RunRecord,
        budget: int,
        data: Mapping[str, Any],
        true_front: TrueFront | None = None,
    ) -> Run:
        """Begin a run in an empty or new folder.

        Args:
            folder: The folder.
            archive: Keeps its record and evaluations.
            record: Its settings.
            budget: Networks to evaluate.
            data: What its evaluator says of the data.
            true_front: The front of a complete table.

        Returns:
            The run, whose files are written.

        Raises:
            InputError: The folder holds something.
        """
        check_free(folder)
        archive.add_run(record)
        environment = describe_environment()
        manifest = Manifest(
            problem=record.definition.name,
            algorithm=record.algorithm,
            options=dict(record.options),
            candidates=asdict(record.candidates),
            manner=record.mode.to_json(),
            seed=record.seed,
            budget=budget,
            evaluations=0,
            hypervolume=0.0,
            status="running",
            run=record.id,
            created=record.created,
            archive=_relative_path(archive.path, folder),
            seconds=Seconds(total=0.0, training=0.0, latency=0.0, other=0.0),
            data=dict(data),
            true_front=true_front,
            definition=record.definition.model_dump(mode="json"),
            versions=environment["versions"],
            machine=environment["machine"],
        )
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, archive, record, manifest)
        run.write(0, [])
        return run

    @classmethod
    @checked
    def open(cls, folder: Path | str) -> Run:
        """Return a run.

        Args:
            folder: The folder that `evomnas run` wrote, or a zip file that `evomnas pack` wrote, which is unpacked
                beside itself unless it was before.

        Raises:
            InputError: There is no run, its run.json is damaged, or its archive is gone.
        """
        folder = run_folder(folder).folder
        path = folder / MANIFEST
        manifest = read_manifest(folder)
        archive = Archive(find_archive(folder, manifest), create=False)
        manifest.archive = _relative_path(archive.path, folder)
        try:
            run = cls(folder, archive, archive.run(manifest.run), manifest)
            READERS[run.definition.kind].data_model.model_validate(manifest.data)
        except ValidationError as error:
            raise InputError(f"cannot read {path}: {describe_faults(error, 'data.')}") from None
        except ValueError as error:  # a run's id that no database can look up
            raise InputError(f"cannot read {path}: {error!r}") from None
        return run

    @property
    def reader(self) -> EvaluationReader:
        """What reads the run's evaluations."""
        record = self.record
        return READERS[self.definition.kind](
            self.archive,
            self.definition,
            record.training_context,
            record.measurement_context,
            self.manifest.data,
            record.candidates,
            record.id,
            self.training_contexts,
            record.mode.inherits,
        )

    @property
    def accepted(self) -> list[AcceptedImages]:
        """Images that had changed, with which it went on, in that order."""
        return self.manifest.accepted or []

    @property
    def training_contexts(self) -> tuple[str, ...]:
        """The archive's contexts of its trainings: that of the images with which it began, and those that followed."""
        later = (one.context for one in self.accepted if one.context is not None)
        return tuple(dict.fromkeys((self.record.training_context, *later)))

    def accept(self, images: str, changes: str, context: str | None = None) -> None:
        """Go on with images that have changed since the search began. What was evaluated stays under its own images.

        Args:
            images: Their fingerprint, split as the search splits them.
            changes: The changes in words.
            context: The archive's context of the trainings that follow; None of a full training.
        """
        created = datetime.now(UTC).isoformat(timespec="seconds")
        evaluations = self.manifest.evaluations
        accepted = AcceptedImages(
            images=images, changes=changes, evaluations=evaluations, created=created, context=context
        )
        self.manifest.accepted = [*self.accepted, accepted]
        write_atomically(self.folder / MANIFEST, json.dumps(self.manifest.to_json(), indent=2) + "\n")

    @property
    def rules(self) -> int:
        """The version of its algorithm's rules by which it asks."""
        later = self.manifest.later_rules
        return self.record.rules if later is None else later.rules

    def take_rules(self, rules: int) -> None:
        """Go on by other rules of the algorithm. What was asked for so far stays as it is.

        Args:
            rules: Their version.
        """
        self.manifest.later_rules = LaterRules(rules=rules, asks=len(self.asks))
        write_atomically(self.folder / MANIFEST, json.dumps(self.manifest.to_json(), indent=2) + "\n")

    def describe_changes(self, images: Sequence[ListedImage] | None) -> str:
        """Return in words how images differ from those of the search.

        Args:
            images: Images of today, split as the search splits them; None where they have no files of their own.
        """
        before = read_listing(self.folder)
        known = "" if before is None or images is None else describe_changes(before, images)
        return known or "the run keeps no list of them that says which"

    @property
    def options(self) -> dict[str, Any]:
        """The algorithm's options that are not its defaults."""
        return dict(self.record.options)

    @property
    def mode(self) -> SearchMode:
        """How it searches."""
        return self.record.mode

    @property
    def shape(self) -> NetworkShape | None:
        """Classes, channels and resolution in pixels of the measured networks; None where none is built."""
        return self.reader.shape

    @property
    def network_shape(self) -> NetworkShape:
        """`shape`, of a run whose networks are built.

        Raises:
            InputError: They are looked up in a table.
        """
        self.trained_problem()
        assert self.shape is not None
        return self.shape

    def trained_problem(self) -> ProblemDefinition:
        """Return the problem of a run whose networks are trained and measured.

        Raises:
            InputError: They are looked up in a table.
        """
        return self.definition.trained(f"{self.folder} searched a table: its networks cannot be built or measured")

    @property
    def image_data(self) -> ImageData | None:
        """The section `data` of run.json; None of a run that searched a table."""
        return ImageData.model_validate(self.manifest.data) if self.definition.trains else None

    @property
    def search_images_fingerprint(self) -> str:
        """The fingerprint of the images that it searched with."""
        return str(self.archive.context(self.record.training_context)["data"])

    def read_data_from(self, path: Path) -> None:
        """Let its images, or its table, be read elsewhere than where they were when it began.

        Args:
            path: Where they are now.

        Raises:
            InputError: There are no such images.
        """
        from evomnas.data.first_look import check_images  # here: whoever shows a run needs none of it

        moved = self.definition.with_data(path.expanduser().resolve())
        check_images(moved)
        self.definition = moved

    def network_argument(self, architecture: Architecture) -> str:
        """Return an architecture as it is typed behind a command.

        Args:
            architecture: Any network.

        Returns:
            Its id where the run has it, else its notation.
        """
        is_known = any(ask.architecture == str(architecture) for ask in self.asks)
        return architecture.id if is_known else quote(str(architecture))

    @property
    def argument(self) -> str:
        """The folder as it is typed behind a command."""
        return quote(str(self.folder))

    @property
    def objectives(self) -> int:
        """The number of losses that it minimises."""
        return self.reader.objectives

    @property
    def reference_id(self) -> str:
        """The id of the reference network."""
        return self.definition.reference(self.manifest.data).id

    @property
    def asks(self) -> list[Ask]:
        """All that the algorithm asked for, in order."""
        return self.archive.asks(self.record.id)

    def results(self) -> list[Result]:
        """Return one result per distinct network, in the order of the asks; of several trainings it has the mean."""
        first: dict[str, Ask] = {}
        for ask in self.asks:
            first.setdefault(ask.architecture, ask)
        parse, evaluation = self.definition.parse, evaluations_of_means(self.reader)
        ranked = rank([(ask, evaluation(parse(ask.architecture))) for ask in first.values()])
        return self._scored([self._with_memory(result) for result in ranked])

    def _with_memory(self, result: Result) -> Result:
        architecture = result.evaluation.architecture
        if self.definition.kind != "images" or self.shape is None or not isinstance(architecture, Architecture):
            return result
        memory = memory_of(architecture, self.shape, self.definition.runtime, self.definition.precision)
        return replace(result, peak_kb=memory["peak_kb"], file_kb=memory["file_kb"])

    def _scored(self, results: Sequence[Result]) -> list[Result]:
        """Return results with the full trainings of those networks that have one."""
        trainings = self.reader.any_full_trainings()
        if not trainings:
            return list(results)
        name = self.trained_problem().data.test_score
        found = ((result, trainings.get(str(result.evaluation.architecture))) for result in results)
        return [
            result if training is None else replace(result, training=training, test_quality=training.quality(name))
            for result, training in found
        ]

    def front(self, results: list[Result] | None = None) -> list[Result]:
        """Return the Pareto set, fastest first.

        Args:
            results: The run's results, where they are at hand.
        """
        members = [result for result in (self.results() if results is None else results) if result.on_front]
        return sorted(members, key=lambda result: result.evaluation.losses[1] if result.evaluation.losses else np.inf)

    def best(self, results: list[Result] | None = None) -> Result:
        """Return the network of the Pareto set with the best score, which must not be empty.

        Args:
            results: The run's results, where they are at hand.
        """
        return min(self.front(results), key=lambda result: (result.evaluation.losses or (np.inf,))[0])

    def knees(self, results: list[Result] | None = None) -> list[Result]:
        """Return the knees of the Pareto set, the most marked first; see `evomnas.problem.pareto.knees`.

        Args:
            results: The run's results, where they are at hand.
        """
        front = self.front(results)
        return [front[place] for place in knees([result.evaluation.losses or () for result in front])]

    def explained(self, results: Sequence[Result]) -> list[Result]:
        """Return the networks whose mistakes people see: those of the Pareto set, and the reference network.

        Args:
            results: The run's results.
        """
        name = self.reference_id
        reference = [result for result in results if result.evaluation.architecture.id == name]
        return [*self.front(list(results)), *(result for result in reference if not result.on_front)]

    def cut_trainings(self, results: Sequence[Result]) -> CutTrainings:
        """Return how many trainings were cut off, and what the rest of them would have taken.

        Args:
            results: The run's results.
        """
        cuts = [result.evaluation.cut for result in results if result.evaluation.cut is not None]
        saved = sum(cut.saved(self.definition.epochs * self.definition.trainings) for cut in cuts)
        return CutTrainings(networks=len(cuts), saved_seconds=round(saved, 3))

    def hypervolume(self, results: Sequence[Result]) -> float:
        """Return the share of the problem's reference box that results dominate.

        Args:
            results: Any of the run's results.
        """
        points = [result.evaluation.relative_losses for result in results]
        reference_point = self.definition.reference_point
        return hypervolume([point for point in points if point is not None], reference_point)

    def points(self, results: Sequence[Result]) -> list[dict[str, Any]]:
        """Return where evaluated networks lie in a plot; see `Result.point`.

        Args:
            results: Any of the run's results; those without losses are left out.
        """
        return [result.point(self.definition) for result in results if result.evaluation.losses is not None]

    def plot(self) -> Figure:
        """Return quality against cost as a figure of matplotlib: all evaluated networks and the Pareto front."""
        from evomnas.results.showing.front_figure import front_figure

        return front_figure(self.definition, self.points(self.results()), self.reference_cost())

    def to_dataframe(self) -> pandas.DataFrame:
        """Return every evaluation as a data frame of pandas, in the order in which networks were asked for.

        Returns:
            The columns of `evomnas show --format csv`, `generation`, `seconds` and a column for each gene.

        Raises:
            InputError: pandas is not installed.
        """
        from evomnas.results.showing.frame import to_frame

        results = sorted(self.results(), key=lambda result: result.order)
        own = [{"generation": one.generation, "seconds": one.evaluation.seconds} for one in results]
        rows = [{**flat_row(one.to_dict()), **more} for one, more in zip(results, own, strict=True)]
        genes = [self.definition.space.encode(one.evaluation.architecture).tolist() for one in results]
        return to_frame(rows, genes)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self._describe()})"

    def _describe(self) -> str:
        """Return what was searched and how far it is."""
        manifest = self.manifest
        return (
            f"{manifest.problem} by {manifest.algorithm}, seed {manifest.seed}, {manifest.status}: "
            f"{manifest.evaluations} of {manifest.budget} networks, hypervolume {manifest.hypervolume:.3f}"
        )

    def _repr_html_(self) -> str:
        """Return the run for a notebook: its front as a figure and a table."""
        from evomnas.results.showing.run_markup import run_markup

        results = self.results()
        rows = [result.to_dict() for result in self.front(results)]
        points, reference = self.points(results), self.reference_cost()
        return run_markup(str(self.folder), self._describe(), self.definition, points, rows, reference)

    def reference_cost(self) -> float | None:
        """Return the reference network's second loss: its calibrated latency in milliseconds, or a table's cost."""
        return self.reader.reference_cost()

    def true_share(self) -> float | None:
        """Return the hypervolume relative to the true front's; None where the problem is not a complete table."""
        true = self.manifest.true_front
        return self.manifest.hypervolume / true.hypervolume if true and true.hypervolume > 0 else None

    def write(self, evaluations: int, front: Sequence[Result]) -> None:
        """Bring run.json and front.csv up to date; no reader sees half a file.

        Args:
            evaluations: Networks evaluated so far.
            front: The Pareto set so far.
        """
        self.manifest.evaluations = evaluations
        self.manifest.hypervolume = self.hypervolume(front)
        write_atomically(self.folder / MANIFEST, json.dumps(self.manifest.to_json(), indent=2) + "\n")
        self.write_front(front)

    def write_front(self, front: Sequence[Result]) -> None:
        """Bring front.csv up to date, full trainings included; nothing is written where nothing has changed.

        Args:
            front: The Pareto set so far.
        """
        path = self.folder / FRONT
        text = to_csv([result.to_dict() for result in self._scored(self.front(list(front)))])
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text)


def _relative_path(path: Path | str, folder: Path) -> str:
    """Return a path as seen from a folder, with slashes, so that both can be moved together to any system."""
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return Path(path).as_posix()


def rank(evaluations: Sequence[tuple[Ask, Evaluation]]) -> list[Result]:
    """Return results that say which networks are on the front.

    Args:
        evaluations: Evaluations of distinct networks, each with its first ask.

    Returns:
        One result each, in the same order.
    """
    complete = [index for index, (_, evaluation) in enumerate(evaluations) if evaluation.losses is not None]
    on_front = non_dominated([evaluations[index][1].losses or () for index in complete])
    front = {index for index, is_member in zip(complete, on_front, strict=True) if is_member}
    return [
        Result(ask.position, ask.generation, evaluation, index in front)
        for index, (ask, evaluation) in enumerate(evaluations)
    ]


def changed_images(run: Run, changes: str) -> str:
    """Return the message of the error that images have changed.

    Args:
        run: The run.
        changes: The changes in words.
    """
    return (
        f"the images of {run.folder} have changed since its search: {changes}. Bring them back, or go on with them as "
        "they are by --accept-changes: what was measured stays, and the report says so"
    )
