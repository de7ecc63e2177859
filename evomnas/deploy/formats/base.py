"""The interface of a format of files for devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evomnas.data.photographs import Preprocessing
from evomnas.latency.runtimes.base import Float32Array

if TYPE_CHECKING:  # reading a file does not need torch; only writing does
    from evomnas.networks.classifier import Classifier


class ExportFormat(Protocol):
    """A kind of file for devices.

    Attributes:
        name: The name of the format.
        suffix: The suffix of its files.
        runtime: The name of the runtime that runs them.
        needs: The modules that writing them needs.
        quantizer: The module that int8 files need as well.
        install: The command that installs these modules.
        seconds: How long a small network's file takes to write, float and int8, in seconds on a core whose
            `evomnas.deploy.durations.measure_pace` is 1. What an export is expected to take begins with these, and is
            corrected by what its own files take. Measured on networks of 45 and 53 convolutions.
        image_s: What each image that shows the range of activations adds to int8, in seconds on such a core.
        calibration: What it adds besides, relative to the network's time for an image in PyTorch.
        packages: What a user installs to run a file, for the model card.
        imports: The lines of Python that import it.
        code: The lines of Python that run a file. They take the file's name `model` and `pixels`, float32 of shape
            (1, c, h, w), and set `classes`, the names in order, and `logits`, a NumPy array of shape (classes,).
    """

    name: str
    suffix: str
    runtime: str
    needs: tuple[str, ...]
    quantizer: str
    install: str
    seconds: tuple[float, float]
    image_s: float
    calibration: float
    packages: str
    imports: tuple[str, ...]
    code: str

    def convert(self, classifier: Classifier, metadata: Mapping[str, str]) -> bytes:
        """Convert a network to a file of this format.

        Args:
            classifier: The network, on the CPU.
            metadata: Texts by name that the file holds.

        Returns:
            The content of the file. It takes one image of float32 pixel values from 0 to 255, shape (1, c, h, w), and
            returns logits, shape (1, classes).
        """
        ...

    def quantize(
        self, classifier: Classifier, metadata: Mapping[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """Convert a network to a file of this format with int8 weights and activations.

        Args:
            classifier: The network, on the CPU.
            metadata: Texts by name that the file holds.
            calibration: Images that show the range of the activations, pixel values from 0 to 255, shape (n, c, h, w).

        Returns:
            The content of the file, which takes and returns the same as that of `convert`, and its int8 weights.
        """
        ...

    def metadata(self, model: bytes) -> dict[str, str]:
        """Read the texts that a file holds.

        Args:
            model: The content of the file, which may come from anywhere.

        Returns:
            The texts by name.

        Raises:
            Exception: The runtime cannot read the file; every runtime has errors of its own.
        """
        ...


@runtime_checkable
class FlexibleFormat(Protocol):
    """A format whose files can take images of any size, or any number of them."""

    def take_any(self, model: bytes, preprocessing: Preprocessing, size: bool, batch: bool) -> bytes:
        """Return a file that takes other images than before.

        Args:
            model: The content of a file, as `ExportFormat.convert` or `ExportFormat.quantize` returned it.
            preprocessing: The size of its images, and how those of other proportions get it.
            size: Whether it resizes its images itself, as a search does.
            batch: Whether it takes any number of images.
        """
        ...
