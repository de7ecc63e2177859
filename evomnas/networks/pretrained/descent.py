"""The weights of trained networks in a file, and networks that begin with them.

The file is of safetensors, so that nothing in it is executed. The names of a tensor are the number of the training, of
which there are several with folds, a point, and its name in a `Network`.
"""

from __future__ import annotations

from collections.abc import Sequence

import safetensors.torch

from evomnas.networks.network import Network
from evomnas.networks.pretrained.transplant import descend
from evomnas.networks.pretrained.weights import read_state_dict
from evomnas.problem.pretrained.ancestor import Ancestor


def pack_weights(networks: Sequence[Network]) -> bytes:
    """Return the content of a file with the weights and statistics of networks.

    Args:
        networks: The networks after each of the trainings, on any device.

    Returns:
        The content, which is the same for the same weights.
    """
    tensors = {
        f"{number}.{name}": value.cpu().contiguous()
        for number, network in enumerate(networks)
        for name, value in network.state_dict().items()
    }
    return safetensors.torch.save(tensors)


def begin_with(network: Network, ancestor: Ancestor, number: int) -> None:
    """Give a network the weights that it inherits from a trained one, in place.

    Args:
        network: The network, with the classes and channels of the other one.
        ancestor: The other one.
        number: After which of its trainings.

    Raises:
        InputError: The weights are damaged.
    """
    prefix = f"{number}."
    tensors = read_state_dict(ancestor.weights)
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    descend(network, ancestor.architecture, state)
