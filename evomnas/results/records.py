"""What the archive keeps of a run: its settings, and the sequence of what its algorithm asked and was told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from evomnas.problem.definition import Definition
from evomnas.problem.loading import validate_definition
from evomnas.results.candidate_limits import CandidateLimits


@dataclass(frozen=True, slots=True)
class SearchMode:
    """The way a run searches, beside its algorithm. The defaults are what runs of older versions did.

    Attributes:
        asynchronous: It breeds whenever a worker is free, and does not wait for the end of a generation.
        early_stop: It cuts candidates off that their first epochs show to be dominated beyond doubt.
        lessons: The archive's context of what it learnt from elsewhere before it began; None where that is nothing.
        inherits: Its networks may inherit the weights of others, so that what came of them is its own.
        confirm: The share of its budget that it keeps for second trainings; 0 where no network is trained again.
    """

    asynchronous: bool = False
    early_stop: bool = False
    lessons: str | None = None
    inherits: bool = False
    confirm: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return its values by name, without those that older versions did not know where they are the defaults."""
        newer = {"lessons": None, "inherits": False, "confirm": 0.0}
        return {name: value for name, value in asdict(self).items() if name not in newer or value != newer[name]}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The settings of a run, which never change.

    Attributes:
        id: A random name.
        algorithm: The name of a registered algorithm.
        seed: The algorithm's seed.
        definition: The problem.
        training_context: The archive's context of its trainings (of its table on tabular problems).
        measurement_context: The archive's context of its measurements (of its table on tabular problems).
        created: When it began, in ISO format, UTC.
        options: The algorithm's options that are not its defaults.
        candidates: What one candidate may take.
        mode: How it searches.
        rules: The version of the algorithm's rules by which it began; see `evomnas.algorithms.base.rules_version`.
    """

    id: str
    algorithm: str
    seed: int
    definition: Definition
    training_context: str
    measurement_context: str
    created: str
    options: Mapping[str, Any] = field(default_factory=dict)
    candidates: CandidateLimits = field(default_factory=CandidateLimits)
    mode: SearchMode = field(default_factory=SearchMode)
    rules: int = 1

    def to_row(self) -> dict[str, Any]:
        """Return the row of the archive's table `runs`; `from_row` is the inverse."""
        return {
            "id": self.id,
            "algorithm": self.algorithm,
            "seed": self.seed,
            "definition": json.dumps(self.definition.model_dump(mode="json")),
            "proxy": self.training_context,
            "device": self.measurement_context,
            "created": self.created,
            "options": json.dumps(dict(self.options)),
            "candidates": self.candidates.to_json(),
            "manner": json.dumps(self.mode.to_json() | ({} if self.rules == 1 else {"rules": self.rules})),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> RunRecord:
        """Return the record of a row of the archive's table `runs`.

        Args:
            row: The row's values by column.

        Raises:
            InputError: The problem is none that this version can read.
        """
        mode = json.loads(row["manner"])
        rules = mode.pop("rules", 1)
        return cls(
            id=row["id"],
            algorithm=row["algorithm"],
            seed=row["seed"],
            definition=validate_definition(_with_rules(json.loads(row["definition"]))),
            training_context=row["proxy"],
            measurement_context=row["device"],
            created=row["created"],
            options=json.loads(row["options"]),
            candidates=CandidateLimits.from_json(row["candidates"]),
            mode=SearchMode(**mode),
            rules=rules,
        )


def _with_rules(values: dict[str, Any]) -> dict[str, Any]:
    """Return a stored definition with the rules by which version 0.1 read folders of images, if it names none."""
    if isinstance(values.get("data"), dict):
        values["data"].setdefault("rules", 1)
    return values


@dataclass(frozen=True, slots=True)
class Ask:
    """One network that a run's algorithm asked for.

    Attributes:
        position: Its place in the sequence of all asks, from 0.
        generation: From 0.
        architecture: The network's notation.
    """

    position: int
    generation: int
    architecture: str


@dataclass(frozen=True, slots=True)
class Tell:
    """One result that an algorithm was told while other networks were under way.

    Attributes:
        number: Its place in the sequence of all tells, from 0.
        asks: How much had been asked for by then.
        ask: The position of what it was asked for.
    """

    number: int
    asks: int
    ask: int


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """A generation that was told.

    Attributes:
        generation: From 0.
        seconds: The run's seconds by then.
        metrics: What the algorithm says of itself, by name, such as `reward`; see
            `evomnas.algorithms.base.Introspective`.
    """

    generation: int
    seconds: float
    metrics: dict[str, float]
