"""Fingerprints of prepared images, which are kept beside them: to compute one, all of their bytes are read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from evomnas.core.files import write_atomically

NOTES = "fingerprints.json"  # in the folder of a set


def known_fingerprint(images: Path, question: str) -> str | None:
    """Return a fingerprint that was computed before.

    Args:
        images: The file of the images.
        question: A hash of all that the fingerprint is of, with the rows of the images in place of their pixels.

    Returns:
        The fingerprint; None where it is not known.
    """
    answer = _read(images).get(question)
    return answer if isinstance(answer, str) else None


def keep_fingerprint(images: Path, question: str, fingerprint: str) -> None:
    """Keep a fingerprint, where the folder can be written to.

    Args:
        images: The file of the images.
        question: See `known_fingerprint`.
        fingerprint: The fingerprint.
    """
    with suppress(OSError):
        write_atomically(images.parent / NOTES, json.dumps(_read(images) | {question: fingerprint}, indent=2))


def _read(images: Path) -> dict[str, object]:
    try:
        notes = json.loads((images.parent / NOTES).read_bytes())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}
