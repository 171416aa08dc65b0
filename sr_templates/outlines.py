"""The outline of a finding as results hold it: within its image, closed, in single precision."""

from __future__ import annotations

import numpy as np

from sr_templates.content import closed_outline_px
from sr_templates.contract import ReportedFinding, ReportedImage
from sr_templates.wording import clipped_box_px

Point = tuple[float, float]

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
    points: list[Point] = []
    for x, y in finding.polygon_px:
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
