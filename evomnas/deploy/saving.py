"""A trained network in a folder: `weights.safetensors`, `model.json` with all else, `README.md` for people.

`load_network` reads it back. Nothing in such a folder is executed: weights are safetensors, facts are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from evomnas.classifier import Classifier
from evomnas.errors import InputError
from evomnas.runs import write_atomically
from evomnas.shelf import AnyNetwork, build, parse_network

WEIGHTS, FACTS, CARD = "weights.safetensors", "model.json", "README.md"
FORMAT = 1
MOST_CLASSES = 1_000_000


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
    needed = {
        "format": FORMAT,
        "network": str(network),
        "id": network.id,
        "classes": list(classifier.classes),
        "channels": classifier.channels,
        "resolution": classifier.resolution,
        "mean": classifier.normalise.mean.flatten().tolist(),
        "std": classifier.normalise.std.flatten().tolist(),
    }
    write_atomically(folder / WEIGHTS, safetensors.torch.save(state, {"format": "pt", "network": str(network)}))
    write_atomically(folder / CARD, card)
    write_atomically(folder / FACTS, json.dumps(needed | dict(facts), indent=2) + "\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """What `model.json` of a folder says.

    Raises:
        InputError: There is none, or it is not such a file.
    """
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise InputError(f"{path} has format {facts['format']!r}, this evomnas reads {FORMAT}: update evomnas")
        lengths = {len(facts["mean"]), len(facts["std"]), facts["channels"]}
        numbers = [*facts["mean"], *facts["std"]]
        sizes = [facts["resolution"], facts["channels"]]
        names = facts["classes"]
        if (
            len(lengths) != 1
            or not all(isinstance(one, int | float) for one in numbers)
            or not all(isinstance(one, int) and 1 <= one <= 4096 for one in sizes)
            or not all(isinstance(one, str) for one in names)
            or not 1 <= len(names) <= MOST_CLASSES
        ):
            raise ValueError("channels, resolution, mean, std or classes")
    except FileNotFoundError:
        raise InputError(f"{folder} holds no trained network (no {FACTS}): evomnas train writes such folders") from None
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"cannot read {path}: {error!r}") from None
    return dict(facts)


def load_network(path: Path | str) -> Classifier:
    """The trained network of a folder that `evomnas train` wrote, as a torch module in evaluation mode.

    It takes images with pixel values from 0 to 255, (n, channels, resolution, resolution), of any dtype, and
    returns logits (n, classes); `classes`, `channels` and `resolution` are attributes.

    Raises:
        InputError: The folder is not complete, or its weights are of another architecture.
    """
    given = Path(path)
    folder = given if given.is_dir() else given.parent
    facts = read_facts(folder)
    network = parse_network(facts["network"])
    module = build(network, len(facts["classes"]), facts["channels"], dropout=0.0, bn_momentum=0.1, seed=0)
    weights = folder / WEIGHTS
    try:
        state = safetensors.torch.load_file(weights)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the weights {weights}: {error}") from None
    _check_state(module, state, weights, network)
    module.load_state_dict(state)
    return Classifier(module, facts["mean"], facts["std"], facts["classes"], facts["resolution"]).eval()


def _check_state(module: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path, network: AnyNetwork) -> None:
    own = module.state_dict()
    for name in sorted(own.keys() | state.keys()):
        theirs, ours = (tuple(one[name].shape) if name in one else None for one in (state, own))
        if theirs != ours:
            raise InputError(
                f"{path} holds weights of another network than {network}: {name} is {theirs or 'missing'} there and "
                f"{ours or 'unknown'} here"
            )
