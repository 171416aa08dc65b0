"""Outlines in image coordinates as masks of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def mask_of(polygons_px: Iterable[Sequence[tuple[float, float]]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill polygons: a pixel belongs to one when its centre is inside; of several, when it is in any.

    Parameters
    ----------
    polygons_px : iterable of sequence of (x, y)
        As `pipelines.contract.RegionOfInterest.polygons_px`. What lies outside of the image is left out.
    shape : tuple of int
        ``(rows, columns)`` of the image.
    """
    mask = np.zeros(shape, dtype=np.bool_)
    for polygon in polygons_px:
        mask |= _filled(np.asarray(polygon, dtype=np.float64), shape)
    return mask


def _filled(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Even-odd rule: in each row, the pixels to the right of an edge change sides."""
    rows, columns = shape
    crossed = np.zeros((rows, columns + 1), dtype=np.int32)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        upper, lower = sorted((y0, y1))
        # Centres are at half pixels; an edge holds its upper end and not its lower one, so that a corner counts once.
        first, end = (int(np.clip(np.ceil(y - 0.5), 0, rows)) for y in (upper, lower))
        if first < end:
            across = np.arange(first, end)
            x = x0 + (across + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            np.add.at(crossed, (across, np.clip(np.ceil(x - 0.5), 0, columns).astype(np.intp)), 1)
    inside: NDArray[np.bool_] = np.cumsum(crossed[:, :columns], axis=1) % 2 == 1
    return inside
