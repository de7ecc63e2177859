"""The details of a trained network, and the model card that shows them to people.

The card says what the network is, where it comes from, what it scored and what it cannot do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evomnas.core.resolution import format_resolution
from evomnas.data.photographs import Preprocessing
from evomnas.deploy.cards.front_matter import front_matter
from evomnas.deploy.cards.markdown import escape_markdown
from evomnas.deploy.cards.snippets import usage_section
from evomnas.problem.sections import SCORE_WORDS, ResolutionField, SearchScoreName
from evomnas.results.answers.majority import Majority
from evomnas.results.evaluation import Cost, FullTraining, Measurement


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Origin(_Part):
    """The origin of a network.

    Attributes:
        problem: The name of the problem.
        data: The images in words.
        search: The search that found it, in words; None if none did.
        accuracy: Its validation accuracy in that search; None if it has none.
        score_name: What that search maximised.
        score: How much of it the network had on the validation images; None if it has none.
        changes: How the images have changed between that search and the training; None if they have not.
    """

    problem: str
    data: str
    search: str | None = None
    accuracy: float | None = None
    score_name: SearchScoreName = "accuracy"
    score: float | None = None
    changes: str | None = None


class ScoreDetails(_Part):
    """A test score.

    Attributes:
        accuracy: The share of the test images that are classified correctly.
        interval: The 95 % confidence interval of the accuracy: (low, high).
        correct: The number of test images that are classified correctly.
        images: The number of test images.
        balanced_accuracy: The mean recall of the classes; None if it is not known, as what follows.
        balanced_accuracy_error: Its standard error.
        macro_f1: The mean F1 of the classes.
        macro_f1_error: Its standard error.
        majority_class: The class with the most test images.
        majority_share: The share of the test images that it has.
        majority_text: What a network scores that always answers it, in words.
    """

    accuracy: float
    interval: tuple[float, float]
    correct: int
    images: int
    balanced_accuracy: float | None = None
    balanced_accuracy_error: float | None = None
    macro_f1: float | None = None
    macro_f1_error: float | None = None
    majority_class: str | None = None
    majority_share: float | None = None
    majority_text: str = Field(default="", exclude=True)

    @classmethod
    def of(cls, result: FullTraining, classes: Sequence[str]) -> ScoreDetails:
        """Return the details of a score.

        Args:
            result: The full training.
            classes: The names of the classes.
        """
        score = result.score
        assert score is not None  # a detector has a card of its own
        known = cls(accuracy=score.accuracy, interval=score.interval, correct=score.correct, images=score.images)
        if result.answers is None:
            return known
        confusion = result.answers.confusion
        majority = Majority.of(confusion, classes)
        more = {
            "balanced_accuracy": confusion.score("balanced-accuracy"),
            "balanced_accuracy_error": confusion.score_error("balanced-accuracy"),
            "macro_f1": confusion.score("macro-f1"),
            "macro_f1_error": confusion.score_error("macro-f1"),
            "majority_class": majority.name,
            "majority_share": majority.share,
            "majority_text": majority.describe("balanced-accuracy", quote=escape_markdown),
        }
        return known.model_copy(update=more)

    def describe(self) -> str:
        """Return the score in words, with its interval."""
        low, high = self.interval
        return (
            f"{format_share(self.accuracy)} of {self.images:,} test images "
            f"(95 % interval {format_share(low)} to {format_share(high)}, Wilson)"
        )

    def rows(self) -> list[tuple[str, str]]:
        """Return the rows of the card's table about the score."""
        rows = [("Test accuracy", f"{self.describe()}. {self.majority_text}".strip().removesuffix("."))]
        for name, value, error in (
            ("Balanced accuracy", self.balanced_accuracy, self.balanced_accuracy_error),
            ("Macro-F1", self.macro_f1, self.macro_f1_error),
        ):
            if value is not None and error is not None:
                rows.append((name, f"{format_share(value)} ± {format_share(error)} (standard error)"))
        return rows


class LatencyDetails(_Part):
    """A latency and what it depends on.

    Attributes:
        ms: The latency in milliseconds.
        interval: Its 95 % confidence interval in milliseconds: (low, high).
        runtime: The runtime.
        version: The version of the runtime.
        target: The device's address, such as `local`.
        threads: Threads of an inference.
        batch: Images per inference.
        resolution: The size of the images in pixels: one number for squares, or height and width.
        processor: The processor of the device.
    """

    ms: float
    interval: tuple[float, float]
    runtime: str | None
    version: str | None
    target: str | None
    threads: int | None
    batch: int | None
    resolution: ResolutionField | None
    processor: str | None

    @classmethod
    def of(cls, measurement: Measurement, context: Mapping[str, Any]) -> LatencyDetails:
        """Return the details of a measured latency.

        Args:
            measurement: The measurement.
            context: The archive's context of the measurement, see `evomnas.latency.meter.Meter`.
        """
        names = ("runtime", "version", "target", "threads", "batch", "resolution", "processor")
        settings = {name: context.get(name) for name in names}
        settings["processor"] = context.get("accelerator") or settings["processor"]
        return cls(ms=measurement.latency_ms, interval=(measurement.low_ms, measurement.high_ms), **settings)

    def describe(self) -> str:
        """Return the latency in words, with its interval and what it depends on."""
        low, high = self.interval
        size = None if self.resolution is None else format_resolution(self.resolution)
        return (
            f"{self.ms:.4f} ms (95 % interval {low:.4f} to {high:.4f}) at batch {self.batch} and {size} "
            f"pixels in {self.runtime} {self.version}, {self.threads} thread{'s' * (self.threads != 1)}, "
            f"{self.processor}"
        )


class ModelDetails(_Part):
    """The details of a trained network that `model.json` holds beside what is needed to build it.

    The names of the attributes are the keys of the file, but for `latency_text` and `recipe_text`.

    Attributes:
        title: The title of the card.
        notation: The network's notation.
        folder: The network's folder, as the user wrote it.
        key: The archive's key of everything that the training depended on.
        scored: The archive's key of everything that the test score depended on.
        origin: Where the network comes from.
        images: The images that it takes, in words.
        cost: Its parameters and MACs for one image.
        test: Its test score.
        latency: Its latency; None if it was not measured.
        latency_text: The latency in words (key `latency_said`); None if it was not measured.
        trained_on: The number of training images.
        recipe: The settings of the training, by name.
        recipe_text: The recipe in words (key `recipe_said`).
        teacher: The notation of the network that taught it; None if none did.
        pretrained: The pretrained weights that it started from, in words; None if it started from random ones.
        losses: The mean training loss of every epoch.
        seconds: How long the training took.
        versions: The versions of the software that trained it, by name.
        machine: The machine that trained it.
    """

    title: str
    notation: str
    folder: str
    key: str
    scored: str
    origin: Origin
    images: str
    cost: Cost
    test: ScoreDetails
    latency: LatencyDetails | None
    latency_text: str | None = Field(validation_alias="latency_said", serialization_alias="latency_said")
    trained_on: int
    recipe: dict[str, Any]
    recipe_text: str = Field(validation_alias="recipe_said", serialization_alias="recipe_said")
    teacher: str | None
    pretrained: str | None = None
    losses: tuple[float, ...]
    seconds: float
    versions: dict[str, str]
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the details as `model.json` holds them."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)  # a baseline's origin names no search


def format_share(value: float, digits: int = 2) -> str:
    """Return a share as a percentage.

    Args:
        value: The share, from 0 to 1.
        digits: Digits after the decimal point.

    Returns:
        Text such as "71.30 %".
    """
    return f"{100 * value:.{digits}f} %"


def _score_rows(origin: Origin) -> list[tuple[str, str]]:
    """Return the row about what the search maximised, unless that was the accuracy."""
    if origin.score is None or origin.score_name == "accuracy":
        return []
    return [(f"Validation {SCORE_WORDS[origin.score_name]} in the search", format_share(origin.score))]


def model_card(details: ModelDetails, classes: Sequence[str], preprocessing: Preprocessing, by_class: str = "") -> str:
    """Return the model card of a trained network that was not exported yet.

    Args:
        details: The details of the network.
        classes: The names of its classes.
        preprocessing: What is done with a picture before it is classified.
        by_class: The part about classes, see `evomnas.deploy.cards.class_card.class_card`.

    Returns:
        The card in Markdown.
    """
    origin = details.origin
    names = ", ".join(map(escape_markdown, classes[:20])) + (
        f" and {len(classes) - 20} more" if len(classes) > 20 else ""
    )
    rows = [
        ("Task", f"classify an image into one of {len(classes)} classes: {names}"),
        ("Input", f"{preprocessing.describe()}; pixel values from 0 to 255; normalisation is part of the network"),
        ("Parameters, MACs", f"{details.cost.params:,}, {details.cost.macs:,}"),
        *details.test.rows(),
        *([("Validation accuracy in the search", format_share(origin.accuracy))] if origin.accuracy else []),
        *_score_rows(origin),
        *([("Latency", details.latency_text)] if details.latency_text else []),
        ("Problem", f"{escape_markdown(origin.problem)}: {escape_markdown(origin.data)}"),
        *([("Found by", escape_markdown(origin.search))] if origin.search else []),
        ("Trained on", f"{details.trained_on:,} images, {details.recipe['epochs']} epochs, {details.recipe_text}"),
        *([("Images changed since the search", escape_markdown(origin.changes))] if origin.changes else []),
        *([("Started from", details.pretrained)] if details.pretrained else []),
        *([("Teacher", f"`{details.teacher}`, by knowledge distillation")] if details.teacher else []),
        ("Software", ", ".join(f"{name} {version}" for name, version in details.versions.items())),
    ]
    table = "\n".join(f"| {name} | {text} |" for name, text in rows)
    class_limit = f"Every image gets one of the {len(classes)} classes, whatever it shows."
    latency_limit = "The latency is that of the machine, runtime and number of threads that are named above."
    limits = f"- {class_limit} Logits are not calibrated probabilities."
    if details.latency_text:
        limits += f"\n- {latency_limit}"
    head = front_matter(details.title, origin.problem, details.test.accuracy, details.pretrained)
    return f"""{head}
# {escape_markdown(details.title)}

`{details.notation}`

| | |
| --- | --- |
{table}

{usage_section([], preprocessing)}
{by_class}## Limits

- The test images were read once, after the training had ended, and come from the same source as the training images. On
  images of another camera, light or subject the accuracy is unknown and probably lower.
{limits}
- The recipe and the network were not chosen by this test score; other seeds would give slightly other scores, which the
  interval does not cover. Files that `evomnas export` writes are scored on the same test images. If one of them is
  chosen by that score, for example by how much to prune, its score is optimistic.
"""


def replace_usage(card: str, usage: str) -> str:
    """Return a model card with another section on the use of the network; what users wrote elsewhere stays.

    Args:
        card: The card. The section is added at its end if it has none.
        usage: The section, from its heading on.
    """
    start = re.search(r"^## Use$", card, re.MULTILINE)
    if start is None:
        return f"{card.rstrip()}\n\n{usage}".lstrip()
    end = re.compile(r"^## ", re.MULTILINE).search(card, start.end())
    rest = f"\n{card[end.start() :]}" if end else ""
    return card[: start.start()] + usage + rest
