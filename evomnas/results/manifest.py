"""The content of a run's run.json: what people and scripts read of it, as typed values."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evomnas.core.errors import InputError
from evomnas.core.files import check_place, is_partial
from evomnas.core.remedies import shown
from evomnas.core.system.shell import quote
from evomnas.data.gallery.found import Found
from evomnas.problem.sections import Fit
from evomnas.problem.typed.stated import describe_faults
from evomnas.results.answers.majority import Majority

MANIFEST = "run.json"
Finite = Annotated[float, Field(ge=0, lt=math.inf)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", validate_assignment=True)


class Seconds(_Part):
    """The time of a run by purpose, in seconds, over all sessions in which it was carried on.

    Attributes:
        total: From its first start, pauses aside.
        training: Training candidates.
        latency: Measuring them, with what it needs.
        algorithm: The algorithm's own; older versions did not tell it apart.
        other: The rest.
    """

    total: Finite
    training: Finite
    latency: Finite
    algorithm: Finite = 0.0
    other: Finite


Size = Annotated[int, Field(ge=0, le=2**53)]


class ClassSize(_Part):
    """A class and its number of images.

    Attributes:
        name: The name of the class.
        images: How many images it has.
    """

    name: str
    images: Size


class ImageData(_Part):
    """The section `data` of run.json where networks are trained.

    Attributes:
        train, validation: Images of the two splits; with folds, those of a training, and those of all folds.
        folds: Folds of the cross-validation; None without one.
        classes: Classes of the images.
        channels: 1 for grey images, 3 for colour.
        largest, smallest: The classes with the most and the fewest images of both splits; None in older runs.
        majority: The class with the most validation images; None in older runs.
        found: What was found in the folder of images; None of other images, and in older runs.
        fit: How pictures of other proportions got those of the images; None where all had them, and in older runs.
    """

    train: Size
    validation: Size
    folds: Annotated[int, Field(ge=2, le=2**31)] | None = None
    classes: Annotated[int, Field(ge=1, le=2**31)]
    channels: Annotated[int, Field(ge=1, le=2**31)]
    largest: ClassSize | None = None
    smallest: ClassSize | None = None
    majority: ClassSize | None = None
    found: Found | None = None
    fit: Fit | None = None

    @property
    def constant_answer(self) -> Majority | None:
        """What one answer for all validation images scores; None where it is not known."""
        if self.majority is None or not self.validation:
            return None
        return Majority(self.majority.name, self.majority.images, self.validation, self.classes)


class TableData(_Part):
    """The section `data` of run.json where networks are looked up.

    Attributes:
        rows: Networks of the table.
        reference: The name of the reference network.
    """

    rows: Size
    reference: str


class Reused(_Part):
    """Evaluations that the archive knew from other runs.

    Attributes:
        networks: How many networks were known.
        seconds: What training and measuring them would have taken.
    """

    networks: int = 0
    seconds: float = 0.0


class CutTrainings(_Part):
    """Trainings that were cut off.

    Attributes:
        networks: How many.
        saved_seconds: What the rest of them would have taken.
    """

    networks: int = 0
    saved_seconds: float = 0.0


class TrueFront(_Part):
    """The Pareto front of a complete table.

    Attributes:
        hypervolume: Its share of the problem's reference box.
        losses: The losses of its networks.
    """

    hypervolume: float
    losses: list[tuple[float, ...]]


class Answer(_Part):
    """A network that answers a goal.

    Attributes:
        id: Its id.
        architecture: Its notation.
        losses: Its losses; None where it failed.
        score: How well it reaches the goal; larger is better.
    """

    id: str
    architecture: str
    losses: tuple[float, ...] | None
    score: float | None


class GoalAnswer(_Part):
    """The answer to one goal of an algorithm that looks for one network per goal.

    Attributes:
        goal: The goal in words.
        measure: How networks are scored: `soft` or `hard`.
        target: The latency that it aims at.
        best: The best network that was found.
        choice: The one that the algorithm chose, without asking; None where it does not choose.
    """

    goal: str
    measure: str
    target: float
    best: Answer | None
    choice: Answer | None


class AcceptedImages(_Part):
    """Images with which a run went on although they had changed since its search began.

    Attributes:
        images: Their fingerprint, split as the search splits them.
        changes: The changes in words.
        evaluations: Networks that the run had evaluated by then.
        created: When that was.
        context: The archive's context of the candidates that were trained on them; None where none was.
    """

    images: str
    changes: str
    evaluations: Size
    created: str
    context: str | None = None

    def describe(self) -> str:
        """Return it as a sentence."""
        return (
            f"The images have changed since the search began, and were accepted so after {self.evaluations} networks: "
            f"{self.changes}."
        )


class LaterRules(_Part):
    """Other rules of its algorithm by which a run went on; see `evomnas.algorithms.base.rules_version`.

    Attributes:
        rules: Their version.
        asks: How many networks it had asked for by older rules.
    """

    rules: int
    asks: Size

    def describe(self) -> str:
        """Return it as a sentence."""
        return f"The first {self.asks} networks were asked for by an older version of the algorithm."


class Manifest(_Part):
    """run.json, key by key; keys that a later version adds are kept.

    Attributes:
        problem, algorithm, options, candidates, manner, seed: The settings of the run.
        budget: Evaluations; the one setting that can be raised.
        evaluations: Evaluations so far: networks, and those of them that were trained once more.
        hypervolume: Of the front so far.
        status: `running`, `interrupted`, `out of time` or `finished`.
        run: The run's id in the archive.
        created: When it began.
        archive: The archive's path, from the run's folder.
        seconds: Where its time went.
        data: What its evaluator says of the data: sizes of splits and images, or of a table.
        true_front: The front of a complete table; None of other problems.
        definition: The problem, complete.
        versions, machine: What it was begun with.
        explanations: What the algorithm's metrics mean, by name.
        reused: What other runs had evaluated; None before anything was counted.
        goals: What came of the algorithm's goals, where it has any.
        cut: Trainings that were cut off; None where none may be.
        packed: What the run was unpacked from; None of a run that was searched here.
        accepted: Images that had changed, with which it went on; None where there are none.
        later_rules: Other rules of its algorithm by which it went on; None where there are none.
    """

    problem: str
    algorithm: str
    options: dict[str, Any] = Field(default_factory=dict)
    candidates: dict[str, Any] = Field(default_factory=dict)
    manner: dict[str, Any] = Field(default_factory=dict)
    seed: int
    budget: Annotated[int, Field(ge=1)]
    evaluations: int
    hypervolume: float
    status: str
    run: str
    created: str = ""
    archive: str
    seconds: Seconds
    data: dict[str, Any]
    true_front: TrueFront | None = None
    definition: dict[str, Any]
    versions: dict[str, Any]
    machine: dict[str, Any]
    explanations: dict[str, str] | None = None
    reused: Reused | None = None
    goals: list[GoalAnswer] | None = None
    cut: CutTrainings | None = None
    packed: str | None = None
    accepted: list[AcceptedImages] | None = None
    later_rules: LaterRules | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of run.json; what does not apply to the run is left out."""
        optional = ("true_front", "explanations", "reused", "goals", "cut", "packed", "accepted", "later_rules")
        return self.model_dump(mode="json", exclude={name for name in optional if getattr(self, name) is None})


def read_manifest(folder: Path) -> Manifest:
    """Read the run.json of a run.

    Args:
        folder: The run's folder.

    Returns:
        Its content.

    Raises:
        InputError: There is none, it cannot be read, or its content is not that of a run.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} holds no run (no {MANIFEST}): give the folder that evomnas run wrote") from None
    except ValidationError as error:
        raise InputError(f"cannot read {path}: {describe_faults(error)}") from None
    except OSError as error:
        raise InputError(f"cannot read {shown(path)}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path}: {error!r}") from None


def check_free(folder: Path) -> None:
    """Check that a folder can be a new run's.

    Args:
        folder: The folder, which need not exist.

    Raises:
        InputError: It holds a run or anything else, or cannot be made.
    """
    check_place(folder / MANIFEST, "--out DIR")
    if (folder / MANIFEST).exists():
        raise InputError(
            f"{folder} holds a run already: go on with it (evomnas resume {quote(str(folder))}), or start "
            "another with --seed N or --out DIR"
        )
    if folder.exists() and (not folder.is_dir() or any(not is_partial(path) for path in folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder: choose another with --out DIR")
