"""Colour in an ultrasound picture: tint, drawings in colour, colour Doppler and elastography.

A picture of tissue may be tinted: one colour for each brightness. Anything that leaves this line is drawn over it, and
what is drawn over a large area in blobs, not in strokes, is a colour mode.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.ultrasound.decoding import Frame

Mask = NDArray[np.bool_]

LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of Y in YBR_FULL, PS3.3 C.7.6.3.1.2."""

MIN_CHROMA: Final = 48
MIN_SATURATION: Final = 0.4
"""Difference between the strongest and the weakest channel: in grey levels, and as a share of the strongest. Tints of
scanners stay below 0.25; Doppler scales and coloured drawings begin at 0.5."""

LIT: Final = 24
"""Darker pixels have no colour that one could speak of."""

TINTED_SHARE: Final = 0.5
"""When more than this share of the lit pixels is coloured, the picture is tinted, or covered altogether."""

BRIGHTNESS_BINS: Final = 16

BLOB_SHARE_OF_SIDE: Final = 1 / 100
MIN_BLOB_PX: Final = 5
"""Letters, callipers and markers are narrower than a blob."""


def luminance(frame: Frame) -> NDArray[np.float32]:
    """Brightness of a frame, shape ``(rows, columns)``, float32, 0 to 255."""
    if frame.ndim == 2:
        return frame.astype(np.float32)
    return np.asarray(frame @ np.array(LUMA, dtype=np.float32), dtype=np.float32)


def coloured(frame: Frame) -> Mask:
    """Pixels whose colour is not that of tissue of their brightness.

    Parameters
    ----------
    frame : numpy.ndarray
        uint8, grey ``(rows, columns)`` or RGB ``(rows, columns, 3)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns)``, bool; all False for a grey frame.
    """
    if frame.ndim == 2:
        return np.zeros(frame.shape, dtype=np.bool_)
    red, green, blue = (frame[..., channel] for channel in range(3))  # a reduction over 3 values is many times slower
    strongest = np.maximum(np.maximum(red, green), blue)
    chroma = strongest - np.minimum(np.minimum(red, green), blue)
    found = (chroma >= MIN_CHROMA) & (chroma >= MIN_SATURATION * strongest)
    lit = strongest >= LIT
    if np.count_nonzero(found) <= TINTED_SHARE * np.count_nonzero(lit):
        return np.asarray(found, dtype=np.bool_)
    return _off_the_tint(frame, lit)


def blobs(colour: Mask) -> Mask:
    """What remains of `coloured` without strokes: areas, as a colour mode paints them."""
    side = max(MIN_BLOB_PX, round(min(colour.shape) * BLOB_SHARE_OF_SIDE)) | 1
    kept = ndimage.minimum_filter(colour.view(np.uint8), size=side, mode="constant", cval=0)
    return np.asarray(ndimage.maximum_filter(kept, size=side), dtype=np.bool_)


def _off_the_tint(frame: Frame, lit: Mask) -> Mask:
    """Pixels that differ from the median colour of their brightness; in a tinted picture that is the tint."""
    level = (luminance(frame) * (BRIGHTNESS_BINS / 256.0)).astype(np.intp)
    found = np.zeros(lit.shape, dtype=np.bool_)
    for index in range(BRIGHTNESS_BINS):
        these = lit & (level == index)
        if these.any():
            colours = frame[these].astype(np.int16)
            found[these] = np.abs(colours - np.median(colours, axis=0)).max(axis=1) >= MIN_CHROMA
    return found
