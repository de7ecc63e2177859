"""Named search spaces, and the defaults of a problem with a donor, which a problem file need not spell out.

With a donor these are the space around the donor, and recipes that suit pretrained weights.

A recipe for random weights spoils pretrained ones. These recipes have AdamW, a learning rate that rises and falls over
the whole training, a classifier that learns three times as fast as the rest, and batch norm's statistics that are taken
from the training images first and stay as they are then. docs/pretrained-recipes.md has what they were compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.resolution import MAX_PIXELS, to_resolution
from evomnas.problem.genes.mobilenet_v4 import MOBILENET_V4, mobilenet_v4_space, scaled_reference
from evomnas.problem.pretrained.donors import Donor, find_donor
from evomnas.problem.pretrained.space import AROUND_DONOR, space_around

_RECIPE: dict[str, Any] = {
    "batch": 32, "optimizer": "adamw", "learning_rate": 3e-4, "warmup": 0.25, "weight_decay": 0.01,
    "label_smoothing": 0.1, "head_rate": 3.0, "statistics": "frozen",
}  # fmt: skip
PROXY: dict[str, Any] = {**_RECIPE, "epochs": 3}
FULL: dict[str, Any] = {**_RECIPE, "epochs": 15, "dropout": 0.0, "schedule": "cosine"}

Values = Mapping[str, Any]


def start_from(values: Values, donor: str, file: str | None = None) -> dict[str, Any]:
    """Return the values of a problem file, with a donor in place of its own space and recipes.

    Args:
        values: The parsed file.
        donor: The donor's name.
        file: The file of its weights; None to look for it.

    Returns:
        The values of the problem that searches around the donor.
    """
    kept = {name: value for name, value in values.items() if name not in ("space", "training", "full")}
    weights = {"donor": donor} if file is None else {"donor": donor, "file": file}
    return {**kept, "space": {"preset": AROUND_DONOR}, "weights": weights}


def with_defaults(values: Values) -> Values:
    """Return the values of a problem file, completed where its donor says what is usual.

    Args:
        values: The parsed file, in which anything may be wrong.

    Returns:
        The values with all of a named space, and of a donor's space and recipes, that the file does not set itself.
        Without these, or where what that needs is missing or wrong, they are as they were.

    Raises:
        InputError: There is no such donor, or the file asks for a donor's space without naming a donor.
    """
    weights, space = values.get("weights"), values.get("space", {})
    space = {"preset": space} if isinstance(space, str) else space
    preset = space.get("preset") if isinstance(space, Mapping) else None
    if preset is not None and preset not in (AROUND_DONOR, MOBILENET_V4):
        known = f"there are {AROUND_DONOR!r} and {MOBILENET_V4!r}"
        raise InputError(f"unknown space {str(preset)[:80]!r}: {known}, or a section [space]")
    if preset == MOBILENET_V4:
        changes = {name: value for name, value in space.items() if name != "preset"}
        own = asdict(mobilenet_v4_space()) | {"base": scaled_reference(changes)}
        values, preset = {**values, "space": own | changes}, None
    if not isinstance(weights, Mapping) or not isinstance(weights.get("donor"), str):
        if preset is not None:
            raise InputError(f"space = {AROUND_DONOR!r} needs a donor: --donor NAME, or a section [weights]")
        return values
    donor, completed = find_donor(weights["donor"]), dict(values)
    for name, defaults in (("training", PROXY), ("full", FULL)):
        if isinstance(values.get(name, {}), Mapping):
            completed[name] = {**defaults, **values.get(name, {})}
    if preset is not None:
        completed["space"] = _space(donor, space, values.get("data"))
    return completed


def _space(donor: Donor, space: Values, data: Any) -> dict[str, Any]:
    """Return the values of a donor's space, with what the file changes."""
    resolution = data.get("resolution") if isinstance(data, Mapping) else None
    typed = [*resolution] if isinstance(resolution, list | tuple) else [resolution, resolution]
    numbers = [one for one in typed if isinstance(one, int) and 1 <= one <= MAX_PIXELS]
    usable = to_resolution(*numbers) if len(typed) == len(numbers) == 2 else 224  # what is not is refused elsewhere
    changes = {name: value for name, value in space.items() if name != "preset"}
    return {**asdict(space_around(donor, usable)), **changes}
