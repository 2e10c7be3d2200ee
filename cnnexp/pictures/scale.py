"""Numbers as greys: which value is black, which is white, and what is no number at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MARK = (222, 38, 120)
"""The colour of a value that is not finite."""


@dataclass(frozen=True)
class Scale:
    """A straight line from values to greys.

    Arguments:
        low: the value that is black.
        high: the value that is white; where it equals `low`, everything is mid grey.
    """

    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Scale:
        """The scale from the least to the largest finite value."""
        finite = values[np.isfinite(values)]
        return cls(float(finite.min()), float(finite.max())) if finite.size else cls(0.0, 0.0)

    @classmethod
    def around_zero(cls, values: np.ndarray) -> Scale:
        """The scale on which zero is mid grey and the value farthest from it black or white."""
        finite = values[np.isfinite(values)]
        most = float(np.abs(finite).max()) if finite.size else 0.0
        return cls(-most, most)

    def __str__(self) -> str:
        return (
            f"all {number(self.low)}"
            if self.low == self.high
            else f"black {number(self.low)}, white {number(self.high)}"
        )

    def grey(self, values: np.ndarray) -> np.ndarray:
        """The values as greys from 0 to 255, uint8 of the same shape; beyond the ends is black or white."""
        if self.low == self.high:
            return np.full(values.shape, 128, np.uint8)
        with np.errstate(invalid="ignore", over="ignore"):
            shares = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return np.rint(np.clip(np.nan_to_num(shares), 0, 1) * 255).astype(np.uint8)

    def paint(self, values: np.ndarray) -> np.ndarray:
        """As `grey`; with a last axis of three colours where some value is not finite, which is then drawn in MARK."""
        greys, wrong = self.grey(values), ~np.isfinite(values)
        if not wrong.any():
            return greys
        colours = np.repeat(greys[..., None], 3, axis=-1)
        colours[wrong] = MARK
        return colours


def number(value: float) -> str:
    """A number as a title says it: three digits that count, with a real minus."""
    return f"{value:.3g}".replace("-", "−").replace("−0", "−0")
