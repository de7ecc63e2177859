"""A network as a file of `torch.export`: its graph and weights, for any number of images at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from evomnas.core.quiet import silence
from evomnas.networks.classifier import Classifier


def write_program(classifier: Classifier, metadata: Mapping[str, str]) -> bytes:
    """Export a network.

    Args:
        classifier: The network, on the CPU.
        metadata: Texts by name that the file holds beside the program, as `torch.export.load` returns extra files.

    Returns:
        The content of a file for `torch.export.load`. The program takes float32 pixel values from 0 to 255, shape
        (n, c, h, w), and returns logits, shape (n, classes).
    """
    images = torch.zeros(2, classifier.channels, *classifier.preprocessing.size)  # one image would fix their number
    buffer = io.BytesIO()
    with silence():
        batch = torch.export.Dim("batch")
        program = torch.export.export(classifier.eval(), (images,), dynamic_shapes={"images": {0: batch}})
        torch.export.save(program, buffer, extra_files={f"{name}.txt": text for name, text in metadata.items()})
    return buffer.getvalue()


def load_program(path: Path) -> Callable[[Tensor], Tensor]:
    """Load an exported network.

    Args:
        path: The file.

    Returns:
        The network.
    """
    with silence():
        return torch.export.load(path).module()
