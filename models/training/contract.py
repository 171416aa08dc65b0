"""What training works on: an image with its truth, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx, Label

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")

Medium = Literal["film", "digital"]
MEDIA: Final[tuple[Medium, ...]] = ("film", "digital")


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthBox:
    """A lesion as the truth has it.

    Attributes
    ----------
    box_px : tuple of float
        ``(x0, y0, x1, y1)`` in pixels of its image, pixel corners as in `models.contract.Detection`.
    label : {"benign", "malignant"}
        Its class.
    """

    box_px: BoxPx
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingImage:
    """One standardised image at its own resolution, with its truth.

    Attributes
    ----------
    name : str
        What tells it apart in the data set; never anything of a patient.
    patient : str
        A pseudonym: all images of a patient are in the same split.
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 (air) to 1, MONOCHROME2 sense, the background beside the breast cropped.
    spacing_mm : float
        In the plane of the breast, rows and columns alike.
    medium : {"film", "digital"}
        A digitised film, or a digital detector: what a planted lesion has to look like.
    lesions : tuple of TruthBox
        In pixels of `pixels`; empty for a normal image.
    plantable : bool
        Whether lesions may be planted: the image is known to hold none.
    """

    name: str
    patient: str
    pixels: NDArray[np.float32]
    spacing_mm: float
    medium: Medium
    lesions: tuple[TruthBox, ...]
    plantable: bool
