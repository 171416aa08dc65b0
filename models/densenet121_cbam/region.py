"""The part of a view that DenseNet121-CBAM is given: a square around the tumour and what lies around it."""

from __future__ import annotations

from typing import Final

from models.contract import BoxPx
from models.regions.contract import LesionView
from models.regions.crops import INPUT_SHAPE, Map, grown, squared
from models.resampling import cut_roi

BOUND_PX: Final = 100
"""By which the paper grows a region on each side ("bound size"), in stored pixels: its best of those tried."""


def region_px(view: LesionView) -> BoxPx:
    """Return the square ``(x0, y0, x1, y1)`` in pixels of the view, which may reach out of it."""
    return squared(grown(view.box_px, BOUND_PX))


def region_of(view: LesionView) -> Map:
    """Return the region at 224 x 224, float32, 0 to 1."""
    return cut_roi(view.pixels, region_px(view), INPUT_SHAPE)
