"""What flows into and out of a model of a lesion's region: its views in, class probabilities out. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx

View = Literal["CC", "MLO", "US"]
VIEWS: Final[tuple[View, ...]] = ("CC", "MLO", "US")

Combination = Literal["joint", "each"]
"""How a model uses several views: all of them at once, or each by itself, and what it says of each is pooled."""

SURROUND_PX: Final = 160
"""Kept around a region on each side: the 100 pixels of the paper on subtypes, and room to turn them by 20 degrees."""

SURROUND_SHARE: Final = 0.65
"""Kept besides, as a share of its longer side: a square around a long region, turned likewise, reaches that far."""

SURROUND_MM: Final = 11.2
"""Kept at least, where pixels have a size: half the least patch that SPPNet is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionTask:
    """What a model of regions tells apart, and from what.

    Attributes
    ----------
    outcome : str
        A key of `models.regions.outcomes.OUTCOMES`.
    classes : tuple of str
        Names of the classes, in the order of `RegionOutput.probabilities`; of two, the second is the positive one.
    views : tuple of str
        Which views the model takes. With ``"joint"`` it needs all of them; with ``"each"`` any of them will do.
    combination : {"joint", "each"}
    """

    outcome: str
    classes: tuple[str, ...]
    views: tuple[View, ...]
    combination: Combination

    @property
    def wanted(self) -> str:
        """The views in words: ``"CC and MLO"`` when all are needed, ``"CC or MLO"`` when any will do."""
        return (" and " if self.combination == "joint" else " or ").join(self.views)

    @property
    def channels(self) -> int:
        """Views that a network is given at once, one a channel."""
        return len(self.views) if self.combination == "joint" else 1

    def missing(self, given: Mapping[View, object]) -> tuple[View, ...]:
        """Views that the model needs and that are not `given`; empty when it can run."""
        lacking = tuple(view for view in self.views if view not in given)
        enough = self.combination == "each" and len(lacking) < len(self.views)
        return () if enough else lacking

    def value(self, probabilities: tuple[float, ...], threshold: float | None) -> str:
        """Name of the predicted class: of two by the threshold of the second, of more the likeliest."""
        if len(self.classes) == 2 and threshold is not None:
            return self.classes[int(probabilities[1] >= threshold)]
        return self.classes[int(np.argmax(probabilities))]


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionView:
    """A lesion on one image, with what surrounds it.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 (air, or black) to 1, MONOCHROME2 sense, at the image's own resolution.
    mask : numpy.ndarray
        Of the same shape, bool: the pixels of the lesion. A region that is known as a box is its filled box.
    spacing_mm : tuple of float or None
        ``(row, column)`` in the plane of the breast, in mm; None when it is not known.
    """

    pixels: NDArray[np.float32]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float] | None

    @property
    def box_px(self) -> BoxPx:
        """``(x0, y0, x1, y1)``: the smallest box that holds the mask, in pixels of `pixels`."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


Lesion = Mapping[View, LesionView]
"""One lesion, in the views in which it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOutput:
    """What a model makes of a lesion.

    Attributes
    ----------
    probabilities : tuple of float
        One a class of `RegionTask.classes`; they add up to 1.
    attention : mapping of str to numpy.ndarray
        By view: what the model looked at, shape of `LesionView.pixels`, float32, 0 to 1, 0 outside of its input. A view
        that has none is left out.
    device : str
        Where it ran.
    """

    probabilities: tuple[float, ...]
    attention: Mapping[View, NDArray[np.float32]] = field(default_factory=dict)
    device: str = "cpu"


def lesion_view(
    pixels: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float] | None,
    *,
    surround_mm: float = SURROUND_MM,
) -> tuple[LesionView, tuple[int, int]]:
    """Cut a lesion with its surround out of an image, as far as the image reaches.

    Parameters
    ----------
    pixels, mask : numpy.ndarray
        Of the whole image, shape ``(rows, columns)``; see `LesionView`.
    surround_mm : float
        Kept on each side at least, where pixels have a size.

    Returns
    -------
    LesionView
        A copy, so that the image need not be kept.
    tuple of int
        ``(x, y)`` of its first pixel in the image.

    Raises
    ------
    ValueError
        The mask is empty, or of another shape than the image.
    """
    if mask.shape != pixels.shape:
        raise ValueError(f"a mask of shape {mask.shape} on an image of shape {pixels.shape}")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("the mask is empty")
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    surround = SURROUND_PX + round(SURROUND_SHARE * longer)
    if spacing_mm is not None:
        surround = max(surround, math.ceil(surround_mm / min(spacing_mm)))
    top, left = max(int(rows[0]) - surround, 0), max(int(columns[0]) - surround, 0)
    within = slice(top, int(rows[-1]) + 1 + surround), slice(left, int(columns[-1]) + 1 + surround)
    view = LesionView(
        pixels=pixels[within].astype(np.float32, copy=True), mask=mask[within].copy(), spacing_mm=spacing_mm
    )
    return view, (left, top)
