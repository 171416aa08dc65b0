"""What a classifier learns from: images with a class, made by the number of the step; and how they are varied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

GAMMAS: Final = (0.75, 1.35)
"""Least and greatest exponent of brightness."""

GAINS: Final = (0.8, 1.15)
LIFTS: Final = (-0.03, 0.06)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image and its class.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 to 1, at the network's spacing.
    positive : bool
        Whether it is of the second class.
    """

    pixels: Image
    positive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step sees.

    Attributes
    ----------
    samples : tuple of Sample
        Of one size, unless `alone`.
    alone : bool
        Each goes through the network by itself, normalised by the running statistics, as an image that is analysed:
        for whole images, of which no two have the same size.
    """

    samples: tuple[Sample, ...]
    alone: bool


class BatchSource(Protocol):
    """Where the samples of a step come from. Its number alone decides: a run taken up again repeats and misses none."""

    def draw(self, step: int) -> Batch:
        """Make the samples of step `step`, from 0."""
        ...


def varied(rng: np.random.Generator, pixels: Image) -> Image:
    """Change the brightness, and mirror and turn by quarters; air stays air.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns)`` or ``(columns, rows)``, float32, 0 to 1.
    """
    exponent, gain, lift = rng.uniform(*GAMMAS), rng.uniform(*GAINS), rng.uniform(*LIFTS)
    out = np.clip(np.maximum(pixels, 0.0) ** exponent * gain + lift, 0.0, 1.0)
    out[pixels <= 0.0] = 0.0
    if rng.random() < 0.5:
        out = out[:, ::-1]
    if rng.random() < 0.5:
        out = out[::-1]
    if rng.random() < 0.5:
        out = out.T
    return np.ascontiguousarray(out, dtype=np.float32)
