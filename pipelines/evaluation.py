"""A detector run over the images of a manifest, as analysis runs it, and its answers set beside the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

import numpy as np

from models.contract import Detection, DetectionOutput, Label, ModelImage
from models.evaluation.classification import SECOND_OPINION_THRESHOLD
from models.evaluation.contract import EvaluatedBreast, EvaluatedImage, Prediction
from models.predictor import Classifier, Detector
from models.training.contract import TrainingImage
from models.training.phantoms import phantom_images
from models.training.planted_views import PlantedPair, planted_pair
from pipelines.coordinates import FrameTransform, plan_transform
from pipelines.datasets.images import load_image
from pipelines.datasets.manifest import ManifestImage
from pipelines.mammography.breast_rule import ViewEvidence, breast_status, image_malignancy, view_evidence
from sr_templates.contract import BreastStatus

LOWEST_SCORE: Final = 0.01
"""Down to which the detector is asked: a FROC curve ends where its scores end."""

Item = TypeVar("Item")
Progress = Callable[[Iterable[Item], int, str], Iterable[Item]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An image to evaluate on.

    Attributes
    ----------
    read : callable
        Returns the image with its truth, or None when it turns out to be of no use; called once, as many images do not
        fit in memory.
    laterality, view : str or None
        Where known; breasts are judged only where both are.
    exam : str
        Which examination of the patient: a breast is judged from the views of one.
    known_normal : bool
        See `models.evaluation.contract.EvaluatedImage`.
    """

    read: Callable[[], TrainingImage | None]
    laterality: str | None
    view: str | None
    exam: str = ""
    known_normal: bool = True


def manifest_cases(entries: Sequence[ManifestImage]) -> list[Case]:
    """Every image as it is; normal is one without a lesion that is vouched for as such (plantable)."""
    return [
        Case(
            read=lambda entry=entry: load_image(entry),  # type: ignore[misc]  # mypy cannot type a default that binds the loop's variable
            laterality=entry.laterality,
            view=entry.view,
            known_normal=entry.plantable,
        )
        for entry in entries
    ]


def planted_cases(entries: Sequence[ManifestImage], seed: int, phantoms: int = 0) -> list[Case]:
    """Each plantable image three times: as it is, with distractors, and with clusters planted among these.

    All clusters of a breast are of one class. Where nothing can be planted the last two are left out: without lesions
    an image would pass for a normal one. Phantoms likewise.
    """
    cases = []
    for entry in (entry for entry in entries if entry.plantable):
        of_breast = _drawn_class(seed, f"{entry.patient} {entry.laterality}")
        cases += _trio(lambda entry=entry: load_image(entry), entry.laterality, entry.view, (seed, of_breast))  # type: ignore[misc]  # as above
    for number in range(phantoms):
        name = f"phantom {number}"

        def read(number: int = number) -> TrainingImage:
            return phantom_images(number + 1, "test", first=number)[0]

        cases += _trio(read, "LR"[number % 2], ("CC", "MLO")[number // 2 % 2], (seed, _drawn_class(seed, name)))
    return cases


def _trio(
    read: Callable[[], TrainingImage], laterality: str | None, view: str | None, recipe: tuple[int, Label]
) -> list[Case]:
    @cache
    def pair() -> PlantedPair | None:
        return planted_pair(read(), *recipe)

    def distracted() -> TrainingImage | None:
        found = pair()
        return None if found is None else found.distracted

    def planted() -> TrainingImage | None:
        found = pair()
        pair.cache_clear()
        return None if found is None else found.planted

    return [
        Case(read=each, laterality=laterality, view=view, exam=exam)
        for exam, each in (("", read), ("distractors", distracted), ("planted", planted))
    ]


def _drawn_class(seed: int, name: str) -> Label:
    generator = np.random.default_rng([seed, *name.encode()])
    return "malignant" if generator.random() < 0.5 else "benign"


def run(
    cases: Sequence[Case], detector: Detector, classifier: Classifier | None, progress: Progress[Case]
) -> tuple[EvaluatedImage, ...]:
    """Run the detector over all cases, and the classifier where there is one."""
    results = (_evaluated(case, detector, classifier) for case in progress(cases, len(cases), "analysing"))
    return tuple(result for result in results if result is not None)


def judge_breasts(images: Sequence[EvaluatedImage], score_threshold: float) -> tuple[EvaluatedBreast, ...]:
    """Apply the breast rule (`pipelines.mammography.breast_rule`) at an operating point to all views of each breast."""
    views: dict[tuple[str, str, str], list[EvaluatedImage]] = defaultdict(list)
    for image in images:
        if image.laterality is not None and image.view is not None:
            views[image.patient, image.exam, image.laterality].append(image)
    return tuple(
        _judged(patient, laterality, found, score_threshold)
        for (patient, _, laterality), found in sorted(views.items())
    )


def _evaluated(case: Case, detector: Detector, classifier: Classifier | None) -> EvaluatedImage | None:
    image = case.read()
    if image is None:
        return None
    framed, transform = _framed(image, detector.canonical_spacing_mm)
    output = detector.predict(framed, min_score=LOWEST_SCORE, with_activation=False)
    opinion = None
    if classifier is not None:
        opinion = classifier.predict(_framed(image, classifier.canonical_spacing_mm)[0]).malignancy
    return EvaluatedImage(
        name=image.name,
        patient=image.patient,
        exam=case.exam,
        known_normal=case.known_normal,
        laterality=case.laterality,
        view=case.view,
        spacing_mm=image.spacing_mm,
        truths=image.lesions,
        predictions=_predictions(output, transform),
        image_malignancy=image_malignancy(output.detections),
        second_opinion=opinion,
        area_cm2=float((image.pixels > 0).sum()) * (image.spacing_mm / 10.0) ** 2 or None,
    )


def _framed(image: TrainingImage, canonical_spacing_mm: float) -> tuple[ModelImage, FrameTransform]:
    """The image as analysis brings it to a model; it is cropped already."""
    rows, columns = image.pixels.shape
    spacing_mm = (image.spacing_mm, image.spacing_mm)
    transform = plan_transform(image.pixels, spacing_mm, canonical_spacing_mm, crop_px=(0, 0, columns, rows))
    framed = ModelImage(
        pixels=transform.image_to_model(image.pixels), spacing_mm=transform.model_spacing_mm(spacing_mm)
    )
    return framed, transform


def _predictions(output: DetectionOutput, transform: FrameTransform) -> tuple[Prediction, ...]:
    return tuple(
        Prediction(
            box_px=transform.box_within_stored(found.box_px),
            label=found.label,
            score=found.score,
            malignancy=found.malignancy,
        )
        for found in output.detections
    )


def _judged(patient: str, laterality: str, images: Sequence[EvaluatedImage], score_threshold: float) -> EvaluatedBreast:
    detections = {
        image.name: [
            Detection(box_px=one.box_px, label=one.label, score=one.score, malignancy=one.malignancy)
            for one in image.predictions_from(score_threshold)
        ]
        for image in images
    }
    by_view: dict[str, list[Detection]] = defaultdict(list)
    for image in images:
        by_view[str(image.view)] += detections[image.name]
    status, confidence = breast_status(view_evidence(view, found) for view, found in by_view.items())
    truths: set[Label | None] = {image.truth for image in images}
    truth: Label | None = "malignant" if "malignant" in truths else "benign" if "benign" in truths else None
    second_status, second = _second_opinion(images)
    return EvaluatedBreast(
        patient=patient,
        laterality=laterality,
        truth=truth,
        status=status,
        probability=_malignancy(status, confidence, by_view, images),
        second_status=second_status,
        second_probability=second,
    )


def _malignancy(
    status: BreastStatus,
    confidence: float | None,
    by_view: Mapping[str, Sequence[Detection]],
    images: Sequence[EvaluatedImage],
) -> float:
    """Probability of malignancy of the view that the rule selects; without a box, of the boxes below the threshold."""
    if status == "malignant" and confidence is not None:
        return confidence
    if status == "benign":
        return max(image_malignancy(found) for view, found in by_view.items() if view_evidence(view, found).benign)
    return max((image.image_malignancy or 0.0 for image in images), default=0.0)


def _second_opinion(images: Sequence[EvaluatedImage]) -> tuple[Label | None, float | None]:
    """The breast rule over the second opinions on all views, each malignant above one half."""
    opinions = [(str(image.view), image.second_opinion) for image in images]
    found = [
        ViewEvidence(view=view, malignant=p if p > SECOND_OPINION_THRESHOLD else None, benign=1.0 - p)
        for view, p in opinions
        if p is not None
    ]
    status, confidence = breast_status(found)
    if len(found) < len(images) or confidence is None or status not in ("benign", "malignant"):
        return None, None
    return status, confidence if status == "malignant" else 1.0 - confidence
