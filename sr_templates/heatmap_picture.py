"""One image with its result: the image, the activation over it, boxes; all words and scales in strips around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sr_templates.drawing import BACKGROUND, MIN_SIDE_LIMIT_PX, RULE, Rectangle, draw_lines
from sr_templates.heatmap_layout import Layout, Scene, Words, lay_out
from sr_templates.marks import Mark, PlacedMark, Placement, draw_marks, place_marks
from sr_templates.scales import ColorBar, LengthBar, PixelSize, blend, legend_height_px


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapPicture:
    """A drawn picture, and where things lie in it.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns, 3)``, uint8, RGB.
    placement : Placement
        Of the source image.
    length_bar, length_bar_px
        Bar of millimetres and the rectangle that it stands in; None without a pixel size.
    color_bar_px : tuple of float or None
        Rectangle of the activation's colours.
    font_px : int
        Size of plain text.
    """

    pixels: NDArray[np.uint8]
    placement: Placement
    marks: tuple[PlacedMark, ...]
    length_bar: LengthBar | None
    length_bar_px: Rectangle | None
    color_bar_px: Rectangle | None
    font_px: int


def render(
    display: NDArray[np.uint8],
    *,
    activation: NDArray[np.float32] | None = None,
    marks: Sequence[Mark] = (),
    words: Words,
    pixel_size: PixelSize | None = None,
    max_side_px: int = 2048,
) -> HeatmapPicture:
    """Draw one image with its result.

    Parameters
    ----------
    display : numpy.ndarray
        Shape ``(rows, columns)``, uint8, 0 black.
    activation : numpy.ndarray or None
        Shape of `display`, float32, 0 to 1; drawn over the image with its colour bar.
    marks : sequence of Mark
        Boxes; drawn around their pixels, tags where they cover no box; the last lies on top.
    pixel_size : PixelSize or None
        For the bar of millimetres.
    max_side_px : int
        Longest side of the picture, at least `drawing.MIN_SIDE_LIMIT_PX`.

    Returns
    -------
    HeatmapPicture
        The image keeps its aspect; words stand where they leave most room for it, and are cut when they are so long
        that little would be left.

    Raises
    ------
    ValueError
        `max_side_px` leaves no room for words.
    """
    if max_side_px < MIN_SIDE_LIMIT_PX:
        raise ValueError(f"a picture needs at least {MIN_SIDE_LIMIT_PX} pixels a side")
    rows, columns = display.shape
    layout = lay_out(
        Scene(
            shape=(rows, columns),
            words=words,
            pixel_size=pixel_size,
            has_activation=activation is not None,
            max_side_px=max_side_px,
        )
    )
    width, height = layout.image_px
    canvas = Image.new("RGB", (layout.width_px, layout.height_px), BACKGROUND)
    left = (layout.column_px - width) // 2
    top = layout.above_px + (layout.image_row_px - height) // 2
    grey = Image.fromarray(display).resize((width, height), Image.Resampling.LANCZOS)
    canvas.paste(Image.fromarray(blend(np.asarray(grey, dtype=np.float32), activation)), (left, top))
    placement = Placement(area_px=(left, top, left + width, top + height), columns=columns, rows=rows)
    tag_area = (0, layout.above_px + 2, layout.column_px, layout.above_px + layout.image_row_px - 2)
    placed = place_marks(marks, placement, tag_area, layout.font_px)
    draw = ImageDraw.Draw(canvas)
    draw_marks(draw, placed, layout.font_px)
    _draw_words(draw, layout)
    bars = dict(_draw_legend(canvas, layout, left, has_activation=activation is not None))
    return HeatmapPicture(
        pixels=np.asarray(canvas),
        placement=placement,
        marks=placed,
        length_bar=layout.length_bar,
        length_bar_px=bars.get("length"),
        color_bar_px=bars.get("color"),
        font_px=layout.font_px,
    )


def _draw_words(draw: ImageDraw.ImageDraw, layout: Layout) -> None:
    half, font_px = layout.font_px / 2, layout.font_px
    body_bottom = layout.above_px + layout.body_px
    draw_lines(draw, layout.words.above, font_px, half, font_px)
    draw_lines(draw, layout.words.bottom, font_px, body_bottom + half, font_px)
    if layout.panel_px:
        draw_lines(draw, layout.words.details, layout.column_px + half, layout.above_px + half, font_px)
        if layout.words.details:
            draw.line((layout.column_px, layout.above_px, layout.column_px, body_bottom - 1), fill=RULE)
    else:
        below = layout.above_px + layout.image_row_px + layout.legend_px
        draw_lines(draw, layout.words.details, font_px, below + half, font_px)
    if layout.above_px:
        draw.line((0, layout.above_px - 1, layout.width_px, layout.above_px - 1), fill=RULE)
    if layout.bottom_px:
        draw.line((0, body_bottom, layout.width_px, body_bottom), fill=RULE)


def _draw_legend(
    canvas: Image.Image, layout: Layout, image_left_px: int, *, has_activation: bool
) -> Iterator[tuple[str, Rectangle]]:
    """Draw the bars below the image: millimetres from its left edge if they fit there, colours at the right."""
    font_px = layout.font_px
    top = layout.above_px + layout.image_row_px + font_px // 4
    height = legend_height_px(font_px)
    if layout.length_bar is not None:
        width = layout.length_bar.width_px(font_px)
        left = max(min(image_left_px, layout.column_px - width - font_px), font_px // 2)
        if has_activation and layout.legend_px < 2 * height:
            left = max(min(left, layout.column_px - width - ColorBar().width_px(font_px) - font_px), font_px // 2)
        layout.length_bar.draw(canvas, left, top, font_px)
        yield "length", (left, top, left + width, top + height)
        if has_activation and layout.legend_px >= 2 * height:
            top += height
    if has_activation:
        width = ColorBar().width_px(font_px)
        left = max(0, min(image_left_px + layout.image_px[0], layout.column_px) - width)
        if layout.length_bar is not None and layout.legend_px < 2 * height:
            left = layout.column_px - width
        ColorBar().draw(canvas, left, top, font_px)
        yield "color", (left, top, left + width, top + height)
