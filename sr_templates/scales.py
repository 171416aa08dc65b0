"""What gives a picture its measures: millimetres of the image, and the colours of the activation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset

from sr_templates.drawing import PLAIN, QUIET, Line, draw_lines, text_width_px
from sr_templates.evidence import pixel_spacing_mm, value_text

ACTIVATION_WORDS = "class activation"

_FLOOR = 0.2
_OPACITY = 0.6
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_TISSUE = 90  # grey below the colour bar, about that of tissue
_LENGTHS_MM = (10.0, 20.0, 50.0, 100.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1)  # in the order of preference


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSize:
    """Width of a column of the source image in mm, and in which plane: ``"at detector"`` or nothing, in the patient."""

    column_mm: float
    plane: str = ""


def pixel_size(header: Dataset) -> PixelSize | None:
    """Pixel size in the plane of the breast, as far as the header tells (PS3.3 10.7.1.1, C.8.7.2 and C.8.11.7).

    Returns
    -------
    PixelSize or None
        Imager Pixel Spacing is at the detector: it is divided by the Estimated Radiographic Magnification Factor, and
        called what it is when no factor from 1 up is stated. None without a valid spacing.
    """
    spacing = pixel_spacing_mm(header)
    if spacing is None:
        return None
    at_detector = Dataset()
    imager = header.get_item("ImagerPixelSpacing")
    if imager is not None:
        at_detector[imager.tag] = imager
    if pixel_spacing_mm(at_detector) is None:  # Pixel Spacing, which is in the patient
        return PixelSize(column_mm=spacing[1])
    try:
        factor = float(value_text(header, "EstimatedRadiographicMagnificationFactor"))
    except ValueError:
        factor = 0.0
    if not 1.0 <= factor < 10:
        return PixelSize(column_mm=spacing[1], plane="at detector")
    return PixelSize(column_mm=spacing[1] / factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthBar:
    """A bar of a round number of mm, with its words above it."""

    length_mm: float
    length_px: int
    words: str

    def width_px(self, font_px: int) -> int:
        """Room that it needs."""
        return max(self.length_px, round(text_width_px(self.words, font_px)) + 1)

    def draw(self, canvas: Image.Image, left_px: int, top_px: int, font_px: int) -> None:
        """Draw the words and the bar, which begins at `left_px`."""
        draw = ImageDraw.Draw(canvas)
        draw_lines(draw, [Line(text=self.words)], left_px, top_px, font_px)
        thickness, tick = max(2, font_px // 8), font_px // 2
        top, right = top_px + round(1.5 * font_px), left_px + self.length_px - 1
        draw.rectangle((left_px, top, right, top + thickness - 1), fill=PLAIN)
        for x in (left_px, right - thickness + 1):
            draw.rectangle((x, top, min(x + thickness - 1, right), top + tick), fill=PLAIN)


def length_bar(size: PixelSize, px_per_column: float, room_px: float, font_px: int) -> LengthBar | None:
    """Make a bar of 1 cm, or of what is neither too long for `room_px` nor too short to be seen; None if nothing is."""
    for length_mm in _LENGTHS_MM:
        length_px = round(length_mm / size.column_mm * px_per_column)
        if 1.5 * font_px <= length_px <= room_px:
            words = f"{length_mm:g} mm {size.plane}".strip()
            return LengthBar(length_mm=length_mm, length_px=length_px, words=words)
    return None


class ColorBar:
    """The colours of the activation from 0 to 1, over grey tissue."""

    def width_px(self, font_px: int) -> int:
        """Room that it needs: the bar, and half a number at either end."""
        return 12 * font_px

    def draw(self, canvas: Image.Image, left_px: int, top_px: int, font_px: int) -> None:
        """Draw words, bar and ticks."""
        draw = ImageDraw.Draw(canvas)
        margin, height = font_px, round(0.6 * font_px)
        width = self.width_px(font_px) - 2 * margin
        draw_lines(draw, [Line(text=ACTIVATION_WORDS)], left_px + margin, top_px, font_px)
        top, left = top_px + round(1.4 * font_px), left_px + margin
        ramp = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
        canvas.paste(Image.fromarray(blend(np.full((height, width), _TISSUE, dtype=np.float32), ramp)), (left, top))
        for value in _TICKS:
            x = left + round(value * (width - 1))
            draw.line((x, top + height, x, top + height + font_px // 4), fill=QUIET)
            words = f"{value:g}"
            half = text_width_px(words, font_px) / 2
            draw_lines(draw, [Line(text=words, color=QUIET)], x - half, top + height + font_px // 4, font_px)


def legend_height_px(font_px: int) -> int:
    """Height of either bar with its words."""
    return round(3.6 * font_px)


def blend(grey: NDArray[np.float32], activation: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """Lay an activation over a grey image: dark red to yellow, the tissue still visible below it.

    Parameters
    ----------
    grey : numpy.ndarray
        Shape ``(rows, columns)``, 0 to 255.
    activation : numpy.ndarray or None
        Of any shape, stretched over the image; 0 to 1, shown where it exceeds a fifth.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns, 3)``, uint8, RGB.
    """
    if activation is None:
        return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)
    resized = Image.fromarray(np.clip(np.nan_to_num(activation), 0, 1).astype(np.float32)).resize(
        (grey.shape[1], grey.shape[0]), Image.Resampling.BILINEAR
    )
    heat = np.clip((np.asarray(resized) - _FLOOR) / (1 - _FLOOR), 0, 1)
    color = np.stack([np.full_like(heat, 255), 60 + 180 * heat, np.full_like(heat, 20)], axis=2)
    opacity = (_OPACITY * np.sqrt(heat))[..., None]
    return np.clip(np.rint(grey[..., None] * (1 - opacity) + color * opacity), 0, 255).astype(np.uint8)
