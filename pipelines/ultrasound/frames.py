"""From a plan to pictures: cropped, greyscale, without text and callipers, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx
from pipelines.ultrasound.colour import coloured, luminance
from pipelines.ultrasound.decoding import Frame, open_frames
from pipelines.ultrasound.graphics import find_graphics, neutralised
from pipelines.ultrasound.places import PlacedRegion, Region
from pipelines.ultrasound.plan import FramePlan
from pipelines.ultrasound.regions import PixelBox


@dataclass(frozen=True, slots=True, kw_only=True)
class UltrasoundFrame:
    """The picture of one region in one frame, as a network and a reader see it.

    Attributes
    ----------
    frame_number : int
        From 1, as a Referenced Frame Number; 1 for an object of a single frame.
    region : Region
        The region that the picture lies in.
    box_px : tuple of int
        ``(x0, y0, x1, y1)`` of the picture in the stored frame, end exclusive.
    pixels : numpy.ndarray
        Shape ``(y1 - y0, x1 - x0)``, float32, 0 (black) to 1, as displayed. Drawings are filled with the tissue beside
        them, everything outside the sector is 0.
    masked : numpy.ndarray
        Same shape, bool: pixels of `pixels` that were not stored so, as they do not show tissue.
    spacing_mm : tuple of float or None
        ``(row, column)``; None when the header does not state it, or not for this picture.
    display : numpy.ndarray
        Shape ``(rows, columns)`` of the whole stored frame, uint8, nothing masked.
    """

    frame_number: int
    region: Region
    box_px: PixelBox
    pixels: NDArray[np.float32]
    masked: NDArray[np.bool_]
    spacing_mm: tuple[float, float] | None
    display: NDArray[np.uint8]

    def box_to_stored(self, box_px: BoxPx) -> BoxPx:
        """Map a box from the picture to the stored frame, where SCOORD counts; exact, as nothing is resampled."""
        x, y, _, _ = self.box_px
        return box_px[0] + x, box_px[1] + y, box_px[2] + x, box_px[3] + y

    def box_from_stored(self, box_px: BoxPx) -> BoxPx:
        """Map a box from the stored frame to the picture; the inverse of `box_to_stored`."""
        x, y, _, _ = self.box_px
        return box_px[0] - x, box_px[1] - y, box_px[2] - x, box_px[3] - y


def frames(path: Path, plan: FramePlan) -> Iterator[UltrasoundFrame]:
    """Decode what was planned; no more than one frame is in memory at a time, unless the caller keeps it.

    Parameters
    ----------
    path : pathlib.Path
        The file that the plan was made of.
    plan : FramePlan
        From `plan_frames`.

    Yields
    ------
    UltrasoundFrame
        By frame number, then in the order of the regions.

    Raises
    ------
    UnreadableInstance, MissingPixels, UndecodablePixels
        As `open_frames` and `FrameReader.frame`.
    """
    if not plan.frame_numbers:
        return
    with open_frames(path) as reader:
        for number in plan.frame_numbers:
            stored = reader.frame(number)
            for planned in plan.regions:
                if number in planned.frame_numbers:
                    yield _framed(stored, number, planned.placed)


def _framed(stored: Frame, number: int, placed: PlacedRegion) -> UltrasoundFrame:
    if placed.picture is None:  # a plan gives such a region no frame
        raise ValueError("a region without a picture")
    brightness = luminance(stored)
    x0, y0, x1, y1 = placed.picture.box_px
    grey = np.ascontiguousarray(brightness[y0:y1, x0:x1])
    outside = ~placed.picture.inside
    for left, top, right, bottom in placed.covered_px:
        outside[max(0, top - y0) : max(0, bottom - y0), max(0, left - x0) : max(0, right - x0)] = True
    drawn = find_graphics(grey, coloured(stored)[y0:y1, x0:x1])
    return UltrasoundFrame(
        frame_number=number,
        region=placed.region,
        box_px=placed.picture.box_px,
        pixels=neutralised(grey, drawn, outside) * np.float32(1 / 255),
        masked=drawn | outside,
        spacing_mm=placed.region.spacing_mm,
        display=np.rint(brightness).astype(np.uint8),
    )
