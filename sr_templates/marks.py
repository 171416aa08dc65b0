"""Boxes on an image and their tags: where each goes, so that nothing covers a finding or another tag."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import ImageDraw

from sr_templates.drawing import BACKGROUND, Rectangle, Rgb, font, text_width_px

Segment = tuple[float, float, float, float]
Point = tuple[float, float]

_RINGS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a source image lies in a picture.

    Attributes
    ----------
    area_px : tuple of float
        In the picture: outer corner of the first pixel, and that of the last one ``(columns, rows)``.
    columns, rows : int
        Of the source image.
    """

    area_px: Rectangle
    columns: int
    rows: int

    def to_picture(self, box_px: Rectangle) -> Rectangle:
        """Map a box from the image's pixels to the picture's."""
        return *self.point_to_picture(box_px[:2]), *self.point_to_picture(box_px[2:])

    def point_to_picture(self, point_px: Point) -> Point:
        """Map a point ``(x, y)`` likewise."""
        left, top, right, bottom = self.area_px
        x, y = (right - left) / self.columns, (bottom - top) / self.rows
        return left + point_px[0] * x, top + point_px[1] * y


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A finding in pixels of the image, outer corners, and what its tag may say, the fullest first.

    Attributes
    ----------
    polygon_px : tuple of (x, y)
        Outline within the box, closed by its first point, which is not repeated; empty: the box is drawn.
    dashed : bool
        The line is broken: what is marked is no finding of the analysis.
    """

    box_px: Rectangle
    tags: tuple[str, ...]
    color: Rgb
    polygon_px: tuple[Point, ...] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedMark:
    """A mark in the picture.

    Attributes
    ----------
    inside_px : tuple of float
        The finding's pixels, which stay as they are: whole pixels around the box.
    outline_px : tuple of float
        Outer edge of the line around them.
    tag, tag_px
        What the tag says, and where; empty and None where there is no room beside the findings.
    leader_px : tuple of float or None
        Line from a distant tag to its box.
    polygon_px : tuple of (x, y)
        Outline to be drawn in place of the box.
    dashed : bool
        Draw it as a broken line.
    """

    inside_px: Rectangle
    outline_px: Rectangle
    color: Rgb
    tag: str
    tag_px: Rectangle | None
    leader_px: Segment | None
    polygon_px: tuple[Point, ...] = ()
    dashed: bool = False


def line_width_px(font_px: int) -> int:
    """Width of the line around a finding."""
    return max(2, font_px // 8)


def place_marks(
    marks: Sequence[Mark], placement: Placement, area_px: Rectangle, font_px: int
) -> tuple[PlacedMark, ...]:
    """Find places for boxes, just outside of their pixels, and for the tags.

    Parameters
    ----------
    marks : sequence of Mark
        The gravest last: it is drawn on top, and its tag gets the first place.
    area_px : tuple of float
        Part of the picture in which tags may stand; it may be larger than the image.
    """
    width = line_width_px(font_px)
    insides = []
    for mark in marks:
        x0, y0, x1, y1 = placement.to_picture(mark.box_px)
        left, top = math.floor(x0 + 1e-6), math.floor(y0 + 1e-6)
        insides.append((left, top, max(left + 1, math.ceil(x1 - 1e-6)), max(top + 1, math.ceil(y1 - 1e-6))))
    outlines = [(x0 - width, y0 - width, x1 + width, y1 + width) for x0, y0, x1, y1 in insides]
    taken: list[Rectangle] = list(outlines)
    leaders: list[Segment] = []
    placed = []
    for mark, inside, outline in reversed(list(zip(marks, insides, outlines, strict=True))):
        tag, place, leader = _place_tag(mark.tags, outline, taken=taken, leaders=leaders, area=area_px, font_px=font_px)
        if place is not None:
            taken.append(place)
        if leader is not None:
            leaders.append(leader)
        placed.append(
            PlacedMark(
                inside_px=inside,
                outline_px=outline,
                color=mark.color,
                tag=tag,
                tag_px=place,
                leader_px=leader,
                polygon_px=tuple(placement.point_to_picture(point) for point in mark.polygon_px),
                dashed=mark.dashed,
            )
        )
    return tuple(reversed(placed))


def draw_marks(draw: ImageDraw.ImageDraw, placed: Sequence[PlacedMark], font_px: int) -> None:
    """Draw leaders, then boxes, then tags; the last mark lies on top."""
    for mark in placed:
        if mark.leader_px is not None:
            draw.line(mark.leader_px, fill=mark.color, width=max(1, font_px // 16))
    for mark in placed:
        if mark.polygon_px and mark.dashed:
            for dash in _dashes(mark.polygon_px, length_px=0.7 * font_px):
                draw.line(dash, fill=mark.color, width=line_width_px(font_px), joint="curve")
        elif mark.polygon_px:
            # the ends meet half way along an edge, so that the corner at the first point is drawn like the others
            draw.line(_closed(mark.polygon_px), fill=mark.color, width=line_width_px(font_px), joint="curve")
        else:
            x0, y0, x1, y1 = mark.outline_px
            draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=mark.color, width=line_width_px(font_px))
    for mark in placed:
        if mark.tag_px is not None:
            x0, y0, x1, y1 = mark.tag_px
            draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=BACKGROUND)
            draw.text((x0 + font_px / 4, y0), mark.tag, fill=mark.color, font=font(font_px))


def _closed(polygon_px: tuple[Point, ...]) -> list[Point]:
    (x0, y0), (x1, y1) = polygon_px[0], polygon_px[-1]
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    return [middle, *polygon_px, middle]


def _dashes(polygon_px: Sequence[Point], *, length_px: float) -> Iterator[list[Point]]:
    """Pieces of a closed outline, as long as the gaps between them, around its corners without a break."""
    points = [*polygon_px, polygon_px[0]]
    sides = list(pairwise(points))
    around = sum(math.dist(a, b) for a, b in sides)
    length = around / max(2 * round(around / length_px / 2), 2)  # an even number, so that the last gap is whole
    piece, drawn, left = [points[0]], True, length
    for a, b in sides:
        side = math.dist(a, b)
        at = 0.0
        while side - at > left:
            at += left
            corner = a[0] + (b[0] - a[0]) * at / side, a[1] + (b[1] - a[1]) * at / side
            if drawn:
                yield [*piece, corner]
            piece, drawn, left = [corner], not drawn, length
        left -= side - at
        piece.append(b)
    if drawn and len(piece) > 1:
        yield piece


def _place_tag(
    tags: Sequence[str],
    outline: Rectangle,
    *,
    taken: Sequence[Rectangle],
    leaders: Sequence[Segment],
    area: Rectangle,
    font_px: int,
) -> tuple[str, Rectangle | None, Segment | None]:
    """Take the first free place within the area, the fullest tag that has one; none has to do."""
    for tag in tags:
        size = (math.ceil(text_width_px(tag, font_px) + font_px / 2), math.ceil(1.3 * font_px))
        if size[0] > area[2] - area[0] or size[1] > area[3] - area[1]:
            continue
        for x, y in _corners(outline, size):
            left, top = min(max(x, area[0]), area[2] - size[0]), min(max(y, area[1]), area[3] - size[1])
            place = (left, top, left + size[0], top + size[1])
            if any(overlap(place, other) for other in taken):
                continue
            if any(crosses(leader, place) for leader in leaders):
                continue
            if _distance(place, outline) <= font_px / 2:
                return tag, place, None
            leader = _leader(place, outline)
            if not any(crosses(leader, other) for other in taken if other != outline):
                return tag, place, leader
    return "", None, None


def _corners(outline: Rectangle, size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """Top left corners of places around a box, then further and further away."""
    width, height = size
    x0, y0, x1, y1 = outline
    for ring in range(_RINGS):
        gap = 2 + round(ring * height / 2)
        yield x0, y0 - gap - height
        yield x0, y1 + gap
        yield x1 + gap, y0
        yield x0 - gap - width, y0
        yield x1 - width, y0 - gap - height
        yield x1 - width, y1 + gap
        yield x1 + gap, y0 - gap - height
        yield x0 - gap - width, y1 + gap


def _leader(place: Rectangle, outline: Rectangle) -> Segment:
    """The shortest straight way from a tag to a box."""
    x, y = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
    to_x, to_y = min(max(x, outline[0]), outline[2]), min(max(y, outline[1]), outline[3])
    from_x, from_y = min(max(to_x, place[0]), place[2]), min(max(to_y, place[1]), place[3])
    return from_x, from_y, to_x, to_y


def overlap(a: Rectangle, b: Rectangle) -> bool:
    """Whether two rectangles share more than an edge."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def crosses(segment: Segment, rectangle: Rectangle) -> bool:
    """Whether a line meets a rectangle (Liang and Barsky's clipping, 1984), a pixel of its width included."""
    x, y, to_x, to_y = segment
    first, last = 0.0, 1.0
    for step, near, far in (
        (to_x - x, rectangle[0] - 1 - x, rectangle[2] + 1 - x),
        (to_y - y, rectangle[1] - 1 - y, rectangle[3] + 1 - y),
    ):
        if step == 0:
            if near > 0 or far < 0:
                return False
            continue
        low, high = sorted((near / step, far / step))
        first, last = max(first, low), min(last, high)
    return first <= last


def _distance(a: Rectangle, b: Rectangle) -> float:
    """Largest gap between two rectangles along an axis, 0 when they touch."""
    return max(b[0] - a[2], a[0] - b[2], b[1] - a[3], a[1] - b[3], 0.0)
