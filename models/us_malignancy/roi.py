"""The region that a classifier looks at: the lesion with its border, at 64 x 64."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import BoxPx

Pixels = NDArray[np.float32]

MARGIN: Final = 0.2
"""By which the box around a lesion is grown, on each side, as a share of that side: the paper's rectangle holds "the
whole tumor and the tumor borderline"; the halo and the first of the shadow behind it tell most."""

LEAST_MARGIN_PX: Final = 3.0


def grown(box_px: BoxPx, margin: float = MARGIN) -> BoxPx:
    """Grow a box on each side by `margin` of its length there, at least by `LEAST_MARGIN_PX`."""
    x0, y0, x1, y1 = box_px
    across, down = (max(margin * length, LEAST_MARGIN_PX) for length in (x1 - x0, y1 - y0))
    return x0 - across, y0 - down, x1 + across, y1 + down


def cut_roi(pixels: Pixels, roi_px: BoxPx, shape: tuple[int, int]) -> Pixels:
    """Resample a rectangle of a frame to `shape`, bilinearly; the sides need not keep their ratio.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32.
    roi_px : tuple of float
        ``(x0, y0, x1, y1)``; beyond the edges the frame goes on as its edge.
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
