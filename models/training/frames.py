"""What training on ultrasound works on: a frame with its lesions, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx, Label

Her2 = Literal["negative", "positive"]
HER2: Final[tuple[Her2, ...]] = ("negative", "positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinical:
    """What a clinical model is given; each None where it is not known.

    Attributes
    ----------
    age : float or None
        In years.
    stage : float or None
        I to IV as 1 to 4.
    birads : float or None
        0 to 6; 4A, 4B and 4C are 4.25, 4.5 and 4.75.
    """

    age: float | None
    stage: float | None
    birads: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLesion:
    """A lesion as the truth has it, in pixels of its frame.

    Attributes
    ----------
    box_px : tuple of float
        ``(x0, y0, x1, y1)``, pixel corners, the smallest box around it.
    mask : numpy.ndarray or None
        Shape of the frame, bool; None where only a box is known.
    label : {"benign", "malignant"} or None
        None when not known.
    her2 : {"negative", "positive"} or None
        None when not known.
    """

    box_px: BoxPx
    mask: NDArray[np.bool_] | None
    label: Label | None
    her2: Her2 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFrame:
    """One frame of ultrasound with its truth.

    Attributes
    ----------
    name : str
        What tells it apart in the data set; never anything of a patient.
    patient : str
        A pseudonym, or the group of frames that show the same: all of it are in one fold.
    fold : int
        From 1. A network that is measured on a fold has not seen it.
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 to 1.
    spacing_mm : tuple of float or None
        ``(row, column)``; None when not known.
    lesions : tuple of FrameLesion
        Empty for a normal frame.
    clinical : Clinical
        Of the patient.
    """

    name: str
    patient: str
    fold: int
    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    lesions: tuple[FrameLesion, ...]
    clinical: Clinical

    @property
    def truth(self) -> Label | None:
        """Malignant if it holds a malignant lesion, else benign if it holds a benign one; else None."""
        labels = {lesion.label for lesion in self.lesions}
        return "malignant" if "malignant" in labels else "benign" if "benign" in labels else None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """All outlined lesions, shape of `pixels`."""
        masks = [lesion.mask for lesion in self.lesions if lesion.mask is not None]
        none = np.zeros(self.pixels.shape, dtype=np.bool_)
        return np.asarray(np.logical_or.reduce([none, *masks]), dtype=np.bool_)
