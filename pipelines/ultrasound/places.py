"""Where the regions of a header lie in the pixels, and which of them hold a picture of tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Reason
from pipelines.ultrasound import reasons
from pipelines.ultrasound.fitness import MIN_SIDE_PX
from pipelines.ultrasound.header import UltrasoundHeader
from pipelines.ultrasound.picture import Picture, find_picture
from pipelines.ultrasound.regions import PixelBox, RegionKind, StatedRegion, area_px, overlap, within

REASON_OF_KIND: Final[dict[RegionKind, Reason]] = {
    "colour_flow": reasons.COLOUR_FLOW,
    "spectral": reasons.SPECTRAL,
    "m_mode": reasons.M_MODE,
    "trace": reasons.NOT_A_PICTURE,
    "graphics": reasons.NOT_A_PICTURE,
    "other": reasons.NOT_A_PICTURE,
}
OTHER_MODES: Final[tuple[RegionKind, ...]] = ("colour_flow", "spectral", "m_mode")
"""What would be taken for a picture of tissue if one did not know where it is."""

COVERING: Final[tuple[RegionKind, ...]] = ("spectral", "m_mode", "trace", "graphics")

CONTAINED_SHARE: Final = 0.9
MAX_COVERED_SHARE: Final = 0.5

SAME_SIZE_SHARE: Final = 0.03
"""A picture as high (or as wide) as the stated region, to this share, is shown at the scale that was stated."""

MIN_SHIFT_SHARE: Final = 0.01
MIN_SHIFT_PX: Final = 4
"""A picture that reaches further out of its stated region than this was moved, by cropping, after it was stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A region of the stored frame.

    Attributes
    ----------
    box_px : tuple of int
        ``(x0, y0, x1, y1)`` in stored pixels, x column, y row, end exclusive; (0, 0) is the outer top left corner.
    kind : str
        What it holds: "tissue", "colour_flow", "spectral", "m_mode", "trace", "graphics" or "other".
    spacing_mm : tuple of float or None
        ``(row, column)``, from the header's Physical Delta, and only where the pixels do not contradict it.
    found : {"header", "pixels"}
        What says where it lies.
    """

    box_px: PixelBox
    kind: RegionKind
    spacing_mm: tuple[float, float] | None
    found: Literal["header", "pixels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRegion:
    """A region with the picture in it.

    Attributes
    ----------
    region : Region
        Where it lies.
    picture : Picture or None
        Box in stored pixels; None when there is a reason.
    covered_px : tuple of boxes
        Parts of the picture that other regions overwrite.
    reason : Reason or None
        Why the region cannot be analysed.
    """

    region: Region
    picture: Picture | None = None
    covered_px: tuple[PixelBox, ...] = ()
    reason: Reason | None = None


def placed_regions(header: UltrasoundHeader, grey: NDArray[np.uint8]) -> tuple[PlacedRegion, ...] | Reason:
    """Say what lies where.

    Parameters
    ----------
    header : UltrasoundHeader
        With the regions as stated.
    grey : numpy.ndarray
        Shape ``(rows, columns)``, 0 black; of a cine the brightest value of each pixel.

    Returns
    -------
    tuple of PlacedRegion, or Reason
        All regions of the header where they fit the pixels, else one, found in the pixels; a reason when it cannot be
        told what is a picture.
    """
    tissue = [region for region in header.regions if region.kind == "tissue"]
    other_modes = [region for region in header.regions if region.kind in OTHER_MODES]
    boxes = [_box_within(region, grey.shape) for region in header.regions]
    misplaced = any(
        box is None for box, region in zip(boxes, header.regions, strict=True) if region in (*tissue, *other_modes)
    )
    if misplaced and other_modes:
        colour = any(region.kind == "colour_flow" for region in other_modes)
        return reasons.COLOUR_FLOW if colour else reasons.REGIONS_MISPLACED
    if not misplaced and (tissue or other_modes):
        placed = [
            Region(box_px=box, kind=region.kind, spacing_mm=region.spacing_mm, found="header")
            for box, region in zip(boxes, header.regions, strict=True)
            if box is not None
        ]
        stated = [region for box, region in zip(boxes, header.regions, strict=True) if box is not None]
        moved = _moved(tissue[0], grey) if len(tissue) == 1 and not other_modes else None
        if moved is None:
            return tuple(_placed(index, placed, stated, header, grey) for index in range(len(placed)))
        return (moved,)
    return _found(tissue, grey)


def _box_within(region: StatedRegion, shape: tuple[int, ...]) -> PixelBox | None:
    return None if region.box_px is None else within(region.box_px, shape[0], shape[1])


def _placed(
    index: int,
    regions: Sequence[Region],
    stated: Sequence[StatedRegion],
    header: UltrasoundHeader,
    grey: NDArray[np.uint8],
) -> PlacedRegion:
    """One region of the header, where it lies as stated."""
    region = regions[index]
    if region.kind != "tissue":
        return PlacedRegion(region=region, reason=REASON_OF_KIND[region.kind])
    colour = [other for other in regions if other.kind == "colour_flow"]
    if any(overlap(region.box_px, other.box_px) for other in colour) or ("colour_flow" in header.modes and not colour):
        return PlacedRegion(region=region, reason=reasons.COLOUR_FLOW)
    if any(_contains(other, region, before=number < index) for number, other in enumerate(regions) if number != index):
        return PlacedRegion(region=region, reason=reasons.REGION_WITHIN_ANOTHER)
    covered = [
        shared
        for other, as_stated in zip(regions, stated, strict=True)
        if other.kind in COVERING
        and (stated[index].low_priority or not as_stated.low_priority)
        and (shared := overlap(region.box_px, other.box_px)) is not None
    ]
    if sum(area_px(box) for box in covered) > MAX_COVERED_SHARE * area_px(region.box_px):
        return PlacedRegion(region=region, reason=reasons.NO_PICTURE)
    x0, y0, x1, y1 = region.box_px
    return _with_picture(region, find_picture(grey[y0:y1, x0:x1]), (x0, y0), tuple(covered))


def _with_picture(
    region: Region, picture: Picture | None, origin_px: tuple[int, int], covered_px: tuple[PixelBox, ...] = ()
) -> PlacedRegion:
    """A region with a picture whose box counts from `origin_px` ``(x, y)``; a reason when it is none or too small."""
    if picture is None:
        return PlacedRegion(region=region, reason=reasons.NO_PICTURE)
    if min(picture.inside.shape) < MIN_SIDE_PX:
        return PlacedRegion(region=region, reason=reasons.PICTURE_TOO_SMALL)
    x, y = origin_px
    x0, y0, x1, y1 = picture.box_px
    moved = Picture(box_px=(x0 + x, y0 + y, x1 + x, y1 + y), inside=picture.inside)
    return PlacedRegion(region=region, picture=moved, covered_px=covered_px)


def _contains(other: Region, region: Region, *, before: bool) -> bool:
    """Whether a region of tissue lies within another one; of two equal ones the first is analysed."""
    shared = overlap(other.box_px, region.box_px)
    if other.kind != "tissue" or shared is None or area_px(shared) < CONTAINED_SHARE * area_px(region.box_px):
        return False
    larger, smaller = area_px(other.box_px), area_px(region.box_px)
    return larger > smaller or (larger == smaller and before)


def _moved(stated: StatedRegion, grey: NDArray[np.uint8]) -> PlacedRegion | None:
    """The picture, when it is as large as stated but lies elsewhere; None when the statement holds."""
    found = find_picture(grey)
    if found is None or stated.box_px is None or not _same_scale(stated.box_px, found.box_px):
        return None
    shared = overlap(stated.box_px, found.box_px)
    limit = max(MIN_SHIFT_PX, MIN_SHIFT_SHARE * max(grey.shape))
    x0, y0, x1, y1 = found.box_px
    reaches_px = (stated.box_px[0] - x0, stated.box_px[1] - y0, x1 - stated.box_px[2], y1 - stated.box_px[3])
    if shared is None or max(reaches_px) <= limit:
        return None
    region = Region(box_px=found.box_px, kind="tissue", spacing_mm=stated.spacing_mm, found="pixels")
    return _with_picture(region, found, (0, 0))


def _found(tissue: Sequence[StatedRegion], grey: NDArray[np.uint8]) -> tuple[PlacedRegion, ...] | Reason:
    """The picture, by the pixels alone; its scale is the stated one when its size is."""
    picture = find_picture(grey)
    if picture is None:
        return reasons.NO_PICTURE
    spacing_mm = None
    if len(tissue) == 1 and tissue[0].box_px is not None and _same_scale(tissue[0].box_px, picture.box_px):
        spacing_mm = tissue[0].spacing_mm
    region = Region(box_px=picture.box_px, kind="tissue", spacing_mm=spacing_mm, found="pixels")
    return (_with_picture(region, picture, (0, 0)),)


def _same_scale(stated_px: PixelBox, found_px: PixelBox) -> bool:
    """Whether a picture is as wide or as high as stated: cropping changes one of them at most, scaling both."""
    sides = ((box[2] - box[0], box[3] - box[1]) for box in (stated_px, found_px))
    return any(abs(stated - found) <= SAME_SIZE_SHARE * stated for stated, found in zip(*sides, strict=True))
