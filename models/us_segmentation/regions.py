"""From probabilities of pixels to the lesions of a frame: which parts are plausible, and their outlines."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import BoxPx
from models.lesion_shape import measure, outline, simplified
from models.lesions import LesionRegion

LEAST_SHARE_OF_FRAME: Final = 0.0008
"""Least area of a lesion: on a frame of 40 x 40 mm a circle of 1.3 mm, smaller than what is ever measured."""

LEAST_SHARE_OF_LARGEST: Final = 0.15
"""What is smaller than this beside the largest part is a crumb of it, or of something that looks a little like it."""

MOST_REGIONS: Final = 5
TOLERANCE_PX: Final = 0.75
"""By which an outline may leave the border of the mask: less than a pixel."""


def regions_of(
    probability: NDArray[np.float32], threshold: float, spacing_mm: tuple[float, float] | None
) -> tuple[tuple[LesionRegion, ...], NDArray[np.bool_]]:
    """Find the plausible lesions.

    Parameters
    ----------
    probability : numpy.ndarray
        Shape ``(rows, columns)``, 0 to 1.
    threshold : float
        From which a pixel belongs to a lesion.
    spacing_mm : tuple of float or None
        ``(row, column)``.

    Returns
    -------
    regions : tuple of LesionRegion
        Largest first; at most `MOST_REGIONS`.
    mask : numpy.ndarray
        Their pixels, holes filled; shape of `probability`, bool.
    """
    labelled, count = ndimage.label(probability >= threshold)
    sizes = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    mask = np.zeros(probability.shape, dtype=np.bool_)
    least = max(LEAST_SHARE_OF_FRAME * probability.size, LEAST_SHARE_OF_LARGEST * sizes.max(initial=0), 1.0)
    found = []
    for number in np.argsort(-sizes, kind="stable")[:MOST_REGIONS]:
        if sizes[number] < least:
            break
        part = ndimage.binary_fill_holes(labelled == number + 1)
        mask |= part
        found.append(_region(part, probability, spacing_mm))
    return tuple(found), mask


def box_of(mask: NDArray[np.bool_]) -> BoxPx:
    """Smallest box ``(x0, y0, x1, y1)``, along pixel corners, around the pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _region(
    part: NDArray[np.bool_], probability: NDArray[np.float32], spacing_mm: tuple[float, float] | None
) -> LesionRegion:
    points = outline(part)
    return LesionRegion(
        polygon_px=tuple((float(x), float(y)) for x, y in simplified(points, TOLERANCE_PX)),
        box_px=box_of(part),
        shape=measure(points, int(part.sum()), spacing_mm),
        score=float(probability[part].mean(dtype=np.float64)),
    )
