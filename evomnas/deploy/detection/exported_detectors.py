"""The table of a detector's exported files, `exports.json` in its folder. Reading it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evomnas.core.errors import InputError
from evomnas.deploy.formats import FORMATS
from evomnas.deploy.formats.exported_files import EXPORTS_FILE, FILE_NAME


@dataclass(frozen=True)
class DetectorExport:
    """An exported file and its figures, a row of `exports.json`.

    Attributes:
        file: The name of the file, in the detector's folder.
        format: `onnx`, `executorch` or `litert`.
        variant: `float` or `int8`.
        ap: COCO's average precision on the test images, in its runtime.
        ap50: That at an intersection over union of 0.5.
        images: The number of test images.
        agreement: The share of the boxes of which PyTorch is at least 30 % sure that the file finds as well: of the
            same class, with an overlap of at least 0.7 and a score that differs by at most 0.1; None where it has none.
        latency_ms: The latency in milliseconds; None if it could not be measured.
        low_ms: The lower end of its 95 % interval; None likewise.
        high_ms: The upper end of its 95 % interval; None likewise.
        bytes: The size of the file.
        packed_bytes: The size of the file after deflate.
        source: The hash of the weights.
    """

    file: str
    format: str
    variant: str
    ap: float
    ap50: float
    images: int
    agreement: float | None
    latency_ms: float | None
    low_ms: float | None
    high_ms: float | None
    bytes: int
    packed_bytes: int
    source: str


def read_detector_exports(folder: Path) -> list[DetectorExport]:
    """Return the table of a detector's exports; files that are not called as evomnas calls them are left out.

    Args:
        folder: The detector's folder.

    Raises:
        InputError: The table cannot be read.
    """
    try:
        rows = TypeAdapter(list[DetectorExport]).validate_json((folder / EXPORTS_FILE).read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a table that evomnas export wrote"
        raise InputError(f"cannot read {folder / EXPORTS_FILE}: {reason}; remove it, and export again") from None
    return [row for row in rows if FILE_NAME.fullmatch(row.file) and row.format in FORMATS]
