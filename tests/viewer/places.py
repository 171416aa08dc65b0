"""Where things are on screen, from pixels alone: the drawn outline, the breast, and so the way back to stored pixels.

Nothing of the viewer's own geometry is used: the breast in the screenshot is laid over the breast in the stored image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import BoxPx

BREAST_LEVEL: Final = 0.12
"""Of full brightness, 0 to 1: above air, below the fat behind the skin."""

SMOOTHING_PX: Final = 1.5
"""Of the stored image, which has noise that the screen's coarser pixels do not show."""

GREY_WITHIN: Final = 10
"""Of 255, between the channels: the viewer's own lines, such as the viewport's frame, are coloured."""

LEAST_CHANGE: Final = 60
"""Of 255: an outline's pixel differs by more from what lies below it; the soft edges of its line by less."""

LEAST_OUTLINE_PX: Final = 30
SQUARE_WITHIN: Final = 0.02
"""Pixels of the image are square, so that both axes must have the same scale."""


class NotOnScreen(ValueError):
    """What was looked for cannot be seen; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenFrame:
    """Where a stored image lies on screen: ``screen = offset + scale * stored``, each ``(x, y)``."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    def moved(self, by: tuple[int, int]) -> ScreenFrame:
        """The same image in a picture that begins so much further to the left and further up."""
        return replace(self, offset=(self.offset[0] + by[0], self.offset[1] + by[1]))

    def to_screen(self, point: tuple[float, float]) -> tuple[float, float]:
        """Bring a point of the stored image to the screen."""
        (across, down), (left, top) = self.scale, self.offset
        return left + across * point[0], top + down * point[1]

    def to_stored(self, box: BoxPx) -> BoxPx:
        """Bring a box on screen to the pixels of the stored image."""
        (across, down), (left, top) = self.scale, self.offset
        x0, y0, x1, y1 = box
        return (x0 - left) / across, (y0 - top) / down, (x1 - left) / across, (y1 - top) / down


def lay_over(stored: NDArray[np.uint16], bare: NDArray[np.uint8], full_scale: int = 4095) -> ScreenFrame:
    """Find out where an image is shown, by the outermost edges of the breast in both.

    Parameters
    ----------
    stored : numpy.ndarray
        Shape ``(rows, columns)``, 0 (air) to `full_scale`.
    bare : numpy.ndarray
        Shape ``(rows, columns, 3)``, uint8, RGB: the viewport with the image alone, window over the full scale.

    Raises
    ------
    NotOnScreen
        No breast is seen, or it is not shown with square pixels, upright and unmirrored.
    """
    smooth = ndimage.gaussian_filter(stored.astype(np.float32), SMOOTHING_PX, mode="nearest")
    there = _breast(smooth > BREAST_LEVEL * full_scale)
    here = _breast((bare.min(axis=2) > BREAST_LEVEL * 255) & (np.ptp(bare, axis=2) < GREY_WITHIN))
    scale_x = (here[2] - here[0]) / (there[2] - there[0])
    scale_y = (here[3] - here[1]) / (there[3] - there[1])
    if abs(scale_x / scale_y - 1) > SQUARE_WITHIN:
        raise NotOnScreen(f"the breast is not shown as it is stored: {scale_x:.3f} across, {scale_y:.3f} down")
    return ScreenFrame(scale=(scale_x, scale_y), offset=(here[0] - scale_x * there[0], here[1] - scale_y * there[1]))


def drawn_outline(outlined: NDArray[np.uint8], bare: NDArray[np.uint8]) -> BoxPx:
    """Return the outermost edges of what is drawn in green over `bare`: the finding that the viewer points at.

    Raises
    ------
    NotOnScreen
        Nothing is drawn.
    """
    change = outlined.astype(np.int16) - bare.astype(np.int16)
    red, green, blue = outlined.astype(np.int16).transpose(2, 0, 1)
    drawn = (np.abs(change).max(axis=2) > LEAST_CHANGE) & (green - np.maximum(red, blue) > LEAST_CHANGE)
    if np.count_nonzero(drawn) < LEAST_OUTLINE_PX:
        raise NotOnScreen("no green outline is drawn on the image")
    return _edges(drawn)


def overlap(one: BoxPx, other: BoxPx) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def deviation(one: BoxPx, other: BoxPx) -> float:
    """Largest distance between the same edge of two boxes."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _breast(bright: NDArray[np.bool_]) -> BoxPx:
    labels, count = ndimage.label(bright)
    if count == 0:
        raise NotOnScreen("no breast is seen in the viewport")
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    return _edges(labels == largest)


def _edges(mask: NDArray[np.bool_]) -> BoxPx:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
