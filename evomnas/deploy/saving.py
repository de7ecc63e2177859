"""The folder of a trained network: `weights.safetensors`, `model.json` and, for people, `README.md`.

`load_network` reads such a folder. Nothing in it is executed: the weights are safetensors, and everything else is JSON.
What is needed of the JSON to build the network is checked as strictly as if it came from someone else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from safetensors import SafetensorError, safe_open
from torch import nn

from evomnas.core.arguments import checked
from evomnas.core.errors import InputError
from evomnas.core.files import write_atomically
from evomnas.core.resolution import Resolution
from evomnas.data.photographs import Preprocessing
from evomnas.networks.classifier import Classifier
from evomnas.networks.torchvision_models import AnyNetwork, build_any_network, parse_network
from evomnas.problem.sections import Fit, ResolutionField

if TYPE_CHECKING:
    from evomnas.deploy.cards.card import ModelDetails

WEIGHTS_FILE, MODEL_MANIFEST, MODEL_CARD = "weights.safetensors", "model.json", "README.md"
FORMAT_VERSION = 1  # of model.json
MAX_CLASSES = 1_000_000
Description = TypeVar("Description", bound=BaseModel)
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PixelValue = Annotated[float, Field(ge=0, le=255)]
Deviation = Annotated[float, Field(gt=0, le=255)]


@dataclass(frozen=True, slots=True)
class ClassifierInterface:
    """The images that a trained network takes, and the classes that it tells apart.

    Attributes:
        classes: The names of the classes, in the order of the logits.
        resolution: The size of the images in pixels: one number for squares, or height and width.
        mean: The mean by which each channel is normalised, in pixel values from 0 to 255.
        std: The standard deviation by which each channel is normalised, in the same unit.
        fit: How pictures of other proportions get those of the images. It follows from the data section, and two
            interfaces that differ in it alone are equal: the files of earlier versions do not say it.
    """

    classes: tuple[str, ...]
    resolution: Resolution
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = field(default="crop", compare=False)

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done with an image file before such a network classifies it."""
        return Preprocessing(channels=len(self.mean), resolution=self.resolution, fit=self.fit)

    def classifier(self, network: torch.nn.Module) -> Classifier:
        """Return a network as a classifier of such images.

        Args:
            network: A network that takes normalised images.
        """
        return Classifier(network, self.mean, self.std, self.classes, self.resolution, self.fit)


class ModelManifest(BaseModel):
    """The part of `model.json` that evomnas reads. The rest of that file is for people, see `ModelDetails`.

    Attributes:
        format: The version of the file's format.
        network: The notation of the network.
        weights: The SHA-256 of the file of weights.
        classes: The names of the classes, in the order of the logits.
        channels: Channels of the images.
        resolution: The size of the images in pixels: one number for squares, or height and width.
        mean: The mean by which each channel is normalised, in pixel values from 0 to 255.
        std: The standard deviation by which each channel is normalised, in the same unit.
        fit: How pictures of other proportions get those of the images; `crop` in files of earlier versions, which do
            not say it.
        key: The archive's key of everything that the training depended on; None if unknown, as all that follow.
        scored: The archive's key of everything that the test score depended on.
        teacher: The notation of the network that taught this one; None also if there was none.
        losses: The mean training loss of every epoch.
        seconds: How long the training took.
        versions: The versions of the software that trained it, by name.
        machine: The machine that trained it.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    format: int
    network: str
    weights: Hash
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    channels: Annotated[int, Field(ge=1, le=4096)]
    resolution: ResolutionField
    mean: tuple[PixelValue, ...]
    std: tuple[Deviation, ...]
    fit: Fit = "crop"
    key: str | None = None
    scored: str | None = None
    teacher: str | None = None
    losses: tuple[float, ...] = ()
    seconds: Annotated[float, Field(ge=0)] = 0.0
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}

    @field_validator("format")
    @classmethod
    def _check_format(cls, value: int) -> int:
        if value != FORMAT_VERSION:
            raise ValueError(f"it is {value}, and this evomnas reads {FORMAT_VERSION}: update evomnas")
        return value

    @model_validator(mode="after")
    def _check_consistency(self) -> ModelManifest:
        if not self.channels == len(self.mean) == len(self.std):
            raise ValueError("mean and std must have one value per channel")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes must have different names")
        return self

    @property
    def interface(self) -> ClassifierInterface:
        """The images that the network takes, and its classes."""
        return ClassifierInterface(self.classes, self.resolution, self.mean, self.std, self.fit)


def save_network(
    folder: Path,
    classifier: Classifier,
    network: AnyNetwork,
    details: ModelDetails | None,
    card: str,
    files: Mapping[str, bytes | str] = {},
) -> None:
    """Write a trained network into a folder. `model.json` is written last, so that a folder that has it is complete.

    Args:
        folder: The folder; it is created if need be.
        classifier: The trained network.
        network: The network's description, from which it can be built again.
        details: The details for people; None to write only what is needed to load the network.
        card: The text of `README.md`.
        files: The content of other files that the card refers to, by their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = weights_of(classifier.network, str(network))
    needed = {
        "format": FORMAT_VERSION,
        "network": str(network),
        "id": network.id,
        "weights": weights_hash(weights),
        "classes": list(classifier.classes),
        "channels": classifier.channels,
        "resolution": classifier.resolution,
        "mean": classifier.normalise.mean.flatten().tolist(),
        "std": classifier.normalise.std.flatten().tolist(),
        "fit": classifier.preprocessing.fit,
    }
    content = needed if details is None else needed | details.to_json()
    write_atomically(folder / WEIGHTS_FILE, weights)
    for name, text in files.items():
        write_atomically(folder / name, text)
    write_atomically(folder / MODEL_CARD, card)
    write_atomically(folder / MODEL_MANIFEST, json.dumps(content, indent=2) + "\n")


def weights_of(module: nn.Module, network: str) -> bytes:
    """Return the content of a file of weights.

    Args:
        module: The module that has them.
        network: The notation of the network.
    """
    state = {name: value.cpu().contiguous() for name, value in module.state_dict().items()}
    return safetensors.torch.save(state, {"network": network})  # several keys would have a random order


def weights_hash(weights: bytes) -> str:
    """Return the hash by which a manifest names weights.

    Args:
        weights: The content of their file.
    """
    return hashlib.sha256(weights).hexdigest()


def read_manifest(folder: Path) -> ModelManifest:
    """Read the manifest of a trained network.

    Args:
        folder: The network's folder.

    Returns:
        The manifest.

    Raises:
        InputError: There is no `model.json`, it cannot be read, or its content is not that of a trained network.
    """
    return read_description(folder / MODEL_MANIFEST, ModelManifest, "trained network", "evomnas train")


def read_description(path: Path, kind: type[Description], thing: str, command: str) -> Description:
    """Read the JSON file that describes what is in a folder.

    Args:
        path: The file.
        kind: What its content must be.
        thing: What such a folder holds, in words.
        command: The command that writes such folders.

    Returns:
        The checked content.

    Raises:
        InputError: There is no such file, it cannot be read, or its content is of another kind.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no {thing} (no {path.name}): {command} writes such folders") from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in error.errors()[:3])
        raise InputError(f"cannot read {path}: {'; '.join(faults)}; {command} writes it again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from None


@checked
def load_network(path: Path | str) -> Classifier:
    """Return the trained network of a folder that `evomnas train` wrote, as a torch module in evaluation mode.

    The module takes images with pixel values from 0 to 255, shape (n, channels, h, w), of any dtype.
    It returns logits, shape (n, classes). It has the attributes `classes`, `channels` and `resolution`.

    Args:
        path: The folder, or one of its files.

    Returns:
        The network, on the CPU.

    Raises:
        InputError: The folder is not complete, or its weights are not those that its `model.json` describes.
    """
    folder = find_network_folder(Path(path))
    manifest = read_manifest(folder)
    network = parse_network(manifest.network)
    module = build_any_network(network, len(manifest.classes), manifest.channels, dropout=0.0, bn_momentum=0.1, seed=0)
    module.load_state_dict(read_weights(folder / WEIGHTS_FILE, module.state_dict(), manifest.network, manifest.weights))
    return manifest.interface.classifier(module).eval()


def find_network_folder(path: Path) -> Path:
    """Return the folder of a trained network.

    Args:
        path: The folder, or one of its files.

    Returns:
        The folder, which need not exist.
    """
    return path.parent if path.name in (WEIGHTS_FILE, MODEL_MANIFEST, MODEL_CARD) else path


def _file_hash(path: Path) -> str | None:
    """Return the hash of a file of weights; None if there is none."""
    try:
        return weights_hash(path.read_bytes())
    except OSError:
        return None


def read_weights(
    path: Path,
    expected: Mapping[str, torch.Tensor],
    notation: str,
    sha256: str,
    manifest: str = MODEL_MANIFEST,
    command: str = "evomnas train",
) -> dict[str, torch.Tensor]:
    """Read the weights of a network, and check them.

    Args:
        path: The file.
        expected: The network's state: names, shapes and types.
        notation: The network's notation, which the file must name.
        sha256: The hash that the file must have.
        manifest: The name of the file that says so, for messages.
        command: The command that writes such files, for messages.

    Returns:
        The network's state from the file.

    Raises:
        InputError: The file cannot be read, or is not that of this network.
    """
    try:
        with safe_open(path, "pt") as file:
            network = (file.metadata() or {}).get("network")
            state: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the weights {path}: {error}; {command} writes them again") from None
    mismatch = f"{path} holds weights of another network than {notation}"
    for name in sorted(expected.keys() | state.keys()):
        theirs, ours = (tuple(tensors[name].shape) if name in tensors else None for tensors in (state, expected))
        if theirs != ours:
            raise InputError(f"{mismatch}: {name} is {theirs or 'missing'} there and {ours or 'unknown'} here")
        dtype = expected[name].dtype
        if state[name].dtype != dtype or not torch.isfinite(state[name]).all():
            raise InputError(f"{path}: {name} must hold finite numbers of {dtype}, not {state[name].dtype}")
    if network != notation:
        raise InputError(f"{mismatch}: they are of {network}")
    if _file_hash(path) != sha256:
        raise InputError(f"{path} is not the file that {manifest} describes; {command} writes both again")
    return state
