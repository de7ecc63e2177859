"""What the archive has of a problem's networks: one reader per kind of problem.

Evaluators and runs ask the same reader, so that a run sees later what its search saw.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import Definition
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.constraints import Limits
from evomnas.results.evaluation import Evaluation, NetworkEvaluation, TabularEvaluation
from evomnas.results.manifest import ImageData, TableData
from evomnas.results.timing import Calibration


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
    """

    data_model: ClassVar[type[BaseModel]]  # what `data` must be like

    archive: Archive
    definition: Definition
    training_context: str
    measurement_context: str
    data: Mapping[str, Any]
    candidates: CandidateLimits = field(default_factory=CandidateLimits)
    run: str | None = None

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
    @abstractmethod
    def shape(self) -> dict[str, int] | None:
        """Classes, channels and resolution in pixels of the measured networks; None where none is built."""

    @property
    def calibration(self) -> Calibration | None:
        """The reference network's latency on the device; None where it was not measured."""
        return None

    @abstractmethod
    def reference_cost(self) -> float | None:
        """Return the second loss of the reference network; None where it is not known."""

    @cached_property
    def limits(self) -> Limits:
        """The problem's limits."""
        return Limits(self.definition.constraints, self.shape)


class NetworkReader(EvaluationReader):
    """Reads evaluations of networks that are trained and measured."""

    data_model = ImageData

    def known(self, architecture: Architecture) -> NetworkEvaluation:
        """See `EvaluationReader.known`; halves that are missing are None."""
        return self.archive.evaluation(
            self.training_context, self.measurement_context, architecture, self.candidates, self.run
        )

    @cached_property
    def shape(self) -> dict[str, int]:
        """See `EvaluationReader.shape`."""
        resolution = self.definition.trained("the networks of this problem are not built").latency_resolution
        return {"classes": self.data["classes"], "channels": self.data["channels"], "resolution": resolution}

    @property
    def calibration(self) -> Calibration | None:
        """See `EvaluationReader.calibration`."""
        return self.archive.calibration(self.measurement_context)

    def reference_cost(self) -> float | None:
        """Return the calibrated latency of the reference network in milliseconds; None where it was not measured."""
        return None if self.calibration is None else self.calibration.latency_ms


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


READERS: dict[str, type[EvaluationReader]] = {"images": NetworkReader, "table": TableReader}
