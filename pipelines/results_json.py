"""Results as JSON, in the shape that docs/results.schema.json publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.contract import Detection, ModelIdentity
from pipelines.contract import (
    Biomarker,
    BreastAssessment,
    ImageAssessment,
    Lesion,
    PipelineResult,
    Reason,
    RegionOfInterest,
)


def to_json(results: Sequence[PipelineResult], object_names: Mapping[str, str]) -> dict[str, Any]:
    """Turn results into plain values that `json.dumps` takes.

    Parameters
    ----------
    results : sequence of PipelineResult
        One entry of ``studies`` each, in this order.
    object_names : mapping of str to str
        File name of each result object by its SOP Instance UID; an object without a name is left out.

    Returns
    -------
    dict
        Boxes and outlines are in stored pixels, ``[x0, y0, x1, y1]``, (0, 0) the outer corner of the first pixel.
    """
    return {"studies": [_study(result, object_names) for result in results]}


def _study(result: PipelineResult, object_names: Mapping[str, str]) -> dict[str, Any]:
    names = [object_names[made.sop_instance_uid] for made in result.objects if made.sop_instance_uid in object_names]
    return {
        "study_instance_uid": result.study_instance_uid,
        "pipeline": result.pipeline,
        "revision": result.revision,
        "outcome": result.outcome,
        **_reason(result.reason),
        "images": [_image(image) for image in result.images],
        "breasts": [_breast(breast) for breast in result.breasts],
        "biomarkers": [_biomarker(found) for found in result.biomarkers],
        "lesions": [_lesion(image, lesion) for image in result.images for lesion in image.lesions],
        "models": [_model(model) for model in result.models],
        "objects": names,
    }


def _image(image: ImageAssessment) -> dict[str, Any]:
    return {
        "sop_instance_uid": image.sop_instance_uid,
        "laterality": image.laterality,
        "view": image.view,
        "outcome": image.outcome,
        **_reason(image.reason),
        "detections": [_detection(detection) for detection in image.detections],
        "malignancy": image.malignancy,
        "second_opinion": image.second_opinion,
    }


def _detection(detection: Detection) -> dict[str, Any]:
    return {
        "box_px": [float(edge) for edge in detection.box_px],
        "label": detection.label,
        "score": float(detection.score),
        "malignancy": float(detection.malignancy),
    }


def _lesion(image: ImageAssessment, lesion: Lesion) -> dict[str, Any]:
    of_cancer = {} if lesion.her2 is None else {"her2": float(lesion.her2)}
    return {
        "sop_instance_uid": image.sop_instance_uid,
        "frame": lesion.frame,
        "polygon_px": [[float(x), float(y)] for x, y in lesion.polygon_px],
        "box_px": [float(edge) for edge in lesion.box_px],
        "score": float(lesion.score),
        "malignancy": lesion.malignancy,
        "long_axis_mm": lesion.long_axis_mm,
        "short_axis_mm": lesion.short_axis_mm,
        **of_cancer,
    }


def _biomarker(found: Biomarker) -> dict[str, Any]:
    return {
        "name": found.name,
        "value": found.value,
        "probability": None if found.probability is None else float(found.probability),
        "probabilities": {name: float(share) for name, share in found.probabilities.items()},
        "model": found.model.name,
        "laterality": found.laterality,
        "roi": [_region(region) for region in found.roi],
        **_reason(found.reason),
    }


def _region(region: RegionOfInterest) -> dict[str, Any]:
    return {
        "sop_instance_uid": region.sop_instance_uid,
        "frame": region.frame,
        "polygons_px": [[[float(x), float(y)] for x, y in polygon] for polygon in region.polygons_px],
        "source": region.source,
        "label": region.label,
        "tracking_uid": region.tracking_uid,
        "object_uid": region.object_uid,
    }


def _breast(breast: BreastAssessment) -> dict[str, Any]:
    return {
        "laterality": breast.laterality,
        "status": breast.status,
        "confidence": breast.confidence,
        "views": list(breast.views),
        **_reason(breast.reason),
    }


def _model(model: ModelIdentity) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "weights_sha256": model.weights_sha256,
        "operating_point": dict(model.operating_point),
    }


def _reason(reason: Reason | None) -> dict[str, str | None]:
    return {
        "reason": reason.text if reason is not None else None,
        "reason_code": reason.code if reason is not None else None,
    }
