"""The gains of exported files against the float file of their format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evomnas.deploy.formats.exported_files import Export
from evomnas.problem.sections import FLOAT


@dataclass(frozen=True, slots=True)
class Gain:
    """The figures of a file relative to those of the float file of its format.

    Attributes:
        speed: The float file's latency divided by its own; None where one of them was not measured.
        is_certain: Whether the intervals of the two latencies do not overlap.
        size: Its size divided by the float file's.
        accuracy: Its test accuracy minus the float file's.
    """

    speed: float | None
    is_certain: bool
    size: float
    accuracy: float

    @property
    def text(self) -> str:
        """The gain in words, such as `1.31x as fast, 48 % smaller, -0.28 points`."""
        return ", ".join([*self._speed_words(), *self._size_words(), f"{100 * self.accuracy:+.2f} points"])

    def _speed_words(self) -> list[str]:
        if self.speed is None:
            return []
        return [f"{self.speed:.2f}x as fast" if self.is_certain else "as fast"]

    def _size_words(self) -> list[str]:
        percent = round(100 * abs(self.size - 1))
        return ["as large" if percent == 0 else f"{percent} % {'smaller' if self.size < 1 else 'larger'}"]


def find_gain(export: Export, exports: Sequence[Export]) -> Gain | None:
    """Return what a file brings.

    Args:
        export: The file.
        exports: All files of the network.

    Returns:
        The gain; None for a float file, and where there is none of its format.
    """
    plain = next((one for one in exports if one.format == export.format and one.variant == FLOAT), None)
    if plain is None or plain is export:
        return None
    speed, is_certain = None, False
    if plain.latency_ms is not None and export.latency_ms is not None:
        speed = plain.latency_ms / export.latency_ms
        ends = (plain.low_ms, plain.high_ms, export.low_ms, export.high_ms)
        low, high, own_low, own_high = (end or 0.0 for end in ends)
        is_certain = own_high < low or high < own_low
    accuracy = export.score.accuracy - plain.score.accuracy
    return Gain(speed, is_certain, export.bytes / plain.bytes, accuracy)
