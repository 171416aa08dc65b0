"""What an evaluation on ultrasound reads: for each frame, how its outline and its class agree with the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import Label
from models.lesion_shape import measure, outline
from models.lesions import SegmentationOutput
from models.training.frames import TrainingFrame

Mask = NDArray[np.bool_]

FOUND_IOU: Final = 0.5
"""From which an outline is that of a lesion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedLesion:
    """A lesion of the truth.

    Attributes
    ----------
    label : {"benign", "malignant"} or None
    iou : float
        The highest of an outlined region with it, 0 when none overlaps it.
    touched : bool
        Whether the centre of mass of a region lies on it.
    """

    label: Label | None
    iou: float
    touched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedFrame:
    """One segmented frame.

    Attributes
    ----------
    name : str
        What tells it apart in the data set; never anything of a patient.
    patient : str
        A pseudonym or a group; frames of one are resampled together.
    fold : int
    truth : {"benign", "malignant"} or None
        None for a normal frame, or lesions of unknown class.
    lesions : tuple of EvaluatedLesion
        Empty for a normal frame.
    dice, iou : float or None
        Of all outlined pixels with all lesions'; 0 when nothing was outlined; None for a normal frame.
    lesion_score : float
        Probability that the frame shows a lesion.
    regions, false_regions : int
        Outlined regions, and those that overlap no lesion.
    long_axis_ratio : float or None
        Long axis of the largest region over that of the largest lesion; None without either.
    """

    name: str
    patient: str
    fold: int
    truth: Label | None
    lesions: tuple[EvaluatedLesion, ...]
    dice: float | None
    iou: float | None
    lesion_score: float
    regions: int
    false_regions: int
    long_axis_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredFrame:
    """One frame with lesions of a known class, and what each method says of it; None: it says nothing.

    Attributes
    ----------
    name, patient, fold
        As in `EvaluatedFrame`.
    positive : bool
        Whether any of its lesions is of the second class.
    automatic : float or None
        The highest probability over the regions of the segmenter; None when it outlined none, or was not run.
    drawn : float
        The highest probability over the lesions of the truth.
    radiomics, clinical : float or None
        Scores of the comparators, larger for the second class, of a model that has not seen the fold.
    """

    name: str
    patient: str
    fold: int
    positive: bool
    automatic: float | None
    drawn: float
    radiomics: float | None
    clinical: float | None

    def __post_init__(self) -> None:
        for value in (self.automatic, self.drawn, self.radiomics, self.clinical):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"every score is finite, not {value}")


def evaluated(frame: TrainingFrame, output: SegmentationOutput) -> EvaluatedFrame:
    """Set an output beside the truth of its frame.

    Raises
    ------
    ValueError
        A lesion has no mask, or the output is of another shape.
    """
    masks = [lesion.mask for lesion in frame.lesions if lesion.mask is not None]
    if len(masks) < len(frame.lesions):
        raise ValueError("an outline is measured against masks; a lesion has none")
    if output.mask.shape != frame.pixels.shape:
        raise ValueError(f"an output of shape {output.mask.shape} for a frame of shape {frame.pixels.shape}")
    regions = _parts(output.mask)
    dice, iou = overlap(frame.mask, output.mask) if masks else (None, None)
    return EvaluatedFrame(
        name=frame.name,
        patient=frame.patient,
        fold=frame.fold,
        truth=frame.truth,
        lesions=tuple(
            EvaluatedLesion(
                label=lesion.label,
                iou=max((overlap(mask, region)[1] for region in regions), default=0.0),
                touched=any(_centre_on(region, mask) for region in regions),
            )
            for lesion, mask in zip(frame.lesions, masks, strict=True)
        ),
        dice=dice,
        iou=iou,
        lesion_score=output.lesion_score,
        regions=len(regions),
        false_regions=sum(not (region & frame.mask).any() for region in regions),
        long_axis_ratio=_long_axis_ratio(masks, regions, frame.spacing_mm),
    )


def overlap(truth: Mask, found: Mask) -> tuple[float, float]:
    """Dice (Ecology 26 (1945) 297) and IoU of two masks of one shape, not both empty."""
    both, either = int((truth & found).sum()), int((truth | found).sum())
    return 2.0 * both / (both + either), both / either


def _parts(mask: Mask) -> list[Mask]:
    labelled, count = ndimage.label(mask)
    return [labelled == number for number in range(1, count + 1)]


def _centre_on(region: Mask, lesion: Mask) -> bool:
    row, column = ndimage.center_of_mass(region)
    return bool(lesion[round(float(row)), round(float(column))])


def _long_axis_ratio(
    truth: Sequence[Mask], found: Sequence[Mask], spacing_mm: tuple[float, float] | None
) -> float | None:
    if not truth or not found:
        return None
    lengths = []
    for masks in (found, truth):
        largest = max(masks, key=lambda mask: int(mask.sum()))
        part = max(_parts(largest), key=lambda mask: int(mask.sum()))
        shape = measure(outline(part), int(part.sum()), spacing_mm or (1.0, 1.0))
        lengths.append(shape.long_axis_mm or 0.0)
    return lengths[0] / lengths[1]
