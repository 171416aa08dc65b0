"""The part of a view that a network is given, and how a map over that part is laid back onto the view. No torch."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx

Map = NDArray[np.float32]

SIDE_PX: Final = 224
"""Side of what the networks with ImageNet's layers are given."""

INPUT_SHAPE: Final = (SIDE_PX, SIDE_PX)


def grown(box_px: BoxPx, by_px: float) -> BoxPx:
    """Grow a box by as many pixels on each side."""
    x0, y0, x1, y1 = box_px
    return x0 - by_px, y0 - by_px, x1 + by_px, y1 + by_px


def squared(box_px: BoxPx) -> BoxPx:
    """Lengthen the shorter side of a box on both ends, until it is a square about the same middle."""
    x0, y0, x1, y1 = box_px
    half = max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half


def scaled(values: Map) -> Map:
    """Shift and stretch a map so that it reaches from 0 to 1; one that is the same everywhere shows nothing, so 0."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros_like(values, dtype=np.float32)
    return ((values - low) / (high - low)).astype(np.float32)


def placed(values: Map, box_px: BoxPx, shape: tuple[int, int]) -> Map:
    """Lay a map back onto the view whose part `box_px` it is of.

    Parameters
    ----------
    values : numpy.ndarray
        Shape ``(rows, columns)``, float32: cells that share the box evenly, whatever its sides.
    box_px : tuple of float
        ``(x0, y0, x1, y1)`` in pixels of the view; what lies beyond the view is left out.
    shape : tuple of int
        ``(rows, columns)`` of the view.

    Returns
    -------
    numpy.ndarray
        Shape `shape`, float32: bilinear between the middles of cells, 0 in every pixel whose middle is not in the box.
    """
    x0, y0, x1, y1 = box_px
    across = _weights(values.shape[1], x0, x1, shape[1])
    down = _weights(values.shape[0], y0, y1, shape[0])
    return (down @ values @ across.T).astype(np.float32)


def _weights(cells: int, start: float, end: float, length: int) -> NDArray[np.float64]:
    """How much of each cell, shape ``(length, cells)``, each pixel of an axis is."""
    middles = np.arange(length) + 0.5
    place = (middles - start) / (end - start) * cells - 0.5
    weights: NDArray[np.float64] = np.clip(1.0 - np.abs(place.clip(0, cells - 1)[:, None] - np.arange(cells)), 0.0, 1.0)
    weights[(middles < start) | (middles >= end)] = 0.0
    return weights
