"""A detector run over the images of a manifest, as analysis runs it, and its answers set beside the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from models.contract import Detection, DetectionOutput, Label, ModelImage
from models.evaluation.contract import EvaluatedBreast, EvaluatedImage, Prediction
from models.predictor import Classifier, Detector
from models.training.contract import TrainingImage
from models.training.phantoms import phantom_images
from models.training.planted_views import plant_whole
from pipelines.coordinates import FrameTransform, plan_transform
from pipelines.datasets.images import load_image
from pipelines.datasets.manifest import ManifestImage
from pipelines.mammography.breast_rule import breast_status, image_malignancy, view_evidence

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
    """

    read: Callable[[], TrainingImage | None]
    laterality: str | None
    view: str | None
    exam: str = ""


def manifest_cases(entries: Sequence[ManifestImage]) -> list[Case]:
    """Every image as it is."""
    return [
        Case(read=lambda entry=entry: load_image(entry), laterality=entry.laterality, view=entry.view)  # type: ignore[misc]  # mypy cannot type a default that binds the loop's variable
        for entry in entries
    ]


def planted_cases(entries: Sequence[ManifestImage], seed: int, phantoms: int = 0) -> list[Case]:
    """Each plantable image twice: as it is, and with clusters planted, of one class in a breast; phantoms likewise.

    Where nothing can be planted the second is left out: without lesions it would pass for a normal image.
    """
    cases = []
    for number, entry in enumerate(entry for entry in entries if entry.plantable):
        of_breast = _drawn_class(seed, f"{entry.patient} {entry.laterality}")
        cases += _pair(lambda entry=entry: load_image(entry), entry.laterality, entry.view, (seed, number, of_breast))  # type: ignore[misc]  # as above
    for number in range(phantoms):
        name = f"phantom {number}"

        def read(number: int = number) -> TrainingImage:
            return phantom_images(number + 1, "test", first=number)[0]

        cases += _pair(read, "LR"[number % 2], ("CC", "MLO")[number // 2 % 2], (seed, number, _drawn_class(seed, name)))
    return cases


def _pair(
    read: Callable[[], TrainingImage], laterality: str | None, view: str | None, recipe: tuple[int, int, Label]
) -> list[Case]:
    seed, number, label = recipe

    def planted() -> TrainingImage | None:
        image = plant_whole(read(), np.random.default_rng([seed, number]), label)
        return image if image.lesions else None

    return [
        Case(read=read, laterality=laterality, view=view),
        Case(read=planted, laterality=laterality, view=view, exam="planted"),
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
    status, _ = breast_status(view_evidence(view, found) for view, found in by_view.items())
    truths: set[Label | None] = {image.truth for image in images}
    truth: Label | None = "malignant" if "malignant" in truths else "benign" if "benign" in truths else None
    probability = max((image_malignancy(found) for found in detections.values()), default=0.0)
    return EvaluatedBreast(patient=patient, laterality=laterality, truth=truth, status=status, probability=probability)
