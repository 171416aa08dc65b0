"""What became of each instance and of the study: what a pipeline hands over to be reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contract import Detection
from pipelines.contract import Biomarker, BreastAssessment, Lesion, Reason
from pipelines.instances import ImageHeader, Instance
from sr_templates.contract import Outcome, ReportedAlgorithm, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One instance and what became of it.

    Attributes
    ----------
    reason : Reason or None
        Why it was not analysed; of an analysed image, what of it was not.
    detections : tuple of Detection
        In stored-pixel coordinates.
    lesions : tuple of Lesion
        Likewise.
    malignancy : float or None
        0 to 1; None unless analysed and classified.
    second_opinion : float or None
        Malignancy by a whole-image classifier, 0 to 1; None when it did not run.
    display : numpy.ndarray or None
        Shape ``(rows, columns)``, uint8, stored frame, 0 black.
    activation : numpy.ndarray or None
        Shape ``(rows, columns)``, float32, 0 to 1, stored frame.
    display_frame : int or None
        Which frame of several these two show, from 1.
    display_spacing_mm : tuple of float or None
        ``(row, column)`` of an ultrasound picture by its region calibration.
    detector, classifier : str
        Names of the algorithms behind `detections` or `lesions`, and behind the malignancy of `lesions`.
    models_s : float
        Time that the models took, with bringing the image to their frame and back.
    """

    instance: Instance[ImageHeader]
    outcome: Outcome
    reason: Reason | None = None
    detections: tuple[Detection, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    malignancy: float | None = None
    second_opinion: float | None = None
    display: NDArray[np.uint8] | None = None
    activation: NDArray[np.float32] | None = None
    display_frame: int | None = None
    display_spacing_mm: tuple[float, float] | None = None
    detector: str = ""
    classifier: str = ""
    models_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What is said of the study as a whole; `target` is what was looked for.

    `biomarkers` go lesion by lesion, and the models behind all of them are among the `algorithms`; `models_s`
    is what they took.
    """

    outcome: Outcome
    reason: Reason | None
    breasts: tuple[BreastAssessment, ...] = ()
    algorithms: tuple[ReportedAlgorithm, ...] = ()
    target: Target = "calcification"
    biomarkers: tuple[Biomarker, ...] = ()
    models_s: float = 0.0
