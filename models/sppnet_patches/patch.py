"""The patch that SPPNet is given: calcifications and their surround, at 0.1 mm, in analysis and in training."""

from __future__ import annotations

import math
from typing import Final

from models.contract import BoxPx
from models.regions.contract import LesionView
from models.regions.crops import Map
from models.resampling import cut_out, resample

MARGIN_PX: Final = 32
"""By which a box is grown on each side, 3.2 mm at 0.1 mm: a radiologist looks at what lies around a group."""

LEAST_SIDE_PX: Final = 224
GREATEST_SIDE_PX: Final = 640
SPACING_MM: Final = 0.1


def side_of(box_px: BoxPx, spacing_mm: float) -> int:
    """Return the side, in pixels at `SPACING_MM`, of the square patch around a box.

    The longer side of the box and `MARGIN_PX` on both sides, at least `LEAST_SIDE_PX`, at most `GREATEST_SIDE_PX`.
    """
    longer_px = max(box_px[2] - box_px[0], box_px[3] - box_px[1]) * spacing_mm / SPACING_MM
    return min(max(math.ceil(longer_px) + 2 * MARGIN_PX, LEAST_SIDE_PX), GREATEST_SIDE_PX)


def square_about(pixels: Map, box_px: BoxPx, spacing_mm: tuple[float, float], side_px: int) -> Map:
    """Cut a square around the middle of a box out of an image, which goes on as its edge beyond it.

    Returns
    -------
    numpy.ndarray
        Shape ``(side_px, side_px)``, float32, at `SPACING_MM`.
    """
    x0, y0, x1, y1 = box_px
    rows, columns = (max(1, round(side_px * SPACING_MM / each_mm)) for each_mm in spacing_mm)
    left, top = round((x0 + x1 - columns) / 2), round((y0 + y1 - rows) / 2)
    return resample(cut_out(pixels, left, top, (rows, columns)), (side_px, side_px))


def side_of_view(view: LesionView) -> int:
    """Return `side_of` the box around a lesion; ValueError where the spacing of the view is not known."""
    if view.spacing_mm is None:
        raise ValueError("the pixel spacing of a view is not known; patches of calcifications need it")
    x0, y0, x1, y1 = view.box_px
    down_mm, across_mm = view.spacing_mm
    return side_of((x0 * across_mm, y0 * down_mm, x1 * across_mm, y1 * down_mm), 1.0)


def patch_of(view: LesionView) -> Map:
    """Cut the patch around a lesion out of a view, which goes on as its edge beyond it.

    Returns
    -------
    numpy.ndarray
        Shape ``(side, side)``, float32, 0 to 1, at `SPACING_MM`; see `side_of`.

    Raises
    ------
    ValueError
        The spacing of the view is not known: calcifications are told apart by their size.
    """
    side = side_of_view(view)
    assert view.spacing_mm is not None  # refused before
    return square_about(view.pixels, view.box_px, view.spacing_mm, side)
