"""Outline and size of a lesion: polygon, long axis, short axis, area.

Coordinates are ``(x, y)`` along pixel corners: (0, 0) is the outer corner of the first pixel. An outline runs through
the middles of the edges between pixels inside and pixels outside, which is where marching squares puts it at half
height (Lorensen and Cline, SIGGRAPH 1987): on average it lies neither outside nor inside the border that was sampled.

The long axis is the greatest distance between two points of the outline (maximum Feret diameter). The short axis is the
greatest width perpendicular to it, measured between the sides of the convex hull, as a caliper is laid: both have ends
that can be drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Point = tuple[float, float]
Points = NDArray[np.float64]
Mask = NDArray[np.bool_]

_RIGHT, _DOWN, _LEFT, _UP = (0, 1), (1, 0), (0, -1), (-1, 0)
_TURNS: Final = {
    _RIGHT: (_DOWN, _RIGHT, _UP),
    _DOWN: (_LEFT, _DOWN, _RIGHT),
    _LEFT: (_UP, _LEFT, _DOWN),
    _UP: (_RIGHT, _UP, _LEFT),
}
"""By direction ``(row, column)`` along the edges, with the inside on the right: what to try next, the sharpest turn to
the right first, so that pixels which touch at a corner only are not joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionShape:
    """Size of a lesion; lengths and area in mm where the frame is calibrated.

    Attributes
    ----------
    long_axis_px, short_axis_px : tuple of two points
        Their ends ``(x, y)``, in pixels.
    area_px : int
        Number of pixels.
    long_axis_mm, short_axis_mm, area_mm2 : float or None
        None when the spacing is not known.
    """

    long_axis_px: tuple[Point, Point]
    short_axis_px: tuple[Point, Point]
    area_px: int
    long_axis_mm: float | None
    short_axis_mm: float | None
    area_mm2: float | None


def outline(mask: Mask) -> Points:
    """Trace the outer border of one region.

    Parameters
    ----------
    mask : numpy.ndarray
        Shape ``(rows, columns)``, bool; one region, pixels joined by their edges. Holes are filled.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, 2)``, float64: points ``(x, y)``, clockwise as seen on a screen, the first not repeated; n >= 4.

    Raises
    ------
    ValueError
        There is no pixel, or more than one region.
    """
    _, count = ndimage.label(mask)
    if count != 1:
        raise ValueError(f"an outline is that of one region, not of {count}")
    filled = np.pad(ndimage.binary_fill_holes(mask), 1)
    row, column = (int(value) for value in np.argwhere(filled)[0])
    start, direction = (row, column), _RIGHT  # along the upper edge of the first pixel, which lies to the right
    corner, points = start, []
    while True:
        middle = (corner[1] + direction[1] / 2 - 1.0, corner[0] + direction[0] / 2 - 1.0)  # less the padding
        points.append(middle)
        corner = (corner[0] + direction[0], corner[1] + direction[1])
        direction = next(turn for turn in _TURNS[direction] if _is_border(filled, corner, turn))
        if corner == start and direction == _RIGHT:
            return np.array(points, dtype=np.float64)


def measure(points: Points, area_px: int, spacing_mm: tuple[float, float] | None) -> LesionShape:
    """Measure axes and area.

    Parameters
    ----------
    points : numpy.ndarray
        Shape ``(n, 2)``: ``(x, y)``, as `outline` gives them, or of a polygon that a person drew.
    area_px : int
        Number of pixels.
    spacing_mm : tuple of float or None
        ``(row, column)``. Without it pixels are taken as square, and there are no millimetres.

    Raises
    ------
    ValueError
        Fewer than two different points.
    """
    scale = np.array([1.0, 1.0] if spacing_mm is None else [spacing_mm[1], spacing_mm[0]])
    hull = _hull(points * scale)
    long_axis = _farthest(hull)
    short_axis = _widest_across(hull, long_axis)
    lengths = None if spacing_mm is None else (math.dist(*long_axis), math.dist(*short_axis))
    return LesionShape(
        long_axis_px=_ends(long_axis / scale),
        short_axis_px=_ends(short_axis / scale),
        area_px=area_px,
        long_axis_mm=None if lengths is None else lengths[0],
        short_axis_mm=None if lengths is None else lengths[1],
        area_mm2=None if spacing_mm is None else area_px * spacing_mm[0] * spacing_mm[1],
    )


def simplified(points: Points, tolerance_px: float) -> Points:
    """Leave out points of a closed outline that lie within `tolerance_px` of the line between those that stay.

    Douglas and Peucker, Cartographica 10 (1973) 112, on the two halves between the first point and the farthest from
    it. An outline so small that no area would be left of it stays as it is.
    """
    if len(points) < 4:
        return points
    far = int(np.argmax(np.linalg.norm(points - points[0], axis=1)))
    if far == 0:
        return points[:1]
    closed = np.vstack([points, points[:1]])
    kept = {0, far} | _kept(closed, 0, far, tolerance_px) | _kept(closed, far, len(points), tolerance_px)
    left = sorted(index for index in kept if index < len(points))
    return points[left] if len(left) > 2 else points


def _is_border(filled: Mask, corner: tuple[int, int], direction: tuple[int, int]) -> bool:
    """Whether the edge from `corner` in `direction` has the inside on its right and the outside on its left."""
    row, column = corner
    right, left = {
        _RIGHT: ((row, column), (row - 1, column)),
        _DOWN: ((row, column - 1), (row, column)),
        _LEFT: ((row - 1, column - 1), (row, column - 1)),
        _UP: ((row - 1, column), (row - 1, column - 1)),
    }[direction]
    return bool(filled[right]) and not filled[left]


def _hull(points: Points) -> Points:
    """Corners of the convex hull; of points on one line, its two ends."""
    different = np.unique(points, axis=0)
    if len(different) < 2:
        raise ValueError("a shape needs at least two different points")
    try:
        corners: Points = different[ConvexHull(different).vertices]
    except QhullError:  # on one line
        corners = different[[0, -1]]
    return corners


def _farthest(hull: Points) -> Points:
    """The two corners that are farthest apart, shape ``(2, 2)``; of equal pairs the first."""
    distances = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    first, second = np.unravel_index(int(np.argmax(distances)), distances.shape)
    pair: Points = hull[[first, second]]
    return pair


def _widest_across(hull: Points, axis: Points) -> Points:
    """Ends of the greatest width of a hull perpendicular to `axis`, shape ``(2, 2)``.

    Across the hull the width is concave along the axis and linear between corners, so it is greatest at a corner.
    """
    along = (axis[1] - axis[0]) / np.linalg.norm(axis[1] - axis[0])
    across = np.array([-along[1], along[0]])
    t, s = (hull - axis[0]) @ along, (hull - axis[0]) @ across
    ends = [(float(t_), *_side(t, s, float(t_))) for t_ in t]
    at, low, high = max(ends, key=lambda end: end[2] - end[1])
    return np.array([axis[0] + at * along + low * across, axis[0] + at * along + high * across])


def _side(t: Points, s: Points, at: float) -> tuple[float, float]:
    """Where the line `at` along the axis crosses a convex polygon with corners ``(t, s)``: lowest and highest s."""
    crossings = []
    for one, other in zip(range(len(t)), np.roll(range(len(t)), -1), strict=True):
        low, high = sorted((t[one], t[other]))
        if low <= at <= high:
            share = 0.0 if high == low else (at - t[one]) / (t[other] - t[one])
            crossings += [s[one] + share * (s[other] - s[one])] if high > low else [s[one], s[other]]
    return float(min(crossings)), float(max(crossings))


def _kept(points: Points, first: int, last: int, tolerance_px: float) -> set[int]:
    kept, open_ = set(), [(first, last)]
    while open_:
        begin, end = open_.pop()
        if end - begin < 2:
            continue
        line = points[end] - points[begin]
        between = points[begin + 1 : end] - points[begin]
        length = float(np.linalg.norm(line))
        off = (
            np.abs(line[0] * between[:, 1] - line[1] * between[:, 0]) / length
            if length
            else np.linalg.norm(between, axis=1)
        )
        farthest = int(np.argmax(off))
        if off[farthest] > tolerance_px:
            index = begin + 1 + farthest
            kept.add(index)
            open_ += [(begin, index), (index, end)]
    return kept


def _ends(axis: Points) -> tuple[Point, Point]:
    (x0, y0), (x1, y1) = axis.tolist()
    return (x0, y0), (x1, y1)
