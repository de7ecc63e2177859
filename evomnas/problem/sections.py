"""The sections of a problem file: their keys, what each means, and which values are allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WrapValidator, model_validator

from evomnas.core import registry
from evomnas.core.resolution import MAX_PIXELS, Resolution, to_resolution
from evomnas.problem.target import LOCAL, parse_target

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Augmentation = Literal[  # the first three are ours, the others torchvision's
    "shift",
    "flip",
    "crop",
    "random-resized-crop",
    "trivial-augment-wide",
    "rand-augment",
    "color-jitter",
    "random-erasing",
    "mixup",
    "cutmix",
]
ScoreName = Literal["accuracy", "balanced-accuracy", "macro-f1"]  # that follow from the answers alone
SearchScoreName = Literal["accuracy", "balanced-accuracy", "macro-f1", "likelihood"]
Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
Precision = Literal["float", "int8"]
FLOAT: Precision = "float"
ClassWeights = Literal["none", "balanced"]
PrecisionName = Literal["ap", "ap50"]  # scores of what is found in images
SCORE_WORDS: dict[SearchScoreName | PrecisionName, str] = {  # what people call them
    "accuracy": "accuracy",
    "balanced-accuracy": "balanced accuracy",
    "macro-f1": "macro-F1",
    "likelihood": "likelihood",
    "ap": "AP",
    "ap50": "AP50",
}
TABLES = ("csv", "parquet")  # data sets with columns
BOXES = "boxes"  # the data set of images in which things are to be found
COLUMNLESS = {"digits", "image-folder", "npz", "webdataset", BOXES, *TABLES}  # those that are known to have no others
NEWEST_RULES: Literal[2] = 2  # by which a folder of images is read
MAX_COST = 1e100  # beyond it arithmetic overflows
MAX_OBJECTIVES = 6  # the hypervolume of more takes long
USUAL_LIMIT = 2.0  # of a cost relative to the reference network's: beyond it networks add no hypervolume


def _registered(group: str) -> AfterValidator:
    return AfterValidator(partial(registry.check, group))


def _checked_target(target: str) -> str:
    parse_target(target)
    return target


def _validate_reference_point(values: tuple[float, ...]) -> tuple[float, ...]:
    if not 2 <= len(values) <= MAX_OBJECTIVES:
        raise ValueError(f"must be a list of 2 to {MAX_OBJECTIVES} numbers: error, latency, and further objectives")
    if values[0] > 1:
        raise ValueError("the first value is an error, which is at most 1")
    return values


def _validate_folds(folds: int) -> int:
    if folds < 2:
        raise ValueError("must be at least 2, and data.validation = 0.2 lets a fifth of the images validate instead")
    return folds


def _validate_resolution(value: Any, check_side: Callable[[Any], int]) -> Resolution:
    if not isinstance(value, list | tuple):
        return check_side(value)
    if len(value) != 2:
        raise ValueError("must be one number of pixels, or [height, width]")
    return to_resolution(*map(check_side, value))


if TYPE_CHECKING:
    ResolutionField = int | tuple[int, int]
else:  # the size of images in a file: one whole number, or two
    ResolutionField = Annotated[
        int,
        Field(ge=1, le=MAX_PIXELS),
        WrapValidator(_validate_resolution),
        PlainSerializer(lambda value: value, return_type=int | tuple[int, int]),
    ]


class Section(BaseModel):
    """Values that are checked when they come in, and cannot be changed; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSection(Section):
    """Which images: see `evomnas.data.sources`.

    Attributes:
        dataset: A registered data set (`digits`, `cifar10`, `image-folder`, `npz`, ...).
        path: Its folder or file; needed by `image-folder` and `npz`, the download folder for the rest.
        image_column: The column of the pictures, of `csv` and `parquet`; absent, it is found by its name or its type.
        label_column: The column of the labels; absent, as above.
        split_column: The column of the splits, of `csv`; absent, it is found by its name, if there is one.
        resolution: Height and width in pixels that images are brought to: one number for squares, or both.
        fit: How a picture of other proportions gets them: `crop` takes its middle, `pad` puts it on black, `stretch`
            changes its proportions. Absent, images that are files are cropped; arrays, and images with boxes, are
            stretched.
        validation: Share of the training images that scores networks during the search.
        folds: Score networks by cross-validation with so many folds instead: as many trainings of each. None for one
            training, and the share `validation`.
        train_images: At most this many training images are used by the proxy task; all if absent.
        augment: Random changes of the training images, in this order; mixtures of images come last.
        duplicates: `drop` leaves images of `image-folder` out that are there more than once, `keep` uses them.
        rules: How a folder of images is read and split: 1 as evomnas 0.1 did, 2 by content. Runs keep theirs.
        score: What the search maximises: `accuracy`; `balanced-accuracy`, the mean recall of the classes; `macro-f1`,
            the mean F1 of the classes; or `likelihood`, the geometric mean of the probabilities that the network gives
            to the right classes, which is exp(-cross-entropy). It tells more than accuracy where images are few.
    """

    needs_boxes: ClassVar[bool] = False

    dataset: Annotated[str, _registered("datasets")]
    path: Path | None = None
    image_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    resolution: ResolutionField
    fit: Fit | None = None
    validation: Share = 0.2
    folds: Annotated[int, Field(le=100), AfterValidator(_validate_folds)] | None = None
    train_images: Count | None = None
    augment: tuple[Augmentation, ...] = ()
    duplicates: Literal["keep", "drop"] = "keep"
    rules: Literal[1, 2] = NEWEST_RULES
    score: SearchScoreName = "accuracy"

    @property
    def test_score(self) -> ScoreName:
        """The score by which fully trained networks are judged: that of the search, but for the likelihood accuracy."""
        return "accuracy" if self.score == "likelihood" else self.score

    @model_validator(mode="after")
    def _check_columns(self) -> DataSection:
        readers = {"image_column": TABLES, "label_column": TABLES, "split_column": ("csv",)}
        for key, datasets in readers.items():
            if getattr(self, key) is not None and self.dataset in COLUMNLESS - set(datasets):
                raise ValueError(
                    f"{key} names a column of {' and '.join(datasets)}, and the data set is {self.dataset}"
                )
        return self

    @property
    def trainings(self) -> int:
        """How often each network is trained: once for each fold."""
        return self.folds or 1


class Recipe(Section):
    """The settings that the proxy task and the full training have in common.

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
        head_rate: Learning rate of the classifier, relative to that of all other weights; absent, they have the same.
        statistics: `frozen` takes batch norm's statistics from the training images before the training, and leaves them
            as they are then. It suits pretrained weights. Absent, they follow the batches.
        class_weights: `balanced` lets all classes weigh the same in the loss, whatever their number of images. Absent,
            all images weigh the same (`none`).
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
    head_rate: Annotated[float, Field(gt=0, le=1000)] | None = None
    statistics: Literal["frozen"] | None = None
    class_weights: ClassWeights | None = None

    @property
    def repeated(self) -> Self:
        """This recipe with another seed, by which a network is trained once more."""
        return self.model_copy(update={"seed": self.seed + 1 if self.seed < 2**63 - 1 else 0})

    @property
    def context(self) -> dict[str, Any]:
        """The recipe as the archive stores it, without what is absent of the keys that older versions lacked: their
        trainings still count."""
        unused = {"class_weights"} if self.class_weights in (None, "none") else set()
        unused |= {name for name in ("head_rate", "statistics", "schedule") if getattr(self, name, None) is None}
        unused |= {"precision"} if getattr(self, "precision", FLOAT) == FLOAT else set()
        return self.model_dump(mode="json", exclude=unused)

    def batches(self, images: int) -> tuple[int, int]:
        """Return the size of a batch and the number of batches in an epoch. Images that are left over are not used.

        Args:
            images: The number of training images.
        """
        batch = min(self.batch, images)
        return batch, images // batch


class TrainingSection(Recipe):
    """The proxy task: a short training, scored on the validation split (paper section 3); see `Recipe`.

    The learning rate falls from its peak to 0 along a cosine.

    Attributes:
        precision: `int8` scores a trained network as an int8 file in the runtime of the latencies; the training itself
            is in float.
    """

    precision: Precision = "float"


class FullSection(Recipe):
    """The full training of a chosen network: the paper's recipe, its lengths as shares of the training.

    The paper trains 350 epochs at batch 4096; what it says in epochs and steps is scaled by that. The learning rate is
    its 0.016 per 256 images. TensorFlow's RMSProp adds epsilon, 0.001, under the root and PyTorch's behind it, so here
    it is that number's root.

    Attributes:
        schedule: `cosine` lets the learning rate fall to 0 along a cosine. Absent, it falls evenly, by the same share
            every step.
        final_rate: The learning rate at the end relative to its peak, where it falls evenly.
        averaging: The weight average looks back over this share of the steps.
        augment: Random changes of the training images; those of the data section if absent.
        temperature: By which a teacher's and the student's logits are divided (Hinton et al. 2015).
        teaching: Weight of the teacher's answers in the loss; the labels have the rest.
        class_weights: See `Recipe`; those of the proxy task if absent.
        precision: `int8` computes in the last epochs what the network's int8 file will compute.
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
    schedule: Literal["cosine"] | None = None
    temperature: Annotated[float, Field(gt=0)] = 4.0
    teaching: Annotated[float, Field(ge=0, le=1)] = 0.5
    class_weights: ClassWeights | None = None
    precision: Precision = "float"


class WeightsSection(Section):
    """The pretrained weights from which all trainings start: see `evomnas.problem.pretrained`.

    Attributes:
        donor: The published network that gives them.
        file: The file that holds them; absent, it is looked for in the donor's package and in torch's cache.
        teach: Whether the donor, once it is fine-tuned, teaches candidates: its answers to the training images are part
            of their loss.
    """

    temperature: ClassVar[float] = 2.0  # by which the logits of teacher and candidate are divided
    share: ClassVar[float] = 0.9  # of the teacher's answers in the loss; the labels have the rest

    donor: str
    file: Path | None = None
    teach: bool = False


class LatencySection(Section):
    """The device and the way of timing: see `evomnas.latency`.

    Attributes:
        runtime: A registered runtime.
        provider: What the runtime runs networks on: `cpu`, or another provider that it has, such as `cuda`.
        target: `local`, `ssh://user@host:port` for another machine, or `ray://NAME` for nodes of the Ray cluster with
            the custom resource NAME.
        method: `network` measures every network whole; `layers` adds up a table of measured layers.
        threads: Threads that one inference may use.
        batch: Images per inference.
        resolution: Height and width in pixels, as in the data section; those of the data if absent.
        precision: `int8` measures networks as int8 files.
    """

    runtime: Annotated[str, _registered("runtimes")] = "onnxruntime"
    provider: str = "cpu"
    target: Annotated[str, AfterValidator(_checked_target)] = LOCAL
    method: Literal["network", "layers"] = "network"
    threads: Count = 1
    batch: Count = 1
    resolution: ResolutionField | None = None
    precision: Precision = "float"


class ConstraintsSection(Section):
    """Upper limits; networks beyond one are not trained and belong to no front.

    Attributes:
        max_latency_ms: Measured latency in milliseconds.
        max_params: Trainable parameters.
        max_macs: MACs without squeeze-and-excite.
        max_peak_kb: Peak memory of the activations in units of 1,024 bytes, in the precision of the latencies.
        max_file_kb: Size of the network's file in units of 1,024 bytes, in the precision of the latencies.
    """

    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    max_params: Count | None = None
    max_macs: Count | None = None
    max_peak_kb: Annotated[float, Field(gt=0)] | None = None
    max_file_kb: Annotated[float, Field(gt=0)] | None = None


class Objective(Section):
    """One objective of a table.

    Attributes:
        column: The column that holds it.
        direction: Whether it is to be minimised or maximised. What is maximised must be a share in [0, 1]: its loss
            is 1 - value. The first objective must be a share in any case, all others positive.
        scale: Values are multiplied by this, as percentages by 0.01.
        quantity: What it is, where it is one of these (milliseconds, counts, a share); shown as such.
    """

    column: str
    direction: Literal["minimize", "maximize"]
    scale: Annotated[float, Field(gt=0)] = 1.0
    quantity: Literal["accuracy", "latency_ms", "params", "macs"] | None = None


def _validate_objectives(objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
    if not 2 <= len(objectives) <= MAX_OBJECTIVES:
        raise ValueError(f"must be a list of 2 to {MAX_OBJECTIVES} objectives")
    return objectives


class TableSection(Section):
    """A table of evaluated networks: see `evomnas.problem.table`.

    Attributes:
        path: A CSV or JSON file.
        genes: Columns that are genes; none where the keys of a JSON file are genomes.
        genes_per_block: So many neighbouring genes describe one block together.
        objectives: Two of them, or more. The second one, a cost, is what targets are about.
        reference: Name of the reference network; by default the one whose cost is the table's median.
    """

    path: Path | None = None
    genes: tuple[str, ...] = ()
    genes_per_block: Count = 1
    objectives: Annotated[tuple[Objective, ...], AfterValidator(_validate_objectives)]
    reference: str | None = None


class HypervolumeSection(Section):
    """The reference point of the hypervolume.

    Attributes:
        reference_point: The error, the latency relative to the reference network's, and likewise all further
            objectives. Those that it does not name count up to `USUAL_LIMIT` times the reference network's.
    """

    reference_point: Annotated[tuple[Annotated[float, Field(gt=0)], ...], AfterValidator(_validate_reference_point)] = (
        1.0,
        USUAL_LIMIT,
    )
