"""Data of the report's script about classes: what networks recognise, what they confuse, and their worst mistakes.

There are two kinds of images. The validation images show the networks of the front and the reference network as the
search saw them. The test images show the networks that were trained in full, which is what ships.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomnas.data.pictures import PNG
from evomnas.results.answers.majority import Majority
from evomnas.results.answers.mistakes import Answers
from evomnas.results.full_trainings import FullyTrained
from evomnas.results.run import Result, Run

MAX_MATRIX = 12  # classes, up to which a page shows whole matrices
MAX_PAIRS = 15  # mistakes that are listed where there are more classes
MAX_RECALLS = 100_000  # shares of classes, of all networks together
MAX_PICTURE_BYTES = 250_000  # of all pictures of one kind of images


@dataclass(frozen=True, slots=True)
class _Images:
    """The images that networks answered.

    Attributes:
        name: What they are called.
        fingerprint: By which the archive knows them.
    """

    name: str
    fingerprint: str


def class_data(run: Run, results: Sequence[Result], trained: Sequence[FullyTrained]) -> dict[str, Any]:
    """Return what the page shows about classes.

    Args:
        run: The run.
        results: Its results.
        trained: The networks that were trained in full, the best first.

    Returns:
        `validation` and `test`, each with the names of the classes, their images, and for each network its recalls,
        confusions and worst mistakes. None where nothing is known, as on tables.
    """
    if not run.definition.trains:
        return {"validation": None, "test": None}
    validation = {
        result.evaluation.architecture.id: answers
        for result in run.explained(results)
        if (answers := run.reader.answers(result.evaluation.architecture)) is not None
    }
    test = {one.name: one.result.answers for one in trained if one.result.answers is not None}
    fingerprint = trained[0].images if trained else ""
    return {
        "validation": _describe(run, _Images("validation images", run.search_images_fingerprint), validation),
        "test": _describe(run, _Images("test images", fingerprint), test),
    }


def _describe(run: Run, images: _Images, networks: Mapping[str, Answers]) -> dict[str, Any] | None:
    """Return what the page shows of networks that answered the same images; None where there are none."""
    names = run.archive.class_names(images.fingerprint)
    if not networks or any(answers.confusion.classes != len(names) for answers in networks.values()):
        return None
    shown = dict(list(networks.items())[: max(2, MAX_RECALLS // len(names))])
    confusion = next(iter(shown.values())).confusion
    majority = Majority.of(confusion, names).describe(run.trained_problem().data.test_score, quote="“{}”".format)
    return {
        "images": images.name,
        "total": confusion.total,
        "majority": majority,
        "names": names,
        "counts": confusion.images.tolist(),
        "networks": {name: _network(answers) for name, answers in shown.items()},
        "pictures": _pictures(run, images.fingerprint, list(shown.values())),
    }


def _network(answers: Answers) -> dict[str, Any]:
    """Return recalls in percent (None without images), all confusions or the most frequent ones, and the mistakes."""
    confusion = answers.confusion
    recalls = [None if share != share else round(100 * share, 1) for share in confusion.recall.tolist()]
    is_small = confusion.classes <= MAX_MATRIX
    return {
        "recall": recalls,
        "matrix": confusion.dense().tolist() if is_small else None,
        "pairs": [] if is_small else confusion.confused(MAX_PAIRS),
        "mistakes": answers.mistakes,
    }


def _pictures(run: Run, fingerprint: str, networks: Sequence[Answers]) -> dict[int, str]:
    """Return pictures as `data:` addresses by their places, as many as there is room for, those of the worst first."""
    by_rank = [
        answers.mistakes[rank].image
        for rank in range(max(len(answers.mistakes) for answers in networks))
        for answers in networks
        if rank < len(answers.mistakes)
    ]
    pictures: dict[int, str] = {}
    room = MAX_PICTURE_BYTES
    for place in dict.fromkeys(by_rank):
        content = run.archive.picture(fingerprint, place)
        if content is None:
            continue
        address = _address(content)
        room -= len(address)
        if room < 0:
            break
        pictures[place] = address
    return pictures


def _address(content: bytes) -> str:
    kind = "png" if content.startswith(PNG) else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
