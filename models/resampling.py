"""How an image, or a part of it, is brought to what a model wants: the same in analysis and in training."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import BoxPx

Pixels = NDArray[np.float32]


def resample(pixels: Pixels, shape: tuple[int, int]) -> Pixels:
    """Resample to `shape`, corner to corner, averaging over the area of a new pixel when shrinking.

    Each axis shrinks with a Hamming window as wide as the new pixel, or grows bilinearly; Pillow widens its filters by
    the scale, so nothing aliases.
    """
    if pixels.shape == shape:
        return np.ascontiguousarray(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    rows, columns = pixels.shape
    for size in ((shape[1], rows), (shape[1], shape[0])):
        shrinks = size[0] < columns if size[1] == rows else size[1] < rows
        kind = Image.Resampling.HAMMING if shrinks else Image.Resampling.BILINEAR
        image = image.resize(size, kind)
    return np.asarray(image, dtype=np.float32)


def cut_out(pixels: Pixels, left: int, top: int, shape: tuple[int, int]) -> Pixels:
    """A rectangle of an image, ``(rows, columns)`` large, which goes on as its edge beyond it; a copy."""
    rows, columns = (
        np.clip(np.arange(start, start + length), 0, given - 1)
        for start, length, given in zip((top, left), shape, pixels.shape, strict=True)
    )
    return pixels[rows[:, None], columns].astype(np.float32, copy=True)


def cut_roi(pixels: Pixels, roi_px: BoxPx, shape: tuple[int, int]) -> Pixels:
    """Resample a rectangle of an image to `shape`, bilinearly; the sides need not keep their ratio.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32.
    roi_px : tuple of float
        ``(x0, y0, x1, y1)``; beyond its edges the image goes on as its edge.
    shape : tuple of int
        ``(rows, columns)`` of the result.
    """
    x0, y0, x1, y1 = roi_px
    rows, columns = pixels.shape
    left, top = max(0, -math.floor(x0)), max(0, -math.floor(y0))
    right, bottom = max(0, math.ceil(x1) - columns), max(0, math.ceil(y1) - rows)
    padded = np.pad(pixels, ((top, bottom), (left, right)), mode="edge")
    image = Image.fromarray(np.ascontiguousarray(padded, dtype=np.float32))
    box = (x0 + left, y0 + top, x1 + left, y1 + top)
    return np.array(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=box), dtype=np.float32)
