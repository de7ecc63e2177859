"""Traits: the choices of a whole network that change what it computes, and that no block says.

The networks of MnasNet's space have none of their own. Published networks differ in four of them, and their weights
work with these only:

- the activation: ReLU; ReLU6, which clips at 6; or hard swish, x * ReLU6(x + 3) / 6, of MobileNetV3;
- the padding of a convolution with a stride: `half` pads by half the kernel on every side. `same` is TensorFlow's: it
  pads as little as maps n pixels to ceil(n / stride), and what is odd goes below and to the right;
- the place of the head: before the global pooling, or behind it (`late`), as MobileNetV3 and MobileNetV4 have it, where
  it costs next to nothing;
- batch norm's epsilon.

Traits are part of an architecture's notation wherever they are not the default, so that they are part of its id, of its
measurements and of its trainings as well.

References:
    TensorFlow's documentation of `tf.nn`, "Notes on padding".
    Howard et al., "Searching for MobileNetV3", ICCV 2019, sections 5.1 and 5.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from evomnas.core.arguments import checked_fields
from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution

ACTIVATIONS = ("relu", "relu6", "hswish")
PADDINGS = ("half", "same")
HEADS = ("early", "late")
EPSILON = 1e-3  # of MnasNet's published code
_PART = re.compile(
    r"(?P<activation>relu6|hswish)?_?(?P<padding>same)?_?(?P<head>late)?_?(?:eps(?P<epsilon>0\.\d{1,60}))?", re.ASCII
)


@checked_fields
@dataclass(frozen=True, slots=True)
class Traits:
    """Activation, padding, epsilon and place of the head of a network.

    Attributes:
        activation: `relu`, `relu6` or `hswish`, of all activations outside squeeze-and-excite.
        padding: `half` or `same`, of convolutions with a stride above 1; with stride 1 the two are equal.
        epsilon: What batch norm adds to the variance.
        head: `early` or `late`: before or behind the global pooling.

    Raises:
        InputError: A value is not allowed; the message says what is.
    """

    activation: str = "relu"
    padding: str = "half"
    epsilon: float = EPSILON
    head: str = "early"

    def __post_init__(self) -> None:
        for name, allowed in (("activation", ACTIVATIONS), ("padding", PADDINGS), ("head", HEADS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"unknown {name} {getattr(self, name)!r}: allowed are {', '.join(allowed)}")
        if not 1e-12 <= self.epsilon <= 0.1:
            raise InputError(f"batch norm's epsilon must lie between 1e-12 and 0.1, got {self.epsilon}")

    def __repr__(self) -> str:
        """The fields by their names. The head's place, which older versions lacked, is left out where it is usual."""
        head = "" if self.head == "early" else f", head={self.head!r}"
        return f"Traits(activation={self.activation!r}, padding={self.padding!r}, epsilon={self.epsilon!r}{head})"

    def head_size(self, size: Resolution) -> Resolution:
        """Return the size of the head's output in pixels.

        Args:
            size: The size of the last block's output.
        """
        return 1 if self.head == "late" else size

    def __str__(self) -> str:
        """The traits that are not the default, as in `relu6_same_eps0.00001`; empty where all are."""
        epsilon = "" if self.epsilon == EPSILON else f"eps{Decimal(repr(self.epsilon)):f}"
        fields = (("activation", "relu"), ("padding", "half"), ("head", "early"))
        words = [word for name, usual in fields if (word := getattr(self, name)) != usual] + [epsilon]
        return "_".join(filter(None, words))

    @classmethod
    def parse(cls, part: str) -> Traits:
        """Read traits from their part of an architecture's notation.

        Args:
            part: As `str` writes it.

        Returns:
            The traits.

        Raises:
            InputError: The part is malformed.
        """
        match = _PART.fullmatch(part)
        values: dict[str, Any] = {name: value for name, value in match.groupdict().items() if value} if match else {}
        if "epsilon" in values:
            values["epsilon"] = float(values["epsilon"])
        traits = cls(**values)
        if not part or str(traits) != part:
            raise InputError(f"cannot read the traits of the architecture: {part[:60]!r} is not like relu6_same")
        return traits


PLAIN = Traits()  # of the networks of MnasNet's space
