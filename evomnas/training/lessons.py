"""A teacher's answers as part of the loss: distillation (Hinton et al. 2015, section 2).

The teacher answers each training image once, without augmentation, before any network is trained.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Lessons:
    """The answers of a teacher to the training images.

    Attributes:
        logits: Its logits, on the device of the training, shape (n, classes).
        temperature: By which the logits of teacher and network are divided.
        share: The weight of the teacher's answers in the loss; the labels have the rest.
    """

    logits: Tensor
    temperature: float
    share: float

    def mix(self, loss: Tensor, logits: Tensor, indices: Tensor) -> Tensor:
        """Return the loss of a network that is taught; see `distil`.

        Args:
            loss: The loss with the labels, a scalar.
            logits: The network's, shape (batch, classes).
            indices: The places of the batch's images among the training images, shape (batch,).

        Returns:
            The loss, a scalar.
        """
        return distil(loss, logits.float(), self.logits[indices], self.temperature, self.share)


def distil(loss: Tensor, logits: Tensor, taught: Tensor, temperature: float, share: float) -> Tensor:
    """Return the loss of a network that has a teacher.

    It is a weighted sum of the loss with the labels and the Kullback-Leibler divergence from the teacher's
    probabilities, both networks' logits being divided by a temperature. The divergence is multiplied by the square of
    the temperature, so that the size of its gradients does not depend on it.

    Args:
        loss: The loss with the labels, a scalar.
        logits: The network's, shape (batch, classes).
        taught: The teacher's logits for the same images, shape (batch, classes).
        temperature: By which the logits of both are divided.
        share: The weight of the teacher's part; the labels have the rest.

    Returns:
        The loss, a scalar.
    """
    theirs = F.log_softmax(taught / temperature, 1)
    ours = F.log_softmax(logits / temperature, 1)
    divergence = F.kl_div(ours, theirs, log_target=True, reduction="batchmean") * temperature**2
    return share * divergence + (1 - share) * loss
