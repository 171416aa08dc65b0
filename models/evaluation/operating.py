"""Detection at the operating point, and the cases worth a look: lesions missed, and the surest false positives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from models.contract import BoxPx, Label
from models.evaluation.contract import EvaluatedImage, NotDefined
from models.evaluation.hits import HitRule
from models.evaluation.marks import found_on
from models.evaluation.proportions import Proportion, proportion

SUREST: Final = 20
"""How many false positives are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedLesion:
    """A lesion that no prediction hits at the operating point.

    Attributes
    ----------
    image : str
    label : {"benign", "malignant"}
    box_px : tuple of float
    longer_side_mm : float
    best_score : float or None
        Highest score of a prediction that hits it, below the operating point; None when none does.
    """

    image: str
    label: Label
    box_px: BoxPx
    longer_side_mm: float
    best_score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FalsePositive:
    """A prediction on a normal image."""

    image: str
    label: Label
    box_px: BoxPx
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Detection with all predictions of at least the threshold.

    Attributes
    ----------
    score_threshold : float
    lesions_found, malignant_found, benign_found : Proportion or NotDefined
        By the hit rule; the class of the prediction plays no part.
    normals_without_box : Proportion or NotDefined
        Normal images on which nothing was found: the specificity of detection.
    false_positives_per_normal_image, false_positives_per_image_with_lesion : float or NotDefined
    false_positives_per_other_image : float or NotDefined
        On images without a lesion that nobody vouches for as normal.
    false_positives_per_100_cm2 : float or NotDefined
        On normal images, by area of breast; needs the area of each.
    missed : tuple of MissedLesion
        All of them, in the order of the images.
    surest_false_positives : tuple of FalsePositive
        On normal images, highest score first, at most `SUREST`.
    """

    score_threshold: float
    lesions_found: Proportion | NotDefined
    malignant_found: Proportion | NotDefined
    benign_found: Proportion | NotDefined
    normals_without_box: Proportion | NotDefined
    false_positives_per_normal_image: float | NotDefined
    false_positives_per_image_with_lesion: float | NotDefined
    false_positives_per_other_image: float | NotDefined
    false_positives_per_100_cm2: float | NotDefined
    missed: tuple[MissedLesion, ...]
    surest_false_positives: tuple[FalsePositive, ...]


def operating_point(images: Sequence[EvaluatedImage], rule: HitRule, score_threshold: float) -> OperatingPoint:
    """Count hits and false positives at `score_threshold`."""
    lesions: list[tuple[Label, bool]] = []
    missed: list[MissedLesion] = []
    beside_lesions = 0
    false_positives: list[FalsePositive] = []
    normals = [image for image in images if image.normal]
    others = [image for image in images if not image.truths and not image.normal]
    for image in images:
        best, false = found_on(image, rule)
        for truth, score in zip(image.truths, best.tolist(), strict=True):
            lesions.append((truth.label, score >= score_threshold))
            if score < score_threshold:
                x0, y0, x1, y1 = truth.box_px
                missed.append(
                    MissedLesion(
                        image=image.name,
                        label=truth.label,
                        box_px=truth.box_px,
                        longer_side_mm=max(x1 - x0, y1 - y0) * image.spacing_mm,
                        best_score=score if math.isfinite(score) else None,
                    )
                )
        if image.truths:
            beside_lesions += sum(
                beside and found.score >= score_threshold
                for found, beside in zip(image.predictions, false.tolist(), strict=True)
            )
        elif image.normal:
            false_positives.extend(
                FalsePositive(image=image.name, label=found.label, box_px=found.box_px, score=found.score)
                for found in image.predictions_from(score_threshold)
            )
    areas = [image.area_cm2 for image in normals if image.area_cm2 is not None]
    per_area = len(false_positives) / sum(areas) * 100 if areas and len(areas) == len(normals) else None
    clean = sum(not image.predictions_from(score_threshold) for image in normals)
    no_normals = "there are no normal images"
    return OperatingPoint(
        score_threshold=score_threshold,
        lesions_found=_found(lesions, ("malignant", "benign"), none="no image has a lesion"),
        malignant_found=_found(lesions, ("malignant",), none="no lesion is malignant"),
        benign_found=_found(lesions, ("benign",), none="no lesion is benign"),
        normals_without_box=proportion(clean, len(normals), none=no_normals),
        false_positives_per_normal_image=_per(len(false_positives), len(normals), none=no_normals),
        false_positives_per_image_with_lesion=_per(
            beside_lesions, sum(bool(image.truths) for image in images), none="no image has a lesion"
        ),
        false_positives_per_other_image=_per(
            sum(len(image.predictions_from(score_threshold)) for image in others),
            len(others),
            none="every image without a lesion is known to be normal",
        ),
        false_positives_per_100_cm2=(
            NotDefined(reason="not every normal image has its area" if normals else no_normals)
            if per_area is None
            else per_area
        ),
        missed=tuple(missed),
        surest_false_positives=tuple(sorted(false_positives, key=lambda found: -found.score)[:SUREST]),
    )


def _found(lesions: Sequence[tuple[Label, bool]], labels: tuple[Label, ...], *, none: str) -> Proportion | NotDefined:
    found = [was_found for label, was_found in lesions if label in labels]
    return proportion(sum(found), len(found), none=none)


def _per(count: int, images: int, *, none: str) -> float | NotDefined:
    return count / images if images else NotDefined(reason=none)
