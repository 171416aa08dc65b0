"""From the graphic data of structured reports and presentation states to polygons.

Coordinates are ``(x, y)``, (0, 0) the outer corner of the first pixel, which is what both kinds of object say (PS3.3
C.18.6.1.2 and C.10.5.1.2, units PIXEL).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from pipelines import reasons
from pipelines.elements import numbers
from pipelines.headers import MALFORMED
from pipelines.region_objects.contract import MAX_POINTS, NotARegion

Points = tuple[tuple[float, float], ...]
Closed = Literal["by_points", "always"]

CURVE_POINTS: Final = 72
"""Of a circle or an ellipse: the polygon lies within 0.1 % of its radius."""

STEPS: Final = 8
"""Straight lines between two points of an interpolated curve."""

SAME_POINT_PX: Final = 0.01
"""Closer ones are one point: graphic data are 32 bit floats."""

TOO_MANY_POINTS: Final = f"an outline of more than {MAX_POINTS} points"
MAX_BYTES: Final = 2 * MAX_POINTS * 16
"""Of the numbers of an outline: 4 bytes each in their own VR, 16 where one wrote them as text."""


def graphic_data(item: Dataset) -> tuple[float, ...]:
    """Graphic Data (0070,0022) of an item; none when absent.

    Raises
    ------
    NotARegion
        There are more than an outline has; found out by their length, before the numbers are made.
    """
    try:
        raw = item.get_item("GraphicData")
    except MALFORMED:
        return ()
    if isinstance(raw, RawDataElement) and (raw.length or 0) > MAX_BYTES:
        raise NotARegion(reasons.region_unsupported(TOO_MANY_POINTS))
    return numbers(item, "GraphicData")


def paired(data: Sequence[float]) -> Points:
    """Column and row in turn, as (0070,0022) holds them.

    Raises
    ------
    NotARegion
        There are too many, an odd number, or one is not finite.
    """
    if len(data) > 2 * MAX_POINTS:
        raise NotARegion(reasons.region_unsupported(TOO_MANY_POINTS))
    if not data or len(data) % 2 or not all(math.isfinite(value) for value in data):
        raise NotARegion(reasons.region_unsupported("its graphic data are damaged"))
    return tuple(zip(data[::2], data[1::2], strict=True))


def polygon(kind: str, data: Sequence[float], *, closed: Closed = "by_points") -> Points:
    """Make the outline of a closed shape.

    Parameters
    ----------
    kind : str
        Graphic Type (0070,0023): of SCOORD (PS3.3 C.18.6.1.1), of a presentation state (C.10.5.1.2), and POLYGON, which
        is one of SCOORD3D alone, though written in SCOORD as well.
    data : sequence of float
        Graphic Data.
    closed : {"by_points", "always"}
        Whether a line encloses an area only when it ends where it began, or always: it is filled, or of a kind that is.

    Returns
    -------
    tuple of (x, y)
        Three points at least, the first not repeated.

    Raises
    ------
    NotARegion
        It encloses nothing, or is of another kind.
    """
    points = paired(data)
    if kind == "CIRCLE":
        return _circle(points)
    if kind == "ELLIPSE":
        return _ellipse(points)
    if kind in {"POLYLINE", "INTERPOLATED", "POLYGON"}:
        ring = _ring(points, always=closed == "always" or kind == "POLYGON")
        return _interpolated(ring) if kind == "INTERPOLATED" else ring
    if kind in {"POINT", "MULTIPOINT"}:
        raise NotARegion(reasons.region_unsupported("a point, which encloses nothing"))
    raise NotARegion(reasons.region_unsupported("a shape of an unknown kind"))


def box(points: Points) -> Points:
    """Upright rectangle between two opposite corners, or a polygon of its four.

    Raises
    ------
    NotARegion
        There are not two or four points.
    """
    if len(points) == 2:
        (x0, y0), (x1, y1) = points
        return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return _ring(points, always=True)


def area_px(points: Points) -> float:
    """Area within a polygon, in pixels; of one that crosses itself, the difference of its parts."""
    following = (*points[1:], *points[:1])
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, following, strict=True))) / 2


def clipped(points: Points, rows: int, columns: int) -> Points:
    """The part of a polygon within an image, edge by edge (Sutherland and Hodgman, Comm. ACM 17 (1974) 32).

    Parts that the edge of the image separates stay joined by lines along it.
    """
    for axis, edge, sign in ((0, 0.0, 1), (0, float(columns), -1), (1, 0.0, 1), (1, float(rows), -1)):
        points = tuple(_beyond(points, axis, edge, sign))
    return points


def _beyond(points: Points, axis: int, edge: float, sign: int) -> Iterator[tuple[float, float]]:
    """Corners of the part whose coordinate is at `edge` or, by `sign`, above or below."""
    for one, other in zip(points, (*points[1:], *points[:1]), strict=True):
        is_in, other_is_in = (sign * (point[axis] - edge) >= 0 for point in (one, other))
        if is_in:
            yield one
        if is_in != other_is_in:
            along = one[1 - axis] + (edge - one[axis]) / (other[axis] - one[axis]) * (other[1 - axis] - one[1 - axis])
            yield (edge, along) if axis == 0 else (along, edge)


def _ring(points: Points, *, always: bool) -> Points:
    if len(points) < 3:
        raise NotARegion(reasons.region_unsupported("a line, which encloses nothing"), is_request=False)
    if math.dist(points[0], points[-1]) <= SAME_POINT_PX:
        points = points[:-1]
    elif not always:
        raise NotARegion(reasons.region_unsupported("an open line, which encloses nothing"), is_request=False)
    if len(set(points)) < 3:
        raise NotARegion(reasons.REGION_TOO_SMALL)
    return points


def _circle(points: Points) -> Points:
    """Centre, then a point of the circumference."""
    if len(points) != 2:
        raise NotARegion(reasons.region_unsupported("its graphic data are damaged"))
    (x, y), _ = points
    radius = math.dist(*points)
    return _curve((x, y), (radius, 0.0), (0.0, radius))


def _ellipse(points: Points) -> Points:
    """Ends of the major axis, then those of the minor axis."""
    if len(points) != 4:
        raise NotARegion(reasons.region_unsupported("its graphic data are damaged"))
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
    half_major, half_minor = ((bx - ax) / 2, (by - ay) / 2), ((dx - cx) / 2, (dy - cy) / 2)
    return _curve(((ax + bx) / 2, (ay + by) / 2), half_major, half_minor)


def inscribed(points: Points) -> Points:
    """Ellipse within the upright rectangle between two opposite corners, or with the axes of four points."""
    if len(points) != 2:
        return _ellipse(points)
    (x0, y0), (x1, y1) = points
    return _curve(((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) / 2, 0.0), (0.0, (y1 - y0) / 2))


def _curve(centre: tuple[float, float], one: tuple[float, float], other: tuple[float, float]) -> Points:
    turns = [2 * math.pi * index / CURVE_POINTS for index in range(CURVE_POINTS)]
    points = tuple(
        (
            centre[0] + one[0] * math.cos(turn) + other[0] * math.sin(turn),
            centre[1] + one[1] * math.cos(turn) + other[1] * math.sin(turn),
        )
        for turn in turns
    )
    if area_px(points) <= 0:
        raise NotARegion(reasons.REGION_TOO_SMALL)
    return points


def _interpolated(ring: Points) -> Points:
    """Closed Catmull-Rom curve through the points; the Standard leaves the interpolation to who draws it."""
    count = len(ring)
    if count * STEPS > MAX_POINTS:
        return ring
    around = [[ring[(index + offset) % count] for offset in (-1, 0, 1, 2)] for index in range(count)]
    return tuple(
        (_catmull_rom([x for x, _ in near], step / STEPS), _catmull_rom([y for _, y in near], step / STEPS))
        for near in around
        for step in range(STEPS)
    )


def _catmull_rom(near: Sequence[float], t: float) -> float:
    """Uniform Catmull-Rom spline between the second and the third of four values, `t` from 0 to 1."""
    a, b, c, d = near
    return b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
