"""Where things go in the picture of one image: the arrangement that leaves most room for the image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sr_templates.drawing import Line, legible_font_px, shorter, strip_height_px, wrap
from sr_templates.marks import line_width_px
from sr_templates.scales import ColorBar, LengthBar, PixelSize, legend_height_px, length_bar

MIN_LONG_SIDE_PX = 1024
"""Small images are enlarged to this, so that boxes and words are legible on them."""

_MIN_WIDTH_EM = 40
_PANELS_EM = (None, 16, 20, 26)  # words below the image, or in a panel of this width beside it
_SCALE_STEPS = 14
_GOOD_SHARE = 0.35  # of the picture's side: words are cut before the image gets smaller than this
_LEAST_IMAGE_PX = 32
_LONG_LINE = 90  # characters of a line that may be cut before the image gets small


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Lines above the image, those that stand below or beside it, and those at the very bottom."""

    above: tuple[Line, ...] = ()
    details: tuple[Line, ...] = ()
    bottom: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What has to find room."""

    shape: tuple[int, int]
    words: Words
    pixel_size: PixelSize | None
    has_activation: bool
    max_side_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Sizes of the picture's parts; with a panel, the words of `details` stand beside the column of the image."""

    font_px: int
    image_px: tuple[int, int]
    column_px: int
    panel_px: int
    words: Words
    above_px: int
    image_row_px: int
    legend_px: int
    body_px: int
    bottom_px: int
    width_px: int
    length_bar: LengthBar | None

    @property
    def height_px(self) -> int:
        """Height of the picture."""
        return self.above_px + self.body_px + self.bottom_px


def lay_out(scene: Scene) -> Layout:
    """Find the arrangement with the largest image; cut words that leave it no room."""
    least_share = _GOOD_SHARE
    while True:
        layouts = [found for panel in _PANELS_EM if (found := _largest(scene, panel, least_share)) is not None]
        if layouts:
            return max(layouts, key=lambda layout: layout.image_px)
        scene, least_share = _with_less(scene, least_share)


def _with_less(scene: Scene, least_share: float) -> tuple[Scene, float]:
    """Cut long lines, then let the image be small, then leave out the last details."""
    words = scene.words
    if (above := shorter(words.above, _LONG_LINE)) is not None:
        return replace(scene, words=replace(words, above=above)), least_share
    if (details := shorter(words.details, _LONG_LINE)) is not None:
        return replace(scene, words=replace(words, details=details)), least_share
    if least_share:
        return scene, 0.0
    if words.details:
        return replace(scene, words=replace(words, details=words.details[:-1])), least_share
    raise ValueError("the image leaves no room for words")


def _largest(scene: Scene, panel_em: int | None, least_share: float) -> Layout | None:
    """The largest scale, by bisection, at which everything fits; None when nothing does."""
    long_side = max(scene.shape)
    most = min(max(1.0, MIN_LONG_SIDE_PX / long_side), scene.max_side_px / long_side)
    least = min(most, max(_LEAST_IMAGE_PX, least_share * scene.max_side_px) / long_side)
    best = _fitting(scene, panel_em, most)
    if best is not None:
        return best
    best = _fitting(scene, panel_em, least)
    if best is None:
        return None
    for _ in range(_SCALE_STEPS):
        middle = (least + most) / 2
        found = _fitting(scene, panel_em, middle)
        if found is None:
            most = middle
        else:
            least, best = middle, found
    return best


def _fitting(scene: Scene, panel_em: int | None, scale: float) -> Layout | None:
    """The layout at a scale, with the smallest text that is legible in it."""
    font_px = legible_font_px(min(max(scene.shape) * scale, scene.max_side_px))
    limit = legible_font_px(scene.max_side_px)
    while True:
        layout = _at_scale(scene, panel_em, scale, font_px)
        needed = min(legible_font_px(layout.height_px), limit)
        if needed <= font_px:
            break
        font_px = needed
    fits = max(layout.width_px, layout.height_px) <= scene.max_side_px
    return layout if fits else None


def _at_scale(scene: Scene, panel_em: int | None, scale: float, font_px: int) -> Layout:
    rows, columns = scene.shape
    image_px = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    panel_px = panel_em * font_px if panel_em is not None else 0
    margin = line_width_px(font_px) + 2  # for the line around a finding at the edge
    needed = image_px[0] + 2 * margin
    if scene.has_activation:
        needed = max(needed, ColorBar().width_px(font_px))
    if panel_em is None:
        needed = max(needed, min(_MIN_WIDTH_EM * font_px, scene.max_side_px))
    column_px, width = needed, needed + panel_px
    bar = None
    if scene.pixel_size is not None:
        bar = length_bar(scene.pixel_size, image_px[0] / columns, max(image_px[0], 6 * font_px), font_px)
    rows_of_bars = _legend_rows(bar, scene.has_activation, column_px, font_px)
    room = width - 2 * font_px
    words = Words(
        above=wrap(scene.words.above, room, font_px),
        details=wrap(scene.words.details, room if panel_em is None else panel_px - font_px, font_px),
        bottom=wrap(scene.words.bottom, room, font_px),
    )
    image_row = image_px[1] + 2 * margin
    legend = rows_of_bars * legend_height_px(font_px) + (font_px // 2 if rows_of_bars else 0)
    details = strip_height_px(words.details, font_px)
    column = image_row + legend
    return Layout(
        font_px=font_px,
        image_px=image_px,
        column_px=column_px,
        panel_px=panel_px,
        words=words,
        above_px=strip_height_px(words.above, font_px),
        image_row_px=image_row,
        legend_px=legend,
        body_px=max(column, details) if panel_px else column + details,
        bottom_px=strip_height_px(words.bottom, font_px),
        width_px=width,
        length_bar=bar,
    )


def _legend_rows(bar: LengthBar | None, has_activation: bool, column_px: int, font_px: int) -> int:
    """Bars stand side by side where there is room."""
    count = (bar is not None) + has_activation
    if count == 2 and bar is not None:
        together = bar.width_px(font_px) + ColorBar().width_px(font_px) + 2 * font_px
        return 1 if together <= column_px else 2
    return count
