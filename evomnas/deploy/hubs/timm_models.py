"""Networks as models of timm: `timm.create_model("evomnas", network=...)`, also with `features_only=True`.

`evomnas.timm` registers the model. A model of timm takes normalised images; `model.pretrained_cfg` has their mean,
deviation and size, as `timm.data.resolve_data_config` wants them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from evomnas.core.errors import InputError
from evomnas.deploy.saving import MODEL_MANIFEST, find_network_folder, load_network
from evomnas.networks.classifier import Classifier
from evomnas.networks.network import Network, build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.published import PUBLISHED_NETWORKS, published

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "input_size": (3, 224, 224)}


class TimmNetwork(nn.Module):
    """A network with the attributes and methods of timm's models.

    Attributes:
        num_classes: The number of logits; 0 for none.
        num_features: The channels before the classifier.
        has_late_head: Whether the last convolution stands behind the pooling.
        feature_info: For each resolution, the channels of the last layer that has it, its stride and its module.
    """

    def __init__(self, network: Network, num_classes: int) -> None:
        """Take the parts of a network.

        Args:
            network: The network.
            num_classes: The number of logits. Where it is another than the network's, the classifier is new.
        """
        super().__init__()
        self.stem, self.blocks, self.head = network.stem, network.blocks, network.head
        self.pool, self.dropout, self.classifier = network.pool, network.dropout, network.classifier
        self.has_late_head = network.architecture.traits.head == "late"
        self.feature_info = feature_info(network)
        self.num_classes = self.classifier.out_features
        self.num_features = self.head_hidden_size = network.architecture.head
        if num_classes != self.num_classes:
            self.reset_classifier(num_classes)

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a new one.

        Args:
            num_classes: Its number of logits; 0 for features before the classifier.
        """
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()  # type: ignore[assignment]

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the features before pooling.

        Args:
            x: Normalised images, shape (n, channels, h, w).

        Returns:
            Shape (n, num_features, h', w'); the channels of the last block where the head stands behind the pooling.
        """
        features: Tensor = self.blocks(self.stem(x))
        return features if self.has_late_head else self.head(features)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits.

        Args:
            x: What `forward_features` returns.
            pre_logits: Return the features before the classifier instead.

        Returns:
            Shape (n, num_classes), or (n, num_features).
        """
        x = self.pool(x)
        x = self.dropout((self.head(x) if self.has_late_head else x).flatten(1))
        logits: Tensor = x if pre_logits else self.classifier(x)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return logits.

        Args:
            x: Normalised images, shape (n, channels, h, w).

        Returns:
            Shape (n, num_classes).
        """
        return self.forward_head(self.forward_features(x))


def feature_info(network: Network) -> list[dict[str, Any]]:
    """Return where a network has which resolution, as timm describes it.

    Args:
        network: The network.

    Returns:
        A dictionary for each resolution, the finest first: `num_chs`, `reduction` and `module`.
    """
    architecture = network.architecture
    reduction = architecture.stem_stride
    levels = {reduction: {"num_chs": architecture.stem, "module": f"stem.{len(network.stem) - 1}"}}
    for number, block in enumerate(architecture.blocks):
        reduction *= block.stride
        levels[reduction] = {"num_chs": block.filters, "module": f"blocks.{number}"}
    return [{**level, "reduction": factor} for factor, level in levels.items()]


@register_model
def evomnas(pretrained: bool = False, *, network: str = "mnasnet-a1", **options: Any) -> nn.Module:
    """Return a network as a model of timm.

    Args:
        pretrained: Insist on trained weights.
        network: The folder of a trained network, whose weights are taken; or the name of a published network, or an
            architecture's notation, with random weights.
        options: timm's own: `num_classes`, `in_chans`, `drop_rate`, `features_only`, `out_indices`.

    Returns:
        The model.

    Raises:
        InputError: There is no such network, it has no trained weights, or its images have another number of channels.
    """
    folder = find_network_folder(Path(network))
    trained = load_network(folder) if (folder / MODEL_MANIFEST).is_file() else None
    if pretrained and trained is None:
        raise InputError(f"{network} has no weights: name the folder of a trained network, as evomnas train prints it")
    options.pop("pretrained_cfg", None)
    channels = options.pop("in_chans", None)
    if trained is None:
        rate, classes = options.pop("drop_rate", 0.0), options.pop("num_classes", 1000)
        built = build_network(_architecture(network), max(1, classes), channels or 3, dropout=rate)
        config = IMAGENET | {"input_size": (channels or 3, *IMAGENET["input_size"][1:])}
    else:
        if channels not in (None, trained.channels):
            raise InputError(f"{network} takes images of {trained.channels} channels, not {channels}")
        built, config = _network_of(trained, network), _config(trained)
        built.dropout = nn.Dropout(options.pop("drop_rate", 0.0))
        classes = options.pop("num_classes", len(trained.classes))
    levels = tuple(range(len(feature_info(built))))
    usual = {"classifier": "classifier", "first_conv": "stem.0", "num_classes": classes, "crop_pct": 1.0}
    model: nn.Module = build_model_with_cfg(
        TimmNetwork, "evomnas", False, pretrained_cfg=config | usual, kwargs_filter=("in_chans",), network=built,
        num_classes=classes, feature_cfg={"out_indices": levels, "flatten_sequential": True}, **options,
    )  # fmt: skip
    return model


def _architecture(network: str) -> Architecture:
    return published(network) if network in PUBLISHED_NETWORKS else Architecture.parse(network)


def _network_of(classifier: Classifier, name: str) -> Network:
    if not isinstance(classifier.network, Network):
        raise InputError(f"{name} is an off-the-shelf network: timm or torchvision has it under its own name")
    return classifier.network


def _config(classifier: Classifier) -> dict[str, Any]:
    """Return what a trained network wants of its images, by timm's names."""
    mean, std = (value.flatten() / 255 for value in (classifier.normalise.mean, classifier.normalise.std))
    size = (classifier.channels, *classifier.preprocessing.size)
    return {"mean": tuple(mean.tolist()), "std": tuple(std.tolist()), "input_size": size}
