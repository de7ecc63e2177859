"""The problem file: what a search needs to know, read from TOML and checked as a whole.

`load_definition("digits")` reads a built-in problem, `load_definition("my.toml")` the user's; overrides
such as `training.epochs=8` change single values. Unknown keys and values out of range are errors that
name the place and what is allowed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from evomnas import registry
from evomnas.errors import InputError, unknown
from evomnas.space import SearchSpace

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSection(_Section):
    """Which images: see `evomnas.data`.

    Attributes:
        dataset: A registered data set (`digits`, `cifar10`, `image-folder`, `npz`, ...).
        path: Its folder or file; needed by `image-folder` and `npz`, the download folder for the rest.
        resolution: Height and width in pixels that images are brought to.
        validation: Share of the training images that scores networks during the search.
        train_images: At most this many training images are used by the proxy task; all if absent.
        augment: Random changes of the training images, in this order.
    """

    dataset: str
    path: Path | None = None
    resolution: Annotated[int, Field(ge=1, le=4096)]
    validation: Share = 0.2
    train_images: Count | None = None
    augment: tuple[Literal["shift", "flip", "crop"], ...] = ()


class TrainingSection(_Section):
    """The proxy task: a short training, scored on the validation split (paper section 3).

    Attributes:
        epochs: Passes over the training images.
        batch: Images per step.
        optimizer: `sgd` (Nesterov), `rmsprop` (the paper's) or `adamw`.
        learning_rate: Its peak; it rises linearly over `warmup` and falls to 0 along a cosine.
        warmup: Share of the steps for the rise.
        momentum: Of `sgd` and `rmsprop`.
        weight_decay: L2 penalty (decoupled in `adamw`).
        label_smoothing: Share of the target that is spread over all classes.
        bn_momentum: Weight of the newest batch in batch norm's running statistics.
        dropout: Probability before the classifier.
        seed: Of weights, order and augmentation: it belongs to the problem, not to the run, so that a
            network has one accuracy in all runs.
    """

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


class LatencySection(_Section):
    """What is timed: see `evomnas.latency`.

    Attributes:
        runtime: A registered runtime.
        target: `local`, or `ssh://user@host:port` for another machine.
        method: `network` measures every network whole; `layers` adds up a table of measured layers.
        threads: Threads that one inference may use.
        batch: Images per inference.
        resolution: Height and width in pixels; those of the data if absent.
    """

    runtime: str = "onnxruntime"
    target: str = "local"
    method: Literal["network", "layers"] = "network"
    threads: Count = 1
    batch: Count = 1
    resolution: Annotated[int, Field(ge=1, le=4096)] | None = None


class HypervolumeSection(_Section):
    """The reference point (error, latency relative to the reference network's) of the hypervolume."""

    reference_point: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0)]] = (1.0, 2.0)


class ProblemDefinition(_Section):
    """A whole problem file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    summary: str = ""
    space: SearchSpace = SearchSpace()
    data: DataSection
    training: TrainingSection
    latency: LatencySection = LatencySection()
    hypervolume: HypervolumeSection = HypervolumeSection()

    @model_validator(mode="after")
    def _check(self) -> ProblemDefinition:
        registry.check("datasets", self.data.dataset)
        registry.check("runtimes", self.latency.runtime)
        reference = self.space.mobilenet_v2()
        for resolution in {self.data.resolution, self.latency_resolution}:
            reference.check_resolution(resolution)
        return self

    @property
    def latency_resolution(self) -> int:
        """Height and width in pixels of the timed images."""
        return self.latency.resolution or self.data.resolution


def builtin_problems() -> dict[str, str]:
    """Names and one-line summaries of the built-in problems."""
    return {path.stem: tomllib.loads(path.read_text())["summary"] for path in _builtin_paths().values()}


def _builtin_paths() -> dict[str, Path]:
    folder = Path(str(resources.files("evomnas.problems")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_definition(problem: str | Path, overrides: Sequence[str] = ()) -> ProblemDefinition:
    """Read and check a problem.

    Args:
        problem: A built-in name or a path of a TOML file.
        overrides: `section.key=value` strings; the value is TOML, or else text.

    Raises:
        InputError: No such problem, or its content is wrong; the message lists all faults.
    """
    values, base = _read(problem)
    for override in overrides:
        _apply(values, override)
    path = values.get("data", {}).get("path") if isinstance(values.get("data"), dict) else None
    if isinstance(path, str) and "\0" in path:
        raise InputError("data.path holds a null character")
    if isinstance(path, str):
        given = any(override.partition("=")[0].strip() == "data.path" for override in overrides)
        values["data"]["path"] = str(((Path.cwd() if given else base) / Path(os.path.expanduser(path))).resolve())
    return validate_definition(values)


def validate_definition(values: dict[str, Any]) -> ProblemDefinition:
    """The definition of already parsed values, as `ProblemDefinition.model_dump(mode="json")` makes them."""
    try:
        return ProblemDefinition.model_validate(values)
    except ValidationError as error:
        raise InputError("; ".join(_describe(fault) for fault in error.errors())) from None


def _read(problem: str | Path) -> tuple[dict[str, Any], Path]:
    builtin = _builtin_paths()
    path = builtin.get(str(problem), Path(os.path.expanduser(problem)))
    if str(problem) not in builtin and path.suffix != ".toml":
        error = unknown("problem", str(problem), builtin)
        raise InputError(f"{error}; or give the path of a .toml file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.resolve().parent
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the problem file {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"the problem file {path} is not valid TOML: {str(error)[:200]}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(
            f"cannot read the override {override!r}: write it as section.key=value, as in training.epochs=8"
        )
    try:
        parsed = tomllib.loads(f"value = {text}")
        value = parsed["value"] if len(parsed) == 1 else text
    except (ValueError, RecursionError):
        value = text
    section = values
    for name in names[:-1]:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise InputError(f"cannot set {key}: {name} is a value, not a section")
    section[names[-1]] = value


def _describe(fault: ErrorDetails) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return str(unknown("key", place, _known_keys(fault["loc"])))
    if fault["type"] == "missing":
        return f"{place} is missing"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message if message[:2].isupper() else message[:1].lower() + message[1:]
    shown = "" if isinstance(fault["input"], dict | BaseModel) else f", got {str(fault['input'])[:80]!r}"
    return f"{place}: {message}{shown}" if place else message


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = ProblemDefinition
    for part in location[:-1]:
        model = model.model_fields[part].annotation
    fields = getattr(model, "model_fields", None) or model.__dataclass_fields__
    return [".".join(map(str, (*location[:-1], name))) for name in fields]
