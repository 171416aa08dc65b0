"""All figures of an evaluation, from predictions and truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import Final

from models.contract import Label, ModelIdentity
from models.evaluation.classification import (
    Level,
    breast_level,
    compare_with_second_opinion,
    image_level,
    lesion_level,
    second_opinion_breast_level,
    second_opinion_level,
)
from models.evaluation.contract import EvaluatedBreast, EvaluatedImage, NotDefined
from models.evaluation.froc import RESAMPLES, Froc, froc
from models.evaluation.hits import IOU, HitRule
from models.evaluation.marks import FalsePositivesOn
from models.evaluation.operating import OperatingPoint, operating_point
from models.evaluation.roc import DelongTest

SEED: Final = 20231118
FROC_LESIONS: Final[Mapping[str, Label | None]] = MappingProxyType(
    {"all lesions": None, "malignant lesions": "malignant", "benign lesions": "benign"}
)
"""Which lesions each FROC curve is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDescription:
    """What the figures were measured on.

    Attributes
    ----------
    note : str
        Which data set, in the words of the one who ran the evaluation.
    patients, images : int
    simulated : bool
        Whether the lesions are simulated: their classes are then those of the simulation, not of pathology.
    normal_images, other_images : int
        Without a lesion: known to be normal, and others.
    benign_images, malignant_images : int
        By `EvaluatedImage.truth`.
    benign_lesions, malignant_lesions : int
    images_by_view : mapping of str to int
        E.g. ``{"CC": 2, "MLO": 2}``; "unknown" where there is none.
    lesion_longer_side_mm : tuple of float or NotDefined
        Smallest, median, largest.
    spacing_mm : tuple of float or NotDefined
        Smallest and largest.
    breasts, normal_breasts, benign_breasts, malignant_breasts : int
    predictions : int
        Boxes of any score.
    lowest_score : float or NotDefined
        Of all predictions: how far down the detector was asked.
    """

    note: str
    patients: int
    images: int
    simulated: bool
    normal_images: int
    other_images: int
    benign_images: int
    malignant_images: int
    benign_lesions: int
    malignant_lesions: int
    images_by_view: Mapping[str, int]
    lesion_longer_side_mm: tuple[float, float, float] | NotDefined
    spacing_mm: tuple[float, float] | NotDefined
    breasts: int
    normal_breasts: int
    benign_breasts: int
    malignant_breasts: int
    predictions: int
    lowest_score: float | NotDefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that a report tells.

    Attributes
    ----------
    model : models.contract.ModelIdentity
    data : DataDescription
    hit_rule, hit_rule_description : str
        The rule of the FROC curves and the operating point.
    seed, resamples : int
        Of the bootstrap.
    operating_point : OperatingPoint
    froc : mapping of str to (Froc or NotDefined)
        Keys "all lesions", "malignant lesions", "benign lesions".
    image, breast, lesion, second_opinion, second_opinion_breast : Level
        The last two are SPPNet's, of images and of breasts.
    detector_against_second_opinion : DelongTest or NotDefined
    """

    model: ModelIdentity
    data: DataDescription
    hit_rule: str
    hit_rule_description: str
    seed: int
    resamples: int
    operating_point: OperatingPoint
    froc: Mapping[str, Froc | NotDefined]
    image: Level
    breast: Level
    lesion: Level
    second_opinion: Level
    second_opinion_breast: Level
    detector_against_second_opinion: DelongTest | NotDefined


def evaluate(
    images: Sequence[EvaluatedImage],
    breasts: Sequence[EvaluatedBreast],
    *,
    model: ModelIdentity,
    score_threshold: float,
    dataset_note: str,
    simulated: bool = False,
    hit_rule: HitRule = IOU,
    false_positives_on: FalsePositivesOn = "normal images",
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Compute all figures.

    Parameters
    ----------
    images : sequence of EvaluatedImage
        With predictions of all scores, not only those above the operating point.
    breasts : sequence of EvaluatedBreast
        May be empty.
    model : models.contract.ModelIdentity
        The detector.
    score_threshold : float
        Operating point: a prediction of at least this score counts.
    dataset_note : str
        Which data set, for the reader.
    simulated : bool
        Whether its lesions are simulated.
    hit_rule : HitRule
        See `models.evaluation.hits.HIT_RULES`.
    false_positives_on : {"normal images", "images without a lesion", "all images"}
        What the x axis of the FROC curves counts.
    seed, resamples : int
        Of the bootstrap of the FROC curves.

    Returns
    -------
    Evaluation
        A figure that these data do not define is a NotDefined with the reason.

    Raises
    ------
    ValueError
        Without images, when two images have one name, or when `score_threshold` is not from 0 to 1.
    """
    if not images:
        raise ValueError("an evaluation needs at least one image")
    if len({image.name for image in images}) != len(images):
        raise ValueError("each image has a name of its own")
    if not 0.0 <= score_threshold <= 1.0:
        raise ValueError(f"score_threshold is from 0 to 1, not {score_threshold}")
    curves = {
        name: froc(
            images, hit_rule, seed=seed, lesions=lesions, false_positives_on=false_positives_on, resamples=resamples
        )
        for name, lesions in FROC_LESIONS.items()
    }
    return Evaluation(
        model=model,
        data=describe(images, breasts, dataset_note, simulated=simulated),
        hit_rule=hit_rule.name,
        hit_rule_description=hit_rule.description,
        seed=seed,
        resamples=resamples,
        operating_point=operating_point(images, hit_rule, score_threshold),
        froc=curves,
        image=image_level(images, score_threshold),
        breast=breast_level(breasts),
        lesion=lesion_level(images, score_threshold),
        second_opinion=second_opinion_level(images),
        second_opinion_breast=second_opinion_breast_level(breasts),
        detector_against_second_opinion=compare_with_second_opinion(images),
    )


def describe(
    images: Sequence[EvaluatedImage], breasts: Sequence[EvaluatedBreast], note: str, *, simulated: bool = False
) -> DataDescription:
    """Count the data set."""
    truths = [image.truth for image in images]
    breast_truths = [breast.truth for breast in breasts]
    labels = [truth.label for image in images for truth in image.truths]
    sides = [
        max(truth.box_px[2] - truth.box_px[0], truth.box_px[3] - truth.box_px[1]) * image.spacing_mm
        for image in images
        for truth in image.truths
    ]
    views = [image.view or "unknown" for image in images]
    spacings = [image.spacing_mm for image in images]
    scores = [found.score for image in images for found in image.predictions]
    return DataDescription(
        note=note,
        patients=len({image.patient for image in images} | {breast.patient for breast in breasts}),
        images=len(images),
        simulated=simulated,
        normal_images=sum(image.normal for image in images),
        other_images=sum(not image.truths and not image.normal for image in images),
        benign_images=truths.count("benign"),
        malignant_images=truths.count("malignant"),
        benign_lesions=labels.count("benign"),
        malignant_lesions=labels.count("malignant"),
        images_by_view={view: views.count(view) for view in sorted(set(views))},
        lesion_longer_side_mm=(
            (min(sides), median(sides), max(sides)) if sides else NotDefined(reason="no image has a lesion")
        ),
        spacing_mm=(min(spacings), max(spacings)) if spacings else NotDefined(reason="there are no images"),
        breasts=len(breasts),
        normal_breasts=breast_truths.count(None),
        benign_breasts=breast_truths.count("benign"),
        malignant_breasts=breast_truths.count("malignant"),
        predictions=len(scores),
        lowest_score=min(scores) if scores else NotDefined(reason="there are no predictions"),
    )
