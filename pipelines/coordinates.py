"""Between the stored frame of an image and the frame that a model is given: one transform, both ways.

Convention: coordinates run along pixel corners. (0, 0) is the outer top left corner of the first pixel and a pixel
``(row, column)`` covers ``[column, column + 1] x [row, row + 1]``, as in SCOORD (PS3.3 C.18.6). A resampled image
covers exactly the same area as before, so a coordinate is scaled by the ratio of sizes, never shifted by half a pixel.

The transform is crop, then horizontal flip, then resampling. The paper crops the black background by columns only
("Image standardization" of the FPNNet paper); rows are left alone here too, and nothing is flipped unless a model asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import BoxPx
from models.resampling import resample

Pixels = NDArray[np.float32]

BLOCK_PX: Final = 8
"""Side of the blocks in which the background is judged: smooths noise, and makes it quick."""

AIR_MARGIN: Final = 0.02
"""What counts as brighter than noisy air, in units of full brightness; the skin line is far above it."""

NOISE_WIDTHS: Final = 6.0
"""The same in standard deviations of the darkest blocks, for detectors noisier than the margin."""

AIR_CONTRAST: Final = 0.25
"""The level lies within this share of the way from the darkest to the brightest blocks, or there is no air at all."""

NO_AIR: Final = -1.0

CLEAN_AIR_SHARE: Final = 0.9
"""Air is exactly zero, as the paper takes it to be, when at least this share of the dark blocks is."""

MIN_BREAST_SHARE: Final = 0.01
"""A brightest region smaller than this share of the image is no breast: the image is then not cropped."""

MIN_BREAST_MM: Final = 5.0
"""Nor is a narrower one; to a few pixels, no whole number of them would have the canonical spacing either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTransform:
    """Crop, flip, resample; maps boxes and images both ways.

    Attributes
    ----------
    stored_shape : tuple of int
        ``(rows, columns)`` of the stored image.
    crop_px : tuple of int
        ``(x0, y0, x1, y1)`` in the stored frame, whole pixels, not empty.
    flip : bool
        Whether the crop is mirrored left to right.
    model_shape : tuple of int
        ``(rows, columns)`` of the image that the model is given.
    """

    stored_shape: tuple[int, int]
    crop_px: tuple[int, int, int, int]
    flip: bool
    model_shape: tuple[int, int]

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.crop_px
        if not (0 <= x0 < x1 <= self.stored_shape[1] and 0 <= y0 < y1 <= self.stored_shape[0]):
            raise ValueError(f"crop {self.crop_px} does not lie in an image of shape {self.stored_shape}")
        if min(self.model_shape) < 1:
            raise ValueError(f"empty model frame {self.model_shape}")

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels per stored pixel, ``(row, column)``."""
        x0, y0, x1, y1 = self.crop_px
        return self.model_shape[0] / (y1 - y0), self.model_shape[1] / (x1 - x0)

    def model_spacing_mm(self, stored_spacing_mm: tuple[float, float]) -> tuple[float, float]:
        """Spacing of the model's image, exactly: sizes are whole pixels, so it is near the canonical spacing."""
        scale_row, scale_column = self.scale
        return stored_spacing_mm[0] / scale_row, stored_spacing_mm[1] / scale_column

    def box_to_model(self, box_px: BoxPx) -> BoxPx:
        """Map a box ``(x0, y0, x1, y1)`` from the stored frame to the model's."""
        left, top, right, _ = self.crop_px
        scale_row, scale_column = self.scale
        x0, y0, x1, y1 = box_px
        if self.flip:
            x0, x1 = right - x1, right - x0
        else:
            x0, x1 = x0 - left, x1 - left
        return x0 * scale_column, (y0 - top) * scale_row, x1 * scale_column, (y1 - top) * scale_row

    def box_to_stored(self, box_px: BoxPx) -> BoxPx:
        """Map a box from the model's frame to the stored one; the inverse of `box_to_model`."""
        left, top, right, _ = self.crop_px
        scale_row, scale_column = self.scale
        x0, x1 = box_px[0] / scale_column, box_px[2] / scale_column
        y0, y1 = box_px[1] / scale_row + top, box_px[3] / scale_row + top
        if self.flip:
            return right - x1, y0, right - x0, y1
        return x0 + left, y0, x1 + left, y1

    def box_within_stored(self, box_px: BoxPx) -> BoxPx:
        """`box_to_stored`, cut at the edges of the stored image."""
        rows, columns = self.stored_shape
        x0, y0, x1, y1 = self.box_to_stored(box_px)
        return _between(x0, columns), _between(y0, rows), _between(x1, columns), _between(y1, rows)

    def image_to_model(self, pixels: Pixels) -> Pixels:
        """Crop, flip and resample an image of the stored frame, shape ``(rows, columns)``, float32."""
        x0, y0, x1, y1 = self.crop_px
        cropped = pixels[y0:y1, x0:x1]
        return resample(cropped[:, ::-1] if self.flip else cropped, self.model_shape)

    def image_to_stored(self, pixels: Pixels) -> Pixels:
        """Put an image of the model's frame (an activation map) back; 0 outside the crop."""
        x0, y0, x1, y1 = self.crop_px
        resampled = resample(pixels, (y1 - y0, x1 - x0))
        stored: Pixels = np.zeros(self.stored_shape, dtype=np.float32)
        stored[y0:y1, x0:x1] = resampled[:, ::-1] if self.flip else resampled
        return stored


def plan_transform(
    pixels: Pixels,
    spacing_mm: tuple[float, float],
    canonical_spacing_mm: float | None,
    *,
    crop_px: tuple[int, int, int, int] | None = None,
    flip: bool = False,
) -> FrameTransform:
    """Decide how an image is brought to a model.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 (air) to 1.
    spacing_mm : tuple of float
        Of the stored image, ``(row, column)``.
    canonical_spacing_mm : float or None
        What the model was trained with; None leaves the stored spacing.
    crop_px : tuple of int, optional
        Else `breast_crop_px` finds it.
    flip : bool
        Mirror the image, for a model that was trained on breasts facing one way.
    """
    rows, columns = pixels.shape
    x0, y0, x1, y1 = breast_crop_px(pixels, round(MIN_BREAST_MM / spacing_mm[1])) if crop_px is None else crop_px
    row_scale, column_scale = (
        (1.0, 1.0)
        if canonical_spacing_mm is None
        else (spacing_mm[0] / canonical_spacing_mm, spacing_mm[1] / canonical_spacing_mm)
    )
    model_shape = (max(1, round((y1 - y0) * row_scale)), max(1, round((x1 - x0) * column_scale)))
    return FrameTransform(stored_shape=(rows, columns), crop_px=(x0, y0, x1, y1), flip=flip, model_shape=model_shape)


def breast_crop_px(pixels: Pixels, min_columns: int = 1) -> tuple[int, int, int, int]:
    """Crop the black background beside the breast, full height.

    The paper sums pixels by column and starts the breast at the first column whose sum is not zero. That is what is
    done here where the air is exactly zero, but on the largest bright region alone, since real images carry markers
    and labels in the air. Where the air is noisy, the region is what is brighter than the air, to the nearest block
    and one block more.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, 0 (air) to 1.
    min_columns : int
        A region narrower than this is no breast.

    Returns
    -------
    tuple of int
        ``(x0, 0, x1, rows)``; the whole image when no breast stands out.
    """
    rows, columns = pixels.shape
    means = _block_means(pixels)
    level = _air_level(means)
    region = _largest_region(means > level)
    if level == NO_AIR or region is None:
        return 0, 0, columns, rows
    (top, bottom), (left, right) = region
    if level > 0:
        first, end = max(0, (left - 1) * BLOCK_PX), min(columns, (right + 1) * BLOCK_PX)
    else:
        breast = pixels[top * BLOCK_PX : bottom * BLOCK_PX, left * BLOCK_PX : right * BLOCK_PX]
        bright = np.flatnonzero(breast.any(axis=0))
        first, end = left * BLOCK_PX + int(bright[0]), left * BLOCK_PX + int(bright[-1]) + 1
    return (first, 0, end, rows) if end - first >= min_columns else (0, 0, columns, rows)


def _between(value: float, high: int) -> float:
    return min(max(value, 0.0), float(high))


def _block_means(pixels: Pixels) -> NDArray[np.float64]:
    """Mean of each block of `BLOCK_PX` by `BLOCK_PX` pixels; blocks at the lower and right edge may be smaller."""
    starts = [np.arange(0, size, BLOCK_PX) for size in pixels.shape]
    sums = np.add.reduceat(np.add.reduceat(pixels, starts[0], axis=0, dtype=np.float64), starts[1], axis=1)
    sizes = [np.diff(np.append(start, size)) for start, size in zip(starts, pixels.shape, strict=True)]
    return np.asarray(sums / np.outer(*sizes), dtype=np.float64)


def _air_level(means: NDArray[np.float64]) -> float:
    """Brightness up to which a block is air: 0 where air is exactly zero, else just above its noise, else `NO_AIR`."""
    dark = means[means < AIR_MARGIN]
    if dark.size and np.mean(dark == 0.0) > CLEAN_AIR_SHARE:
        return 0.0
    ordered = np.sort(means, axis=None)
    darkest, brightest = ordered[: max(1, means.size // 20)], float(ordered[-1 - means.size // 20])
    air = float(np.median(darkest))
    level = air + max(AIR_MARGIN, NOISE_WIDTHS * float(np.std(darkest)))
    return level if level < air + AIR_CONTRAST * (brightest - air) else NO_AIR


def _largest_region(bright: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Block rows and block columns, each ``(first, end)``, of the largest connected region; None if there is none."""
    labels, count = ndimage.label(bright)
    if count == 0:
        return None
    sizes: NDArray[np.int64] = np.bincount(labels.ravel())[1:]
    if int(sizes.max()) < MIN_BREAST_SHARE * bright.size:
        return None
    rows, columns = ndimage.find_objects(labels)[int(sizes.argmax())]
    return (rows.start, rows.stop), (columns.start, columns.stop)
