"""Where the breast is in a training image: lesions are planted there, and not on labels, letters or the film's edge."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TISSUE: Final = 0.08
"""Brightness above which a pixel counts as tissue."""

GRID_PX: Final = 8


def breast_places(pixels: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the middles of those squares of `GRID_PX` that are in the largest bright region.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 to 1: a whole image, or a crop of one.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, 2)``: x, y, in pixels; empty when nothing is bright.
    """
    half = min(GRID_PX // 2, pixels.shape[0] - 1, pixels.shape[1] - 1)
    coarse = pixels[half::GRID_PX, half::GRID_PX] > TISSUE
    regions, count = ndimage.label(coarse)
    if count > 1:
        coarse = regions == 1 + int(np.bincount(regions.ravel())[1:].argmax())
    places: NDArray[np.intp] = np.argwhere(coarse)[:, ::-1] * GRID_PX + half
    return places
