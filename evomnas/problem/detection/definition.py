"""Problems whose networks find things in images: the same space, algorithms and devices, another task.

A candidate is the backbone of an SSDLite detector (`evomnas.problem.detection.plan`). Its first loss is 1 - AP on the
validation images, or 1 - AP50; its second one the latency of backbone, extra layers, heads and decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import Counts, NetworkShape
from evomnas.problem.definition import ProblemDefinition, Words
from evomnas.problem.detection.counting import count_detector
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.sections import FLOAT, DataSection, FullSection, LatencySection, PrecisionName, TrainingSection

BoxAugmentation = Literal["flip", "zoom"]
FOR_CLASSES = ("label_smoothing", "dropout", "head_rate", "statistics", "class_weights")  # of a recipe
FULL_FOR_CLASSES = (*FOR_CLASSES, "schedule", "final_rate", "averaging", "temperature", "teaching", "precision")


class DetectionData(DataSection):
    """Which images with boxes; see `DataSection` for the other keys.

    Attributes:
        augment: Random changes of the training images with their boxes, in this order: `flip` mirrors, `zoom` shows a
            part of an image, or all of it within a border.
        score: What the search maximises: `ap`, COCO's mean over intersections over union of 0.5 to 0.95, or `ap50`,
            that at 0.5. Short trainings say more by `ap50`.
    """

    needs_boxes: ClassVar[bool] = True

    augment: tuple[BoxAugmentation, ...] = ("flip", "zoom")  # type: ignore[assignment]
    score: PrecisionName = "ap"  # type: ignore[assignment]

    @property
    def test_score(self) -> PrecisionName:  # type: ignore[override]
        """The score by which fully trained networks are judged: that of the search."""
        return self.score


class DetectionTraining(TrainingSection):
    """The proxy task, as `TrainingSection`: SSD's losses, plain SGD and small batches."""

    batch: Annotated[int, Field(ge=2)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 0.03
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.3
    weight_decay: Annotated[float, Field(ge=0)] = 4e-5
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class DetectionFull(FullSection):
    """The full training of a chosen detector: the recipe of the proxy task, three times as long as usual there.

    Attributes:
        augment: Random changes of the training images; those of the data section if absent.
    """

    batch: Annotated[int, Field(ge=2)] = 8
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] = 0.03
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.3
    weight_decay: Annotated[float, Field(ge=0)] = 4e-5
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: tuple[BoxAugmentation, ...] | None = None  # type: ignore[assignment]


class DetectionDefinition(ProblemDefinition):
    """A problem whose networks are trained to find things in images, and measured.

    Attributes:
        task: `detection`, by which a problem file is known to be of this kind.
    """

    kind: ClassVar[str] = "detection"
    detects: ClassVar[bool] = True
    task: Literal["detection"]
    data: DetectionData
    training: DetectionTraining
    full: DetectionFull = DetectionFull()

    @classmethod
    def describes(cls, values: Mapping[str, Any]) -> bool:
        """See `Definition.describes`."""
        return "task" in values and "table" not in values

    def _check_task(self) -> None:
        """See `ProblemDefinition._check_task`."""
        if self.weights is not None:
            raise InputError(
                "the candidates of a detection problem start from random weights: drop --donor, or [weights]"
            )

    @model_validator(mode="after")
    def _check_detection(self) -> DetectionDefinition:
        usual = DetectionTraining(epochs=1), DetectionFull()
        wrong = [f"training.{name}" for name in FOR_CLASSES if getattr(self.training, name) != getattr(usual[0], name)]
        wrong += [f"full.{name}" for name in FULL_FOR_CLASSES if getattr(self.full, name) != getattr(usual[1], name)]
        if wrong:
            raise InputError(f"{wrong[0]} is for networks that tell classes apart: drop it")
        if self.latency.method != LatencySection().method:
            raise InputError("detectors are measured whole: drop latency.method")
        if {self.latency.precision, self.training.precision} != {FLOAT}:
            raise InputError("detectors are searched as float networks: drop latency.precision and training.precision")
        if self.constraints.max_peak_kb is not None or self.constraints.max_file_kb is not None:
            raise InputError(
                "the memory of detectors is not counted: drop constraints.max_peak_kb and constraints.max_file_kb"
            )
        if {"peak_kb", "file_kb"} & set(self.objectives):
            raise InputError("the memory of detectors is not counted: drop peak_kb and file_kb of objectives")
        for resolution in {self.data.resolution, self.latency_resolution, *self.space.resolutions}:
            plan_detector(replace(self.space.reference_network(), resolution=None), resolution)
        return self

    @property
    def training_context(self) -> dict[str, Any]:
        """See `ProblemDefinition.training_context`. All scores of a training are kept."""
        return {"task": self.task}

    def count(self, architecture: Architecture, shape: NetworkShape) -> Counts:
        """Return the parameters and MACs of the detector of a backbone; see `ProblemDefinition.count`."""
        plan = plan_detector(architecture, shape["resolution"])
        counts = count_detector(plan, shape["classes"] + 1, shape["channels"])
        return counts.backbone + counts.extras + counts.heads

    @property
    def words(self) -> Words:
        """See `Definition.words`."""
        reference = "the reference network" if self.space.base else "MobileNetV2"
        return Words(reference, "fastest", "fast", "best", "good", "images, recipe or kind of device")
