"""From stored files to pipeline results: the same for a worker and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from node.arrivals import UNROUTED
from node.routing import is_result_of_a_node, route
from pipelines import registry
from pipelines.contract import AnalysisOptions, InstanceFile, PipelineResult, Reason, StudyInput
from pipelines.errors import UnreadableInstance
from pipelines.headers import read_header
from pipelines.regions import REGION_OBJECTS, carries_regions
from sr_templates.contract import ReplacedResult

ANSWERS_REGIONS: Final = "mammography"
"""The pipeline that has models of regions."""


def study_inputs(
    study_instance_uid: str,
    revision: int,
    instances: Iterable[InstanceFile],
    replaces: tuple[ReplacedResult, ...] = (),
    *,
    carries: Callable[[InstanceFile], bool] | None = None,
    regions_left: Reason | None = None,
) -> dict[str, StudyInput]:
    """Split a study among the pipelines.

    Instances that no pipeline takes go, with their reasons, to the first pipeline that is called anyhow, so that a
    study has one answer; to the pipeline ``"none"`` when there is no other. So do objects with regions, though to
    mammography, which can answer them, before any other.

    Parameters
    ----------
    carries : callable or None
        Whether a person marked regions in an instance; None: look into its file.
    regions_left : Reason or None
        Why regions are left unanswered; None: they are handed over.

    Returns
    -------
    dict of str to StudyInput
        Pipeline name to its part of the study, at least one entry.
    """
    routed: dict[str, list[InstanceFile]] = {}
    not_routed: list[tuple[InstanceFile, Reason]] = []
    with_regions: list[InstanceFile] = []
    for instance in sorted(instances, key=lambda item: item.sop_instance_uid):
        target = route(instance.sop_class_uid)
        if isinstance(target, str):
            routed.setdefault(target, []).append(instance)
        elif not (carries or _carries)(instance):
            not_routed.append((instance, target))
        elif regions_left is not None:
            not_routed.append((instance, regions_left))
        else:
            with_regions.append(instance)
    names = list(routed) or [UNROUTED]
    answering = ANSWERS_REGIONS if ANSWERS_REGIONS in names else names[0]
    return {
        name: StudyInput(
            study_instance_uid=study_instance_uid,
            revision=revision,
            instances=tuple(routed.get(name, ())),
            not_routed=tuple(not_routed) if name == names[0] else (),
            replaces=replaces,
            region_objects=tuple(with_regions) if name == answering else (),
        )
        for name in names
    }


def _carries(instance: InstanceFile) -> bool:
    if instance.sop_class_uid not in REGION_OBJECTS:
        return False
    try:
        header = read_header(instance.path)
        return carries_regions(header) and not is_result_of_a_node(header)
    except UnreadableInstance:
        return False


def analyse_study(inputs: Mapping[str, StudyInput], options: AnalysisOptions) -> list[PipelineResult]:
    """Run every pipeline that the study needs."""
    return [registry.get(name).analyse(study, options) for name, study in inputs.items()]


def report_failure(inputs: Mapping[str, StudyInput], options: AnalysisOptions, reason: Reason) -> list[PipelineResult]:
    """Answer for a study that could not be finished, from headers alone."""
    return [registry.get(name).report_failure(study, options, reason) for name, study in inputs.items()]


def overall(results: Sequence[PipelineResult]) -> PipelineResult:
    """The result that speaks for the study: a failure first, then what was analysed, then the rest."""
    rank = {"failed": 0, "analysed": 1, "not_analysed": 2}
    return min(results, key=lambda result: rank[result.outcome])
