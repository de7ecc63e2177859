"""The names within a packed run: what is packed, and what alone is taken out of a file from outside."""

from __future__ import annotations

from pathlib import PurePosixPath

from evomnas.data.gallery.listing import LISTING
from evomnas.results.manifest import MANIFEST

ARCHIVE = "evomnas.sqlite"  # in the folder of the run itself, with nothing but what the run needs
FRONT, REPORT, NETWORKS = "front.csv", "report.html", "networks"
NETWORK_SUFFIXES = (
    ".safetensors", ".json", ".md", ".csv", ".png", ".jpg", ".onnx", ".pte", ".tflite", ".xml", ".bin", ".param",
)  # fmt: skip


def is_network_file(name: str) -> bool:
    """Return whether a file in the folder of a trained network is packed: weights, facts, card and exported files.

    The state of a training that has not ended is not: it is several times as large as the weights.

    Args:
        name: The name of the file.
    """
    return name.lower().endswith(NETWORK_SUFFIXES) and not name.startswith(".")


def is_unpacked(path: PurePosixPath) -> bool:
    """Return whether a file is taken out of a packed run.

    A report is not, since a page from outside may do anything in a browser: it is written again from the results.

    Args:
        path: The file's path within the folder of the run.
    """
    parts = path.parts
    return parts in ((MANIFEST,), (ARCHIVE,), (FRONT,), (LISTING,)) or (
        len(parts) == 3 and parts[0] == NETWORKS and not parts[1].startswith(".") and is_network_file(parts[2])
    )
