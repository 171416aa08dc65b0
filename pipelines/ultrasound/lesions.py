"""The lesions of one picture: outlined, measured, classified, and brought to the stored frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import BoxPx, Label
from models.lesions import GreyFrame, LesionRegion, RoiOutput
from models.predictor import LesionClassifier, Segmenter
from pipelines.contract import Lesion
from pipelines.networks import Available
from pipelines.ultrasound.frames import UltrasoundFrame
from pipelines.ultrasound.networks import Networks

MALIGNANCY_THRESHOLD: Final = "malignancy_threshold"
"""Of the operating point of us-malignancy: from which probability on a lesion is called malignant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLesions:
    """What one picture shows.

    Attributes
    ----------
    lesions : tuple of Lesion
        In the stored frame, largest first.
    activation : numpy.ndarray or None
        Shape of the stored frame, float32, 0 to 1: how much a place speaks for malignancy; None without a classifier
        or a lesion.
    """

    lesions: tuple[Lesion, ...]
    activation: NDArray[np.float32] | None


def find_lesions(
    frame: UltrasoundFrame, segmenter: Segmenter, networks: Networks, *, min_score: float | None, with_activation: bool
) -> FoundLesions:
    """Run the networks over one picture.

    HER2 is asked of lesions that are called malignant: the network knows no others, and a benign lesion has no status.

    Parameters
    ----------
    min_score : float or None
        Threshold of the segmenter's lesion score in place of its operating point's.
    """
    grey = GreyFrame(pixels=frame.pixels, spacing_mm=frame.spacing_mm)
    lesions, activation = [], None
    for region in segmenter.predict(grey, min_score=min_score).regions:
        output = _classified(networks.malignancy, grey, region.box_px)
        label = _label(networks.malignancy, output)
        her2 = _classified(networks.her2, grey, region.box_px) if label == "malignant" else None
        lesions.append(_in_stored_frame(frame, region, output, label, her2))
        if with_activation and output is not None:
            if activation is None:
                activation = np.zeros(frame.display.shape, dtype=np.float32)
            lay_activation(activation, output.activation, frame.box_to_stored(output.roi_px))
    return FoundLesions(lesions=tuple(lesions), activation=activation)


def lay_activation(onto: NDArray[np.float32], cells: NDArray[np.float32], roi_px: BoxPx) -> None:
    """Lay the class activation of a region over a frame, in place; where regions overlap, the higher one stays.

    Parameters
    ----------
    onto : numpy.ndarray
        Shape ``(rows, columns)``, 0 to 1.
    cells : numpy.ndarray
        Shape ``(n, m)``: `models.lesions.RoiOutput.activation`, whose mean with the bias is the logit. A cell that
        spoke for the lesion alone, without bias, would make the odds exp(cell): drawn is 2 p - 1 of that probability
        p, from 0, where a cell says nothing or speaks for benign, to 1. It is not stretched: a lesion that is hardly
        suspicious shows hardly any colour.
    roi_px : tuple of float
        ``(x0, y0, x1, y1)`` of the region in the frame; it may reach over its edges.
    """
    x0, y0, x1, y1 = roi_px
    rows, columns = onto.shape
    left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
    right, bottom = min(columns, int(np.ceil(x1))), min(rows, int(np.ceil(y1)))
    if left >= right or top >= bottom:
        return
    # Centres of the frame's pixels, in cells, whose own centres are whole numbers.
    across = (np.arange(left, right) + 0.5 - x0) / (x1 - x0) * cells.shape[1] - 0.5
    down = (np.arange(top, bottom) + 0.5 - y0) / (y1 - y0) * cells.shape[0] - 0.5
    shown = np.tanh(np.clip(cells, 0.0, None) / 2.0)
    places = np.meshgrid(down, across, indexing="ij")
    drawn = ndimage.map_coordinates(shown, places, order=1, mode="nearest")
    part = onto[top:bottom, left:right]
    np.maximum(part, drawn, out=part)


def _classified(classifier: Available[LesionClassifier], grey: GreyFrame, box_px: BoxPx) -> RoiOutput | None:
    return None if classifier.network is None else classifier.network.predict(grey, box_px)


def _label(classifier: Available[LesionClassifier], output: RoiOutput | None) -> Label | None:
    if output is None:
        return None
    return "malignant" if output.probability >= classifier.identity.operating_point[MALIGNANCY_THRESHOLD] else "benign"


def _in_stored_frame(
    frame: UltrasoundFrame,
    region: LesionRegion,
    malignancy: RoiOutput | None,
    label: Label | None,
    her2: RoiOutput | None,
) -> Lesion:
    left, top, _, _ = frame.box_px
    return Lesion(
        frame=frame.frame_number,
        polygon_px=tuple((x + left, y + top) for x, y in region.polygon_px),
        box_px=frame.box_to_stored(region.box_px),
        score=region.score,
        malignancy=None if malignancy is None else malignancy.probability,
        label=label,
        long_axis_mm=region.shape.long_axis_mm,
        short_axis_mm=region.shape.short_axis_mm,
        area_mm2=region.shape.area_mm2,
        her2=None if her2 is None else her2.probability,
    )
