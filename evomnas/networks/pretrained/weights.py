"""The weights of a donor in memory, from a file. A file may come from anywhere, and nothing in it is executed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from evomnas.core.errors import InputError
from evomnas.networks.network import build_network
from evomnas.networks.pretrained.sorting import sort_channels
from evomnas.networks.published_weights import import_weights
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.donors import find_donor
from evomnas.problem.pretrained.files import DonorFile

MAX_CLASSES = 100_000  # of a donor's classifier
_BIASES = ("classifier.1.bias", "classifier.bias", "_fc.bias")  # of the classifier, by the layouts of names
_TORCH_BEGINNINGS = (b"PK", b"\x80")  # of a zip archive, and of the files of torch before 1.6
_SAFETENSORS_HEADER = slice(8, 9)  # begins behind the header's length, which may begin as torch's files do


@dataclass(frozen=True, eq=False)
class PretrainedWeights:
    """The pretrained weights of a published network.

    Attributes:
        name: The network's name.
        mean: What is subtracted from each channel of an image, in pixel values from 0 to 255.
        std: What each channel is divided by then.
        sha256: The hash of the file that the weights come from.
        state: Its weights and running statistics by their names in its module.
    """

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sha256: str
    state: Mapping[str, Tensor]

    def normalisation(self, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the mean and the standard deviation by which images are normalised.

        Args:
            channels: The channels of the images: 1 for grey, which get the mean over the colours, or 3.

        Returns:
            Both by channel, in pixel values from 0 to 255, shape (channels,).
        """
        mean, std = (np.array(values, dtype=np.float32) for values in (self.mean, self.std))
        return (mean, std) if channels == len(mean) else (mean.mean(keepdims=True), std.mean(keepdims=True))


@dataclass(frozen=True, eq=False, kw_only=True)
class DonorWeights(PretrainedWeights):
    """A donor with its weights.

    The weights have their names in a `Network`. The channels are sorted, see `evomnas.networks.pretrained.sorting`.

    Attributes:
        architecture: The donor's architecture.
    """

    architecture: Architecture


def load_donor(file: DonorFile) -> DonorWeights:
    """Read a donor's weights.

    Args:
        file: The donor's file, as `evomnas.problem.pretrained.files.read_weights` returns it.

    Returns:
        The donor with its weights, the channels sorted.

    Raises:
        InputError: The file is damaged, or it holds no weights of the donor.
    """
    donor, refusal = find_donor(file.name), f"the file holds no weights of {file.name}"
    state_dict = read_state_dict(file.content)
    bias = next((state_dict[name] for name in _BIASES if name in state_dict), torch.empty(()))
    if bias.dim() != 1 or not 1 <= len(bias) <= MAX_CLASSES:
        raise InputError(f"{refusal}: it has no classifier")
    network = build_network(donor.architecture, len(bias))
    try:
        import_weights(network, state_dict)
    except InputError as error:
        raise InputError(f"{refusal}: {error}") from None
    state = network.state_dict()
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise InputError(f"{refusal}: {name} is not finite everywhere")
    sorted_state = sort_channels(donor.architecture, state)
    return DonorWeights(donor.name, donor.mean, donor.std, file.sha256, sorted_state, architecture=donor.architecture)


def read_state_dict(content: bytes) -> dict[str, Tensor]:
    """Read the tensors of a file of weights.

    Args:
        content: That of a file that `torch.save` or safetensors wrote.

    Returns:
        The tensors by their names, in the order of the file.

    Raises:
        InputError: The file cannot be read, or holds anything but tensors.
    """
    try:
        if content.startswith(_TORCH_BEGINNINGS) and content[_SAFETENSORS_HEADER] != b"{":
            with warnings.catch_warnings(action="ignore"):  # of unusual files
                values: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        else:
            values = safetensors.torch.load(content)
    except Exception as error:  # torch, zipfile and safetensors have many kinds of errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"cannot read a file of weights: {reason[:200]}") from None
    if not isinstance(values, Mapping) or not all(isinstance(value, Tensor) for value in values.values()):
        raise InputError("a file of weights holds more than tensors by their names: save a state_dict() alone")
    return {str(name): value for name, value in values.items()}
