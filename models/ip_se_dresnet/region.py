"""The part of a view that IP-SE-DResNet is given: the tumour with some surround, at 224 x 224."""

from __future__ import annotations

from typing import Final

from models.contract import BoxPx
from models.regions.contract import LesionView
from models.regions.crops import INPUT_SHAPE, Map, grown
from models.resampling import cut_roi

SURROUND: Final = 0.2
"""Share of the longer side that the smallest rectangle is grown by on each side; the reasons are in the model card."""

LEAST_SIDE_PX: Final = 8
"""Of the longer side of a tumour: fewer pixels, made 224, are blur and noise."""


def region_px(view: LesionView) -> BoxPx:
    """Return the rectangle ``(x0, y0, x1, y1)`` in pixels of the view, which may reach out of it.

    Raises
    ------
    ValueError
        The tumour is smaller than `LEAST_SIDE_PX`.
    """
    x0, y0, x1, y1 = box_px = view.box_px
    longer = max(x1 - x0, y1 - y0)
    if longer < LEAST_SIDE_PX:
        raise ValueError(f"the region is {longer:g} pixels long; at least {LEAST_SIDE_PX} are needed")
    return grown(box_px, SURROUND * longer)


def region_of(view: LesionView) -> Map:
    """Return the region at 224 x 224, float32, 0 to 1; raises ValueError as `region_px` does."""
    return cut_roi(view.pixels, region_px(view), INPUT_SHAPE)
