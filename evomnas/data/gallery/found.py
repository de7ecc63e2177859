"""Facts about a folder of images, for people: classes, splits, sizes, copies, and what was not read.

`Found` is part of a run's run.json, and its report says it in full.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, le=2**53)]
MAX_EXAMPLES = 5  # files that are named of each kind


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Group(_Part):
    """Files with something in common.

    Attributes:
        what: What they have in common, in words.
        count: How many they are.
        examples: Some of them, from the folder that was given.
    """

    what: str
    count: Count
    examples: list[str]

    @classmethod
    def of(cls, what: str, files: list[str]) -> Group:
        """Return the group of some files.

        Args:
            what: What they have in common.
            files: Their paths from the folder that was given.
        """
        return cls(what=what, count=len(files), examples=sorted(files)[:MAX_EXAMPLES])

    def describe(self, examples: int = 0) -> str:
        """Return the group in words, with examples.

        Args:
            examples: How many files are named at most.
        """
        shown = self.examples[:examples]
        more = ", ..." if self.count > len(shown) else ""
        files = f" ({', '.join(shown)}{more})" if shown else ""
        return f"{self.what}: {self.count:,}{files}"


class Found(_Part):
    """Facts about a folder of images.

    Attributes:
        folder: The folder.
        classes: Images of each class by split: `training`, `validation` of a search, `test`. Boxes of each class, where
            things are to be found in images.
        kept_aside: Whether evomnas made the test split, as the owner made none.
        sizes: Width and height in pixels of the smallest, the middle and the largest picture, by their area.
        copies: Pictures that are there more than once, by where.
        dropped: Images that were left out as copies.
        unread: What was not read, and why.
        pictures: The images of each split, where things are to be found in them; None where `classes` has them.
    """

    folder: str
    classes: dict[str, dict[str, Count]]
    kept_aside: bool
    sizes: list[tuple[int, int]]
    copies: list[Group] = Field(default_factory=list)
    dropped: Count = 0
    unread: list[Group] = Field(default_factory=list)
    pictures: dict[str, Count] | None = None

    @property
    def splits(self) -> dict[str, int]:
        """The images of each split."""
        if self.pictures is not None:
            return self.pictures
        totals: dict[str, int] = {}
        for counts in self.classes.values():
            for split, count in counts.items():
                totals[split] = totals.get(split, 0) + count
        return totals

    def divided(self, validation: dict[str, int], pictures: int | None = None) -> Found:
        """Return this with what was taken of each class from that to train on, to validate a search.

        Args:
            validation: The images, or else boxes, by class.
            pictures: The images with those boxes; None where images have classes.
        """
        classes = {
            name: counts | {"training": counts["training"] - validation[name], "validation": validation[name]}
            for name, counts in self.classes.items()
        }
        images = self.pictures
        if images is not None and pictures is not None:
            images = images | {"training": images["training"] - pictures, "validation": pictures}
        return self.model_copy(update={"classes": classes, "pictures": images})

    def pairs(self) -> list[tuple[str, str]]:
        """Return all that was found beside the classes, as text by name."""
        names = ("smallest picture", "middle picture", "largest picture")
        sizes = [(name, f"{width}x{height} pixels") for name, (width, height) in zip(names, self.sizes, strict=True)]
        splits = [(f"images for {split}", f"{count:,}") for split, count in self.splits.items()]
        made = [("test split", "made by evomnas: a fifth of each class")] if self.kept_aside else []
        copies = [("copies", group.describe(MAX_EXAMPLES)) for group in self.copies]
        dropped = [("left out as copies", f"{self.dropped:,}")] if self.dropped else []
        unread = [("not read", group.describe(MAX_EXAMPLES)) for group in self.unread]
        return [("folder", self.folder), *splits, *made, *sizes, *copies, *dropped, *unread]

    def describe(self) -> list[str]:
        """Return what was found in three lines at most."""
        lines = [
            f"Found {self._describe_classes()} in {self.folder}.",
            f"{self._describe_splits()}; {self._describe_sizes()}.",
        ]
        notes = [group.describe(1) for group in self.copies]
        dropped = f"Left out as copies: {self.dropped:,}. " if self.dropped else ""
        hint = "; --set data.duplicates=drop leaves copies out" if notes and not self.dropped else ""
        copies = f"{dropped}Copies: {', '.join(notes)}{hint}. " if notes else dropped
        unread = f"Not read: {', '.join(group.describe() for group in self.unread)}." if self.unread else ""
        return [*lines, *filter(None, [f"{copies}{unread}".strip()])]

    def _describe_classes(self) -> str:
        sizes = {name: sum(counts.values()) for name, counts in self.classes.items()}
        boxes = "" if self.pictures is None else f"{sum(sizes.values()):,} boxes of "
        names = f"{boxes}{len(sizes)} class{'es' * (len(sizes) > 1)}"
        if len(sizes) <= MAX_EXAMPLES:
            return f"{names}: {', '.join(f'{name} {size:,}' for name, size in sizes.items())}"
        smallest, largest = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        counted = "images" if self.pictures is None else "boxes"
        return f"{names} of {sizes[smallest]:,} ({smallest}) to {sizes[largest]:,} {counted} ({largest})"

    def _describe_splits(self) -> str:
        names = {"training": "to train on", "validation": "to validate the search", "test": "kept for the test"}
        made = " (a fifth of each class)" if self.kept_aside else ""
        splits = self.splits
        shown = [f"{splits[split]:,} {words}" for split, words in names.items() if splits.get(split)]
        return f"{', '.join(shown)}{made}"

    def _describe_sizes(self) -> str:
        shown = list(dict.fromkeys(f"{width}x{height}" for width, height in (self.sizes[0], self.sizes[-1])))
        return f"{' to '.join(shown)} pixels"
