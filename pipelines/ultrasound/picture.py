"""Where the picture of tissue lies in a screen: what is neither background nor text, bars or panels.

Speckle is what tells tissue from graphics: nearly every pixel differs from its neighbours, in both directions. Panels
are flat, grey bars change in one direction only, and letters are too sparse to fill an area.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from pipelines.ultrasound.regions import PixelBox

Mask = NDArray[np.bool_]

MAX_BACKGROUND: Final = 64
"""The commonest grey level of a screen is its background, unless it is brighter than this."""

MIN_BACKGROUND_SHARE: Final = 0.05
"""Nor when so few pixels have it: then the image is a picture to its edges."""

MIN_CONTRAST: Final = 6
"""Grey levels above the background; lossy compression leaves that much noise in it."""

STEPS: Final = (2, 1)
"""Grey levels between a pixel's neighbours on either side that count as speckle. Compressed panels and their text have
many of 1, so that this is tried only when there is no picture otherwise: some scanners smooth speckle that much."""

WINDOW_SHARE: Final = 1 / 48
MIN_WINDOW_PX: Final = 9
"""Side of the windows in which speckle is counted, by the shorter side of the image."""

MIN_SPECKLE_SHARE: Final = 0.4
"""About half of what tissue has, so that the border is found where half of a window lies in it."""

PART_SHARE: Final = 0.15
"""A part this large against the largest, beside or below it, belongs to the same picture: a shadow lies between."""

MIN_PICTURE_SHARE: Final = 0.05
"""Of the image; smaller areas are title bars, logos and body marks."""

RECTANGLE_SHARE: Final = 0.8
"""A picture that fills this much of its bounding box is a rectangle, its dark corners included."""


HALF_PIXEL: Final = 0.5
"""The hull goes through the centres of the outermost pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture found in an image.

    Attributes
    ----------
    box_px : tuple of int
        ``(x0, y0, x1, y1)``, end exclusive.
    inside : numpy.ndarray
        Shape of the box, bool: the sector or rectangle itself.
    """

    box_px: PixelBox
    inside: Mask


def find_picture(grey: NDArray[np.uint8]) -> Picture | None:
    """Find the picture of tissue.

    Parameters
    ----------
    grey : numpy.ndarray
        Shape ``(rows, columns)``, 0 black; of a cine the brightest value of each pixel over its frames.

    Returns
    -------
    Picture or None
        The largest speckled area with what belongs to it; None when there is none.
    """
    window = max(MIN_WINDOW_PX, round(min(grey.shape) * WINDOW_SHARE)) | 1
    if min(grey.shape) < 2 * window:
        return None
    return next((found for step in STEPS if (found := _largest(grey, _dense(grey, window, step))) is not None), None)


def _largest(grey: NDArray[np.uint8], dense: Mask) -> Picture | None:
    """The largest speckled area, and the parts that shadows cut off it."""
    labels, count = ndimage.label(dense, structure=np.ones((3, 3)))
    if count == 0:
        return None
    areas = np.bincount(labels.ravel())[1:]
    boxes = [(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in ndimage.find_objects(labels)]
    largest = int(areas.argmax())
    if areas[largest] < MIN_PICTURE_SHARE * grey.size:
        return None
    belonging = [
        index
        for index, box in enumerate(boxes)
        if areas[index] >= PART_SHARE * areas[largest] and _side_by_side(box, boxes[largest])
    ]
    x0, y0, x1, y1 = (
        min(boxes[index][0] for index in belonging),
        min(boxes[index][1] for index in belonging),
        max(boxes[index][2] for index in belonging),
        max(boxes[index][3] for index in belonging),
    )
    part = np.isin(labels[y0:y1, x0:x1], np.array(belonging) + 1)
    inside = _convex(part)
    if np.count_nonzero(inside) >= RECTANGLE_SHARE * inside.size:
        inside[:] = True
    return Picture(box_px=(x0, y0, x1, y1), inside=inside)


def _dense(grey: NDArray[np.uint8], window: int, step: int) -> Mask:
    """Areas of speckle, without what is narrower than a window."""
    levels = np.bincount(grey.ravel(), minlength=256)
    background = int(levels.argmax())
    if background > MAX_BACKGROUND or levels[background] < MIN_BACKGROUND_SHARE * grey.size:
        background = -MIN_CONTRAST
    speckle = grey >= background + MIN_CONTRAST
    signed = grey.astype(np.int16)
    # Over two pixels, so that pictures enlarged by repeating pixels have it as well.
    speckle[:, 1:-1] &= np.abs(signed[:, 2:] - signed[:, :-2]) >= step
    speckle[1:-1] &= np.abs(signed[2:] - signed[:-2]) >= step
    share = ndimage.uniform_filter(speckle.astype(np.float32), size=window, mode="nearest")
    dense = (share >= MIN_SPECKLE_SHARE).view(np.uint8)
    opened = ndimage.maximum_filter(ndimage.minimum_filter(dense, size=window, mode="nearest"), size=window)
    return np.asarray(opened, dtype=np.bool_)


def _side_by_side(first: PixelBox, second: PixelBox) -> bool:
    """Whether two boxes share half of the shorter one's rows, or half of its columns."""
    for low, high in ((0, 2), (1, 3)):
        shared = min(first[high], second[high]) - max(first[low], second[low])
        if shared >= 0.5 * min(first[high] - first[low], second[high] - second[low]):
            return True
    return False


def _convex(part: Mask) -> Mask:
    """Pixels within the convex hull: sectors are convex but for the probe's arc, and shadows eat into them."""
    rows = np.flatnonzero(part.any(axis=1))
    first = part[rows].argmax(axis=1)
    last = part.shape[1] - 1 - part[rows, ::-1].argmax(axis=1)
    hull = ConvexHull(np.column_stack([np.tile(rows, 2), np.concatenate([first, last])]))
    row, column = np.ogrid[: part.shape[0], : part.shape[1]]
    inside = np.ones(part.shape, dtype=np.bool_)
    for across, along, offset in hull.equations:
        inside &= across * row + along * column + offset <= HALF_PIXEL
    return inside
