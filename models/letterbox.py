"""A frame of any size on a square canvas: its sides keep their ratio, what is left of the canvas is black."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.resampling import resample

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """Where a frame lies on a canvas.

    Attributes
    ----------
    frame_shape : tuple of int
        ``(rows, columns)`` of the frame.
    side_px : int
        Of the canvas.
    shape, corner : tuple of int
        ``(rows, columns)`` of the frame on the canvas, and its upper left corner there.
    """

    frame_shape: tuple[int, int]
    side_px: int
    shape: tuple[int, int]
    corner: tuple[int, int]

    def to_canvas(self, pixels: Pixels) -> Pixels:
        """Lay a frame on its canvas, shape ``(side_px, side_px)``."""
        canvas = np.zeros((self.side_px, self.side_px), dtype=np.float32)
        canvas[self._within] = resample(pixels, self.shape)
        return canvas

    def to_frame(self, canvas: Pixels) -> Pixels:
        """Take the frame's part of a canvas at the frame's own size, shape `frame_shape`."""
        return resample(canvas[self._within], self.frame_shape)

    @property
    def _within(self) -> tuple[slice, slice]:
        (top, left), (rows, columns) = self.corner, self.shape
        return slice(top, top + rows), slice(left, left + columns)


def letterbox(frame_shape: tuple[int, int], side_px: int) -> Letterbox:
    """Plan how a frame of ``(rows, columns)`` is laid in the middle of a canvas whose longer side it fills."""
    scale = side_px / max(frame_shape)
    rows, columns = (max(1, round(length * scale)) for length in frame_shape)
    return Letterbox(
        frame_shape=frame_shape,
        side_px=side_px,
        shape=(rows, columns),
        corner=((side_px - rows) // 2, (side_px - columns) // 2),
    )
