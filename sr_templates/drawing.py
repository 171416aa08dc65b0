"""Draw a result on a picture: the image, the activation over it, boxes; all sentences in strips beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

MAX_SIDE_PX = 2048
MIN_LONG_SIDE_PX = 1024
"""Small images are enlarged to this, so that boxes and words are legible on them."""
MIN_WIDTH_PX = 720

Rgb = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

_STRIP: Rgb = (16, 18, 22)
_RULE: Rgb = (70, 76, 86)
PLAIN: Rgb = (226, 229, 233)
QUIET: Rgb = (150, 157, 167)
WARNING: Rgb = (255, 191, 64)
MALIGNANT: Rgb = (255, 92, 92)
BENIGN: Rgb = (92, 200, 255)

_ACTIVATION_FLOOR = 0.2
_ACTIVATION_OPACITY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of text in a strip; `scale` is relative to the size of plain text."""

    text: str
    color: Rgb = PLAIN
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A box ``(x0, y0, x1, y1)`` in pixels of the image given, outer corners, and the tag to stand beside it."""

    box_px: Rectangle
    tag: str
    color: Rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    scale: float
    image_px: tuple[int, int]
    width_px: int
    font_px: int
    above: tuple[Line, ...]
    below: tuple[Line, ...]
    above_px: int
    below_px: int


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)


def render(
    display: NDArray[np.uint8],
    *,
    activation: NDArray[np.float32] | None = None,
    marks: Sequence[Mark] = (),
    above: Sequence[Line] = (),
    below: Sequence[Line] = (),
    max_side_px: int = MAX_SIDE_PX,
) -> NDArray[np.uint8]:
    """Draw one image with its result.

    Parameters
    ----------
    display : numpy.ndarray
        Shape ``(rows, columns)``, uint8, 0 black.
    activation : numpy.ndarray or None
        Shape of `display`, float32, 0 to 1; blended in as colour where it exceeds a fifth.
    marks : sequence of Mark
        Boxes; drawn around their pixels, tags where they cover no box.
    above, below : sequence of Line
        Text of the strips.
    max_side_px : int
        Longest side of the result.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns, 3)``, uint8, RGB. The image keeps its aspect; its scale is at most what `max_side_px`
        leaves beside the strips.
    """
    rows, columns = display.shape
    layout = _lay_out((rows, columns), above, below, max_side_px)
    width, height = layout.image_px
    grey = Image.fromarray(display).resize((width, height), Image.Resampling.LANCZOS)
    picture = _blend(np.asarray(grey, dtype=np.float32), activation)
    canvas = Image.new("RGB", (layout.width_px, layout.above_px + height + layout.below_px), _STRIP)
    left, top = (layout.width_px - width) // 2, layout.above_px
    canvas.paste(Image.fromarray(picture), (left, top))
    draw = ImageDraw.Draw(canvas)
    area = (left, top, left + width, top + height)
    factors = (width / columns, height / rows)
    _draw_marks(draw, marks, area, factors, layout.font_px)
    _draw_strip(draw, layout.above, 0, layout)
    _draw_strip(draw, layout.below, top + height, layout)
    draw.line((0, top - 1, layout.width_px, top - 1), fill=_RULE)
    draw.line((0, top + height, layout.width_px, top + height), fill=_RULE)
    return np.asarray(canvas)


def _blend(grey: NDArray[np.float32], activation: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """Lay the activation over the grey image: dark red to yellow, the tissue still visible below it."""
    rgb = np.repeat(grey[..., None], 3, axis=2)
    if activation is not None:
        resized = Image.fromarray(np.clip(np.nan_to_num(activation), 0, 1).astype(np.float32)).resize(
            (grey.shape[1], grey.shape[0]), Image.Resampling.BILINEAR
        )
        heat = np.clip((np.asarray(resized) - _ACTIVATION_FLOOR) / (1 - _ACTIVATION_FLOOR), 0, 1)
        color = np.stack([np.full_like(heat, 255), 60 + 180 * heat, np.full_like(heat, 20)], axis=2)
        opacity = (_ACTIVATION_OPACITY * heat)[..., None]
        rgb = (rgb * (1 - opacity) + color * opacity).astype(np.float32)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _lay_out(shape: tuple[int, int], above: Sequence[Line], below: Sequence[Line], max_side_px: int) -> _Layout:
    """Find the largest scale at which image and wrapped strips fit; a few rounds, as wrapping depends on the width."""
    rows, columns = shape
    scale = min(max(1.0, MIN_LONG_SIDE_PX / max(rows, columns)), max_side_px / max(rows, columns))
    layout = _lay_out_at(scale, shape, above, below, max_side_px)
    for _ in range(6):
        excess = layout.above_px + layout.image_px[1] + layout.below_px - max_side_px
        if excess <= 0 or layout.image_px[1] <= 64:
            break
        scale *= max(64, layout.image_px[1] - excess) / layout.image_px[1]
        layout = _lay_out_at(scale, shape, above, below, max_side_px)
    return layout


def _lay_out_at(
    scale: float, shape: tuple[int, int], above: Sequence[Line], below: Sequence[Line], max_side_px: int
) -> _Layout:
    rows, columns = shape
    image_px = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    width = min(max(image_px[0], MIN_WIDTH_PX), max_side_px)
    font_px = min(max(18, round(width / 45), round(image_px[1] / 75)), 36)
    wrapped = [tuple(chain.from_iterable(_wrap(line, width, font_px) for line in lines)) for lines in (above, below)]
    heights = [round(sum(_line_height(line, font_px) for line in lines)) + font_px if lines else 0 for lines in wrapped]
    return _Layout(
        scale=scale,
        image_px=image_px,
        width_px=width,
        font_px=font_px,
        above=wrapped[0],
        below=wrapped[1],
        above_px=heights[0],
        below_px=heights[1],
    )


def _line_height(line: Line, font_px: int) -> float:
    return 1.35 * line.scale * font_px


def _wrap(line: Line, width_px: int, font_px: int) -> Iterator[Line]:
    """Break a line at spaces, or within a word that is wider than the strip."""
    font = _font(round(font_px * line.scale))
    room = width_px - 2 * font_px
    current = ""
    for word in line.text.split():
        longer = f"{current} {word}".strip()
        if font.getlength(longer) <= room:
            current = longer
            continue
        if current:
            yield Line(text=current, color=line.color, scale=line.scale)
        current = word
        while font.getlength(current) > room and len(current) > 1:
            fits = next(n for n in range(len(current) - 1, 0, -1) if n == 1 or font.getlength(current[:n]) <= room)
            yield Line(text=current[:fits], color=line.color, scale=line.scale)
            current = current[fits:]
    yield Line(text=current, color=line.color, scale=line.scale)


def _draw_strip(draw: ImageDraw.ImageDraw, lines: Sequence[Line], top_px: float, layout: _Layout) -> None:
    y = top_px + layout.font_px / 2
    for line in lines:
        draw.text((layout.font_px, y), line.text, fill=line.color, font=_font(round(layout.font_px * line.scale)))
        y += _line_height(line, layout.font_px)


def _draw_marks(
    draw: ImageDraw.ImageDraw,
    marks: Sequence[Mark],
    area: Rectangle,
    factors: tuple[float, float],
    font_px: int,
) -> None:
    """Draw boxes just outside of their pixels, then each tag at the nearest place that covers no box and no tag."""
    line_px = max(2, font_px // 8)
    boxes = []
    for mark in marks:
        x0, y0, x1, y1 = mark.box_px
        box = (
            area[0] + x0 * factors[0] - line_px,
            area[1] + y0 * factors[1] - line_px,
            area[0] + x1 * factors[0] + line_px,
            area[1] + y1 * factors[1] + line_px,
        )
        boxes.append(box)
        draw.rectangle(box, outline=mark.color, width=line_px)
    taken = list(boxes)
    for mark, box in zip(marks, boxes, strict=True):
        place = _place_tag(mark.tag, box, taken, area, font_px)
        if place is None:
            continue  # no room beside the findings: the strip lists it
        taken.append(place)
        middle = ((place[0] + place[2]) / 2, (place[1] + place[3]) / 2)
        nearest = (min(max(middle[0], box[0]), box[2]), min(max(middle[1], box[1]), box[3]))
        if _distance(place, box) > font_px:
            draw.line((*middle, *nearest), fill=mark.color, width=1)
        draw.rectangle(place, fill=_STRIP)
        draw.text((place[0] + font_px / 4, place[1]), mark.tag, fill=mark.color, font=_font(font_px))


def _place_tag(tag: str, box: Rectangle, taken: Sequence[Rectangle], area: Rectangle, font_px: int) -> Rectangle | None:
    """Try places around the box, then further and further away; None when all cover something."""
    width, height = _font(font_px).getlength(tag) + font_px / 2, 1.3 * font_px
    for step in range(40):
        gap = 3 + step * height / 2
        for x, y in (
            (box[0], box[1] - gap - height),
            (box[0], box[3] + gap),
            (box[2] + gap, box[1]),
            (box[0] - gap - width, box[1]),
            (box[2] - width, box[1] - gap - height),
            (box[2] - width, box[3] + gap),
            (box[2] + gap, box[1] - gap - height),
            (box[0] - gap - width, box[3] + gap),
        ):
            place = (x, y, x + width, y + height)
            inside = area[0] <= place[0] and area[1] <= place[1] and place[2] <= area[2] and place[3] <= area[3]
            if inside and not any(_overlap(place, other) for other in taken):
                return place
    return None


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _distance(a: Rectangle, b: Rectangle) -> float:
    """Largest gap between two rectangles along an axis, 0 when they touch."""
    return max(b[0] - a[2], a[0] - b[2], b[1] - a[3], a[1] - b[3], 0.0)
