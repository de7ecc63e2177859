"""The files for PyTorch, by the names of their formats. Each is run on the images that it is scored on, here.

They are no format of a runtime: they compute what the trained network computes, so that their latency says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evomnas.data.rows import ImageRows
from evomnas.deploy.formats.pytorch.exported_program import load_program, write_program
from evomnas.deploy.formats.pytorch.names import PYTHON, TORCH_EXPORT, file_name
from evomnas.deploy.formats.pytorch.python_module import load_module, write_module
from evomnas.networks.classifier import Classifier

BATCH = 64


@dataclass(frozen=True)
class PyTorchFormat:
    """A format of files for PyTorch.

    Attributes:
        name: The name of the format.
        write: Returns the content of a file, given a network on the CPU and texts by name that the file holds.
        load: Returns a function from pixel values (n, c, h, w) to logits, given a file that evomnas has just written.
    """

    name: str
    write: Callable[[Classifier, Mapping[str, str]], bytes]
    load: Callable[[Path], Callable[[Tensor], Tensor]]

    def file_name(self, variant: str) -> str:
        """Return the name of the file of a variant of a network, such as `float`.

        Args:
            variant: The variant.
        """
        return file_name(self.name, variant)

    def classify(self, path: Path, images: ImageRows) -> NDArray[np.int64]:
        """Return the classes that a file gives to images.

        Args:
            path: A file that was just written here: a Python file is run.
            images: Pixel values, shape (n, c, h, w).

        Returns:
            The classes, shape (n,).
        """
        run, found = self.load(path), []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                found.append(run(torch.from_numpy(np.asarray(images[start : start + BATCH], np.float32))).argmax(1))
        return torch.cat(found).numpy()


PYTORCH_FORMATS = {
    PYTHON: PyTorchFormat(PYTHON, write_module, load_module),
    TORCH_EXPORT: PyTorchFormat(TORCH_EXPORT, write_program, load_program),
}
