"""When a predicted box counts as a hit on a lesion: three rules by name.

Which rule is used moves the figures of a calcification detector a good deal (Kallergi, Carney and Gaviria, Medical
Physics 26 (1999) 267), so every result names its rule, and figures by different rules are not to be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx

Boxes = NDArray[np.float64]
IOU_THRESHOLD: Final = 0.2
RADIUS_AT_LEAST_MM: Final = 3.0
RADIUS_MARGIN_MM: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HitRule:
    """A rule, with what a report says of it.

    Attributes
    ----------
    name : str
        Short, for tables and settings.
    description : str
        One clause that follows "A prediction is a hit when".
    matrix : callable
        ``(truths, predictions, spacing_mm)`` to a boolean array of shape (truths, predictions); the boxes are arrays of
        shape (n, 4), ``(x0, y0, x1, y1)`` in pixels, the spacing is that of the image.
    """

    name: str
    description: str
    matrix: Callable[[Boxes, Boxes, float], NDArray[np.bool_]]

    def hits(self, truths: Sequence[BoxPx], predictions: Sequence[BoxPx], spacing_mm: float) -> NDArray[np.bool_]:
        """Say which prediction hits which truth, both of one image.

        Returns
        -------
        numpy.ndarray
            Shape (truths, predictions), bool. Nothing is assigned here: a prediction may hit several truths.
        """
        return self.matrix(as_boxes(truths), as_boxes(predictions), spacing_mm)


def as_boxes(boxes: Sequence[BoxPx]) -> Boxes:
    """Give boxes as an array of shape (n, 4), also when there are none."""
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def iou(truths: Boxes, predictions: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every truth with every prediction.

    Parameters
    ----------
    truths, predictions : numpy.ndarray
        Shape (n, 4) and (m, 4), ``(x0, y0, x1, y1)`` in pixels; truths have an area.

    Returns
    -------
    numpy.ndarray
        Shape (n, m), 0 to 1.
    """
    first, second = truths[:, None, :], predictions[None, :, :]
    overlap = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    intersection = np.clip(overlap, 0.0, None).prod(axis=-1)
    return np.asarray(intersection / (_area(first) + _area(second) - intersection), dtype=np.float64)


def iou_rule(threshold: float = IOU_THRESHOLD) -> HitRule:
    """Give the rule by overlap: intersection over union of at least `threshold`.

    The default of 0.2 is usual in mammography (Dhungel, Carneiro and Bradley, Medical Image Analysis 37 (2017) 114,
    for masses). The 0.5 of everyday photographs is too strict for a cluster of calcifications, which has no edge:
    readers who agree on a cluster draw boxes of different size, and the paper itself finds its predicted regions
    larger and more numerous than the drawn ones.

    Raises
    ------
    ValueError
        When `threshold` is not above 0 and at most 1: at 0 every prediction would hit.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"an IoU threshold is above 0 and at most 1, not {threshold}")
    return HitRule(
        name=f"iou {threshold:g}",
        description=f"its box and the lesion's have an intersection over union of at least {threshold:g}",
        matrix=partial(_overlaps, threshold=threshold),
    )


def _overlaps(truths: Boxes, predictions: Boxes, spacing_mm: float, *, threshold: float) -> NDArray[np.bool_]:
    del spacing_mm  # a ratio has no unit
    return iou(truths, predictions) >= threshold


def _centre_inside(truths: Boxes, predictions: Boxes, spacing_mm: float) -> NDArray[np.bool_]:
    del spacing_mm  # inside is inside at any spacing
    centre = _centres(predictions)[None, :, :]
    return np.asarray(((truths[:, None, :2] <= centre) & (centre <= truths[:, None, 2:])).all(axis=-1), dtype=np.bool_)


def _near_centre(truths: Boxes, predictions: Boxes, spacing_mm: float) -> NDArray[np.bool_]:
    apart = _centres(truths)[:, None, :] - _centres(predictions)[None, :, :]
    distance_mm = np.hypot(apart[..., 0], apart[..., 1]) * spacing_mm
    radius_mm = (truths[:, 2:] - truths[:, :2]).max(axis=1, initial=0.0) / 2 * spacing_mm
    reach_mm = np.maximum(radius_mm, RADIUS_AT_LEAST_MM) + RADIUS_MARGIN_MM
    return np.asarray(distance_mm <= reach_mm[:, None], dtype=np.bool_)


IOU: Final = iou_rule()

CENTRE: Final = HitRule(
    name="centre",
    description="the centre of its box lies within the lesion's box or on its edge",
    matrix=_centre_inside,
)
"""As Ribli et al., Scientific Reports 8 (2018) 4165, for lesions in mammograms. It forgives a box far too large."""

RADIUS: Final = HitRule(
    name="radius",
    description=(
        "its centre is no farther from the lesion's centre than the lesion's radius (half the longer side of its box, "
        f"at least {RADIUS_AT_LEAST_MM:g} mm) and {RADIUS_MARGIN_MM:g} mm more"
    ),
    matrix=_near_centre,
)
"""For mini-MIAS, whose truth is a centre and a radius: max(radius, 15) + 15 px at its 0.2 mm, here in mm."""

HIT_RULES: Final[Mapping[str, HitRule]] = MappingProxyType({"iou": IOU, "centre": CENTRE, "radius": RADIUS})
"""By the name that a command line gives."""


def _area(boxes: Boxes) -> Boxes:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]), dtype=np.float64)


def _centres(boxes: Boxes) -> Boxes:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
