"""What flows into and out of the models of ultrasound: frames, outlines, and what a lesion is. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx
from models.lesion_shape import LesionShape


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyFrame:
    """One frame of B-mode ultrasound, as a model receives it.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, range 0 (black) to 1 (white), MONOCHROME2 sense; the region that shows
        tissue, without margins, colour bars and writing around it.
    spacing_mm : tuple of float or None
        ``(row, column)``, in mm; None when the frame is not calibrated.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionRegion:
    """One outlined lesion, in the pixels of the frame that the model was given.

    Attributes
    ----------
    polygon_px : tuple of (x, y)
        Its outline, closed by its first point, which is not repeated; x is the column axis, y the row axis, (0, 0) is
        the outer corner of the first pixel. A lesion has no holes.
    box_px : tuple of float
        ``(x0, y0, x1, y1)``: the smallest box that holds its pixels.
    shape : LesionShape
        Long and short axis, and area.
    score : float
        Mean over its pixels of the probability that they belong to a lesion, 0 to 1.
    """

    polygon_px: tuple[tuple[float, float], ...]
    box_px: BoxPx
    shape: LesionShape
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationOutput:
    """What a segmenter found on one frame.

    Attributes
    ----------
    regions : tuple of LesionRegion
        Largest first; empty means: no lesion found.
    lesion_score : float
        Probability that the frame shows a lesion at all, 0 to 1.
    mask : numpy.ndarray
        Shape of the frame, bool: the pixels of `regions`.
    probability : numpy.ndarray
        Shape of the frame, float32, 0 to 1: that a pixel belongs to a lesion; also where no region was made of it.
    device : str
        Where it ran, e.g. ``"cpu"`` or ``"cuda:0"``.
    """

    regions: tuple[LesionRegion, ...]
    lesion_score: float
    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiOutput:
    """What a classifier makes of one region.

    Attributes
    ----------
    probability : float
        Of the second class, 0 to 1.
    roi_px : tuple of float
        ``(x0, y0, x1, y1)``: what the model looked at, the lesion with its border; it may reach over the frame's edge,
        where the frame goes on as its edge.
    activation : numpy.ndarray
        Shape ``(rows, columns)`` of a coarse grid over `roi_px`, float32: how much each cell speaks for the second
        class, against the first; its mean and the difference of the classes' biases make up the logit.
    features : numpy.ndarray
        Shape ``(n,)``, float32: the last pooling layer.
    device : str
        Where it ran.
    """

    probability: float
    roi_px: BoxPx
    activation: NDArray[np.float32]
    features: NDArray[np.float32]
    device: str
