"""The answer for studies in which nothing is routed to an analysis: silence must never look like "no findings"."""

from __future__ import annotations

from typing import Final

from pipelines import reasons
from pipelines.contract import AnalysisOptions, PipelineResult, Reason, StudyInput
from pipelines.headers import MammogramHeader, describe_mammogram, unfit_reason
from pipelines.image_result import Conclusion, ImageResult
from pipelines.instances import Instance, read_instances
from pipelines.region_requests import object_results, requests_left, unanswered_requests
from pipelines.reporting import ObjectMaker, failed_images, failure, finish, limited
from sr_templates.contract import ResultKind
from sr_templates.registry import make_objects

KINDS: Final[frozenset[ResultKind]] = frozenset({"measurement_sr", "summary"})
"""No mammogram was looked at, so a CAD report or a picture of one would mislead."""


class UnroutedPipeline:
    """Reports each instance as not analysed, with its reason; touches no pixel and no model."""

    name = "none"

    def __init__(self, *, make_objects: ObjectMaker = make_objects) -> None:
        self._make_objects = make_objects

    def warm_up(self, options: AnalysisOptions) -> None:
        """Nothing to load."""

    def analyse(self, study: StudyInput, options: AnalysisOptions) -> PipelineResult:
        """Say of each instance why it is not analysed."""
        asked = unanswered_requests(study, reasons.REGION_OF_UNKNOWN_IMAGE)
        explained = [(instance, instance.unfit or reasons.NOT_ROUTED) for instance in _instances(study)]
        images = [
            ImageResult(instance=instance, outcome="not_analysed", reason=reason) for instance, reason in explained
        ]
        # What is said of an object may quote what a person wrote in it; the study's reason goes to the ledger as well.
        given = [reason for _, reason in explained] + [reasons.REGION_OF_UNKNOWN_IMAGE] * bool(study.region_objects)
        why = reasons.joined(given) if given else reasons.NO_INSTANCES
        images += object_results(study, asked)
        conclusion = Conclusion(outcome="not_analysed", reason=why)
        return finish(
            study, limited(options, KINDS), images, conclusion, pipeline=self.name, make_objects=self._make_objects
        )

    def report_failure(self, study: StudyInput, options: AnalysisOptions, reason: Reason) -> PipelineResult:
        """Answer for a study of which not even the headers could be reported."""
        images = (*failed_images(_instances(study), reason), *object_results(study, requests_left(study, reason)))
        return failure(
            study, limited(options, KINDS), images, reason, pipeline=self.name, make_objects=self._make_objects
        )


def _instances(study: StudyInput) -> tuple[Instance[MammogramHeader], ...]:
    return read_instances(study, describe_mammogram, unfit_reason)
