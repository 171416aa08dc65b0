"""From the outlines of a region to the pixels within."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Polygon = Sequence[tuple[float, float]]


def mask_of(polygons_px: Sequence[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill outlines: a pixel belongs to the region when its middle lies within one of them (even-odd rule).

    Parameters
    ----------
    polygons_px : sequence of sequences of (x, y)
        As `pipelines.contract.RegionOfInterest.polygons_px`; what lies outside the image is cut off.
    shape : tuple of int
        ``(rows, columns)`` of the image.

    Returns
    -------
    numpy.ndarray
        Of `shape`, bool; without a pixel when every outline slips between the middles of pixels.
    """
    mask = np.zeros(shape, dtype=np.bool_)
    for polygon in polygons_px:
        _fill(mask, np.asarray(polygon, dtype=np.float64))
    return mask


def _fill(mask: NDArray[np.bool_], points: NDArray[np.float64]) -> None:
    """Add one outline: each edge toggles, in every row whose middle it crosses, all pixels to its right."""
    top = max(math.ceil(points[:, 1].min() - 0.5), 0)
    bottom = min(math.ceil(points[:, 1].max() - 0.5), mask.shape[0])
    if top >= bottom:
        return
    columns = mask.shape[1]
    toggles = np.zeros((bottom - top, columns + 1), dtype=np.int8)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        first, last = (max(math.ceil(y - 0.5), top) for y in sorted((y0, y1)))
        rows = np.arange(first, min(last, bottom))
        if rows.size:
            crossings = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            toggles[rows - top, np.clip(np.ceil(crossings - 0.5), 0, columns).astype(np.intp)] ^= 1
    mask[top:bottom] |= np.bitwise_xor.accumulate(toggles[:, :columns], axis=1).astype(np.bool_)
