"""What the archive has of a problem's networks: one reader per kind of problem.

Evaluators and runs ask the same reader, so that a run sees later what its search saw.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import NetworkShape
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.pretrained.baselines import PretrainedBaseline, pretrained_baselines
from evomnas.problem.pretrained.donors import PUBLISHED_WEIGHTS
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.answers.confusion import share_error
from evomnas.results.answers.mistakes import Answers
from evomnas.results.archive import Archive, context_key
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.constraints import DetectorLimits, Limits
from evomnas.results.detection.findings import Findings
from evomnas.results.detection.precision import check_scorer
from evomnas.results.evaluation import Evaluation, FullTraining, NetworkEvaluation, TabularEvaluation
from evomnas.results.manifest import ImageData, TableData
from evomnas.results.timing import Calibration


def full_training_alias(definition: ProblemDefinition, search_images_fingerprint: str) -> str:
    """Return the key under which the archive lists the contexts of a problem's full trainings.

    It follows from what a run knows without reading the images, so that a report can find them.

    Args:
        definition: The problem.
        search_images_fingerprint: The fingerprint of the images that its searches saw.
    """
    content = {"searched": search_images_fingerprint, "full": definition.full_recipe.context}
    content |= definition.data.model_dump(mode="json", include={"augment"})
    return context_key(content | ({} if definition.weights is None else {"donor": definition.weights.donor}))


def baseline_alias(definition: ProblemDefinition, search_images_fingerprint: str) -> str:
    """Return the key under which the archive lists the contexts of a baseline's trainings as a candidate's.

    Args:
        definition: The problem whose trainings start from the baseline's weights (`ProblemDefinition.fine_tuning`).
        search_images_fingerprint: The fingerprint of the images that its searches saw.
    """
    return context_key(
        {
            "baseline": definition.weights and definition.weights.donor,
            "searched": search_images_fingerprint,
            "training": definition.training.context,
            "augment": list(definition.data.augment),
        }
    )


def trained_images_alias(search_images_fingerprint: str) -> str:
    """Return the key under which the archive lists the contexts of all full trainings on images, by any recipe.

    Args:
        search_images_fingerprint: The fingerprint of the images that searches saw.
    """
    return context_key({"trained in full after a search of": search_images_fingerprint})


def lineage_alias(run: str | None, network: object) -> str:
    """Return the key under which the archive lists the context of a network's training where networks inherit weights.

    Args:
        run: The id of the run.
        network: The network.
    """
    return context_key({"lineage": run, "network": str(network)})


@dataclass(frozen=True, slots=True)
class BaselineRecord:
    """A pretrained baseline, as the archive has it.

    Attributes:
        baseline: The network, its weights and its resolution.
        evaluation: Its latency, and its training as a candidate's.
        training: Its full training with its test score; None where it was not trained in full.
    """

    baseline: PretrainedBaseline
    evaluation: NetworkEvaluation
    training: FullTraining | None


@dataclass(frozen=True)
class EvaluationReader(ABC):
    """Reads evaluations of one problem, on one device, with one kind of images or table.

    Attributes:
        archive: Where they are.
        definition: The problem.
        training_context: The archive's context of trainings, or of the table.
        measurement_context: The archive's context of measurements, or of the table.
        data: The section `data` of run.json: sizes of splits and images, or of a table.
        candidates: What a candidate may take: its failures by these limits count.
        run: The run whose trainings that were cut off count as evaluated; None where nobody's do.
        all_contexts: The contexts of trainings that count, the first one first, where there are others: a run may have
            gone on with images that had changed.
        inherits: Whether the networks of the run inherit weights. Then the training of each has a context of its own.
    """

    data_model: ClassVar[type[BaseModel]]  # what `data` must be like

    archive: Archive
    definition: Definition
    training_context: str
    measurement_context: str
    data: Mapping[str, Any]
    candidates: CandidateLimits = field(default_factory=CandidateLimits)
    run: str | None = None
    all_contexts: tuple[str, ...] = ()
    inherits: bool = False

    def for_run(self, run: str | None) -> Self:
        """Return the reader for which what a run cut off counts as evaluated.

        Args:
            run: The run's id; None for nobody's.
        """
        return replace(self, run=run)

    @abstractmethod
    def known(self, architecture: Any) -> Evaluation:
        """Return what is known of a network, whatever the problem's limits.

        Args:
            architecture: A network of the problem's kind.
        """

    def evaluation(self, architecture: Any) -> Evaluation:
        """Return what a search sees of a network: beyond a limit, it has no losses.

        Args:
            architecture: A network of the problem's kind.
        """
        return self.limits.apply(self.known(architecture))

    @property
    def objectives(self) -> int:
        """The number of losses."""
        return 2 + len(self.definition.further)

    def answers(self, architecture: Any) -> Answers | None:
        """Return the answers of a network to the validation images; None where they were not kept.

        Args:
            architecture: A network of the problem's kind.
        """
        return None

    def findings(self, architecture: Any) -> Findings | None:
        """Return what a network finds in the validation images; None where it classifies them.

        Args:
            architecture: A network of the problem's kind.
        """
        return None

    @property
    @abstractmethod
    def shape(self) -> NetworkShape | None:
        """Classes, channels and resolution in pixels of the measured networks; None where none is built."""

    @property
    def calibration(self) -> Calibration | None:
        """The reference network's latency on the device; None where it was not measured."""
        return None

    @abstractmethod
    def reference_cost(self) -> float | None:
        """Return the second loss of the reference network; None where it is not known."""

    @property
    @abstractmethod
    def reference_further(self) -> tuple[float, ...]:
        """The further objectives of the reference network; none of most problems."""

    def full_trainings(self) -> dict[str, FullTraining]:
        """Return the full trainings by the problem's own recipe, scored on the latest test split, by notation.

        There are those of off-the-shelf networks as well. There is none of a table.
        """
        return {}

    def baselines(self) -> list[BaselineRecord]:
        """Return the pretrained baselines that were fine-tuned as candidates are, with the problem's recipes.

        There is none of a table.
        """
        return []

    @property
    def test_images(self) -> str:
        """The fingerprint of the latest test images of these trainings; empty where there are none."""
        return ""

    def any_full_trainings(self) -> dict[str, FullTraining]:
        """Return a full training of every network that has one, scored on the latest test split, by notation.

        It is that by the problem's own recipe; where there is none, the latest by another one, or with a teacher.
        """
        return {}

    @cached_property
    def limits(self) -> Limits:
        """The problem's limits."""
        definition = self.definition
        return Limits(definition.constraints, self.shape, definition.precision, definition.runtime)


class NetworkReader(EvaluationReader):
    """Reads evaluations of networks that are trained and measured."""

    data_model = ImageData

    def known(self, architecture: Architecture) -> NetworkEvaluation:
        """See `EvaluationReader.known`; halves that are missing are None."""
        score = self._problem.data.score
        contexts = self.contexts(architecture)
        evaluations = (
            self.archive.evaluation(context, self.measurement_context, architecture, self.candidates, self.run, score)
            for context in contexts
        )
        first = next(evaluations)
        known = first if first.training is not None else next((one for one in evaluations if one.training), first)
        return self._with_further(self._with_error(known))

    def contexts(self, architecture: Architecture) -> tuple[str, ...]:
        """Return the contexts of a network's trainings that count, at least one.

        Args:
            architecture: The network.
        """
        if self.inherits:
            alias = lineage_alias(self.run, architecture)
            return (*self.archive.alias_contexts(alias), alias)[:1]  # nothing is kept under the alias itself
        return self.all_contexts or (self.training_context,)

    def _with_further(self, known: NetworkEvaluation) -> NetworkEvaluation:
        """Return an evaluation with the further objectives of its network."""
        if not self._problem.further or not isinstance(known.architecture, Architecture):
            return known
        values = self._problem.further_values(known.architecture, self.shape)
        ratios = tuple(value / reference for value, reference in zip(values, self.reference_further, strict=True))
        return replace(known, further=values, further_ratios=ratios)

    @cached_property
    def reference_further(self) -> tuple[float, ...]:
        """See `EvaluationReader.reference_further`."""
        return self._problem.further_values(self._problem.reference(self.data), self.shape)

    def _with_error(self, known: NetworkEvaluation) -> NetworkEvaluation:
        """Return an evaluation with the standard error of its score."""
        if known.trained is None or known.trained.score_error is not None:
            return known
        images, accuracy = self.data.get("validation"), known.trained.accuracy
        error = share_error(round(accuracy * images), images) if images and accuracy is not None else None
        return replace(known, training=replace(known.trained, score_error=error))

    def baselines(self) -> list[BaselineRecord]:
        """See `EvaluationReader.baselines`."""
        records = []
        for name in PUBLISHED_WEIGHTS:
            problem = self._problem.fine_tuning(name)
            contexts = self.archive.alias_contexts(baseline_alias(problem, self._images))[::-1]
            if not contexts:
                continue
            full_contexts = self.archive.alias_contexts(full_training_alias(problem, self._images))
            trainings = self._first_trainings(full_contexts, self._test_split(full_contexts))
            for baseline in pretrained_baselines(self._problem, [name]):
                evaluation = self._baseline(baseline, contexts)
                if evaluation.training is not None:
                    records.append(BaselineRecord(baseline, evaluation, trainings.get(baseline.notation)))
        return records

    def _baseline(self, baseline: PretrainedBaseline, contexts: Sequence[str]) -> NetworkEvaluation:
        """Return what is known of a baseline in the first context that has its training."""
        device, score = self.measurement_context, self._problem.data.score
        first, *others = (self.archive.evaluation(one, device, baseline, score=score) for one in contexts)
        known = next((one for one in (first, *others) if one.training is not None), first)
        return self._with_error(known)

    def answers(self, architecture: Architecture) -> Answers | None:
        """See `EvaluationReader.answers`."""
        return self.archive.answers(self.contexts(architecture)[0], architecture)

    @property
    def _problem(self) -> ProblemDefinition:
        return self.definition.trained("the networks of this problem are not built")

    @cached_property
    def shape(self) -> NetworkShape:
        """See `EvaluationReader.shape`."""
        resolution = self._problem.latency_resolution
        return {"classes": self.data["classes"], "channels": self.data["channels"], "resolution": resolution}

    @property
    def calibration(self) -> Calibration | None:
        """See `EvaluationReader.calibration`."""
        return self.archive.calibration(self.measurement_context)

    def reference_cost(self) -> float | None:
        """Return the calibrated latency of the reference network in milliseconds; None where it was not measured."""
        return None if self.calibration is None else self.calibration.latency_ms

    def full_trainings(self) -> dict[str, FullTraining]:
        """See `EvaluationReader.full_trainings`; of two trainings of a network the first counts."""
        keys = self._own_contexts()
        return self._first_trainings(keys, self._test_split(keys))

    @property
    def test_images(self) -> str:
        """See `EvaluationReader.test_images`."""
        return self._test_split(self._own_contexts()) or ""

    def any_full_trainings(self) -> dict[str, FullTraining]:
        """See `EvaluationReader.any_full_trainings`."""
        own, others = self._own_contexts(), self.archive.alias_contexts(trained_images_alias(self._images))
        test = self._test_split(own or others)
        return self._first_trainings(others[::-1], test) | self._first_trainings(own, test)

    @property
    def _images(self) -> str:
        return str(self.archive.context(self.training_context)["data"])

    def _own_contexts(self) -> list[str]:
        """Return the contexts of full trainings by the problem's own recipe, the latest last."""
        problem = self.definition.trained("the networks of this problem are not trained")
        return self.archive.alias_contexts(full_training_alias(problem, self._images))

    def _test_split(self, keys: Sequence[str]) -> str | None:
        """Return the fingerprint of the test images of the last of some contexts; None where there is none."""
        return str(self.archive.context(keys[-1])["test"]) if keys else None

    def _first_trainings(self, keys: Sequence[str], test: str | None) -> dict[str, FullTraining]:
        """Return, of each network, the training of the first context that has one scored on a test split."""
        found: dict[str, FullTraining] = {}
        for key in (key for key in keys if self.archive.context(key)["test"] == test):
            for notation, result in self.archive.full_trainings(key).items():
                if isinstance(result, FullTraining):
                    found.setdefault(notation, result)
        return found


class DetectionReader(NetworkReader):
    """Reads evaluations of networks that find things in images."""

    def findings(self, architecture: Architecture) -> Findings | None:
        """See `EvaluationReader.findings`."""
        return self.archive.findings(self.training_context, architecture)

    @cached_property
    def limits(self) -> DetectorLimits:
        """The problem's limits."""
        return DetectorLimits(self.definition.constraints, self.shape)


class TableReader(EvaluationReader):
    """Reads what a table was asked; the table itself may be gone."""

    data_model = TableData

    def known(self, architecture: TabularArchitecture) -> TabularEvaluation:
        """See `EvaluationReader.known`; there are no losses where the table was not asked."""
        known = self.archive.lookup(self.training_context, architecture)
        return known or TabularEvaluation(architecture, None, None, {})

    @property
    def shape(self) -> None:
        """See `EvaluationReader.shape`."""
        return

    def reference_cost(self) -> float:
        """See `EvaluationReader.reference_cost`."""
        return float(self.archive.context(self.training_context)["reference"])

    @property
    def reference_further(self) -> tuple[float, ...]:
        """See `EvaluationReader.reference_further`."""
        return tuple(self.archive.context(self.training_context).get("further", ()))


READERS: dict[str, type[EvaluationReader]] = {
    "images": NetworkReader, "detection": DetectionReader, "table": TableReader,
}  # fmt: skip
LIBRARIES: dict[str, Callable[[], object]] = {"detection": check_scorer}  # raise InputError where one is missing
