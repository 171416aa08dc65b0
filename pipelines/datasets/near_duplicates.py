"""Frames that show the same: a picture saved twice, cropped otherwise or with calipers, and neighbours in a sweep.

Public sets of ultrasound frames hold many. In two folds, what is trained on would be what is measured on.

The likeness of two frames is the greatest normalised correlation of their structure at small size: each is shrunk to
`SIDE_PX` a side, its brightness is taken out by a wide Gaussian and its contrast by a wider one, and one is shifted
against the other by up to `REACH_PX` in both directions. Shifts and crops are what copies differ by. Without taking
brightness and contrast out, all frames are alike: bright above, dark below. No part of it is drawn by lot.

Looked at in pairs, frames of the BUSI release show the same patient from 0.43 on, some do down to 0.40, and below none
was seen that does; a group too many costs nothing, and a copy overlooked flatters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from models.resampling import resample

Floats = NDArray[np.float32]

SIDE_PX: Final = 64
REACH_PX: Final = 6
"""Greatest shift, a tenth of the side."""

MOST_STEPS_PX: Final = 8
"""Of a shift by rows and by columns together: the corners of the square are left out."""

BRIGHTNESS_PX, CONTRAST_PX = 4.0, 8.0
LEAST_CONTRAST: Final = 2.0 / 255.0
ALIKE: Final = 0.40


def structure(pixels: Floats) -> Floats:
    """Return what a frame is compared by: shape ``(SIDE_PX, SIDE_PX)``, without its brightness and contrast."""
    small = resample(pixels, (SIDE_PX, SIDE_PX))
    detail = small - ndimage.gaussian_filter(small, BRIGHTNESS_PX, mode="nearest")
    contrast = np.sqrt(ndimage.gaussian_filter(detail * detail, CONTRAST_PX, mode="nearest"))
    scaled: Floats = (detail / (contrast + LEAST_CONTRAST)).astype(np.float32)
    return scaled


def likeness(structures: Sequence[Floats]) -> Floats:
    """Compare all pairs.

    Parameters
    ----------
    structures : sequence of numpy.ndarray
        Of n frames, as `structure` gives them.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, n)``, float32, symmetric, -1 to 1; 1 on the diagonal.
    """
    stack = np.stack(structures)
    middle = _unit(stack, 0, 0)
    best = np.full((len(stack), len(stack)), -1.0, dtype=np.float32)
    for down in range(-REACH_PX, REACH_PX + 1):
        for right in range(-REACH_PX, REACH_PX + 1):
            if abs(down) + abs(right) <= MOST_STEPS_PX:
                np.maximum(best, middle @ _unit(stack, down, right).T, out=best)
    best = np.clip(np.maximum(best, best.T), -1.0, 1.0)
    np.fill_diagonal(best, 1.0)
    return best


def groups(alike: Floats, threshold: float = ALIKE) -> tuple[int, ...]:
    """Number the groups of frames that are alike, directly or by way of others; from 0, in the order of the frames."""
    _, labels = connected_components(alike >= threshold, directed=False)
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(int(label), len(numbers)) for label in labels)


def pairs_apart(alike: Floats, folds: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Pairs of frames ``(first, second)`` that are alike and in different folds."""
    of_fold = np.asarray(folds)
    apart = (alike >= ALIKE) & (of_fold[:, None] != of_fold[None])
    return ((int(first), int(second)) for first, second in np.argwhere(np.triu(apart)))


def _unit(stack: Floats, down: int, right: int) -> Floats:
    """The middle parts of all, shifted, as vectors of mean 0 and length 1."""
    inner = SIDE_PX - 2 * REACH_PX
    top, left = REACH_PX + down, REACH_PX + right
    vectors = stack[:, top : top + inner, left : left + inner].reshape(len(stack), -1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return unit
