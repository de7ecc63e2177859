"""The pictures of a folder by their names: annotations name files by paths of other computers, or without a suffix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from evomnas.data.boxes.annotated import Faults
from evomnas.data.catalogues.entries import printable, split_of_file
from evomnas.data.gallery.kinds import is_picture_file, is_picture_name
from evomnas.data.gallery.layout import Split, split_name

OTHER_SUFFIXES = (".xml", ".txt", ".json", ".yaml", ".yml", ".csv", ".md", ".py", ".names")  # no pictures: not opened
LIST_FOLDERS = ("imagesets", "main")  # of Pascal VOC


class PictureIndex:
    """The pictures below a folder.

    Attributes:
        root: The folder.
        paths: The pictures, by name.
    """

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        """Look for pictures among files.

        Args:
            root: The folder.
            files: All files below it.
        """
        self.root = root
        files = list(files)
        self.paths = [file for file in files if file.suffix.lower() not in OTHER_SUFFIXES and is_picture_file(file)]
        self._named: dict[str, list[Path]] = {}
        for path in self.paths:
            for name in {path.name.lower(), path.stem.lower()}:
                self._named.setdefault(name, []).append(path)
        self._lists = _read_lists(root, files)

    def name(self, file: Path) -> str:
        """Return the path of a file from the folder, for messages.

        Args:
            file: The file.
        """
        return printable(file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file))

    def find(self, names: Sequence[str], annotation: Path, faults: Faults, where: str) -> Path | None:
        """Return the picture that an annotation means.

        Of several with the same name, the one counts whose folders are named in the annotation as well, or else the one
        of the same split, or else the nearest one.

        Args:
            names: What it may be called, the likeliest first; paths may be of another computer.
            annotation: The file that names it.
            faults: Takes what is wrong.
            where: The place in that file.

        Returns:
            The picture; None where there is none, or several could be meant.
        """
        for name in names:
            path = PurePosixPath(name.replace("\\", "/"))
            found = self._named.get(path.name.lower()) or self._named.get(path.stem.lower()) or []
            order = sorted(found, key=lambda one: self._likeness(one, path, annotation), reverse=True)
            if len(order) > 1 and len({self._likeness(one, path, annotation) for one in order[:2]}) == 1:
                both = " or ".join(self.name(one) for one in order[:2])
                faults.add("pictures of which there are several", f"{where} ({both})")
                return None
            if order:
                return order[0]
        faults.add("pictures that are missing", f"{where} ({printable(names[0])})" if names[0] not in where else where)
        return None

    def _likeness(self, picture: Path, named: PurePosixPath, annotation: Path) -> tuple[int, bool, int]:
        """Return how well a picture suits a name in a file; larger is better."""
        same = _common(reversed(picture.parent.parts), reversed(named.parent.parts))
        split = split_of_file(annotation, self.root)
        near = _common(picture.parent.parts, annotation.parent.parts)
        return same, split is not None and self._folder_split(picture) == split, near

    def split(self, file: Path) -> Split | None:
        """Return the split of a picture or of its annotation: as lists have it, or else by a folder around it.

        Args:
            file: The picture or the file of its boxes.

        Returns:
            The split; None where no list has the picture, or there is no list and no folder means one.
        """
        return self._lists.get(file.stem.lower()) if self._lists else self._folder_split(file)

    def _folder_split(self, file: Path) -> Split | None:
        parts = file.relative_to(self.root).parts[:-1] if file.is_relative_to(self.root) else ()
        return next((split for part in reversed(parts) if (split := split_name(part)) is not None), None)


def _common(first: Iterable[str], second: Iterable[str]) -> int:
    """Return how many parts of two paths are the same, from their beginnings on."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one.lower() != other.lower():
            break
        count += 1
    return count


def _read_lists(root: Path, files: Iterable[Path]) -> dict[str, Split]:
    """Return the split of each picture by its stem, where texts such as `ImageSets/Main/train.txt` list them.

    A list of the pictures to train or validate on is regarded only where there is none of those to train on.
    """
    places = [
        file for file in files
        if file.suffix.lower() == ".txt" and split_name(file.stem) is not None
        and (file.parent == root or file.parent.name.lower() in LIST_FOLDERS)
    ]  # fmt: skip
    lists = {file: split_name(file.stem) for file in places}
    own = [file for file, split in lists.items() if split == "train" and "trainval" not in file.stem.lower()]
    found: dict[str, Split] = {}
    for file, split in lists.items():
        if split is not None and (file in own or split != "train" or not own):
            lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            stems = (PurePosixPath(line.split()[0].replace("\\", "/")) for line in lines if line.split())
            found |= {_stem(path): split for path in stems}
    return found


def _stem(path: PurePosixPath) -> str:
    """Return the stem of a picture in a list, where most have no suffix but may have points."""
    return (path.stem if is_picture_name(path.name) else path.name).lower()
