"""Text, callipers and markers drawn into a picture: found, and replaced by what surrounds them.

Drawings are thin, brighter than their surroundings, and begin and end within a pixel to the left and to the right.
Tissue does not: a scanner's lateral resolution is several pixels wide, so that bright interfaces are sharp along the
beam only. Where a drawing has been found for certain, fainter parts near it that are as white belong to it: callipers
often lie on tissue that is nearly as bright as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Grey = NDArray[np.float32]

STROKE_SHARE: Final = 1 / 48
MIN_STROKE_PX: Final = 9
"""Strokes are narrower than this share of the picture's shorter side."""

CERTAIN: Final = (80.0, 80.0)
LIKELY: Final = (40.0, 50.0)
"""Grey levels above surroundings as wide as a stroke, and within two pixels at both ends of a stroke."""

SHARP_ROWS: Final = 0.6
MIN_ROWS: Final = 4
"""Of a drawing's rows, those that begin and end sharply; lower ones are speckle."""

WHITENESS_TOLERANCE: Final = 24.0
NEIGHBOURHOOD_SHARE: Final = 1 / 8
"""Likely drawings must be as white as the certain ones, give or take this, and lie among them or this far around."""

MAX_ENDS: Final = 48
"""Between so many drawings dotted lines are looked for; text beyond it has none."""

MIN_LINE_PX: Final = 16
LINE_WIDTH_PX: Final = 5
MAX_GAPS_PX: Final = (10.0, 30.0)
MAX_GAP_SHARE: Final = 0.22
"""Dots lie this near to the straight line between two callipers, and leave no longer gap in it: a share of its length,
within limits."""

HALO_PX: Final = 2
"""What smoothing, compression and dark outlines leave around a stroke."""

EIGHT: Final = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Connected bright parts; each array has one entry a part.

    Attributes
    ----------
    labels : numpy.ndarray
        Shape of the picture, 0 where there is no part, else its number from 1.
    sharp : numpy.ndarray
        Whether its rows begin and end sharply.
    rows, peaks : numpy.ndarray
        On how many rows it lies; its brightest pixel.
    boxes : numpy.ndarray
        Shape ``(parts, 4)``: x0, y0, x1, y1.
    """

    labels: NDArray[np.int32]
    sharp: Mask
    rows: NDArray[np.int64]
    peaks: Grey
    boxes: NDArray[np.int64]

    def mask(self, which: Mask) -> Mask:
        """Pixels of some of the parts."""
        return np.asarray(np.concatenate([[False], which])[self.labels], dtype=np.bool_)


def find_graphics(grey: Grey, colour: Mask) -> Mask:
    """Find what is drawn into a picture.

    Parameters
    ----------
    grey : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 to 255.
    colour : numpy.ndarray
        Same shape, bool: pixels that are coloured (`pipelines.ultrasound.colour`), drawings as well.

    Returns
    -------
    numpy.ndarray
        Same shape, bool, with a halo around each drawing.
    """
    size = max(MIN_STROKE_PX, round(min(grey.shape) * STROKE_SHARE)) | 1
    rise = grey - ndimage.grey_opening(grey, size=(size, size), mode="nearest")
    drawn = colour.copy()
    certain = _parts(grey, rise, CERTAIN)
    strokes = certain.sharp & (certain.rows >= MIN_ROWS)
    if strokes.any():
        drawn |= certain.mask(strokes)
        around = certain.boxes[strokes]
        margin = min(grey.shape) * NEIGHBOURHOOD_SHARE
        low, high = around[:, :2].min(axis=0) - margin, around[:, 2:].max(axis=0) + margin
        white = float(np.median(certain.peaks[strokes])) - WHITENESS_TOLERANCE
        likely = _parts(grey, rise, LIKELY)
        near = (likely.boxes[:, :2] >= low).all(axis=1) & (likely.boxes[:, 2:] <= high).all(axis=1)
        belonging = likely.sharp & near & (likely.peaks >= white)
        drawn |= likely.mask(belonging) & (grey >= white)  # bright tissue may touch them
        ends = np.concatenate([around, likely.boxes[belonging & (likely.rows >= MIN_ROWS)]])
        drawn |= _dotted_lines(drawn, likely.mask(likely.sharp & (likely.rows <= MIN_ROWS)), ends)
    drawn |= _small_holes(drawn, size * size)
    return np.asarray(ndimage.binary_dilation(drawn, EIGHT, HALO_PX), dtype=np.bool_)


def neutralised(grey: Grey, drawn: Mask, outside: Mask) -> Grey:
    """Replace drawings by the tissue beside them, and make everything outside the picture black.

    Each pixel of a drawing takes the value that lies as far beyond the drawing's edge as it lies within (its mirror
    image), so that what is filled in has the texture of speckle and no outline.

    Parameters
    ----------
    grey : numpy.ndarray
        Shape ``(rows, columns)``.
    drawn, outside : numpy.ndarray
        Same shape, bool: what to fill, and what to blacken.

    Returns
    -------
    numpy.ndarray
        A new array of the same shape and type.
    """
    filled = np.where(outside, np.float32(0.0), grey)
    blocked = drawn | outside
    at = np.nonzero(drawn & ~outside)
    if not at[0].size or blocked.all():
        return filled
    nearest = ndimage.distance_transform_edt(blocked, return_distances=False, return_indices=True)
    edge = tuple(axis[at] for axis in nearest)
    mirrored = tuple(
        np.clip(2 * beyond - here, 0, side - 1) for beyond, here, side in zip(edge, at, grey.shape, strict=True)
    )
    filled[at] = np.where(blocked[mirrored], grey[edge], grey[mirrored])
    return filled


def _parts(grey: Grey, rise: Grey, thresholds: tuple[float, float]) -> _Parts:
    """Connected parts that rise above their surroundings, and how sharply their rows begin and end."""
    min_rise, min_step = thresholds
    labels, count = ndimage.label(rise >= min_rise, structure=EIGHT)
    step = np.zeros_like(grey)
    step[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    begins = ndimage.maximum_filter1d(step, 3, axis=1) >= min_step
    ends = ndimage.minimum_filter1d(step, 3, axis=1) <= -min_step
    within = labels > 0
    key = (labels[within].astype(np.int64) - 1) * grey.shape[0] + np.nonzero(within)[0]
    both = np.intersect1d(key[begins[within]], key[ends[within]])
    rows = np.bincount(np.unique(key) // grey.shape[0], minlength=count)
    found = ndimage.find_objects(labels)
    return _Parts(
        labels=labels,
        sharp=np.bincount(both // grey.shape[0], minlength=count) >= SHARP_ROWS * rows,
        rows=rows,
        peaks=np.asarray(ndimage.maximum(grey, labels, np.arange(1, count + 1)), dtype=np.float32),
        boxes=np.array([(x.start, y.start, x.stop, y.stop) for y, x in found], dtype=np.int64).reshape(-1, 4),
    )


def _dotted_lines(drawn: Mask, dots: Mask, ends: NDArray[np.int64]) -> Mask:
    """Straight lines between two drawings, where dots fill them without a gap.

    Parameters
    ----------
    drawn, dots : numpy.ndarray
        Shape of the picture: what is known to be drawn, and what is small enough for a dot but may be speckle.
    ends : numpy.ndarray
        Shape ``(drawings, 4)``, boxes x0, y0, x1, y1.
    """
    wide = np.ones((LINE_WIDTH_PX, LINE_WIDTH_PX), dtype=np.bool_)
    covered = ndimage.binary_dilation(drawn | dots, wide)
    on_lines = np.zeros_like(dots)
    centres = (ends[:MAX_ENDS, :2] + ends[:MAX_ENDS, 2:] - 1) / 2
    for first, second in combinations(centres, 2):
        length = float(np.hypot(*(second - first)))
        if length < MIN_LINE_PX:
            continue
        line = np.linspace(first, second, round(length))
        x, y = np.rint(line).astype(np.intp).T
        bare = np.diff(np.flatnonzero(np.concatenate([[True], covered[y, x], [True]]))).max() - 1
        if bare <= np.clip(MAX_GAP_SHARE * length, *MAX_GAPS_PX):
            on_lines[y, x] = True
    return on_lines


def _small_holes(drawn: Mask, max_area: int) -> Mask:
    """What letters and hollow callipers enclose; what a frame around a region encloses is tissue."""
    labels, count = ndimage.label(ndimage.binary_fill_holes(drawn) & ~drawn)
    small = np.bincount(labels.ravel(), minlength=count + 1) <= max_area
    small[0] = False
    return np.asarray(small[labels], dtype=np.bool_)
