"""What an evaluation reads, and the two small values that all its results are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from models.contract import BoxPx, Label
from models.training.contract import TruthBox

Status = Literal["benign", "malignant", "no_calcification", "not_analysed"]
"""What the pipeline's breast rule says of a breast; the strings of `sr_templates.contract.BreastStatus`."""

CONFIDENCE: Final = 0.95
"""Of every interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDefined:
    """Stands where a figure would: why there is none.

    Attributes
    ----------
    reason : str
        A clause, e.g. ``"all images are benign"``.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % confidence interval.

    Attributes
    ----------
    lower, upper : float
        In the unit of the figure.
    method : str
        How it was computed, for the reader.
    """

    lower: float
    upper: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A box that a detector predicted.

    Attributes
    ----------
    box_px : tuple of float
        ``(x0, y0, x1, y1)`` in pixels of its image, pixel corners as in `models.contract.Detection`.
    label : {"benign", "malignant"}
        The class with the higher probability.
    score : float
        Confidence that there is a cluster of calcifications, of whichever class, 0 to 1.
    malignancy : float
        Probability that this box is malignant, 0 to 1.

    Raises
    ------
    ValueError
        For a box whose corners are not finite or not in order, and for a probability outside 0 to 1.
    """

    box_px: BoxPx
    label: Label
    score: float
    malignancy: float

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box_px
        if not (all(map(math.isfinite, self.box_px)) and x0 <= x1 and y0 <= y1):
            raise ValueError(f"a predicted box is (x0, y0, x1, y1) with its corners in order, not {self.box_px}")
        _check_probability("score", self.score)
        _check_probability("malignancy", self.malignancy)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedImage:
    """One analysed image: its truth and everything the detector predicted, down to the lowest score it gives.

    Attributes
    ----------
    name : str
        What tells it apart in the data set; never anything of a patient.
    patient : str
        A pseudonym. Images of one patient are resampled together and count as one cluster.
    laterality, view : str or None
        E.g. ``"L"`` and ``"CC"``; None when not known.
    spacing_mm : float
        Of its pixels in the plane of the breast, rows and columns alike.
    truths : tuple of models.training.contract.TruthBox
        Empty for a normal image.
    predictions : tuple of Prediction
        In any order. Not thresholded at the operating point: the FROC curve needs the low scores too.
    image_malignancy : float or None
        The detector's probability that the image is malignant; 0 when it found no box. None when the detector gives no
        such figure: the image is then left out of the image-level ROC curve, and counted as left out.
    second_opinion : float or None
        SPPNet's probability that the image is malignant; None when it was not run.
    area_cm2 : float or None
        Of the breast in the image; None when not known.
    exam : str
        Tells examinations of a patient apart: a breast is judged from the views of one.
    known_normal : bool
        Whether somebody vouches that there is nothing but the truths: without truths it is then a normal image. Else an
        image without truths may show a mass, or calcifications that nobody marked.

    Raises
    ------
    ValueError
        For a truth box without area, a spacing or an area that is not positive, a probability outside 0 to 1.
    """

    name: str
    patient: str
    laterality: str | None
    view: str | None
    spacing_mm: float
    truths: tuple[TruthBox, ...]
    predictions: tuple[Prediction, ...]
    image_malignancy: float | None
    second_opinion: float | None
    area_cm2: float | None
    exam: str = ""
    known_normal: bool = True

    def __post_init__(self) -> None:
        for truth in self.truths:
            x0, y0, x1, y1 = truth.box_px
            if not (all(map(math.isfinite, truth.box_px)) and x0 < x1 and y0 < y1):
                raise ValueError(f"a truth box is (x0, y0, x1, y1) and has an area; {truth.box_px} has none")
        _check_positive("spacing_mm", self.spacing_mm)
        if self.area_cm2 is not None:
            _check_positive("area_cm2", self.area_cm2)
        for name, value in (("image_malignancy", self.image_malignancy), ("second_opinion", self.second_opinion)):
            if value is not None:
                _check_probability(name, value)

    @property
    def normal(self) -> bool:
        """Whether it is known to hold no lesion."""
        return self.known_normal and not self.truths

    @property
    def truth(self) -> Label | None:
        """Malignant if it holds a malignant lesion, else benign if it holds any; None without any."""
        if not self.truths:
            return None
        return "malignant" if any(truth.label == "malignant" for truth in self.truths) else "benign"

    def predictions_from(self, score_threshold: float) -> tuple[Prediction, ...]:
        """Give the predictions with a score of at least `score_threshold`."""
        return tuple(prediction for prediction in self.predictions if prediction.score >= score_threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedBreast:
    """One breast: its truth and what the pipeline's breast rule said; the rule itself is not applied here.

    Attributes
    ----------
    patient : str
        The pseudonym of its images.
    laterality : str
        ``"L"`` or ``"R"``.
    truth : {"malignant", "benign"} or None
        None: it holds no lesion. A breast of unknown truth has no place in an evaluation.
    status : {"benign", "malignant", "no_calcification", "not_analysed"}
        At the operating point.
    probability : float or None
        Of malignancy, 0 to 1; None when the rule gives none. Without calcification that ranks below every other
        breast; with any other status the breast is left out of the ROC curve, and counted as left out.
    second_status : {"benign", "malignant"} or None
        By the same rule from the second opinions on its views; None when one of them has none.
    second_probability : float or None
        Of malignancy, likewise.

    Raises
    ------
    ValueError
        For a probability outside 0 to 1.
    """

    patient: str
    laterality: str
    truth: Label | None
    status: Status
    probability: float | None
    second_status: Label | None = None
    second_probability: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("probability", self.probability), ("second_probability", self.second_probability)):
            if value is not None:
                _check_probability(name, value)


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:  # also refuses NaN
        raise ValueError(f"{name} is a probability from 0 to 1, not {value}")


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"{name} is positive, not {value}")
