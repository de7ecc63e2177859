"""Average precisions of a network that finds things in images, and how far other images could change them.

An average precision depends on all images together, so there is no closed form of its error. It is bootstrapped over
images (Efron 1979, "Bootstrap methods: another look at the jackknife"): the matches of each image are kept, and the
average precision of as many images, drawn with replacement, is computed from them again and again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.sections import PrecisionName

PRECISIONS: tuple[PrecisionName, PrecisionName] = ("ap", "ap50")


@dataclass(frozen=True, eq=False)
class DetectionScore:
    """The average precisions of a network on images, from 0 to 1; None where there is nothing to find.

    Attributes:
        ap: The mean over intersections over union of 0.5, 0.55 to 0.95, and over the classes that are there.
        ap50: That of 0.5 alone.
        ap75: That of 0.75 alone.
        small: `ap` of things of fewer than 32² pixels of the picture.
        medium: `ap` of those of 32² to 96² pixels.
        large: `ap` of larger ones.
        by_class: `ap` of each class.
        by_class50: `ap50` of each class.
        images: The number of images.
        resamples: `ap` and `ap50` of images that were drawn with replacement, shape (r, 2); not a number where a draw
            has nothing to find.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
    by_class: tuple[float | None, ...]
    by_class50: tuple[float | None, ...]
    images: int
    resamples: NDArray[np.float64]

    def value(self, name: PrecisionName) -> float:
        """Return an average precision; 0 where there is nothing to find.

        Args:
            name: Which.
        """
        return (self.ap if name == "ap" else self.ap50) or 0.0

    def interval(self, name: PrecisionName) -> tuple[float, float]:
        """Return the 95 % interval of an average precision: the quantiles of the resamples.

        Args:
            name: Which.

        Returns:
            Its ends; not a number where there is nothing to find.
        """
        drawn = self._drawn(name)
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
        return float(low), float(high)

    def error(self, name: PrecisionName) -> float:
        """Return the standard error of an average precision: the standard deviation of the resamples.

        Args:
            name: Which.

        Returns:
            The error; not a number where there is nothing to find.
        """
        drawn = self._drawn(name)
        return float(drawn.std(ddof=1)) if len(drawn) > 1 else float("nan")

    def _drawn(self, name: PrecisionName) -> NDArray[np.float64]:
        drawn: NDArray[np.float64] = self.resamples[:, PRECISIONS.index(name)]
        return drawn[~np.isnan(drawn)]
