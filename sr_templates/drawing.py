"""Words in pictures: the colours that mean something, and lines of text that wrap and never overflow."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import chain

from PIL import ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)``: outer corners, x column, y row."""

BACKGROUND: Rgb = (16, 18, 22)
RULE: Rgb = (70, 76, 86)
PLAIN: Rgb = (226, 229, 233)
QUIET: Rgb = (150, 157, 167)
WARNING: Rgb = (255, 191, 64)
MALIGNANT: Rgb = (255, 92, 92)
BENIGN: Rgb = (92, 200, 255)
UNCLASSIFIED: Rgb = (198, 156, 255)
REGION: Rgb = (150, 226, 120)

MIN_SIDE_LIMIT_PX = 512
"""Below this a picture has no room for the words that it must carry."""

_LINES_IN_HEIGHT = 58
_MIN_FONT_PX = 14
_LEADING = 1.35
_VERY_LONG = 1000
_ELLIPSIS = "..."
_BREAK = re.compile(r"\s(?!%)")  # a number stays with its per cent


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of text.

    Attributes
    ----------
    scale : float
        Relative to the size of plain text; at least 1, so that all is legible.
    gap : float
        Room above it, in sizes of plain text.
    """

    text: str
    color: Rgb = PLAIN
    scale: float = 1.0
    gap: float = 0.0


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow, the same on every machine."""
    return ImageFont.load_default(size=size_px)


def legible_font_px(picture_height_px: float) -> int:
    """Size of plain text: a 58th of the picture's height, so that it can be read where the picture fills a screen."""
    return max(_MIN_FONT_PX, -int(-picture_height_px // _LINES_IN_HEIGHT))


def text_width_px(words: str, font_px: int, scale: float = 1.0) -> float:
    """Width of a text on one line."""
    return font(round(font_px * scale)).getlength(words)


def wrap(lines: Sequence[Line], width_px: float, font_px: int) -> tuple[Line, ...]:
    """Break lines at spaces, or within a word that is wider than `width_px`."""
    return tuple(chain.from_iterable(_wrapped(line, width_px, font_px) for line in lines))


@lru_cache(maxsize=4096)  # a layout is tried at many sizes
def _wrapped(line: Line, width_px: float, font_px: int) -> tuple[Line, ...]:
    first, *others = _wrap(line, width_px, font_px)
    return first, *(replace(piece, gap=0.0) for piece in others)


def _wrap(line: Line, width_px: float, font_px: int) -> Iterator[Line]:
    size = font(round(font_px * line.scale))
    current = ""
    for word in filter(None, _BREAK.split(line.text)):
        longer = f"{current} {word}".strip()
        if size.getlength(longer) <= width_px:
            current = longer
            continue
        if current:
            yield replace(line, text=current)
        current = word
        while size.getlength(current) > width_px and len(current) > 1:
            fits = max(1, bisect_right(range(len(current)), width_px, key=lambda n: size.getlength(current[:n])) - 1)
            yield replace(line, text=current[:fits])
            current = current[fits:]
    yield replace(line, text=current)


def cut(wrapped: Sequence[Line], count: int) -> tuple[Line, ...]:
    """At most `count` of some wrapped lines; the last one shows that there is more."""
    if len(wrapped) <= count:
        return tuple(wrapped)
    if count == 0:
        return ()
    last = wrapped[count - 1]
    return (*wrapped[: count - 1], replace(last, text=last.text[:-3].rstrip() + _ELLIPSIS))


def shorter(lines: Sequence[Line], longest: int) -> tuple[Line, ...] | None:
    """Cut the longest line by a quarter or to a thousand characters; None when none has more than `longest`."""
    lengths = [len(line.text) for line in lines]
    if not lines or max(lengths) <= longest:
        return None
    at = lengths.index(max(lengths))
    keep = max(longest, min(3 * lengths[at] // 4, _VERY_LONG)) - len(_ELLIPSIS)
    shortened = replace(lines[at], text=lines[at].text[:keep].rstrip(" .") + _ELLIPSIS)
    return (*lines[:at], shortened, *lines[at + 1 :])


def line_height_px(line: Line, font_px: int) -> int:
    """Height of a line with its leading and the gap above it."""
    return round(line.gap * font_px) + round(_LEADING * round(font_px * line.scale))


def text_height_px(wrapped: Sequence[Line], font_px: int) -> int:
    """Height of wrapped lines, one under another."""
    return sum(line_height_px(line, font_px) for line in wrapped)


def strip_height_px(wrapped: Sequence[Line], font_px: int) -> int:
    """Height of a strip of wrapped lines: half an em of margin above and below; none without lines."""
    return text_height_px(wrapped, font_px) + font_px if wrapped else 0


def draw_lines(draw: ImageDraw.ImageDraw, wrapped: Sequence[Line], left_px: float, top_px: float, font_px: int) -> None:
    """Draw wrapped lines, one under another."""
    y = top_px
    for line in wrapped:
        at = (left_px, y + round(line.gap * font_px))
        draw.text(at, line.text, fill=line.color, font=font(round(font_px * line.scale)))
        y += line_height_px(line, font_px)
