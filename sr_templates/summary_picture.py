"""All images of a study on one picture: thumbnails in hanging order at the left, words in a panel at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sr_templates.drawing import (
    BACKGROUND,
    MIN_SIDE_LIMIT_PX,
    RULE,
    WARNING,
    Line,
    cut,
    draw_lines,
    legible_font_px,
    shorter,
    strip_height_px,
    text_height_px,
    text_width_px,
    wrap,
)
from sr_templates.marks import Mark, PlacedMark, Placement, draw_marks, place_marks

MORE = Line(text="and more, in the structured report", color=WARNING)
"""Stands where a small picture has no room for the rest of the panel."""

_PANEL_SHARES = (0.36, 0.42, 0.48, 0.55, 0.66)
_HANGING_PARTS = 2  # height of a row of standard views, in rows of small ones
_SMALL_COLUMNS = 4
_CAPTION_LINES = (3, 2, 1)
_LONG_LINE = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """An image of the summary, or the frame that stands for one.

    Attributes
    ----------
    display : numpy.ndarray or None
        Shape ``(rows, columns)``, uint8, 0 black; None leaves an empty frame.
    inside : tuple of Line
        What an empty frame says.
    caption : tuple of Line
        Below it.
    """

    display: NDArray[np.uint8] | None
    marks: tuple[Mark, ...] = ()
    inside: tuple[Line, ...] = ()
    caption: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What the summary shows.

    Attributes
    ----------
    hanging : tuple of tuple of Thumbnail
        Rows of the standard views; of two in a row, the first lies against the second, back to back.
    further : tuple of Thumbnail
        Small ones below.
    above, panel, bottom : tuple of Line
        Across the top, beside the images, across the bottom.
    """

    hanging: tuple[tuple[Thumbnail, ...], ...] = ()
    further: tuple[Thumbnail, ...] = ()
    above: tuple[Line, ...] = ()
    panel: tuple[Line, ...] = ()
    bottom: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedThumbnail:
    """Where a thumbnail lies; `placement` is None for an empty frame."""

    thumbnail: Thumbnail
    area_px: tuple[int, int, int, int]
    placement: Placement | None
    marks: tuple[PlacedMark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryPicture:
    """A drawn summary: `pixels` has shape ``(rows, columns, 3)``, uint8, RGB."""

    pixels: NDArray[np.uint8]
    thumbnails: tuple[PlacedThumbnail, ...]
    font_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    thumbnail: Thumbnail
    area_px: tuple[int, int, int, int]
    caption: tuple[Line, ...]
    caption_px: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Cells with their top left corner at (0, 0)."""

    cells: tuple[_Cell, ...] = ()
    width_px: int = 0
    height_px: int = 0


@dataclass(slots=True, kw_only=True)
class _Cursor:
    """Grows as rows of cells are laid out."""

    font_px: int
    y_px: int = 0
    right_px: int = 0
    cells: list[_Cell] = field(default_factory=list)


def render_summary(sheet: Sheet, *, max_side_px: int = 2048) -> SummaryPicture:
    """Draw the summary.

    Parameters
    ----------
    max_side_px : int
        Longest side of the picture, at least `drawing.MIN_SIDE_LIMIT_PX`.

    Returns
    -------
    SummaryPicture
        As wide as allowed. Words that are too long for the picture are cut, the longest first.

    Raises
    ------
    ValueError
        `max_side_px` leaves no room for words.
    """
    if max_side_px < MIN_SIDE_LIMIT_PX:
        raise ValueError(f"a picture needs at least {MIN_SIDE_LIMIT_PX} pixels a side")
    font_px = legible_font_px(max_side_px)
    while True:
        found = _attempt(sheet, max_side_px, font_px)
        if found is not None:
            return found
        sheet = _with_less(sheet)


def _with_less(sheet: Sheet) -> Sheet:
    """Cut the longest line, in the panel first; then leave out the panel's last lines, and say so."""
    if (panel := shorter(sheet.panel, _LONG_LINE)) is not None:
        return replace(sheet, panel=panel)
    if (above := shorter(sheet.above, _LONG_LINE)) is not None:
        return replace(sheet, above=above)
    kept = sheet.panel[:-1] if sheet.panel[-1:] == (MORE,) else sheet.panel
    if kept:
        return replace(sheet, panel=(*kept[:-1], MORE))
    raise ValueError("the images leave no room for words")


def _attempt(sheet: Sheet, side_px: int, font_px: int) -> SummaryPicture | None:
    """The summary with the narrowest panel that holds its words; None when none does."""
    room = side_px - 2 * font_px
    above, bottom = wrap(sheet.above, room, font_px), wrap(sheet.bottom, room, font_px)
    above_px, bottom_px = strip_height_px(above, font_px), strip_height_px(bottom, font_px)
    body_px = side_px - above_px - bottom_px
    has_images = bool(sheet.hanging or sheet.further)
    if body_px < (side_px // 3 if has_images else 0):
        return None
    for share in _PANEL_SHARES if has_images else (1.0,):
        grid = _lay_out(sheet, round(side_px * (1 - share)), body_px, font_px) if has_images else _Grid()
        panel = wrap(sheet.panel, side_px - grid.width_px - 1.5 * font_px, font_px)
        if strip_height_px(panel, font_px) <= body_px and grid.height_px <= body_px:
            body_px = max(strip_height_px(panel, font_px), grid.height_px)
            canvas = Image.new("RGB", (side_px, above_px + body_px + bottom_px), BACKGROUND)
            draw = ImageDraw.Draw(canvas)
            half = font_px / 2
            draw_lines(draw, above, font_px, half, font_px)
            draw_lines(draw, bottom, font_px, above_px + body_px + half, font_px)
            draw_lines(draw, panel, grid.width_px + (half if has_images else font_px), above_px + half, font_px)
            for y in (above_px - 1, above_px + body_px):
                draw.line((0, y, side_px, y), fill=RULE)
            placed = tuple(_draw_cell(canvas, cell, above_px, font_px) for cell in grid.cells)
            return SummaryPicture(pixels=np.asarray(canvas), thumbnails=placed, font_px=font_px)
    return None


def _lay_out(sheet: Sheet, width_px: int, height_px: int, font_px: int) -> _Grid:
    """Lay out the rows within the height: standard views twice as high as the further ones below them."""
    small_rows = [sheet.further[n : n + _SMALL_COLUMNS] for n in range(0, len(sheet.further), _SMALL_COLUMNS)]
    parts = _HANGING_PARTS * len(sheet.hanging) + len(small_rows)
    column_px = _column_px(sheet.hanging, width_px, font_px)
    captions, small_captions, left_px = [], 0, 0
    for lines in _CAPTION_LINES:  # shorter where they would leave no room for the images
        captions = [_caption_px(row, column_px, font_px, lines) for row in sheet.hanging]
        small_captions = lines * round(1.35 * font_px) + font_px
        left_px = height_px - font_px // 2 - sum(captions) - len(small_rows) * small_captions
        if left_px >= height_px // 2:
            break
    part_px = max(1, left_px // parts)
    cursor = _Cursor(font_px=font_px, y_px=font_px // 2)
    for row, caption_px in zip(sheet.hanging, captions, strict=True):
        _add_hanging_row(cursor, row, column_px, (_HANGING_PARTS * part_px, caption_px))
    for row in small_rows:
        _add_small_row(cursor, row, width_px, (part_px, small_captions))
    return _Grid(cells=tuple(cursor.cells), width_px=min(width_px, cursor.right_px + font_px), height_px=cursor.y_px)


def _column_px(rows: Sequence[Sequence[Thumbnail]], width_px: int, font_px: int) -> int:
    return (width_px - 2 * font_px) // max((len(row) for row in rows), default=1) - font_px // 4


def _caption_px(row: Sequence[Thumbnail], column_px: int, font_px: int, lines: int) -> int:
    wrapped = [cut(wrap(thumbnail.caption, column_px - font_px, font_px), lines) for thumbnail in row]
    return max(text_height_px(lines, font_px) for lines in wrapped) + round(0.8 * font_px)


def _add_hanging_row(cursor: _Cursor, row: Sequence[Thumbnail], column_px: int, heights_px: tuple[int, int]) -> None:
    """A row of one or two columns; the first of two lies flush right, so that the breasts are back to back."""
    font_px = cursor.font_px
    sizes = [_size_px(thumbnail, column_px, heights_px[0]) for thumbnail in row]
    height = max(size[1] for size in sizes)
    for column, (thumbnail, size) in enumerate(zip(row, sizes, strict=True)):
        start = font_px + column * (column_px + font_px // 4)
        left = start + (column_px - size[0] if column == 0 and len(row) == 2 else 0)
        caption = _fitting_caption(thumbnail, column_px - font_px, heights_px[1], font_px)
        widest = max((text_width_px(line.text, font_px, line.scale) for line in caption), default=0.0)
        caption_left = max(start, min(left, round(start + column_px - widest - font_px / 2)))
        area = (left, cursor.y_px, left + size[0], cursor.y_px + size[1])
        below = cursor.y_px + height + font_px // 4
        cursor.cells.append(_Cell(thumbnail=thumbnail, area_px=area, caption=caption, caption_px=(caption_left, below)))
        cursor.right_px = max(cursor.right_px, start + column_px)
    cursor.y_px += height + heights_px[1]


def _add_small_row(cursor: _Cursor, row: Sequence[Thumbnail], width_px: int, heights_px: tuple[int, int]) -> None:
    font_px = cursor.font_px
    column_px = (width_px - 2 * font_px) // min(_SMALL_COLUMNS, max(2, len(row))) - font_px // 2
    sizes = [_size_px(thumbnail, column_px, heights_px[0]) for thumbnail in row]
    height = max(size[1] for size in sizes)
    for column, (thumbnail, size) in enumerate(zip(row, sizes, strict=True)):
        left = font_px + column * (column_px + font_px // 2)
        caption = _fitting_caption(thumbnail, column_px, heights_px[1], font_px)
        area = (left, cursor.y_px, left + size[0], cursor.y_px + size[1])
        cursor.cells.append(
            _Cell(
                thumbnail=thumbnail,
                area_px=area,
                caption=caption,
                caption_px=(left, cursor.y_px + height + font_px // 4),
            )
        )
        cursor.right_px = max(cursor.right_px, left + column_px)
    cursor.y_px += height + heights_px[1]


def _fitting_caption(thumbnail: Thumbnail, width_px: int, height_px: int, font_px: int) -> tuple[Line, ...]:
    """As much of a caption as its height holds, with the space to the next row left free."""
    wrapped = wrap(thumbnail.caption, width_px, font_px)
    while len(wrapped) > 1 and text_height_px(wrapped, font_px) > height_px - font_px // 2:
        wrapped = cut(wrapped, len(wrapped) - 1)
    return wrapped


def _size_px(thumbnail: Thumbnail, width_px: int, height_px: int) -> tuple[int, int]:
    """Size of an image that keeps its aspect within a cell, at least a pixel; a frame fills the cell."""
    if thumbnail.display is None:
        return max(1, min(width_px, 2 * height_px)), max(1, min(height_px, 2 * width_px))
    rows, columns = thumbnail.display.shape
    scale = min(width_px / columns, max(1, height_px) / rows)
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def _draw_cell(canvas: Image.Image, cell: _Cell, offset_px: int, font_px: int) -> PlacedThumbnail:
    """Draw a thumbnail or its frame, and its caption."""
    draw = ImageDraw.Draw(canvas)
    thumbnail = cell.thumbnail
    left, right = cell.area_px[0], cell.area_px[2]
    top, bottom = cell.area_px[1] + offset_px, cell.area_px[3] + offset_px
    area = (left, top, right, bottom)
    draw_lines(draw, cell.caption, cell.caption_px[0], cell.caption_px[1] + offset_px, font_px)
    if thumbnail.display is None:
        draw.rectangle((left, top, right - 1, bottom - 1), outline=RULE, width=2)
        words = wrap(thumbnail.inside, right - left - font_px, font_px)
        while words and text_height_px(words, font_px) > bottom - top - font_px:
            words = cut(words, len(words) - 1)
        draw_lines(draw, words, left + font_px / 2, top + font_px / 2, font_px)
        return PlacedThumbnail(thumbnail=thumbnail, area_px=area, placement=None)
    small = Image.fromarray(thumbnail.display).resize((right - left, bottom - top), Image.Resampling.LANCZOS)
    canvas.paste(small.convert("RGB"), (left, top))
    rows, columns = thumbnail.display.shape
    placement = Placement(area_px=area, columns=columns, rows=rows)
    placed = place_marks(thumbnail.marks, placement, area, font_px)
    draw_marks(draw, placed, font_px)
    return PlacedThumbnail(thumbnail=thumbnail, area_px=area, placement=placement, marks=placed)
