"""Predictions of networks' errors elsewhere, from what is known there: a feature of their errors here."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.base import Lesson
from evomnas.algorithms.surrogate.features import EncodedNetworks, NetworkEncoder, Standardizer
from evomnas.algorithms.surrogate.predictors import Blend, GaussianProcess, Inputs, QuadraticRidge

ERROR_SHIFT = 1e-3  # added to errors before their logarithm
MAX_LESSONS = 1000  # networks of each lesson that are learnt from, so that the search stays quick

Floats = NDArray[np.float64]


class _Relative(NamedTuple):
    """The result of one lesson: the predictors, the scale of sizes, and mean and deviation of the values."""

    blend: Blend
    scale: Standardizer
    mean: float
    deviation: float


class Relatives:
    """Predictors of what networks reach elsewhere, one for each lesson. Each network is predicted once."""

    def __init__(self, encode: NetworkEncoder, lessons: Sequence[Lesson]) -> None:
        """Fit the predictors.

        Args:
            encode: Encodes the networks of the space.
            lessons: What is known; each has at least two networks.
        """
        self._gene = encode.gene
        self._relatives = [self._fit(encode, lesson) for lesson in lessons]
        self._predicted = np.zeros((0, len(lessons)))  # of all networks so far: a search looks at many again and again
        self._rows: dict[Hashable, int] = {}  # of these networks, by key

    def _fit(self, encode: NetworkEncoder, lesson: Lesson) -> _Relative:
        count = len(lesson.errors)
        rows = np.unique(np.linspace(0, count - 1, min(count, MAX_LESSONS)).astype(np.int64))
        networks, values = encode(lesson.genomes[rows]), np.log(lesson.errors[rows] + ERROR_SHIFT)
        scale, blend = Standardizer(networks.sizes), Blend(GaussianProcess(), QuadraticRidge())
        blend.fit(self._inputs(networks, scale), values)
        return _Relative(blend, scale, float(values.mean()), float(values.std()) or 1.0)

    def _inputs(self, networks: EncodedNetworks, scale: Standardizer) -> Inputs:
        return Inputs(networks.one_hot, self._gene, scale.standardize(networks.sizes))

    def predict(self, networks: EncodedNetworks) -> Floats:
        """Predict what n networks would reach.

        Args:
            networks: The networks.

        Returns:
            The logarithms of their errors in each of the r lessons, with mean 0 and deviation 1 over the networks of
            the lesson, shape (n, r).
        """
        new = [row for row, key in enumerate(networks.keys) if key not in self._rows]
        if new:
            self._rows |= {networks.keys[row]: len(self._predicted) + place for place, row in enumerate(new)}
            self._predicted = np.concatenate([self._predicted, self._predict(networks[np.array(new)])])
        return self._predicted[[self._rows[key] for key in networks.keys]]

    def _predict(self, networks: EncodedNetworks) -> Floats:
        columns = [
            (one.blend.predict(self._inputs(networks, one.scale))[0] - one.mean) / one.deviation
            for one in self._relatives
        ]
        return np.stack(columns, axis=1)
