"""From what a pipeline found on each instance to the report that the templates encode."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from models.contract import Detection
from pipelines.contract import (
    AnalysisOptions,
    Biomarker,
    BreastAssessment,
    Lesion,
    Reason,
    RegionOfInterest,
    StudyInput,
)
from pipelines.image_result import Conclusion, ImageResult
from pipelines.regions import REGION_OBJECTS
from sr_templates.contract import (
    ReportedBreast,
    ReportedFinding,
    ReportedImage,
    ReportedPrediction,
    ReportedRegion,
    ReportingDevice,
    StudyReport,
)
from sr_templates.evidence import value_text
from sr_templates.mammograms import is_mammogram


def study_report(
    study: StudyInput,
    options: AnalysisOptions,
    images: Sequence[ImageResult],
    conclusion: Conclusion,
    pipeline: str,
) -> StudyReport:
    """Say of every instance what became of it; other arguments as for `pipelines.reporting.finish`."""
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
        predictions=tuple(_reported_prediction(predicted) for predicted in conclusion.biomarkers),
        target=conclusion.target,
        device=ReportingDevice(station_name=options.station_name, software_version=_software_version()),
        configuration=_configuration(options, images) | _asked(conclusion.biomarkers),
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


def _asked(biomarkers: Sequence[Biomarker]) -> dict[str, str]:
    """The regions that predictions were made from, which need not come with the study, and who could not answer."""
    if not biomarkers:
        return {}
    said = [f"{found.name} {found.model.name} {found.reason.code if found.reason else ''}" for found in biomarkers]
    outlines = [
        f"{region.sop_instance_uid} {region.frame} {region.polygons_px}"
        for region in dict.fromkeys(region for found in biomarkers for region in found.roi)
    ]
    return {"regions": hashlib.sha256("\n".join(said + outlines).encode()).hexdigest()}


def _is_image(image: ImageResult) -> bool:
    """Whether an instance is an image of the study: it has rows and columns, or is of a kind that should have.

    A segmentation has rows and columns, and is about an image.
    """
    header = image.instance.header
    if value_text(image.instance.dataset, "SOPClassUID") in REGION_OBJECTS:
        return False
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


def _reported_prediction(predicted: Biomarker) -> ReportedPrediction:
    return ReportedPrediction(
        name=predicted.name,
        value=predicted.value,
        probability=predicted.probability,
        probabilities=dict(predicted.probabilities),
        algorithm=predicted.model.name,
        regions=tuple(_reported_region(region) for region in predicted.roi),
        laterality=predicted.laterality,
        reason=_text(predicted.reason),
    )


def _reported_region(region: RegionOfInterest) -> ReportedRegion:
    return ReportedRegion(
        sop_instance_uid=region.sop_instance_uid,
        polygons_px=region.polygons_px,
        source=region.source,
        label=region.label,
        tracking_uid=region.tracking_uid,
        object_uid=region.object_uid,
    )


def _reported_breast(breast: BreastAssessment) -> ReportedBreast:
    return ReportedBreast(
        laterality=breast.laterality,
        status=breast.status,
        confidence=breast.confidence,
        views=breast.views,
        reason=_text(breast.reason),
    )


def _text(reason: Reason | None) -> str:
    return "" if reason is None else reason.text


def _software_version() -> str:
    try:
        return version("mammonode")
    except PackageNotFoundError:  # run from a source tree
        return ""
