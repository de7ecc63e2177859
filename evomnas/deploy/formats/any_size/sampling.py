"""Resizing as arithmetic, for graphs that run in a runtime: the pixels that Pillow computes in a search.

Resizing is linear: an image of any size, times a matrix from either side, is the network's input. The matrices follow
from the size of the image, by the rules of Pillow's `Image.resize` with `BILINEAR` and `reducing_gap=2.0`, of
`evomnas.data.colours.crop_box` and of `inner_size`: first, whole cells of pixels are averaged where an image is four
times as large as it should be; then a triangle as wide as the scale is laid over the cells. Pillow rounds to whole
numbers between these steps, and here this is done at the end only, so that single grey levels may differ.

All numbers are float32. Whole numbers in it are exact up to 2^24, and so are the quotients of which the floor is taken,
for images of up to 16,000 pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from evomnas.data.photographs import Preprocessing

V = TypeVar("V")  # a value of a graph

GAP = 2.0  # Pillow's `reducing_gap`
TINY = 1e-9  # what no row of a matrix sums up to, unless it is empty


@dataclass(frozen=True)
class Calculator(Generic[V]):
    """The arithmetic of a graph.

    Attributes:
        constant: Returns a constant, of float32.
        apply: Returns the result of an operation for one or two values, which are broadcast as in NumPy: `add`,
            `subtract`, `multiply`, `divide`, `minimum`, `maximum`, `floor`, `rint`, `absolute`, and `sum` over the last
            axis, which stays.
    """

    constant: Callable[[NDArray[np.float32]], V]
    apply: Callable[..., V]


class _Term(Generic[V]):
    """A value with operators, so that formulas read as such."""

    def __init__(self, calculator: Calculator[V], value: V) -> None:
        self.calculator, self.value = calculator, value

    def _apply(self, name: str, *others: _Term[V] | float) -> _Term[V]:
        values = [other.value if isinstance(other, _Term) else self._constant(other) for other in others]
        return _Term(self.calculator, self.calculator.apply(name, self.value, *values))

    def _constant(self, number: float) -> V:
        return self.calculator.constant(np.array([number], dtype=np.float32))

    def __add__(self, other: _Term[V] | float) -> _Term[V]:
        return self._apply("add", other)

    def __sub__(self, other: _Term[V] | float) -> _Term[V]:
        return self._apply("subtract", other)

    def __rsub__(self, other: float) -> _Term[V]:
        return _Term(self.calculator, self._constant(other)) - self

    def __mul__(self, other: _Term[V] | float) -> _Term[V]:
        return self._apply("multiply", other)

    def __truediv__(self, other: _Term[V] | float) -> _Term[V]:
        return self._apply("divide", other)

    def __floordiv__(self, other: _Term[V] | float) -> _Term[V]:
        return (self / other).floor()

    def at_least(self, other: _Term[V] | float) -> _Term[V]:
        return self._apply("maximum", other)

    def at_most(self, other: _Term[V] | float) -> _Term[V]:
        return self._apply("minimum", other)

    def floor(self) -> _Term[V]:
        return self._apply("floor")

    def rint(self) -> _Term[V]:
        return self._apply("rint")

    def absolute(self) -> _Term[V]:
        return self._apply("absolute")

    def row_sums(self) -> _Term[V]:
        return self._apply("sum")


@dataclass(frozen=True)
class Side(Generic[V]):
    """A side of the images, height or width, as values of a graph.

    Attributes:
        length: Its pixels, shape (1,).
        index: The numbers of the pixels from 0 on, shape (length,).
    """

    length: V
    index: V


@dataclass(frozen=True)
class _Part(Generic[V]):
    """The part of a side that is kept, and its place in the result.

    Attributes:
        start: The first pixel that is kept.
        length: How many are kept.
        size: How many pixels these become.
        offset: How many black ones come before them.
    """

    start: _Term[V]
    length: _Term[V]
    size: _Term[V]
    offset: _Term[V]


def sampling_matrices(
    calculator: Calculator[V], height: Side[V], width: Side[V], preprocessing: Preprocessing
) -> tuple[V, V]:
    """Return the matrices that resize images.

    Args:
        calculator: The arithmetic of the graph.
        height: The height of the images.
        width: Their width.
        preprocessing: The size that they get, and how those of other proportions get it.

    Returns:
        The matrices for the height, shape (size, height), and for the width, shape (size, width). The first one times
        the pixels, times the other one transposed, is the network's input, before it is rounded.
    """
    sides = (height, width)
    lengths = [_Term(calculator, side.length) for side in sides]
    parts = _parts(lengths, preprocessing)
    factors = [(part.length // (part.size * GAP)).at_least(1) for part in parts]
    reduces = (factors[0] * factors[1] - 1).at_most(1)  # 1 where cells of pixels are averaged, else 0
    matrices = [
        _matrix(_Term(calculator, side.index), length, part, factor, reduces, size)
        for side, length, part, factor, size in zip(sides, lengths, parts, factors, preprocessing.size, strict=True)
    ]
    return matrices[0].value, matrices[1].value


def _parts(lengths: list[_Term[V]], preprocessing: Preprocessing) -> list[_Part[V]]:
    """Return what is kept of height and width."""
    (height, width), (rows, columns) = lengths, preprocessing.size
    nothing, sizes = height * 0, [height * 0 + rows, width * 0 + columns]
    if preprocessing.fit == "crop":
        kept = [
            (width * rows / columns).rint().at_least(1).at_most(height),
            (height * columns / rows).rint().at_least(1).at_most(width),
        ]
        starts = [(length - part) // 2 for length, part in zip(lengths, kept, strict=True)]
        return [_Part(start, part, size, nothing) for start, part, size in zip(starts, kept, sizes, strict=True)]
    if preprocessing.fit == "pad":
        inner = [
            (height * columns / width).rint().at_least(1).at_most(rows),
            (width * rows / height).rint().at_least(1).at_most(columns),
        ]
        offsets = [(size - part) // 2 for size, part in zip(sizes, inner, strict=True)]
        return [_Part(nothing, *part) for part in zip(lengths, inner, offsets, strict=True)]
    return [_Part(nothing, length, size, nothing) for length, size in zip(lengths, sizes, strict=True)]


def _matrix(
    index: _Term[V], length: _Term[V], part: _Part[V], factor: _Term[V], reduces: _Term[V], size: int
) -> _Term[V]:
    """Return the matrix of a side, whose cells have `factor` pixels."""
    margin, twice = part.length, part.size * 2  # the triangle reaches half a scale beyond the part
    low = ((part.start * twice - margin) // twice).at_least(0) * reduces
    high = length - ((length * twice - (part.start + part.length) * twice - margin) // twice).at_least(0) * reduces
    cell = (index - low) // factor
    pixels = (high - low - cell * factor).at_most(factor).at_least(1)  # the last cell has fewer
    inside = _within(index - low, high - low)
    scale = part.length / factor / part.size
    row = _Term(index.calculator, index.calculator.constant(np.arange(size, dtype=np.float32)[:, None])) - part.offset
    centre = (part.start - low) / factor + (row + 0.5) * scale
    distance = (cell + 0.5 - centre).absolute() / scale.at_least(1)
    weights = (1 - distance).at_least(0) * (inside / pixels) * _within(row, part.size)
    return weights / weights.row_sums().at_least(TINY)


def _within(number: _Term[V], count: _Term[V]) -> _Term[V]:
    """Return 1 for the whole numbers from 0 to count - 1, and 0 for others."""
    return (number + 1).at_most(count - number).at_most(1).at_least(0)
