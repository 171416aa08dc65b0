"""The end of every analysis: the report is written and encoded, and the result goes back to the node."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from models.contract import ModelIdentity
from pipelines.contract import (
    AnalysisOptions,
    BreastAssessment,
    ImageAssessment,
    PipelineResult,
    Reason,
    StudyInput,
)
from pipelines.image_result import Conclusion, ImageResult
from pipelines.instances import ImageHeader, Instance
from pipelines.reports import study_report
from sr_templates.contract import (
    ReportedAlgorithm,
    ResultKind,
    ResultObject,
    ResultVariant,
    StudyReport,
    Target,
)


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
    report = study_report(study, options, images, conclusion, pipeline)
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
        models_s=sum(image.models_s for image in images) + conclusion.models_s,
        biomarkers=conclusion.biomarkers,
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
