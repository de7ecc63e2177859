"""The problem file: what a search needs to know, read from TOML and checked as a whole.

`load_definition("digits")` reads a built-in problem, `load_definition("my.toml")` the user's; overrides
such as `training.epochs=8` change single values. A file with a `[table]` section in place of `[data]`,
`[training]` and `[latency]` is a tabular problem. Unknown keys and values out of range are errors that
name the place and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.table import Table
from evomnas.problem.tabular_space import TabularArchitecture, TabularSpace
from evomnas.problem.target import LOCAL, parse_target

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Augmentation = Literal["shift", "flip", "crop"]
MAX_COST = 1e100  # beyond it arithmetic overflows


def _registered(group: str) -> AfterValidator:
    return AfterValidator(partial(registry.check, group))


def _checked_target(target: str) -> str:
    parse_target(target)
    return target


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSection(_Section):
    """Which images: see `evomnas.data.sources`.

    Attributes:
        dataset: A registered data set (`digits`, `cifar10`, `image-folder`, `npz`, ...).
        path: Its folder or file; needed by `image-folder` and `npz`, the download folder for the rest.
        resolution: Height and width in pixels that images are brought to.
        validation: Share of the training images that scores networks during the search.
        train_images: At most this many training images are used by the proxy task; all if absent.
        augment: Random changes of the training images, in this order.
    """

    dataset: Annotated[str, _registered("datasets")]
    path: Path | None = None
    resolution: Annotated[int, Field(ge=1, le=4096)]
    validation: Share = 0.2
    train_images: Count | None = None
    augment: tuple[Augmentation, ...] = ()


class Recipe(_Section):
    """What the proxy task and the full training have in common.

    Attributes:
        epochs: Passes over the training images.
        batch: Images per step.
        optimizer: `sgd` (Nesterov), `rmsprop` (the paper's) or `adamw`.
        learning_rate: Its peak; it rises linearly over `warmup` of the steps.
        warmup: Share of the steps for the rise.
        momentum: Of `sgd` and `rmsprop`.
        weight_decay: L2 penalty (decoupled in `adamw`).
        label_smoothing: Share of the target that is spread over all classes.
        bn_momentum: Weight of the newest batch in batch norm's running statistics.
        dropout: Probability before the classifier.
        seed: Of weights, order and augmentation: it belongs to the problem, not to the run, so that a
            network has one accuracy in all runs.
    """

    rmsprop_epsilon: ClassVar[float] = 1e-3

    epochs: Count
    batch: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class TrainingSection(Recipe):
    """The proxy task: a short training, scored on the validation split (paper section 3); see `Recipe`.

    The learning rate falls from its peak to 0 along a cosine.
    """


class FullSection(Recipe):
    """The full training of a chosen network: the paper's recipe, its lengths as shares of the training.

    The paper trains 350 epochs at batch 4096; what it says in epochs and steps is scaled by that. The learning rate is
    its 0.016 per 256 images. TensorFlow's RMSProp adds epsilon, 0.001, under the root and PyTorch's behind it, so here
    it is that number's root.

    Attributes:
        final_rate: The learning rate at the end relative to its peak; it falls evenly, by the same share every step.
        averaging: The weight average looks back over this share of the steps.
        augment: Random changes of the training images; those of the data section if absent.
        temperature: By which a teacher's and the student's logits are divided (Hinton et al. 2015).
        teaching: Weight of the teacher's answers in the loss; the labels have the rest.
    """

    rmsprop_epsilon: ClassVar[float] = 0.0316

    epochs: Count = 60
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "rmsprop"
    learning_rate: Annotated[float, Field(gt=0)] = 0.004
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.01
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    final_rate: Annotated[float, Field(gt=0, le=1)] = 0.012  # 0.97 every 2.4 of 350 epochs
    averaging: Annotated[float, Field(gt=0, lt=1)] = 0.09  # 10,000 of the paper's 109,000 steps: 0.9999
    augment: tuple[Augmentation, ...] | None = None
    temperature: Annotated[float, Field(gt=0)] = 4.0
    teaching: Annotated[float, Field(ge=0, le=1)] = 0.5


class LatencySection(_Section):
    """What is timed: see `evomnas.latency`.

    Attributes:
        runtime: A registered runtime.
        target: `local`, `ssh://user@host:port` for another machine, or `ray://NAME` for nodes of the Ray cluster with
            the custom resource NAME.
        method: `network` measures every network whole; `layers` adds up a table of measured layers.
        threads: Threads that one inference may use.
        batch: Images per inference.
        resolution: Height and width in pixels; those of the data if absent.
    """

    runtime: Annotated[str, _registered("runtimes")] = "onnxruntime"
    target: Annotated[str, AfterValidator(_checked_target)] = LOCAL
    method: Literal["network", "layers"] = "network"
    threads: Count = 1
    batch: Count = 1
    resolution: Annotated[int, Field(ge=1, le=4096)] | None = None


class ConstraintsSection(_Section):
    """What a network may have at most; candidates that exceed it are not trained and belong to no front.

    Attributes:
        max_latency_ms: Measured latency in milliseconds.
        max_params: Trainable parameters.
        max_macs: MACs without squeeze-and-excite.
    """

    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    max_params: Count | None = None
    max_macs: Count | None = None


class Objective(_Section):
    """One objective of a table.

    Attributes:
        column: The column that holds it.
        direction: Whether it is to be minimised or maximised. What is maximised must be a share in [0, 1]: its loss
            is 1 - value. The first objective must be a share in any case, the second one positive.
        scale: Values are multiplied by this, as percentages by 0.01.
        quantity: What it is, where it is one of these (milliseconds, counts, a share); shown as such.
    """

    column: str
    direction: Literal["minimize", "maximize"]
    scale: Annotated[float, Field(gt=0)] = 1.0
    quantity: Literal["accuracy", "latency_ms", "params", "macs"] | None = None


class TableSection(_Section):
    """A table of evaluated networks: see `evomnas.problem.table`.

    Attributes:
        path: A CSV or JSON file.
        genes: Columns that are genes; none where the keys of a JSON file are genomes.
        genes_per_block: So many neighbouring genes describe one block together.
        objectives: Two of them; the second one, a cost, is what `relative` costs and targets are about.
        reference: Name of the reference network; by default the one whose cost is the table's median.
    """

    path: Path | None = None
    genes: tuple[str, ...] = ()
    genes_per_block: Count = 1
    objectives: tuple[Objective, Objective]
    reference: str | None = None


class HypervolumeSection(_Section):
    """The reference point (error, latency relative to the reference network's) of the hypervolume."""

    reference_point: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0)]] = (1.0, 2.0)


class _Problem(_Section):
    """What every problem file has."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    summary: str = ""
    constraints: ConstraintsSection = ConstraintsSection()
    hypervolume: HypervolumeSection = HypervolumeSection()


class ProblemDefinition(_Problem):
    """A problem file whose networks are trained and measured."""

    space: SearchSpace = SearchSpace()
    data: DataSection
    training: TrainingSection
    full: FullSection = FullSection()
    latency: LatencySection = LatencySection()

    @model_validator(mode="after")
    def _check(self) -> ProblemDefinition:
        reference = self.space.mobilenet_v2()
        for resolution in {self.data.resolution, self.latency_resolution}:
            reference.check_resolution(resolution)
        return self

    @property
    def latency_resolution(self) -> int:
        """Height and width in pixels of the timed images."""
        return self.latency.resolution or self.data.resolution

    @property
    def axes(self) -> tuple[str, str]:
        """What the two losses are about, as people read it."""
        return "validation accuracy (%)", "latency (ms)"

    @staticmethod
    def shown(losses: Sequence[float]) -> tuple[float, float]:
        """Two losses as a point of a plot with these `axes`: cost to the right, quality upwards."""
        return losses[1], 100 * (1 - losses[0])

    @property
    def reference_name(self) -> str:
        """What people call the reference network."""
        return "MobileNetV2"

    def parse(self, notation: str) -> Architecture:
        """The architecture of a notation, as the archive keeps it."""
        return Architecture.parse(notation)


class TableDefinition(_Problem):
    """A problem file whose networks are looked up in a table. The file is read when its space is asked for."""

    table: TableSection

    @model_validator(mode="after")
    def _check(self) -> TableDefinition:
        columns = [*self.table.genes, *(objective.column for objective in self.table.objectives)]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise InputError(f"table: the column {twice[0]} is named twice, as genes or objectives")
        quantities = {objective.quantity for objective in self.table.objectives}
        for name, value in self.constraints.model_dump(exclude_none=True).items():
            if name.removeprefix("max_") not in quantities:
                raise InputError(f"constraints.{name} = {value}: no objective of the table has that quantity")
        return self

    @cached_property
    def read(self) -> Table:
        """The table.

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
        quality, cost = (
            objective.scale * table.columns[:, place] for place, objective in enumerate(section.objectives)
        )
        if section.objectives[0].direction == "minimize" and not 0 <= np.nanmin(quality) <= np.nanmax(quality) <= 1:
            raise InputError(
                f"the first objective, {columns[0]} of {section.path}, must be a share between 0 and 1 and spans "
                f"{np.nanmin(quality):g} to {np.nanmax(quality):g}: give it a scale"
            )
        if section.objectives[1].direction == "minimize" and not 0 < np.nanmin(cost) <= np.nanmax(cost) < MAX_COST:
            raise InputError(
                f"the second objective, {columns[1]} of {section.path}, must be positive and below {MAX_COST:g} "
                f"and spans {np.nanmin(cost):g} to {np.nanmax(cost):g}"
            )
        return table

    @property
    def space(self) -> TabularSpace:
        """The table's space."""
        return self.read.space

    @property
    def axes(self) -> tuple[str, str]:
        """What the two losses are about, as people read it."""
        names = {"accuracy": "accuracy", "latency_ms": "latency (ms)", "params": "parameters", "macs": "MACs"}
        quality, cost = (names.get(one.quantity or "", one.column) for one in self.table.objectives)
        percent, inverted = (one.direction == "maximize" for one in self.table.objectives)
        return f"{quality} (%)" if percent else quality, f"1 - {cost}" if inverted else cost

    def shown(self, losses: Sequence[float]) -> tuple[float, float]:
        """Two losses as a point of a plot with these `axes`: cost to the right, quality upwards."""
        return losses[1], 100 * (1 - losses[0]) if self.table.objectives[0].direction == "maximize" else losses[0]

    @property
    def reference_name(self) -> str:
        """What people call the reference network."""
        return "the reference network"

    def parse(self, notation: str) -> TabularArchitecture:
        """The network of a name, as the archive keeps it."""
        return TabularArchitecture(notation)


AnyDefinition = ProblemDefinition | TableDefinition
