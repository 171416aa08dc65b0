"""From images to marks: with what score each lesion was found, and every false positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import Label
from models.evaluation.contract import EvaluatedImage
from models.evaluation.hits import HitRule

FalsePositivesOn = Literal["normal images", "images without a lesion", "all images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What a free-response curve counts. Image i is the i-th of the images given.

    Attributes
    ----------
    lesion_score : numpy.ndarray
        For each lesion the highest score of a prediction that hits it, -inf when none does; float64.
    lesion_image : numpy.ndarray
        Its image, intp.
    false_score : numpy.ndarray
        Score of each prediction that hits no lesion of any class; float64.
    false_image : numpy.ndarray
        Its image, intp.
    normal : numpy.ndarray
        For each image whether it is known to hold no lesion, bool.
    unmarked : numpy.ndarray
        For each image whether no lesion is marked in it, bool.
    patient : numpy.ndarray
        For each image the number of its patient, 0 to the number of patients less 1; intp.
    """

    lesion_score: NDArray[np.float64]
    lesion_image: NDArray[np.intp]
    false_score: NDArray[np.float64]
    false_image: NDArray[np.intp]
    normal: NDArray[np.bool_]
    unmarked: NDArray[np.bool_]
    patient: NDArray[np.intp]

    @property
    def patients(self) -> int:
        """How many patients there are."""
        return int(self.patient.max(initial=-1)) + 1

    def counted(self, domain: FalsePositivesOn) -> NDArray[np.bool_]:
        """For each image whether its false positives count on the x axis."""
        if domain == "normal images":
            return self.normal
        return self.unmarked if domain == "images without a lesion" else np.ones_like(self.normal)


def found_on(image: EvaluatedImage, rule: HitRule) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Apply the rule to one image.

    Returns
    -------
    best : numpy.ndarray
        Shape (truths,): highest score of a prediction that hits the lesion, -inf when none does.
    false : numpy.ndarray
        Shape (predictions,): whether it hits no lesion.
    """
    scores = np.array([prediction.score for prediction in image.predictions], dtype=np.float64)
    hits = rule.hits(
        [truth.box_px for truth in image.truths],
        [prediction.box_px for prediction in image.predictions],
        image.spacing_mm,
    )
    best = np.where(hits, scores, -np.inf).max(axis=1, initial=-np.inf)
    return np.asarray(best, dtype=np.float64), np.asarray(~hits.any(axis=0), dtype=np.bool_)


def marks_of(images: Sequence[EvaluatedImage], rule: HitRule, *, lesions: Label | None = None) -> Marks:
    """Find out which lesions were hit, with what score, and which predictions hit nothing.

    A lesion counts as found once, with the highest score that hits it; further hits on it are neither found nor false.
    A prediction that hits two lesions finds both. The class of a prediction plays no part: this is detection.

    Parameters
    ----------
    images : sequence of EvaluatedImage
    rule : HitRule
    lesions : {"benign", "malignant"}, optional
        Only lesions of this class are to be found. A hit on one of the other class is then not a false positive, and
        an image of the other class is not normal.
    """
    lesion_score: list[float] = []
    lesion_image: list[int] = []
    false_score: list[float] = []
    false_image: list[int] = []
    for number, image in enumerate(images):
        best, is_false = found_on(image, rule)
        wanted = [
            score for truth, score in zip(image.truths, best.tolist(), strict=True) if lesions in (None, truth.label)
        ]
        false = [found.score for found, beside in zip(image.predictions, is_false, strict=True) if beside]
        lesion_score.extend(wanted)
        lesion_image.extend([number] * len(wanted))
        false_score.extend(false)
        false_image.extend([number] * len(false))
    patients = {name: number for number, name in enumerate(dict.fromkeys(image.patient for image in images))}
    return Marks(
        lesion_score=np.array(lesion_score, dtype=np.float64),
        lesion_image=np.array(lesion_image, dtype=np.intp),
        false_score=np.array(false_score, dtype=np.float64),
        false_image=np.array(false_image, dtype=np.intp),
        normal=np.array([image.normal for image in images], dtype=np.bool_),
        unmarked=np.array([not image.truths for image in images], dtype=np.bool_),
        patient=np.array([patients[image.patient] for image in images], dtype=np.intp),
    )
