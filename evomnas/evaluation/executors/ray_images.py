"""Prepared images on the nodes of a Ray cluster: mapped where a node sees their file, else copied to its disk once.

A copy comes in parts, so that no node and no store of objects ever holds many images in memory.
"""

from __future__ import annotations

import importlib
import socket
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evomnas.core.errors import InputError
from evomnas.data.images import Dataset
from evomnas.data.prepared.cache import Facts, read_facts
from evomnas.data.prepared.chunks import Records
from evomnas.data.prepared.copies import find_copy, receive_set
from evomnas.data.rows import Images, MappedImages


@dataclass(frozen=True)
class Sender:
    """The node that has the file of prepared images, and what the file has.

    Attributes:
        node: Ray's number of the node.
        path: The file there.
        facts: The facts of its set.
        records: What is known of its pictures.
    """

    node: str
    path: Path
    facts: Facts
    records: Records

    @classmethod
    def of(cls, dataset: Dataset, node: str) -> Sender | None:
        """Return the sender of a data set's images.

        Args:
            dataset: The images.
            node: Ray's number of this node.

        Returns:
            The sender; None where the images are in memory, and travel with the data set.
        """
        path = dataset.train_images.path
        return None if path is None else cls(node, path, *read_facts(path.parent))


def images_here(dataset: Dataset, sender: Sender | None) -> Dataset:
    """Return a data set whose images this node can map; if need be, its file is copied first.

    Args:
        dataset: The images.
        sender: Who has their file; None if they are in memory.

    Raises:
        InputError: This node has no room for them.
    """
    if sender is None or is_visible(sender.path):
        return dataset
    mapped = find_copy(sender.path.parent.name)
    if mapped is None:
        try:
            mapped = receive_set(sender.path.parent.name, sender.facts, sender.records, partial(_fetch, sender))
        except InputError as error:
            raise InputError(f"node {socket.gethostname()}: {error}") from None
    train, validation = (replace(one, source=mapped) for one in (dataset.train_images, dataset.validation_images))
    return replace(dataset, train_images=train, validation_images=validation)


def is_visible(path: Path) -> bool:
    """Return whether this node sees the file of another one, as nodes with a common file system do.

    Args:
        path: The file there.
    """
    return path.exists()


def _fetch(sender: Sender, start: int, stop: int) -> Images:
    """Return some rows of the file on another node."""
    ray, strategies = (importlib.import_module(name) for name in ("ray", "ray.util.scheduling_strategies"))
    there = strategies.NodeAffinitySchedulingStrategy(sender.node, soft=False)
    read: Any = ray.remote(num_cpus=0, scheduling_strategy=there)(_read)
    rows: Images = ray.get(read.remote(sender.path, start, stop))
    return rows


def _read(path: Path, start: int, stop: int) -> Images:
    return np.array(MappedImages(path).array[start:stop])
