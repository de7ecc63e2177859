"""The folder of a trained network on the Hugging Face Hub. Nothing is sent before `push_files` is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from evomnas.core.errors import InputError
from evomnas.deploy.detection.detector_files import DETECTOR_MANIFEST, read_detector_manifest
from evomnas.deploy.detection.exported_detectors import read_detector_exports
from evomnas.deploy.formats.exported_files import EXPORTS_FILE, FIGURE_FILE, read_exports
from evomnas.deploy.hubs.repositories import check_repository
from evomnas.deploy.saving import MODEL_CARD, MODEL_MANIFEST, WEIGHTS_FILE, read_manifest

INSTALL = "pip install 'evomnas[hub]'"
CARD_FILES = ("confusion.csv", "mistake-*.png", FIGURE_FILE)  # what a card shows
_LICENSE = re.compile(r"[a-z0-9.-]+")
_LICENSE_LINE = re.compile(r"^(# )?license:.*$", re.MULTILINE)


def files_to_push(folder: Path, license_name: str | None = None) -> dict[str, bytes]:
    """Return the files of a trained network that others need: card, description, weights, pictures and exports.

    Args:
        folder: The network's folder.
        license_name: The licence in the head of the card, by the Hub's name for it; None to leave the card as it is.

    Returns:
        The contents by name, the card first.

    Raises:
        InputError: The folder has no trained network or no card, or the licence has another form.
    """
    is_detector = (folder / DETECTOR_MANIFEST).is_file()
    if is_detector:
        read_detector_manifest(folder)
        exported = [export.file for export in read_detector_exports(folder)]
    else:
        read_manifest(folder)
        exported = [export.file for export in read_exports(folder) if export.has_own_name]
    pictures = sorted(path.name for pattern in CARD_FILES for path in folder.glob(pattern))
    names = [MODEL_CARD, MODEL_MANIFEST, DETECTOR_MANIFEST, WEIGHTS_FILE, EXPORTS_FILE, *exported, *pictures]
    files = {name: (folder / name).read_bytes() for name in dict.fromkeys(names) if (folder / name).is_file()}
    if MODEL_CARD not in files:
        raise InputError(f"{folder} has no {MODEL_CARD}, the model card: evomnas train writes it")
    if license_name is not None:
        files[MODEL_CARD] = _with_license(files[MODEL_CARD].decode(), license_name).encode()
    return files


def _with_license(card: str, name: str) -> str:
    if not _LICENSE.fullmatch(name):
        raise InputError(f"--license takes a name of the Hub, such as apache-2.0 or cc-by-4.0, not {name!r}")
    head, separator, rest = card[4:].partition("\n---\n")
    if not card.startswith("---\n") or not separator:
        raise InputError(f"{MODEL_CARD} does not begin with what the Hub reads: train the network again, or edit it")
    line = f"license: {name}"
    head = _LICENSE_LINE.sub(line, head, count=1) if _LICENSE_LINE.search(head) else f"{line}\n{head}"
    return f"---\n{head}{separator}{rest}"


def push_files(
    files: Mapping[str, bytes], repository: str, *, private: bool = False, endpoint: str | None = None
) -> str:
    """Make a repository where there is none, and put files into it, in one commit.

    Args:
        files: The contents by name.
        repository: Its owner and its own name.
        private: Whether a new repository is private.
        endpoint: The address of the Hub; None for the usual one.

    Returns:
        The address of the commit.

    Raises:
        InputError: huggingface_hub is not installed, nobody is logged in, or the Hub refuses.
    """
    check_repository(repository)
    hub = _import_hub()
    api = hub.HfApi(endpoint=endpoint)
    operations = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.create_commit(repository, operations, commit_message="A network of evomnas")
    except (hub.errors.HfHubHTTPError, hub.errors.LocalTokenNotFoundError, OSError) as error:
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"the Hub took nothing: {first_line}; hf auth login says who you are") from None
    return str(done.commit_url)


def _import_hub() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise InputError(f"evomnas push needs huggingface_hub: {INSTALL}") from None
    return huggingface_hub
