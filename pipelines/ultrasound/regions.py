"""Sequence of Ultrasound Regions (PS3.3 C.8.5.5): what is shown where in the picture, and how large a pixel is.

Millimetres come from here and from nowhere else: Pixel Spacing has no meaning in these objects that one could rely on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydicom import Dataset

from pipelines.elements import items, number, whole

RegionKind = Literal["tissue", "colour_flow", "spectral", "m_mode", "trace", "graphics", "other"]
PixelBox = tuple[int, int, int, int]

FORMAT_M_MODE: Final = 2
FORMAT_SPECTRAL: Final = 3
FORMAT_WAVEFORM: Final = 4
FORMAT_GRAPHICS: Final = 5
"""Region Spatial Format, PS3.3 C.8.5.5.1.1; 1 is 2D, 0 is none or not applicable."""

TISSUE: Final = 0x1
COLOUR_FLOW: Final = 0x2
SPECTRAL_TYPES: Final = frozenset({0x3, 0x4})
TRACE_TYPES: Final = frozenset({*range(0x5, 0xD), 0x10, 0x11, 0x12})
BAR_TYPES: Final = frozenset({0xD, 0xE})
"""Region Data Type, PS3.3 C.8.5.5.1.2: PW and CW Doppler; Doppler, ECG and other traces; grey and colour bars."""

LOW_PRIORITY: Final = 0x1
"""Bit 0 of Region Flags (PS3.3 C.8.5.5.1.3): where regions overlap, the pixels are those of the other one."""

CENTIMETRE: Final = 3
"""Physical Units X (or Y) Direction, PS3.3 C.8.5.5.1.15."""

MIN_SPACING_MM: Final = 0.001
MAX_SPACING_MM: Final = 5.0
"""Beyond these a pixel of a picture of tissue cannot be; scanners give 0.02 to 0.5 mm."""

ROUNDING_PX: Final = 2
"""By how much a region may reach over the image: some state the last pixel inclusively, some exclusively."""

MAX_COORDINATE_PX: Final = 2**16
"""Rows and Columns have 16 bits; a location beyond is no location."""

MAX_REGIONS: Final = 64
"""More than any screen holds; a header with more is not read on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRegion:
    """One item of the sequence, as the header states it.

    Attributes
    ----------
    kind : str
        What the region holds.
    box_px : tuple of int or None
        ``(x0, y0, x1, y1)`` in stored pixels, x column, y row, the end exclusive; not cut at the image's edge. None
        when the header gives no place or a senseless one.
    spacing_mm : tuple of float or None
        ``(row, column)``, from Physical Delta Y and X where both directions are in centimetres.
    low_priority : bool
        Where it overlaps with another region, the pixels belong to the other.
    """

    kind: RegionKind
    box_px: PixelBox | None
    spacing_mm: tuple[float, float] | None
    low_priority: bool


def read_regions(dataset: Dataset) -> tuple[StatedRegion, ...]:
    """Read the regions of a header; empty when there are none, and never raises on a malformed one."""
    return tuple(_region(item) for item in items(dataset, "SequenceOfUltrasoundRegions")[:MAX_REGIONS])


def within(box_px: PixelBox, rows: int, columns: int) -> PixelBox | None:
    """Cut a stated box at the image's edge; None when it reaches further than rounding explains.

    A box that does so was stated for another picture than this one: the image was cropped or scaled later, and its
    header left as it was.
    """
    x0, y0, x1, y1 = box_px
    if x1 > columns + ROUNDING_PX or y1 > rows + ROUNDING_PX or x0 >= columns or y0 >= rows:
        return None
    return x0, y0, min(x1, columns), min(y1, rows)


def overlap(first: PixelBox, second: PixelBox) -> PixelBox | None:
    """Common part of two boxes, None when they have none."""
    x0, y0 = max(first[0], second[0]), max(first[1], second[1])
    x1, y1 = min(first[2], second[2]), min(first[3], second[3])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def area_px(box_px: PixelBox) -> int:
    """Number of pixels of a box."""
    return (box_px[2] - box_px[0]) * (box_px[3] - box_px[1])


def _region(item: Dataset) -> StatedRegion:
    kind = _kind(whole(item, "RegionSpatialFormat"), whole(item, "RegionDataType"))
    return StatedRegion(
        kind=kind,
        box_px=_box(item),
        spacing_mm=_spacing_mm(item) if kind == "tissue" else None,
        low_priority=bool((whole(item, "RegionFlags") or 0) & LOW_PRIORITY),
    )


def _kind(spatial_format: int | None, data_type: int | None) -> RegionKind:
    """The spatial format goes first: data type 1 or 2 is also stated of M-mode."""
    table: tuple[tuple[bool, RegionKind], ...] = (
        (spatial_format == FORMAT_M_MODE, "m_mode"),
        (spatial_format == FORMAT_SPECTRAL or data_type in SPECTRAL_TYPES, "spectral"),
        (spatial_format == FORMAT_GRAPHICS or data_type in BAR_TYPES, "graphics"),
        (spatial_format == FORMAT_WAVEFORM or data_type in TRACE_TYPES, "trace"),
        (data_type == COLOUR_FLOW, "colour_flow"),
        (data_type == TISSUE, "tissue"),
    )
    return next((kind for applies, kind in table if applies), "other")


def _box(item: Dataset) -> PixelBox | None:
    corners = [whole(item, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    if any(corner is None or not 0 <= corner <= MAX_COORDINATE_PX for corner in corners):
        return None
    x0, y0, x1, y1 = (corner for corner in corners if corner is not None)
    return (x0, y0, x1 + 1, y1 + 1) if x0 < x1 and y0 < y1 else None


def _spacing_mm(item: Dataset) -> tuple[float, float] | None:
    """Millimetres a pixel, ``(row, column)``; a picture shown upside down or mirrored has a negative delta."""
    spacing = []
    for axis in ("Y", "X"):
        delta_cm = number(item, f"PhysicalDelta{axis}")
        if delta_cm is None or whole(item, f"PhysicalUnits{axis}Direction") != CENTIMETRE:
            return None
        spacing.append(abs(delta_cm) * 10.0)
    row_mm, column_mm = spacing
    plausible = all(MIN_SPACING_MM <= side_mm <= MAX_SPACING_MM for side_mm in spacing)
    return (row_mm, column_mm) if plausible else None
