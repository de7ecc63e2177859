"""The files of a run's trained networks: those that evomnas train, evomnas export and evomnas detect wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.deploy.detection.exported_detectors import read_detector_exports
from evomnas.deploy.formats.exported_files import Export, read_exports
from evomnas.report.words import TextTable
from evomnas.results.run import Run

NETWORKS_FOLDER = "networks"
KNOWN_FILES = {  # beside the exported ones, which a table in the folder lists
    "weights.safetensors": "weights, for evomnas.load_network",
    "README.md": "model card",
}
HEADER = ("file", "what it is", "test accuracy", "latency ms", "KiB")


def network_files(run: Run) -> TextTable | None:
    """Return a table of the files of a run's trained networks, those for devices first within each folder.

    Args:
        run: The run.

    Returns:
        A header, and a row of cells per file, with `-` for what is not known of it. None where there are none.
    """
    is_detector = run.definition.detects
    folders = sorted(path for path in (run.folder / NETWORKS_FOLDER).glob("*") if path.is_dir())
    rows = [row for folder in folders for row in (_detector_rows(folder) if is_detector else _rows(folder))]
    header = tuple(name.replace("accuracy", "AP") for name in HEADER) if is_detector else HEADER
    return (header, rows) if rows else None


def _rows(folder: Path) -> Iterator[tuple[str, ...]]:
    for export in _exports(folder):
        latency = "-" if export.latency_ms is None else f"{export.latency_ms:.4f}"
        words = f"{export.format}, {export.variant}"
        yield _row(folder / export.file, words, f"{export.score.accuracy:.2%}", latency)
    yield from _known_rows(folder, KNOWN_FILES)


def _detector_rows(folder: Path) -> Iterator[tuple[str, ...]]:
    try:
        exports = read_detector_exports(folder)
    except InputError:
        exports = []
    for export in exports:
        if (folder / export.file).is_file():
            latency = "-" if export.latency_ms is None else f"{export.latency_ms:.4f}"
            yield _row(folder / export.file, f"{export.format}, {export.variant}", f"{export.ap:.2%}", latency)
    yield from _known_rows(folder, KNOWN_FILES | {"weights.safetensors": "weights, for evomnas.load_detector"})


def _known_rows(folder: Path, known: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for name, words in known.items():
        if (folder / name).is_file():
            yield _row(folder / name, words, "-", "-")


def _exports(folder: Path) -> list[Export]:
    """Return the exports of a folder that are still there; none where their table cannot be read."""
    try:
        return [export for export in read_exports(folder) if export.has_own_name and (folder / export.file).is_file()]
    except InputError:
        return []


def _row(path: Path, words: str, accuracy: str, latency: str) -> tuple[str, ...]:
    name = path.relative_to(path.parents[2]).as_posix()
    return name, words, accuracy, latency, f"{path.stat().st_size / 1024:,.1f}"
