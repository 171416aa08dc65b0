"""What of an ultrasound object is looked at: which regions, which frames, and why not the rest.

The header's regions are taken where they fit the pixels. Where there are none, or they were stated for another picture
than this one, the picture is looked for in the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Reason
from pipelines.ultrasound import reasons
from pipelines.ultrasound.cine import BLOCK_PX, block_means, distinct, evenly_spread, thinned
from pipelines.ultrasound.colour import blobs, coloured, luminance
from pipelines.ultrasound.decoding import FrameReader, open_frames
from pipelines.ultrasound.fitness import unfit_reason
from pipelines.ultrasound.header import UltrasoundHeader
from pipelines.ultrasound.places import PlacedRegion, placed_regions
from pipelines.ultrasound.regions import PixelBox

MAX_FRAMES: Final = 12
"""Of a cine, to be analysed; a sweep through a lesion shows it on many more."""

SURVEYED_PER_ANALYSED: Final = 3
"""So many times more frames are decoded to choose from, as neighbours often show the same."""

MIN_COLOUR_SHARE: Final = 0.003
"""Of the picture, in blobs: a little flow in a colour box is more, a coloured marker is less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRegion:
    """A region and what is done with it.

    Attributes
    ----------
    placed : PlacedRegion
        Where it lies, and the picture in it.
    frame_numbers : tuple of int
        Frames to analyse, from 1, ascending; empty when there is a reason.
    reason : Reason or None
        Why it is not analysed.
    """

    placed: PlacedRegion
    frame_numbers: tuple[int, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePlan:
    """What is done with one object.

    Attributes
    ----------
    header : UltrasoundHeader
        Of the object.
    regions : tuple of PlannedRegion
        Those of the header in its order, or the picture found in the pixels; empty when the object is not looked at.
    reason : Reason or None
        Why nothing of the object is analysed; None when something is.
    """

    header: UltrasoundHeader
    regions: tuple[PlannedRegion, ...]
    reason: Reason | None

    @property
    def frame_numbers(self) -> tuple[int, ...]:
        """All frames that are analysed in one region or another, ascending."""
        return tuple(sorted({number for region in self.regions for number in region.frame_numbers}))


def plan_frames(path: Path, header: UltrasoundHeader, *, max_frames: int = MAX_FRAMES) -> FramePlan:
    """Decide what to look at. Of a cine, a few frames are decoded for it, one after another.

    Parameters
    ----------
    path : pathlib.Path
        The object's file.
    header : UltrasoundHeader
        From `describe_ultrasound`.
    max_frames : int
        No more frames of a region are analysed.

    Returns
    -------
    FramePlan
        The same one for the same file, always.

    Raises
    ------
    UnreadableInstance, MissingPixels, UndecodablePixels
        As `open_frames` and `FrameReader.frame`.
    """
    unfit = unfit_reason(header)
    if unfit is not None:
        return FramePlan(header=header, regions=(), reason=unfit)
    with open_frames(path) as reader:
        survey = _survey(reader, evenly_spread(reader.frames, max_frames * SURVEYED_PER_ANALYSED))
    placed = placed_regions(header, survey.peak)
    if isinstance(placed, Reason):
        return FramePlan(header=header, regions=(), reason=placed)
    regions = tuple(_planned(region, survey, max_frames) for region in placed)
    return FramePlan(header=header, regions=regions, reason=_reason_for_all(regions))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    """Some frames, coarsely: means of blocks of grey levels, shares of blocks in blobs of colour; and all at once.

    Attributes
    ----------
    peak : numpy.ndarray
        Shape ``(rows, columns)``, uint8: the brightest value of each pixel.
    """

    numbers: tuple[int, ...]
    grey: tuple[NDArray[np.float32], ...]
    colour: tuple[NDArray[np.float32], ...]
    peak: NDArray[np.uint8]


def _survey(reader: FrameReader, numbers: Sequence[int]) -> _Survey:
    grey: list[NDArray[np.float32]] = []
    colour: list[NDArray[np.float32]] = []
    peak = np.zeros((reader.header.rows, reader.header.columns), dtype=np.uint8)
    for number in numbers:
        frame = reader.frame(number)
        brightness = np.rint(luminance(frame)).astype(np.uint8)
        np.maximum(peak, brightness, out=peak)
        grey.append(block_means(brightness))
        colour.append(block_means(blobs(coloured(frame))))
    return _Survey(numbers=tuple(numbers), grey=tuple(grey), colour=tuple(colour), peak=peak)


def _planned(placed: PlacedRegion, survey: _Survey, max_frames: int) -> PlannedRegion:
    """Choose frames for a region: without colour, distinct, evenly spread."""
    if placed.picture is None:
        return PlannedRegion(placed=placed, reason=placed.reason)
    rows, columns = _blocks(placed.picture.box_px)
    plain = [index for index, shares in enumerate(survey.colour) if shares[rows, columns].mean() < MIN_COLOUR_SHARE]
    if not plain:
        return PlannedRegion(placed=placed, reason=reasons.COLOUR_IN_PICTURE)
    found = distinct([survey.numbers[index] for index in plain], [survey.grey[index][rows, columns] for index in plain])
    return PlannedRegion(placed=placed, frame_numbers=thinned(found, max_frames))


def _blocks(box_px: PixelBox) -> tuple[slice, slice]:
    """Rows and columns of the whole blocks in a box; a picture is never so small that it has none."""
    x0, y0, x1, y1 = box_px
    return slice(-(-y0 // BLOCK_PX), y1 // BLOCK_PX), slice(-(-x0 // BLOCK_PX), x1 // BLOCK_PX)


def _reason_for_all(regions: Sequence[PlannedRegion]) -> Reason | None:
    """Reason of the first region of tissue, else of the first, when none is analysed."""
    if any(region.reason is None for region in regions):
        return None
    first = sorted(regions, key=lambda region: region.placed.region.kind != "tissue")
    return first[0].reason if first else reasons.NO_PICTURE
