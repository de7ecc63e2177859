"""Pretrained weights for the network that a training begins with, whatever library it comes from.

A network around a donor inherits the donor's weights (`evomnas.networks.pretrained.transplant`). A network of
torchvision's gets torchvision's own weights of it, but for the last layer, which is that of other classes.
"""

from __future__ import annotations

from torch import nn

from evomnas.core.errors import InputError
from evomnas.networks.network import Network
from evomnas.networks.pretrained.transplant import plant
from evomnas.networks.pretrained.weights import DonorWeights, PretrainedWeights, load_donor, read_state_dict
from evomnas.networks.torchvision_models import build_torchvision
from evomnas.problem.pretrained.donors import DONORS, find_published_weights
from evomnas.problem.pretrained.files import DonorFile

_IMAGENET_CLASSES = 1000


def load_weights(file: DonorFile) -> PretrainedWeights:
    """Read the pretrained weights of a donor, or of a network of torchvision's.

    Args:
        file: The file, as `evomnas.problem.pretrained.files.read_weights` returns it.

    Returns:
        The weights.

    Raises:
        InputError: The file is damaged, or it holds no weights of that network.
    """
    if file.name in DONORS:
        return load_donor(file)
    published = find_published_weights(file.name)
    state = read_state_dict(file.content)
    try:
        build_torchvision(file.name, _IMAGENET_CLASSES, 3).load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"the file holds no weights of {file.name}: {reason}") from None
    return PretrainedWeights(published.name, published.mean, published.std, file.sha256, state)


def plant_weights(module: nn.Module, weights: PretrainedWeights) -> None:
    """Give a new module the pretrained weights that it starts from, in place. Its classifier stays its own.

    For grey images, the weights of the first convolution are summed over red, green and blue.

    Args:
        module: A network around a donor, or the network of torchvision's that the weights are of.
        weights: The donor's weights, or those of torchvision's network.

    Raises:
        InputError: The module has a part that has nothing to inherit.
    """
    if isinstance(weights, DonorWeights):
        if not isinstance(module, Network):
            raise InputError(f"a network of another library cannot inherit the weights of {weights.name}")
        plant(module, weights)
        return
    own, state = module.state_dict(), dict(weights.state)
    stem = next(name for name, one in module.named_modules() if isinstance(one, nn.Conv2d))
    if own[f"{stem}.weight"].shape[1] == 1:
        state[f"{stem}.weight"] = state[f"{stem}.weight"].sum(1, keepdim=True)
    head = [name for name, one in module.named_modules() if isinstance(one, nn.Linear)][-1]
    module.load_state_dict(state | {name: own[name] for name in own if name.startswith(f"{head}.")})
