"""From stored files to pipeline results: the same for a worker and for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from node.arrivals import UNROUTED
from node.routing import route
from pipelines import registry
from pipelines.contract import AnalysisOptions, InstanceFile, PipelineResult, Reason, StudyInput
from sr_templates.contract import ReplacedResult


def study_inputs(
    study_instance_uid: str,
    revision: int,
    instances: Iterable[InstanceFile],
    replaces: tuple[ReplacedResult, ...] = (),
) -> dict[str, StudyInput]:
    """Split a study among the pipelines.

    Instances that no pipeline takes go, with their reasons, to the first pipeline that is called anyhow, so that a
    study has one answer; to the pipeline ``"none"`` when there is no other.

    Returns
    -------
    dict of str to StudyInput
        Pipeline name to its part of the study, at least one entry.
    """
    routed: dict[str, list[InstanceFile]] = {}
    not_routed: list[tuple[InstanceFile, Reason]] = []
    for instance in sorted(instances, key=lambda item: item.sop_instance_uid):
        target = route(instance.sop_class_uid)
        if isinstance(target, str):
            routed.setdefault(target, []).append(instance)
        else:
            not_routed.append((instance, target))
    names = list(routed) or [UNROUTED]
    return {
        name: StudyInput(
            study_instance_uid=study_instance_uid,
            revision=revision,
            instances=tuple(routed.get(name, ())),
            not_routed=tuple(not_routed) if name == names[0] else (),
            replaces=replaces,
        )
        for name in names
    }


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
