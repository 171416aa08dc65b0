"""From what a pipeline found on each instance to the report that the templates encode, and the result for the node."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.contract import Detection, ModelIdentity
from pipelines.contract import (
    AnalysisOptions,
    BreastAssessment,
    ImageAssessment,
    Lesion,
    PipelineResult,
    Reason,
    StudyInput,
)
from pipelines.instances import ImageHeader, Instance
from sr_templates.contract import (
    Outcome,
    ReportedAlgorithm,
    ReportedBreast,
    ReportedFinding,
    ReportedImage,
    ReportingDevice,
    ResultKind,
    ResultObject,
    ResultVariant,
    StudyReport,
    Target,
)
from sr_templates.mammograms import is_mammogram


class ObjectMaker(Protocol):
    """What encodes a report: `sr_templates.registry.make_objects`, or a stand-in."""

    def __call__(
        self,
        report: StudyReport,
        variants: frozenset[ResultVariant],
        *,
        profiles: Collection[frozenset[ResultVariant]],
    ) -> tuple[ResultObject, ...]:
        """Make the objects of `variants`, and what the destinations of `profiles` need beside them."""
        ...


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
    """What is said of the study as a whole; `target` is what was looked for."""

    outcome: Outcome
    reason: Reason | None
    breasts: tuple[BreastAssessment, ...] = ()
    algorithms: tuple[ReportedAlgorithm, ...] = ()
    target: Target = "calcification"


def finish(
    study: StudyInput,
    options: AnalysisOptions,
    images: Sequence[ImageResult],
    conclusion: Conclusion,
    *,
    pipeline: str,
    make_objects: ObjectMaker,
) -> PipelineResult:
    """Write the report, have it encoded, and return both sides of the result.

    Parameters
    ----------
    images : sequence of ImageResult
        Every instance of the study, whether an image or not.
    pipeline : str
        Name of the pipeline.
    make_objects : callable
        `sr_templates.registry.make_objects`, or a stand-in.
    """
    report = _report(study, options, images, conclusion, pipeline)
    objects = make_objects(report, options.results, profiles=options.destinations) if images else ()
    return PipelineResult(
        study_instance_uid=study.study_instance_uid,
        pipeline=pipeline,
        revision=study.revision,
        outcome=conclusion.outcome,
        reason=conclusion.reason,
        images=tuple(_assessment(image) for image in images),
        breasts=conclusion.breasts,
        models=tuple(algorithm_identity(algorithm) for algorithm in conclusion.algorithms),
        objects=objects,
        models_s=sum(image.models_s for image in images),
    )


def failure(
    study: StudyInput,
    options: AnalysisOptions,
    images: Sequence[ImageResult],
    reason: Reason,
    *,
    pipeline: str,
    make_objects: ObjectMaker,
    breasts: tuple[BreastAssessment, ...] = (),
    algorithms: tuple[ReportedAlgorithm, ...] = (),
    target: Target = "calcification",
) -> PipelineResult:
    """Answer for a study that could not be finished; `images` come from `failed_images`."""
    conclusion = Conclusion(outcome="failed", reason=reason, breasts=breasts, algorithms=algorithms, target=target)
    return finish(study, options, images, conclusion, pipeline=pipeline, make_objects=make_objects)


def failed_images(instances: Iterable[Instance[ImageHeader]], reason: Reason) -> tuple[ImageResult, ...]:
    """Rows of a failed study: an instance that would not have been analysed anyway keeps its own reason."""
    return tuple(
        ImageResult(
            instance=instance,
            outcome="failed" if instance.unfit is None else "not_analysed",
            reason=instance.unfit or reason,
        )
        for instance in instances
    )


def limited(options: AnalysisOptions, kinds: Collection[ResultKind]) -> AnalysisOptions:
    """Fewer kinds for the same destinations: one that wants none of them gets a summary in their place."""
    results = frozenset(variant for variant in options.results if variant.kind in kinds)
    return replace(options, results=results, profiles=options.destinations)


def algorithm_identity(algorithm: ReportedAlgorithm) -> ModelIdentity:
    """The model behind an algorithm of the report."""
    return ModelIdentity(
        name=algorithm.name,
        version=algorithm.version,
        weights_sha256=algorithm.weights_sha256,
        operating_point=algorithm.operating_point,
    )


def _report(
    study: StudyInput,
    options: AnalysisOptions,
    images: Sequence[ImageResult],
    conclusion: Conclusion,
    pipeline: str,
) -> StudyReport:
    pictures = [image for image in images if _is_image(image)]
    others = [image for image in images if not _is_image(image)]
    return StudyReport(
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        pipeline=pipeline,
        outcome=conclusion.outcome,
        reason=_text(conclusion.reason),
        images=tuple(_reported_image(image) for image in pictures),
        other_instances=tuple((image.instance.dataset, _text(image.reason)) for image in others),
        breasts=tuple(_reported_breast(breast) for breast in conclusion.breasts),
        algorithms=conclusion.algorithms,
        target=conclusion.target,
        device=ReportingDevice(station_name=options.station_name, software_version=_software_version()),
        configuration=_configuration(options, images),
        replaces=study.replaces,
        created_at=options.created_at,
    )


def _configuration(options: AnalysisOptions, images: Sequence[ImageResult]) -> dict[str, str]:
    """What tells this report from another of the same study and models; result UIDs are derived from it."""
    outcomes = [
        f"{image.instance.sop_instance_uid} {image.outcome} {image.reason.code if image.reason else ''}"
        for image in images
    ]
    return {
        "min_score": "" if options.min_score is None else repr(options.min_score),
        "required_views": " ".join(options.required_views),
        "occasion": options.occasion,
        "outcomes": hashlib.sha256("\n".join(outcomes).encode()).hexdigest(),
    }


def _is_image(image: ImageResult) -> bool:
    """Whether an instance is an image of the study: it has rows and columns, or is of a kind that should have."""
    header = image.instance.header
    return (header.rows > 0 and header.columns > 0) or image.instance.routed or is_mammogram(image.instance.dataset)


def _reported_image(image: ImageResult) -> ReportedImage:
    header = image.instance.header
    return ReportedImage(
        header=image.instance.dataset,
        laterality=header.laterality,
        view=header.view,
        view_modifiers=header.view_modifiers,
        outcome=image.outcome,
        reason=_text(image.reason),
        findings=(
            *(_reported_detection(found, image) for found in image.detections),
            *(_reported_lesion(found, image) for found in image.lesions),
        ),
        malignancy=image.malignancy,
        second_opinion=image.second_opinion,
        display=image.display,
        activation=image.activation,
        display_frame=image.display_frame,
        display_spacing_mm=image.display_spacing_mm,
    )


def _reported_detection(found: Detection, image: ImageResult) -> ReportedFinding:
    return ReportedFinding(
        box_px=found.box_px,
        label=found.label,
        score=found.score,
        malignancy=found.malignancy,
        algorithm=image.detector,
    )


def _reported_lesion(found: Lesion, image: ImageResult) -> ReportedFinding:
    return ReportedFinding(
        box_px=found.box_px,
        polygon_px=found.polygon_px,
        label=found.label,
        score=found.score,
        malignancy=found.malignancy,
        algorithm=image.detector,
        classifier=image.classifier,
        frame_number=found.frame if image.display_frame is not None else None,
        long_axis_mm=found.long_axis_mm,
        short_axis_mm=found.short_axis_mm,
        area_mm2=found.area_mm2,
        her2=found.her2,
    )


def _reported_breast(breast: BreastAssessment) -> ReportedBreast:
    return ReportedBreast(
        laterality=breast.laterality,
        status=breast.status,
        confidence=breast.confidence,
        views=breast.views,
        reason=_text(breast.reason),
    )


def _assessment(image: ImageResult) -> ImageAssessment:
    return ImageAssessment(
        sop_instance_uid=image.instance.sop_instance_uid,
        laterality=image.instance.header.laterality,
        view=image.instance.header.view,
        outcome=image.outcome,
        reason=image.reason,
        detections=image.detections,
        lesions=image.lesions,
        malignancy=image.malignancy,
        second_opinion=image.second_opinion,
    )


def _text(reason: Reason | None) -> str:
    return "" if reason is None else reason.text


def _software_version() -> str:
    try:
        return version("mammonode")
    except PackageNotFoundError:  # run from a source tree
        return ""
