"""Problems as people type them, with settings that suit the images where these are people's own.

Names, headers and sizes of a few pictures are looked at for that. A problem file says itself what it wants and stays as
it is, and so does what is typed as an override.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from evomnas.core.arguments import checked
from evomnas.core.numbers.npz_headers import array_headers
from evomnas.data.catalogues.finding import READERS, list_pictures
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles, list_files
from evomnas.data.gallery.layout import check_layout, find_layout
from evomnas.data.gallery.reading import TEST_SHARE
from evomnas.data.photographs import open_content
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.loading import builtin_problems
from evomnas.problem.loading import load_definition as read_definition
from evomnas.problem.sections import NEWEST_RULES, DataSection
from evomnas.problem.typed.paths import OWN_DATASETS, OWN_IMAGES
from evomnas.problem.typed.suiting import OwnImages, Suggestion, suggest

LOOKED_AT = 50  # pictures whose size is looked at

Say = Callable[[Suggestion], object]


@checked
def load_definition(
    problem: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    data: str | Path | None = None,
    donor: str | None = None,
    on_suggestion: Say = lambda suggestion: None,
) -> Definition:
    """Read and check a problem, with settings that suit the images where these are one's own.

    Args:
        problem: A built-in name, the path of a TOML file, or images of one's own: a folder, a list, an npz file. None
            for the images of `data`.
        overrides: `section.key=value` strings; the value is TOML, or else text.
        data: The path of the images, or of the table, in place of the problem's own; None to leave that as it is.
        donor: A network whose pretrained weights all trainings start from. The space around it and the recipes that
            suit it take the place of the problem's own. None to leave that as it is.
        on_suggestion: Told of the settings that were chosen, and why.

    Returns:
        The checked problem, of the kind that its sections say.

    Raises:
        InputError: No such problem or images, or a content is wrong; the message lists all faults.
    """
    definition = read_definition(problem, overrides, data=data, donor=donor)
    if not _is_own(problem, data, definition):
        return definition
    assert isinstance(definition, ProblemDefinition)
    suggestions = suggest(look(definition.data), definition.data, [one.partition("=")[0].strip() for one in overrides])
    for suggestion in suggestions:
        on_suggestion(suggestion)
    settings = [f"{key}={value}" for suggestion in suggestions for key, value in suggestion.settings.items()]
    return read_definition(problem, [*settings, *overrides], data=data, donor=donor)


def _is_own(problem: str | Path | None, data: str | Path | None, definition: Definition) -> bool:
    """Return whether somebody named images, and no problem file or donor that says how to train."""
    if not isinstance(definition, ProblemDefinition) or definition.donor is not None:
        return False
    path = definition.data.path
    if path is None or not path.exists() or definition.data.rules != NEWEST_RULES:  # what is missing is said later
        return False
    if problem is None or str(problem) == OWN_IMAGES:
        named = problem is not None or data is not None
    else:
        named = str(problem) not in builtin_problems() and Path(problem).suffix.lower() != ".toml"
    return named and definition.data.dataset in (*OWN_DATASETS, "npz")


def look(section: DataSection) -> OwnImages:
    """Look at the number and the sizes of images; none is read whole.

    Args:
        section: The data section, whose images are one's own.

    Returns:
        What is known of them.

    Raises:
        InputError: They are not where it says, or cannot be used.
    """
    path = required_path(section)
    if section.dataset == "npz":
        headers = array_headers(path)
        shape = next((headers[name][0] for name in ("x_train", "train_images") if name in headers), (0,))
        return OwnImages(shape[0])
    files = _list(section)
    splits = np.array(files.splits)
    validating = int((splits == "validation").sum())
    training = int((splits == "train").sum()) or round((1 - TEST_SHARE) * len(splits))
    return OwnImages(training + validating, _middle_side(files), validating)


def _list(section: DataSection) -> GalleryFiles:
    """Return the pictures of a section by their names."""
    if section.dataset in READERS:
        return list_pictures(section)
    layout = find_layout(required_path(section))
    check_layout(layout)
    return list_files(layout)


def _middle_side(files: GalleryFiles) -> int | None:
    """Return the median of the shorter sides of some pictures in pixels; None where none can be opened."""
    count = len(files.splits)
    found = []
    for place in np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int)):
        for content in islice(files.source.part(int(place), int(place) + 1).read(), 1):
            try:
                found.append(min(open_content(content).size))
            except (OSError, ValueError, SyntaxError):  # the search says more about it
                continue
    return int(np.median(found)) if found else None
