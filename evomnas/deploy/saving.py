"""A trained network in a folder: `weights.safetensors`, `model.json` with all else, `README.md` for people.

`load_network` reads it back. Nothing in such a folder is executed: weights are safetensors, facts are JSON, and what is
needed of them to build the network is checked as strictly as if it came from someone else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from safetensors import SafetensorError, safe_open

from evomnas.core.errors import InputError
from evomnas.core.files import write_atomically
from evomnas.networks.classifier import Classifier
from evomnas.networks.torchvision_models import AnyNetwork, build_any_network, parse_network

WEIGHTS, FACTS, CARD = "weights.safetensors", "model.json", "README.md"
FORMAT = 1
MOST_CLASSES = 1_000_000
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PixelValue = Annotated[float, Field(ge=0, le=255)]
Deviation = Annotated[float, Field(gt=0, le=255)]


class Facts(BaseModel):
    """What `model.json` says, as far as it is needed; the rest of it is for people.

    Attributes:
        format: Of the file.
        network: Its notation.
        weights: SHA-256 of the weights' file.
        classes: Their names, in the order of the logits.
        channels, resolution: Of the images.
        mean, std: By which pixel values are normalised, one per channel.
        key: What the training depended on, as the archive knows it.
        scored: What the test score depended on.
        teacher: The notation of the network that taught this one.
        losses, seconds: Of its training.
        versions, machine: With what and where it was trained.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    format: int
    network: str
    weights: Hash
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_CLASSES)]
    channels: Annotated[int, Field(ge=1, le=4096)]
    resolution: Annotated[int, Field(ge=1, le=4096)]
    mean: tuple[PixelValue, ...]
    std: tuple[Deviation, ...]
    key: str | None = None
    scored: str | None = None
    teacher: str | None = None
    losses: tuple[float, ...] = ()
    seconds: Annotated[float, Field(ge=0)] = 0.0
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}

    @field_validator("format")
    @classmethod
    def _readable(cls, value: int) -> int:
        if value != FORMAT:
            raise ValueError(f"it is {value}, and this evomnas reads {FORMAT}: update evomnas")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Facts:
        if not self.channels == len(self.mean) == len(self.std):
            raise ValueError("mean and std must have one value per channel")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes must have different names")
        return self

    @property
    def takes(self) -> tuple[Any, ...]:
        """What the network is made for: classes, resolution, mean and deviation."""
        return self.classes, self.resolution, self.mean, self.std

    @property
    def images(self) -> str:
        """Which images it takes, in words."""
        return describe_images(self.channels, self.resolution)


def describe_images(channels: int, resolution: int) -> str:
    """Images in words."""
    return f"{'grey' if channels == 1 else 'RGB'} images of {resolution}x{resolution} pixels"


def save_network(
    folder: Path, classifier: Classifier, network: AnyNetwork, facts: Mapping[str, Any], card: str
) -> None:
    """Write a network into a folder; the facts come last, so that a folder with them is complete.

    Args:
        folder: Made if need be.
        classifier: The trained network.
        network: What it is.
        facts: What is known of it beside that, JSON-ready.
        card: The text for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.cpu().contiguous() for name, value in classifier.network.state_dict().items()}
    weights = safetensors.torch.save(state, {"network": str(network)})  # of several keys the order would be random
    needed = {
        "format": FORMAT,
        "network": str(network),
        "id": network.id,
        "weights": hashlib.sha256(weights).hexdigest(),
        "classes": list(classifier.classes),
        "channels": classifier.channels,
        "resolution": classifier.resolution,
        "mean": classifier.normalise.mean.flatten().tolist(),
        "std": classifier.normalise.std.flatten().tolist(),
    }
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / CARD, card)
    write_atomically(folder / FACTS, json.dumps(needed | dict(facts), indent=2) + "\n")


def read_facts(folder: Path) -> Facts:
    """What `model.json` of a folder says.

    Raises:
        InputError: There is none, or it is not such a file.
    """
    path = folder / FACTS
    try:
        return Facts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder} holds no trained network (no {FACTS}): evomnas train writes such folders") from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors()[:3])
        raise InputError(f"cannot read {path}: {'; '.join(faults)}; evomnas train writes it again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from None


def load_network(path: Path | str) -> Classifier:
    """The trained network of a folder that `evomnas train` wrote, as a torch module in evaluation mode.

    It takes images with pixel values from 0 to 255, (n, channels, resolution, resolution), of any dtype, and
    returns logits (n, classes); `classes`, `channels` and `resolution` are attributes.

    Args:
        path: The folder, or one of its files.

    Raises:
        InputError: The folder is not complete, or its weights are not those that its facts describe.
    """
    given = Path(path)
    folder = given.parent if given.name in (WEIGHTS, FACTS, CARD) else given
    facts = read_facts(folder)
    network = parse_network(facts.network)
    module = build_any_network(network, len(facts.classes), facts.channels, dropout=0.0, bn_momentum=0.1, seed=0)
    module.load_state_dict(_read_weights(folder / WEIGHTS, module.state_dict(), facts))
    return Classifier(module, facts.mean, facts.std, facts.classes, facts.resolution).eval()


def weights_hash(folder: Path) -> str | None:
    """SHA-256 of a folder's weights; None where there are none."""
    try:
        return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except OSError:
        return None


def _read_weights(path: Path, own: Mapping[str, torch.Tensor], facts: Facts) -> dict[str, torch.Tensor]:
    """Weights for a network whose state is `own`, once they are proven to be its."""
    try:
        with safe_open(path, "pt") as file:
            network = (file.metadata() or {}).get("network")
            state: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the weights {path}: {error}; evomnas train writes them again") from None
    strange = f"{path} holds weights of another network than {facts.network}"
    for name in sorted(own.keys() | state.keys()):
        theirs, ours = (tuple(one[name].shape) if name in one else None for one in (state, own))
        if theirs != ours:
            raise InputError(f"{strange}: {name} is {theirs or 'missing'} there and {ours or 'unknown'} here")
        if state[name].dtype != own[name].dtype or not torch.isfinite(state[name]).all():
            raise InputError(f"{path}: {name} must hold finite numbers of {own[name].dtype}, not {state[name].dtype}")
    if network != facts.network:
        raise InputError(f"{strange}: they are of {network}")
    if weights_hash(path.parent) != facts.weights:
        raise InputError(f"{path} is not the file that {FACTS} describes; evomnas train writes both again")
    return state
