"""Files of pretrained weights: where they are on this machine, and whether they are what they should be."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.problem.pretrained.donors import PublishedWeights, find_published_weights
from evomnas.problem.pretrained.heritage import RULES
from evomnas.problem.sections import WeightsSection


def find_weights(donor: PublishedWeights, file: Path | None = None) -> Path | None:
    """Return the file of pretrained weights.

    Args:
        donor: The weights, a donor's for example.
        file: The file that the user named; None to look for it in the donor's package and in torch's cache.

    Returns:
        The file; None if it is not on this machine.
    """
    if file is not None:
        return file if file.is_file() else None
    places = (*_in_package(donor), *(_torch_cache() / name for name in donor.files))
    return next((place for place in places if place.is_file()), None)


def _in_package(donor: PublishedWeights) -> list[Path]:
    """Return where an installed package keeps the weights. Nothing of it is imported."""
    if not donor.package:
        return []
    try:
        files = metadata.distribution(donor.package).files or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name in donor.files]


def _torch_cache() -> Path:
    """Return the folder in which torch keeps weights that it has downloaded, as torch.hub has it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints"


@dataclass(frozen=True, slots=True)
class DonorFile:
    """A donor's weights as they are in a file. It travels to the processes that train.

    Attributes:
        name: The donor's name.
        content: The content of the file.
        sha256: Its hash, in hexadecimal digits.
    """

    name: str
    content: bytes
    sha256: str

    @property
    def context(self) -> dict[str, Any]:
        """The identity of these weights, on which trainings that start from them depend, as the archive stores it."""
        return {"name": self.name, "weights": self.sha256, "rules": RULES}


def read_weights(donor: PublishedWeights, file: Path | None = None) -> DonorFile:
    """Read the file of pretrained weights, and check its hash.

    A file of a package or of torch's cache must have a hash that is known. A file that the user named may be any: its
    hash is part of what a training depends on.

    Args:
        donor: The weights, a donor's for example.
        file: The file that the user named; None to look for it.

    Returns:
        The file's content.

    Raises:
        InputError: It is not on this machine, cannot be read, or is not the file that it should be. The message says
            what to do.
    """
    path = find_weights(donor, file)
    if path is None:
        where = f"there is no file {file}" if file is not None else f"no weights of {donor.name} on this machine"
        raise InputError(f"{where}: {donor.how}; evomnas donors lists what there is")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if file is None and not sha256.startswith(donor.hashes):
        raise InputError(
            f"{path} is damaged or another file: its SHA-256 begins with {sha256[:8]}, not with "
            f"{' or '.join(known[:8] for known in donor.hashes)}; remove it, and get it again: {donor.how}"
        )
    return DonorFile(donor.name, content, sha256)


def donor_file(section: WeightsSection | None) -> DonorFile | None:
    """Read the weights that a problem's trainings start from.

    Args:
        section: The problem's section; None where it has none.

    Returns:
        The file's content; None without a section.

    Raises:
        InputError: The file is not on this machine, cannot be read, or is not the file that it should be.
    """
    return None if section is None else read_weights(find_published_weights(section.donor), section.file)
