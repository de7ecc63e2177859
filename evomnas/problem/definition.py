"""Checked problem files: what is searched, and how people read the answer.

The networks of a `ProblemDefinition` are trained and measured. Those of a `TableDefinition` are looked up in a table:
its file has a `[table]` section in place of `[data]`, `[training]` and `[latency]`. All that the rest of the package
wants to know of a kind is a method or an attribute of `Definition`; another kind is another subclass, listed in
`evomnas.problem.loading.DEFINITIONS`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, area, format_resolution, sides
from evomnas.problem.architecture import Architecture
from evomnas.problem.candidate import Candidate
from evomnas.problem.counting import Counts, NetworkShape, count_architecture
from evomnas.problem.memory.file_size import RULES
from evomnas.problem.objectives.further import ERROR, FURTHER, LATENCY, Axis, CountedNetwork, check_names
from evomnas.problem.pretrained.donors import Donor, find_donor
from evomnas.problem.pretrained.heritage import check_space
from evomnas.problem.pretrained.preset import FULL, PROXY, with_defaults
from evomnas.problem.search_space import SearchSpace, Space
from evomnas.problem.sections import (
    BOXES,
    FLOAT,
    MAX_COST,
    SCORE_WORDS,
    USUAL_LIMIT,
    ConstraintsSection,
    DataSection,
    FullSection,
    HypervolumeSection,
    LatencySection,
    Precision,
    Section,
    TableSection,
    TrainingSection,
    WeightsSection,
)
from evomnas.problem.table import Table
from evomnas.problem.tabular_space import TabularArchitecture, TabularSpace
from evomnas.problem.typed.stated import Stated

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")  # `MAX_OBJECTIVES` of them
TABLE_LABELS = {"accuracy": "accuracy", "latency_ms": "latency (ms)", "params": "parameters", "macs": "MACs"}
TABLE_UNITS = {"latency_ms": " ms", "params": " parameters", "macs": " MACs"}


@dataclass(frozen=True, slots=True)
class Words:
    """The words for things of one kind of problem.

    Attributes:
        reference: The reference network.
        cheapest: A network with the least second loss, as in "the fastest".
        cheap: One with little of it, as in "2x as fast".
        best: A network with the least first loss.
        good: One with little of it, as in "as accurate".
        conditions: All that its evaluations depend on beside the network and the device.
    """

    reference: str
    cheapest: str
    cheap: str
    best: str
    good: str
    conditions: str


class Definition(Section, metaclass=Stated):
    """A checked problem file of any kind.

    Attributes:
        name: What the problem is called; part of a run's folder.
        summary: What it is about, in one line.
        constraints: What a network may have at most.
        hypervolume: The reference point of the hypervolume.
        kind: The name of the kind; evaluators and reports are found by it.
        detects: Whether its networks find things in images, each in a box.
    """

    kind: ClassVar[str]
    detects: ClassVar[bool] = False

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    summary: str = ""
    constraints: ConstraintsSection = ConstraintsSection()
    hypervolume: HypervolumeSection = HypervolumeSection()

    @classmethod
    @abstractmethod
    def describes(cls, values: Mapping[str, Any]) -> bool:
        """Return whether a problem file is of this kind.

        Args:
            values: The parsed file.
        """

    if TYPE_CHECKING:  # a field in one kind, a property in the other: pydantic allows no abstract one above a field

        @property
        def space(self) -> Space:
            """The search space."""

    @property
    @abstractmethod
    def words(self) -> Words:
        """The words for things of this kind."""

    @property
    @abstractmethod
    def axes(self) -> tuple[str, str]:
        """The names of the first two losses, as people read them: quality, cost."""

    @property
    @abstractmethod
    def further(self) -> tuple[Axis, ...]:
        """The objectives beside these two; none of most problems."""

    @property
    def reference_point(self) -> tuple[float, ...]:
        """The reference point of the hypervolume: an error, and costs relative to the reference network's."""
        named = self.hypervolume.reference_point
        return named + (USUAL_LIMIT,) * (2 + len(self.further) - len(named))

    def _check_reference_point(self) -> None:
        """Raise InputError where the reference point has more values than there are objectives."""
        named, objectives = len(self.hypervolume.reference_point), 2 + len(self.further)
        if named > objectives:
            raise InputError(f"hypervolume.reference_point has {named} values, and there are {objectives} objectives")

    @abstractmethod
    def plot_point(self, losses: Sequence[float]) -> tuple[float, float]:
        """Return where two losses lie in a plot with these `axes`.

        Args:
            losses: The minimised objectives; the first two count.

        Returns:
            The cost, which goes to the right, and the quality, which goes up.
        """

    @property
    def is_percent(self) -> bool:
        """Whether the quality of `plot_point` is a percentage, so that larger is better."""
        return self.axes[0].endswith("(%)")

    @abstractmethod
    def parse(self, notation: str) -> Candidate:
        """Return the network of a notation.

        Args:
            notation: The network as the archive keeps it.
        """

    @abstractmethod
    def reference(self, data: Mapping[str, Any]) -> Candidate:
        """Return the reference network.

        Args:
            data: The section `data` of a run's run.json, so that no file of the problem need be read.
        """

    @property
    @abstractmethod
    def epochs(self) -> int:
        """Epochs of each training of a candidate; 0 where none is trained."""

    @property
    def step_macs(self) -> int:
        """MACs of the reference network for the images of a training step, once; 0 where none is trained."""
        return 0

    @property
    def trainings(self) -> int:
        """How often each candidate is trained."""
        return 1

    @property
    def score_words(self) -> str:
        """What people call the score that the search maximises, as in "a higher accuracy"."""
        return "accuracy"

    @property
    def precision(self) -> Precision:
        """In which precision its networks are measured."""
        return FLOAT

    @property
    def runtime(self) -> str:
        """The runtime in which they are measured; empty where none is."""
        return ""

    @property
    def trains(self) -> bool:
        """Whether its networks are built, trained and measured."""
        return self.epochs > 0

    @property
    def origin(self) -> dict[str, str]:
        """Where its data come from, as far as run.json does not say so, by what people call that."""
        return {}

    def trained(self, refusal: str) -> ProblemDefinition:
        """Return this definition, if its networks are built, trained and measured.

        Args:
            refusal: The message of the error, which says what needs that.

        Raises:
            InputError: They are not.
        """
        raise InputError(refusal)

    @abstractmethod
    def with_data(self, path: Path) -> Self:
        """Return this definition with its images or its table elsewhere.

        Args:
            path: Where they are now, absolute.
        """

    @property
    def comparable_settings(self) -> dict[str, Any]:
        """The sections of this definition that runs must share to be compared."""
        settings = self.model_dump(mode="json")
        return {name: settings[name] for name in ("hypervolume", "constraints")}


class ProblemDefinition(Definition):
    """A problem whose networks are trained and measured; each attribute is a section of its file."""

    kind: ClassVar[str] = "images"
    objectives: Annotated[tuple[str, ...], AfterValidator(check_names)] = (ERROR, LATENCY)
    space: SearchSpace = SearchSpace()
    data: DataSection
    training: TrainingSection
    full: FullSection = FullSection()
    latency: LatencySection = LatencySection()
    weights: WeightsSection | None = None

    @classmethod
    def describes(cls, values: Mapping[str, Any]) -> bool:
        """See `Definition.describes`."""
        return "table" not in values

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        return with_defaults(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _check(self) -> ProblemDefinition:
        self._check_task()
        self._check_reference_point()
        if "file_kb" in self.objectives and self.runtime not in RULES:
            raise InputError(
                f"the size of a file of {self.runtime} is not known in closed form: drop file_kb of objectives, or set "
                f"latency.runtime to one of {', '.join(RULES)}"
            )
        if self.donor is not None:
            check_space(self.donor.architecture, self.space)
        if self.teaching is not None and (mixed := sorted({"mixup", "cutmix"} & set(self.data.augment))):
            raise InputError(f"weights.teach: the donor answers images, not mixtures: drop {mixed[0]} of data.augment")
        reference, largest = self.space.reference_network(), self.space.largest_resolution
        for resolution in self.space.resolutions:
            self._check_choice(resolution)
        if largest and self.latency.resolution is not None:
            raise InputError("with space.resolutions every network is measured at its own: drop latency.resolution")
        for resolution in {self.data.resolution, self.latency_resolution}:
            reference.check_resolution(resolution)
        if largest:
            smallest = min(self.space.resolutions, key=area)
            replace(reference, resolution=smallest).check_resolution(largest)
        return self

    def _check_task(self) -> None:
        """Raise InputError where the images are for another task, or a section is for other tasks alone."""
        if self.data.dataset == BOXES:
            raise InputError(
                f"the data set {BOXES} is of things to find in images, and this problem puts images into classes: add "
                'task = "detection" above the sections of the file'
            )

    def _check_choice(self, resolution: Resolution) -> None:
        """Raise InputError for a resolution of the space to which the images cannot be reduced as they are."""
        height, width = sides(resolution)
        full_height, full_width = sides(self.data.resolution)
        shown = f"data.resolution is {format_resolution(self.data.resolution)}"
        if height > full_height or width > full_width:
            raise InputError(f"space.resolutions go up to {format_resolution(resolution)} pixels, and {shown}")
        if abs(height * full_width - width * full_height) > max(full_height, full_width):
            raise InputError(
                f"space.resolutions has {format_resolution(resolution)}, and {shown}: allowed are sizes of the same "
                "proportions, to the pixel"
            )

    @property
    def training_context(self) -> dict[str, Any]:
        """All that trainings depend on beside images, augmentation, recipe and donor, as the archive stores it."""
        return {}

    @property
    def words(self) -> Words:
        """See `Definition.words`."""
        reference = "the reference network" if self.space.base else "MobileNetV2"
        if self.donor is not None and self.space.base == str(self.donor.architecture):
            reference = self.donor.name
        conditions = "images, recipe or kind of device"
        return Words(reference, "fastest", "fast", "most accurate", "accurate", conditions)

    @property
    def donor(self) -> Donor | None:
        """The donor of all weights; None where trainings start from random ones."""
        return None if self.weights is None else find_donor(self.weights.donor)

    def fine_tuning(self, name: str) -> ProblemDefinition:
        """Return this problem with trainings that start from the weights of a published network.

        The recipes are this problem's if it has a donor. Recipes for random weights would spoil pretrained ones: then
        they are those that problems with a donor have by default. The space is this problem's in any case, and says
        nothing of the published network.

        Args:
            name: The name of a network with pretrained weights (`evomnas.problem.pretrained.donors`).
        """
        if self.weights is not None:
            weights = self.weights if self.weights.donor == name else WeightsSection(donor=name)
            return self.model_copy(update={"weights": weights})
        kept = {"seed": self.training.seed, "class_weights": self.training.class_weights}
        own = {"seed": self.full.seed, "class_weights": self.full.class_weights}
        training, full = TrainingSection(**{**PROXY, **kept}), FullSection(**{**FULL, **own})
        recipes = {"training": training, "full": full}
        return self.model_copy(update={"weights": WeightsSection(donor=name), **recipes})

    def at(self, resolution: Resolution) -> ProblemDefinition:
        """Return this problem with images of another resolution.

        Args:
            resolution: Their size in pixels.
        """
        return self.model_copy(update={"data": self.data.model_copy(update={"resolution": resolution})})

    @property
    def latency_resolution(self) -> Resolution:
        """The size of the timed images in pixels."""
        return self.latency.resolution or self.data.resolution

    @property
    def axes(self) -> tuple[str, str]:
        """See `Definition.axes`."""
        scored = "" if self.training.precision == FLOAT else f" in {self.training.precision}"
        return f"validation {self.score_words}{scored} (%)", "latency (ms)"

    @property
    def runtime(self) -> str:
        """See `Definition.runtime`."""
        return self.latency.runtime

    @property
    def further(self) -> tuple[Axis, ...]:
        """See `Definition.further`."""
        return tuple(FURTHER[name].axis for name in self.objectives[2:])

    def count(self, architecture: Architecture, shape: NetworkShape) -> Counts:
        """Return the parameters and MACs of what is built of an architecture.

        Args:
            architecture: The network.
            shape: Classes, channels and resolution of the networks.
        """
        return count_architecture(architecture, **shape)

    def further_values(self, architecture: Architecture, shape: NetworkShape) -> tuple[float, ...]:
        """Return the further objectives of a network.

        Args:
            architecture: The network.
            shape: Classes, channels and resolution of the networks.

        Returns:
            One value for each of `further`.
        """
        if len(self.objectives) == 2:
            return ()
        network = CountedNetwork(architecture, self.count(architecture, shape), shape, self.precision, self.runtime)
        return tuple(float(FURTHER[name].amount(network)) for name in self.objectives[2:])

    @property
    def precision(self) -> Precision:
        """See `Definition.precision`."""
        return self.latency.precision

    @property
    def score_words(self) -> str:
        """See `Definition.score_words`."""
        return SCORE_WORDS[self.data.score]

    def plot_point(self, losses: Sequence[float]) -> tuple[float, float]:
        """See `Definition.plot_point`."""
        return losses[1], 100 * (1 - losses[0])

    def parse(self, notation: str) -> Architecture:
        """See `Definition.parse`."""
        return Architecture.parse(notation)

    def reference(self, data: Mapping[str, Any]) -> Architecture:
        """Return the space's reference network; see `Definition.reference`."""
        return self.space.reference_network()

    @property
    def epochs(self) -> int:
        """See `Definition.epochs`."""
        return self.training.epochs

    @property
    def step_macs(self) -> int:
        """See `Definition.step_macs`. Images count as coloured, and classes as one, which hardly matters."""
        counts = count_architecture(self.space.reference_network(), 1, 3, self.data.resolution)
        return self.training.batch * counts.macs

    @property
    def trainings(self) -> int:
        """See `Definition.trainings`."""
        return self.data.trainings

    @property
    def full_recipe(self) -> FullSection:
        """The recipe of the full training, with the class weights that it takes over from the proxy task."""
        weights = self.full.class_weights or self.training.class_weights
        return self.full.model_copy(update={"class_weights": weights})

    @property
    def teaching(self) -> TrainingSection | None:
        """The recipe by which the donor is fine-tuned to teach candidates, that of the full training; None without."""
        if self.weights is None or not self.weights.teach:
            return None
        shared = {name: value for name, value in self.full_recipe if name in TrainingSection.model_fields}
        return TrainingSection(**shared | {"precision": FLOAT})

    @property
    def origin(self) -> dict[str, str]:
        """See `Definition.origin`."""
        return {"data set": self.data.dataset}

    def trained(self, refusal: str) -> ProblemDefinition:
        """See `Definition.trained`."""
        return self

    def with_data(self, path: Path) -> Self:
        """See `Definition.with_data`."""
        return self.model_copy(update={"data": self.data.model_copy(update={"path": path})})

    @property
    def comparable_settings(self) -> dict[str, Any]:
        """See `Definition.comparable_settings`."""
        settings = {"space": self.model_dump(mode="json")["space"], "score": self.data.score}
        settings |= {"objectives": list(self.objectives)}
        return super().comparable_settings | settings


class TableDefinition(Definition):
    """A problem whose networks are looked up in a table; its file is read when the space is asked for.

    Attributes:
        table: The table, and which of its columns mean what.
    """

    kind: ClassVar[str] = "table"
    table: TableSection

    @classmethod
    def describes(cls, values: Mapping[str, Any]) -> bool:
        """See `Definition.describes`."""
        return "table" in values

    @model_validator(mode="after")
    def _check(self) -> TableDefinition:
        columns = [*self.table.genes, *(objective.column for objective in self.table.objectives)]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise InputError(f"table: the column {twice[0]} is named twice, as genes or objectives")
        self._check_reference_point()
        quantities = {objective.quantity for objective in self.table.objectives}
        for name, value in self.constraints.model_dump(exclude_none=True).items():
            if name.removeprefix("max_") not in quantities:
                raise InputError(f"constraints.{name} = {value}: no objective of the table has that quantity")
        return self

    @property
    def words(self) -> Words:
        """See `Definition.words`."""
        return Words("the reference network", "cheapest", "cheap", "best", "good", "table")

    @cached_property
    def lookup_table(self) -> Table:
        """The table, read once.

        Raises:
            InputError: There is no such file, or it is not such a table.
        """
        section = self.table
        if section.path is None:
            raise InputError(f"table.path is missing: get the file of {self.name} and add --set table.path=FILE")
        columns = [objective.column for objective in section.objectives]
        table = Table(section.path, section.genes, columns, section.reference, section.genes_per_block)
        for objective, values in zip(section.objectives, table.columns.T, strict=True):
            low, high = np.nanmin(values) * objective.scale, np.nanmax(values) * objective.scale
            if objective.direction == "maximize" and not 0 <= low <= high <= 1:
                raise InputError(
                    f"the column {objective.column} of {section.path} is maximised and spans {low:g} to {high:g}: "
                    "give its objective a scale that brings it into [0, 1], as scale = 0.01 does for percentages"
                )
        quality, *costs = (
            objective.scale * table.columns[:, place] for place, objective in enumerate(section.objectives)
        )
        if section.objectives[0].direction == "minimize" and not 0 <= np.nanmin(quality) <= np.nanmax(quality) <= 1:
            raise InputError(
                f"the first objective, {columns[0]} of {section.path}, must be a share between 0 and 1 and spans "
                f"{np.nanmin(quality):g} to {np.nanmax(quality):g}: give it a scale"
            )
        for place, cost in enumerate(costs, start=1):
            low, high = np.nanmin(cost), np.nanmax(cost)
            if section.objectives[place].direction == "minimize" and not 0 < low <= high < MAX_COST:
                raise InputError(
                    f"the {ORDINALS[place]} objective, {columns[place]} of {section.path}, must be positive and below "
                    f"{MAX_COST:g} and spans {low:g} to {high:g}"
                )
        return table

    @property
    def space(self) -> TabularSpace:
        """See `Definition.space`; reads the table."""
        return self.lookup_table.space

    @property
    def axes(self) -> tuple[str, str]:
        """See `Definition.axes`."""
        quality, *_ = self.table.objectives
        name = TABLE_LABELS.get(quality.quantity or "", quality.column)
        cost, *_ = self._costs
        return f"{name} (%)" if quality.direction == "maximize" else name, cost.label

    @property
    def further(self) -> tuple[Axis, ...]:
        """See `Definition.further`."""
        return tuple(self._costs[1:])

    @property
    def _costs(self) -> list[Axis]:
        """All objectives but the first, as people read them."""
        costs = []
        for objective in self.table.objectives[1:]:
            label = TABLE_LABELS.get(objective.quantity or "", objective.column)
            shown = f"1 - {label}" if objective.direction == "maximize" else label
            costs.append(Axis(objective.column, shown, TABLE_UNITS.get(objective.quantity or "", f" {shown}")))
        return costs

    def plot_point(self, losses: Sequence[float]) -> tuple[float, float]:
        """See `Definition.plot_point`."""
        return losses[1], 100 * (1 - losses[0]) if self.table.objectives[0].direction == "maximize" else losses[0]

    def parse(self, notation: str) -> TabularArchitecture:
        """See `Definition.parse`."""
        return TabularArchitecture(notation)

    def reference(self, data: Mapping[str, Any]) -> TabularArchitecture:
        """Return the network that the table's run names; see `Definition.reference`."""
        return TabularArchitecture(data["reference"])

    @property
    def epochs(self) -> int:
        """See `Definition.epochs`."""
        return 0

    def with_data(self, path: Path) -> Self:
        """See `Definition.with_data`."""
        return type(self).model_validate(self.model_dump() | {"table": self.table.model_copy(update={"path": path})})
