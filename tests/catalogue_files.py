"""Pictures in every form in which people keep them; all forms of the same pictures."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

CLASSES = ("ants", "bees")


class Entry(NamedTuple):
    """A picture with its class and its split."""

    content: bytes
    label: int
    split: str


def entries(count: int = 30, splits: Mapping[str, int] | None = None, seed: int = 0) -> list[Entry]:
    """Photographs of noise, whose channels tell the classes apart; by default 20 to train on, 4 and 6."""
    sizes = {"train": count - count // 3, "validation": count // 7, "test": count // 3 - count // 7}
    names = [name for name, size in (splits or sizes).items() for _ in range(size)]
    rng, found = np.random.default_rng(seed), []
    for number, split in enumerate(names):
        pixels = rng.integers(0, 200, (20, 24, 3), dtype=np.uint8)
        pixels[:, :, number % 2] += 55
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        found.append(Entry(content.getvalue(), number % 2, split))
    return found


def write_tar(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    """A tar file of members with any names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_folder(path: Path, pictures: Sequence[Entry]) -> Path:
    """A folder of splits and classes."""
    for number, entry in enumerate(pictures):
        place = path / entry.split / CLASSES[entry.label]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03}.png").write_bytes(entry.content)
    return path


def write_csv(path: Path, pictures: Sequence[Entry], header: str = "path,label,split") -> Path:
    """A CSV file with its pictures beside it."""
    (path / "pictures").mkdir(parents=True, exist_ok=True)
    lines = [header]
    for number, entry in enumerate(pictures):
        (path / "pictures" / f"{number:03}.png").write_bytes(entry.content)
        lines.append(f"pictures/{number:03}.png,{CLASSES[entry.label]},{entry.split}")
    (path / "list.csv").write_text("\n".join(lines) + "\n")
    return path / "list.csv"


def write_shards(path: Path, pictures: Sequence[Entry], per_shard: int = 8) -> Path:
    """A folder of tar shards."""
    for split in dict.fromkeys(entry.split for entry in pictures):
        chosen = [(number, entry) for number, entry in enumerate(pictures) if entry.split == split]
        for start in range(0, len(chosen), per_shard):
            members = [
                (f"{number:06}.{suffix}", content)
                for number, entry in chosen[start : start + per_shard]
                for suffix, content in (("png", entry.content), ("cls", str(entry.label).encode()))
            ]
            write_tar(path / f"{split}-{start:05}.tar", members)
    (path / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return path


def write_parquet(path: Path, pictures: Sequence[Entry], group: int = 5) -> Path:
    """Parquet files in the layout of Hugging Face."""
    import pyarrow
    import pyarrow.parquet

    (path / "data").mkdir(parents=True)
    features = {"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    for split in dict.fromkeys(entry.split for entry in pictures):
        chosen = [entry for entry in pictures if entry.split == split]
        table = pyarrow.table(
            {
                "image": pyarrow.array([{"bytes": entry.content, "path": "a.png"} for entry in chosen]),
                "label": pyarrow.array([entry.label for entry in chosen]),
            }
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        file = path / "data" / f"{split}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(table, file, row_group_size=group)
    return path


def write_npz(path: Path, pictures: Sequence[Entry]) -> Path:
    """Arrays under MedMNIST's names."""
    path.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        chosen = [entry for entry in pictures if entry.split == split]
        if chosen:
            arrays[f"{part}_images"] = np.stack([np.asarray(Image.open(io.BytesIO(entry.content))) for entry in chosen])
            arrays[f"{part}_labels"] = np.array([[entry.label] for entry in chosen], dtype=np.uint8)
    np.savez(path / "arrays.npz", **arrays)
    return path / "arrays.npz"


FORMS = {
    "image-folder": write_folder, "csv": write_csv, "webdataset": write_shards, "parquet": write_parquet,
    "npz": write_npz,
}  # fmt: skip
