"""Evaluations of networks: look up, prepare, measure alone, train, and keep each result at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import EverythingFailed, InputError
from evomnas.data.gallery.listing import Listing
from evomnas.data.images import Dataset
from evomnas.data.pictures import encode_picture
from evomnas.evaluation.executors.base import Executor
from evomnas.evaluation.executors.jobs import (
    CountingJob,
    HeirJob,
    HeirTraining,
    PartsJob,
    PreparationJob,
    TeachingJob,
    TrainingJob,
)
from evomnas.evaluation.inheritance.lineage import Lineage, child_recipe
from evomnas.evaluation.interface import Evaluator, OnPhase, ignore_phase
from evomnas.latency.layers.stages import Parts
from evomnas.latency.layers.table import LayerTable
from evomnas.latency.meter import Meter
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.latency.setting import problem_setting
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture, smallest_architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pretrained.files import DonorFile
from evomnas.problem.sections import FLOAT, Fit, TrainingSection, WeightsSection
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Cost, Cut, Evaluation, Failure, Measurement, Training
from evomnas.results.readers import NetworkReader
from evomnas.training.early_stop import ThresholdFor, no_threshold

PREPARING_S = 0.4  # to build, export and check a network, which the archive does not keep: 0.2 to 0.5 s
MAX_NEIGHBOURS = 18  # networks that are measured before a latency limit counts as out of reach

Outcomes = Iterator[tuple[Architecture, Measurement | Failure]]


def training_settings(
    definition: ProblemDefinition, images: str, device: str, donor: DonorFile | None
) -> dict[str, Any]:
    """Return everything that the training of a candidate depends on beside the network, as the archive stores it.

    Args:
        definition: The problem.
        images: The fingerprint of the images that a search uses.
        device: The kind of device of the trainings, `cpu` or `cuda`.
        donor: The file of the pretrained weights that trainings start from; None for random ones.
    """
    return {
        "data": images,
        "augment": list(definition.data.augment),
        "training": definition.training.context,
        "device": device,
        **({} if donor is None else {"donor": donor.context}),
        **({} if definition.training.precision == FLOAT else {"scored in": definition.latency.runtime}),
        **definition.training_context,
    }


def _teaching_context(recipe: TrainingSection) -> dict[str, Any]:
    """Return what trainings depend on beside the donor's weights if it is fine-tuned by a recipe, and teaches."""
    weights = WeightsSection
    return {"teaching": {"temperature": weights.temperature, "share": weights.share, "recipe": recipe.context}}


class NetworkEvaluator(Evaluator):
    """Measures and trains the networks of a problem; see `Evaluator`.

    Attributes:
        dataset: The images of the problem.
        meter: Takes latencies, on the problem's device.
        training_factor: How many times as long as here a candidate is to be trained by the search that this one stands
            for; 1 but in an estimate, whose trainings are short.
        reader_type: Reads what the archive has of networks of this kind.
    """

    reader_type: ClassVar[type[NetworkReader]] = NetworkReader
    reader: NetworkReader

    def __init__(
        self,
        definition: ProblemDefinition,
        dataset: Dataset,
        archive: Archive,
        executor: Executor,
        preparer: Executor,
        candidates: CandidateLimits = CandidateLimits(),
        listing: Listing | None = None,
        donor: DonorFile | None = None,
        fit: Fit | None = None,
    ) -> None:
        """Reach the device.

        Args:
            definition: The problem.
            dataset: Its images.
            archive: Keeps the results.
            executor: Trains candidates; it is idle while a latency is taken.
            preparer: Prepares candidates for the device: the same executor, unless trainings go on meanwhile.
            candidates: What a candidate may take.
            listing: The files of the images; None where they have none of their own.
            donor: The file of the pretrained weights that candidates inherit; None for random ones.
            fit: How pictures of other proportions got those of the images; None where all had them.

        Raises:
            InputError: The device cannot be reached, or lacks the runtime.
        """
        self.dataset, self.listing, self._fit = dataset, listing, fit
        self._definition, self._executor, self._preparer = definition, executor, preparer
        self.training_factor = 1.0
        self.meter = Meter(
            problem_setting(definition, len(dataset.classes), dataset.channels), self._reference, archive
        )
        self._recipe: TrainingSection | None = None
        self._lineage: Lineage | None = None  # of the run that a view of this evaluator serves
        self._lessons: list[int] = []  # that the executor was given, shared by all views of this evaluator
        self._conditions = training_settings(definition, dataset.fingerprint, executor.device, donor)
        if definition.teaching is not None:
            self._conditions["donor"] |= _teaching_context(definition.teaching)
        training_context = archive.add_context(self._conditions)
        archive.add_class_names(dataset.fingerprint, dataset.classes)
        reader = self.reader_type(
            archive, definition, training_context, self.meter.key, self.describe_data(), candidates
        )
        super().__init__(reader)
        self._shape = reader.shape
        self._layers = self._layer_table()

    def for_run(self, run: str | None, on_phase: OnPhase = ignore_phase) -> Self:
        """See `Evaluator.for_run`."""
        view = super().for_run(run, on_phase)
        view._layers = view._layer_table()
        return view

    def _ensure_taught(self) -> None:
        """Fine-tune the donor before the first training, and hand its answers to all that train, if it teaches."""
        if self._definition.teaching is None or self._lessons:
            return
        jobs, lessons = map(TeachingJob, range(self.dataset.trainings)), {}
        with self.stopwatch.on("training"):
            for number, logits in self._executor.run(jobs, lambda: self.on_phase("teaching")):
                if isinstance(logits, Failure):
                    raise EverythingFailed(f"the donor cannot be fine-tuned to teach: {logits.message}")
                lessons[number] = logits
        self._executor.teach([lessons[number] for number in sorted(lessons)])
        self._lessons.append(len(lessons))

    def with_recipe(self, recipe: TrainingSection) -> Self:
        """Return this evaluator with another recipe of the trainings: same processes, device and stopwatch.

        Args:
            recipe: The recipe. Its trainings have a context of their own.
        """
        view = copy.copy(self)
        view._recipe = recipe
        context = self.archive.add_context(self._conditions | {"training": recipe.context})
        view.reader = replace(self.reader, training_context=context, all_contexts=())
        return view

    def training_of(self, architecture: Architecture) -> Training | Cut | Failure | None:
        """Return the training of a network, or why it failed; None where there is none yet.

        Args:
            architecture: The network.
        """
        return self.reader.known(architecture).training

    def _layer_table(self) -> LayerTable:
        return LayerTable(self.meter, self._definition.space, self._prepare, self._prepare_parts)

    def _reference(self, reference: Architecture) -> PreparedNetwork:
        """Return the reference network, made ready for the runtime."""
        [(_, outcome)] = self._preparer.run([PreparationJob(reference)], lambda: None)
        if isinstance(outcome, Failure):
            message = f"the reference network cannot be prepared: {outcome.message}"
            if self.candidates != CandidateLimits():  # the likeliest reason
                raise InputError(
                    f"{message}; start again with a larger --candidate-time or --candidate-memory, and another --out"
                )
            raise RuntimeError(message)
        return outcome[1]

    def reference_cost(self) -> float:
        """Return the calibrated latency of the reference network in milliseconds; see `Evaluator.reference_cost`."""
        if not self.meter.is_calibrated:
            self.on_phase("calibrating")
        return self.meter.calibration.latency_ms

    def describe_data(self) -> dict[str, Any]:
        """See `Evaluator.describe_data`."""
        dataset = self.dataset
        _, labels = dataset.validated
        folds = {"folds": len(dataset.folds)} if len(dataset.folds) else {}
        counts, validation_counts = dataset.counts, np.bincount(labels, minlength=len(dataset.classes))
        return {
            "train": len(dataset.split(0).train_labels),
            "validation": len(labels),
            **folds,
            "classes": len(dataset.classes),
            "channels": dataset.channels,
            "resolution": self._definition.data.resolution,
            **({} if self._fit is None else {"fit": self._fit}),
            "fingerprint": dataset.fingerprint,
            "largest": self._class_size(counts, int(counts.argmax())),
            "smallest": self._class_size(counts, int(counts.argmin())),
            "majority": self._class_size(validation_counts, int(validation_counts.argmax())),
            **({} if self.listing is None else {"found": self.listing.found.model_dump(mode="json")}),
        }

    def _class_size(self, counts: NDArray[np.int64], label: int) -> dict[str, Any]:
        return {"name": self.dataset.classes[label], "images": int(counts[label])}

    def keep_pictures(self, architectures: Sequence[Architecture]) -> None:
        """See `Evaluator.keep_pictures`."""
        images, _ = self.dataset.validated
        answers = filter(None, map(self.reader.answers, architectures))
        places = {mistake.image for one in answers for mistake in one.mistakes}
        new = sorted(place for place in places if self.archive.picture(self.dataset.fingerprint, place) is None)
        self.archive.add_pictures(self.dataset.fingerprint, {place: encode_picture(images[place]) for place in new})

    def evaluate(
        self, architectures: Sequence[Architecture], threshold_for: ThresholdFor = no_threshold
    ) -> list[Evaluation]:
        """See `Evaluator.evaluate`.

        A network beyond a limit of parameters or MACs is not measured. One beyond any limit is not trained.
        """
        distinct = list(dict.fromkeys(architectures))
        self.measure(distinct)
        untrained = [architecture for architecture in distinct if self.known(architecture).status == "stopped"]
        for _ in self.train(untrained, threshold_for):
            pass
        evaluations = {architecture: self.known(architecture) for architecture in distinct}
        return [evaluations[architecture] for architecture in architectures]

    def measure(self, architectures: Sequence[Architecture]) -> None:
        """See `Evaluator.measure`; a network whose size exceeds a limit is left out."""
        self._measure([one for one in dict.fromkeys(architectures) if self.known(one).status == "stopped"])

    def train(
        self, architectures: Iterable[Architecture | None], threshold_for: ThresholdFor = no_threshold
    ) -> Iterator[Architecture]:
        """Train networks, several at a time; see `Evaluator.train`."""
        rest = iter(architectures)
        first = list(islice(rest, 1))
        if first:
            self._ensure_taught()
        trainings = self._executor.run(
            self._training_jobs(chain(first, rest), threshold_for), lambda: self.on_phase("training")
        )
        while True:
            with self.stopwatch.on("training"):
                outcome = next(trainings, None)
            if outcome is None:
                return
            architecture, result = outcome
            if isinstance(result, Cut):
                self.archive.add_cut(str(self.reader.run), architecture, result)
            else:
                if isinstance(result, HeirTraining):
                    cast(Lineage, self._lineage).keep(architecture, result.weights)
                    result = result.training
                # Where images have changed, a run reads what earlier ones gave, and adds what today's give.
                inherits = self._lineage is not None
                context = self.reader.contexts(architecture)[0] if inherits else self.training_context
                self.archive.add_training(context, architecture, result, self.candidates)
            self.stopwatch.trained += 1
            self.stopwatch.under_way -= 1
            self.on_phase("training")
            yield architecture

    def begin_lineage(self, folder: Path) -> None:
        """See `Evaluator.begin_lineage`."""
        self.reader = replace(self.reader, inherits=True)
        self._lineage = Lineage(str(self.reader.run), self.archive, folder, self._conditions)

    def note_parents(self, parents: Mapping[Architecture, Architecture | None]) -> None:
        """See `Evaluator.note_parents`. A parent that was not trained, being beyond a limit, is none."""
        assert self._lineage is not None
        for architecture, parent in parents.items():
            is_child = parent is not None and isinstance(self.reader.known(parent).training, Training)
            self._lineage.note(architecture, parent if is_child else None, self._heir_recipe(is_child))

    def forget_weights(self, fertile: Sequence[Architecture]) -> None:
        """See `Evaluator.forget_weights`."""
        assert self._lineage is not None
        self._lineage.forget(fertile, lambda architecture: self.known(architecture).status == "stopped")

    def _heir_recipe(self, is_child: bool) -> TrainingSection:
        recipe = self._definition.training
        return child_recipe(recipe) if is_child else recipe

    def _training_job(self, architecture: Architecture, threshold_for: ThresholdFor) -> TrainingJob | HeirJob:
        if self._lineage is None:
            return TrainingJob(architecture, threshold_for(self.known(architecture)), self._recipe)
        ancestor = self._lineage.ancestor(architecture)
        return HeirJob(architecture, ancestor, self._heir_recipe(ancestor is not None))

    def _training_jobs(
        self, architectures: Iterable[Architecture | None], threshold_for: ThresholdFor
    ) -> Iterator[TrainingJob | HeirJob | None]:
        """Yield the training of each network, and count it as under way from then on."""
        for architecture in architectures:
            if architecture is None:
                yield None
            else:
                self.stopwatch.under_way += 1
                yield self._training_job(architecture, threshold_for)

    def price(self, evaluations: Sequence[Evaluation]) -> float:
        """Return the seconds of a measurement relative to a whole evaluation's; see `Evaluator.price`.

        They are the archive's and no clock's: a run that is played again must ask for the same.
        """
        halves = ((evaluation.measured, evaluation.trained) for evaluation in evaluations)
        seconds = [(measured.seconds, trained.seconds) for measured, trained in halves if measured and trained]
        if not seconds:
            return math.inf
        measuring, training = (float(np.mean(column)) for column in zip(*seconds, strict=True))
        return (PREPARING_S + measuring) / (PREPARING_S + measuring + self.training_factor * training)

    def costs(self, architectures: Sequence[Architecture]) -> list[float]:
        """Return latencies in milliseconds; see `Evaluator.costs`."""
        self.measure(architectures)
        evaluations = [self.known(architecture) for architecture in architectures]
        return [
            evaluation.measured.latency_ms if evaluation.measured and evaluation.violation <= 0 else math.inf
            for evaluation in evaluations
        ]

    def check_limits(self) -> None:
        """See `Evaluator.check_limits`.

        Parameters and MACs are exact. The least latency of a space cannot be known. So the networks with the fewest
        MACs and parameters are measured, and if they miss the limit, those next to the faster of them.
        """
        space, limits = self._definition.space, self.reader.limits
        limits.check(space)
        limit = limits.maxima.get("latency_ms")
        if limit is None:
            return
        smallest = [smallest_architecture(space, attrgetter(name), **self._shape) for name in ("macs", "params")]
        fastest = self._fastest(smallest)
        if fastest is not None and fastest[0] > limit:
            neighbours = sorted(
                space.neighbours(fastest[1]), key=lambda network: count_architecture(network, **self._shape).macs
            )
            fastest = self._fastest([*smallest, *neighbours[:MAX_NEIGHBOURS]])
        if fastest is not None:
            limits.refuse("latency_ms", fastest[0], str(fastest[1]))

    def close(self) -> None:
        """See `Evaluator.close`."""
        self.meter.close()

    def _measure(self, architectures: Sequence[Architecture]) -> None:
        """Measure networks that were not measured yet."""
        missing = [one for one in architectures if self.reader.known(one).measurement is None]
        if not missing:
            return
        with self.stopwatch.on("latency"):
            by_layers = self.meter.setting.method == "layers"
            for architecture, outcome in self._add_up(missing) if by_layers else self._time(missing):
                self.archive.add_measurement(self.measurement_context, architecture, outcome, self.candidates)
                self.on_phase("measuring")

    def _fastest(self, architectures: Sequence[Architecture]) -> tuple[float, Architecture] | None:
        """Return the least latency of some networks, and whose it is; measured now if need be."""
        self._measure(architectures)
        latencies = [
            (measured.latency_ms, architecture)
            for architecture in architectures
            if (measured := self.known(architecture).measured) is not None
        ]
        return min(latencies, key=lambda pair: pair[0], default=None)

    def _prepare(
        self, architectures: Sequence[Architecture]
    ) -> Iterator[tuple[Architecture, tuple[Cost, PreparedNetwork] | Failure]]:
        return self._preparer.run(map(PreparationJob, architectures), lambda: self.on_phase("preparing"))

    def _prepare_parts(self, parts: Sequence[Parts]) -> Iterator[tuple[Parts, list[PreparedNetwork] | Failure]]:
        return self._preparer.run(map(PartsJob, parts), lambda: self.on_phase("preparing"))

    def _time(self, architectures: Sequence[Architecture]) -> Outcomes:
        """Measure whole networks."""
        prepared: dict[Architecture, tuple[Cost, PreparedNetwork]] = {}
        for architecture, result in self._prepare(architectures):
            if isinstance(result, Failure):
                yield architecture, result
            else:
                prepared[architecture] = result
        self.reference_cost()
        in_order = {one: prepared[one] for one in architectures if one in prepared}  # and all workers are idle now
        self.on_phase("measuring")
        yield from self.meter.measure(in_order, lambda: self.on_phase("waiting"))

    def _add_up(self, architectures: Sequence[Architecture]) -> Outcomes:
        """Add up the latencies of networks from those of their layers."""
        costs = dict(self._preparer.run(map(CountingJob, architectures), lambda: self.on_phase("preparing")))
        for architecture, ratio in self._layers.measure(architectures):
            cost = costs[architecture]
            if isinstance(ratio, Failure):
                yield architecture, ratio
            elif isinstance(cost, Failure):
                yield architecture, cost
            else:
                yield architecture, self._layers.to_measurement(cost, ratio)
