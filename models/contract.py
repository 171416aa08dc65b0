"""What flows into and out of a model: arrays, boxes, and who computed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Label = Literal["benign", "malignant"]
BoxPx = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelImage:
    """One standardised greyscale image, as a model receives it.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, range 0 (air) to 1 (brightest tissue), MONOCHROME2 sense.
    spacing_mm : tuple of float
        Distance between pixel centres in the plane of the breast, ``(row, column)``, in mm.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A box that holds calcifications, and what they are.

    Attributes
    ----------
    box_px : tuple of float
        ``(x0, y0, x1, y1)``; x is the column axis, y the row axis; (0, 0) is the outer corner of the first pixel.
        The frame is that of the image the model was given; the pipeline maps it to stored pixels.
    label : {"benign", "malignant"}
        The likelier class.
    score : float
        Probability that there are calcifications, benign or malignant, 0 to 1.
    malignancy : float
        Probability that there are malignant ones, 0 to `score`; what remains of `score` is that of benign ones.

    Raises
    ------
    ValueError
        For probabilities that are out of range, or not numbers.
    """

    box_px: BoxPx
    label: Label
    score: float
    malignancy: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.malignancy <= self.score <= 1.0:
            raise ValueError(f"0 <= malignancy <= score <= 1 does not hold for {self.malignancy} and {self.score}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model, exactly, computed a value.

    Attributes
    ----------
    name, version : str
        As in the bundle's ``configs/metadata.json``.
    weights_sha256 : str or None
        Hex digest of the weights file; None when no weights are installed.
    operating_point : mapping of str to float
        The thresholds in force, e.g. ``{"score_threshold": 0.3, "nms_threshold": 0.3}``.
    """

    name: str
    version: str
    weights_sha256: str | None
    operating_point: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOutput:
    """What a detector found on one image.

    Attributes
    ----------
    detections : tuple of Detection
        Highest score first; empty when nothing was found.
    activation : numpy.ndarray or None
        Class activation map, shape of the input image, float32, range 0 to 1.
    device : str
        Where it ran, e.g. ``"cpu"`` or ``"cuda:0"``.
    """

    detections: tuple[Detection, ...]
    activation: NDArray[np.float32] | None
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationOutput:
    """Probability that the whole image is malignant (0 to 1), and where it was computed."""

    malignancy: float
    device: str
