"""Losses of classifiers: cross-entropy, with which every class may weigh the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evomnas.problem.sections import Recipe

LossFunction = Callable[[Tensor, Any, Any], Tensor]  # from normalised images, a network's answers, and those wanted


def cross_entropy(recipe: Recipe, labels: Tensor) -> LossFunction:
    """Return the cross-entropy between logits and labels as a loss function.

    With balanced class weights, the loss of an image is multiplied by the weight of its class. The weights of PyTorch's
    own loss multiply the smoothed targets instead: of an image of a common class, the little that label smoothing gives
    to a rare class would then outweigh the rest.

    Args:
        recipe: The recipe, for its label smoothing and class weights.
        labels: The classes of all training images, from which the weights follow, shape (n,).

    Returns:
        A function of normalised images (which it does not use), logits and labels, or the shares of classes.
    """
    if recipe.class_weights != "balanced":
        function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        return lambda images, logits, labels: function(logits, labels)
    by_image = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing, reduction="none")
    weights = balanced_weights(labels)

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        by_label = labels @ weights if labels.is_floating_point() else weights[labels]
        mean: Tensor = (by_label * by_image(logits, labels)).mean()
        return mean

    return loss


def balanced_weights(labels: Tensor) -> Tensor:
    """Return weights with which every class has the same part in the loss, whatever its number of images.

    Args:
        labels: The classes of all training images, shape (n,).

    Returns:
        The weight of each class, inversely proportional to its images, shape (classes,). Their mean over all images is
        1, so that a recipe's learning rate suits them.
    """
    counts = torch.bincount(labels)
    return len(labels) / (counts * (counts > 0).sum()).clamp(min=1)
