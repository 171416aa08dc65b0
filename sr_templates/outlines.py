"""The outline of a finding, and of a region, as results hold it: within its image, closed, in single precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sr_templates.content import closed_outline_px
from sr_templates.contract import ReportedFinding, ReportedImage
from sr_templates.evidence import valid_number
from sr_templates.wording import clipped_box_px

Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]

_LEAST_CORNERS = 3


def outline_px(image: ReportedImage, finding: ReportedFinding) -> list[Point]:
    """Outline of a finding: its polygon, or its box where it has none.

    Returns
    -------
    list of (x, y)
        x column, y row, (0, 0) the outer top left corner of the first pixel; the first point is repeated at the end
        (PS3.3 C.18.6.1.2), no other one directly after itself.

    Raises
    ------
    ValueError
        It lies outside of its image, as for `clipped_box_px`, or out of its own box; or a polygon has no area.
    """
    box = clipped_box_px(image, finding)
    if not finding.polygon_px:
        return closed_outline_px(box)
    x0, y0, x1, y1 = finding.box_px
    if not all(x0 - 1.0 <= x <= x1 + 1.0 and y0 - 1.0 <= y <= y1 + 1.0 for x, y in finding.polygon_px):
        raise ValueError("an outline lies out of its box")
    return _closed(finding.polygon_px, box)


def region_outline_px(image: ReportedImage, polygon_px: Sequence[Point]) -> list[Point]:
    """Outline of a part of a region, returned as by `outline_px`.

    Raises
    ------
    ValueError
        It has no area, a coordinate is not finite, or it lies more than a pixel out of its image: all of it has to
        lie there, since what was predicted would else be of something that is not shown.
    """
    return _closed(polygon_px, region_box_px(image, polygon_px))


def region_box_px(image: ReportedImage, polygon_px: Sequence[Point]) -> Rectangle:
    """Smallest box around a part of a region, within its image; raises as `region_outline_px` does."""
    xs, ys = [x for x, _ in polygon_px], [y for _, y in polygon_px]
    if not xs or not all(math.isfinite(value) for value in (*xs, *ys)):
        raise ValueError("a region has no outline")
    columns, rows = (valid_number(image.header, keyword) or math.inf for keyword in ("Columns", "Rows"))
    x0, y0, x1, y1 = min(xs), min(ys), max(xs), max(ys)
    if min(x0, y0) < -1.0 or x1 > columns + 1.0 or y1 > rows + 1.0:
        raise ValueError("a region lies outside of its image")
    box = max(x0, 0.0), max(y0, 0.0), min(x1, columns), min(y1, rows)
    if not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError("an outline needs an area")
    return box


def _closed(polygon_px: Sequence[Point], box: Rectangle) -> list[Point]:
    """A polygon within a box, closed by its first point, no point directly after itself."""
    points: list[Point] = []
    for x, y in polygon_px:
        point = (_single(min(max(x, box[0]), box[2])), _single(min(max(y, box[1]), box[3])))
        if not points or point != points[-1]:
            points.append(point)
    while len(points) > 1 and points[-1] == points[0]:
        points.pop()
    if len(points) < _LEAST_CORNERS:
        raise ValueError("an outline needs an area")
    return [*points, points[0]]


def _single(value: float) -> float:
    """As FL holds it."""
    return float(np.float32(value))
