"""Algorithm Identification (TID 4019), which both kinds of structured report include."""

from __future__ import annotations

from pydicom import Dataset

from sr_templates import codes
from sr_templates.content import Relationship, text_item
from sr_templates.contract import ReportedAlgorithm, StudyReport
from sr_templates.identity import algorithm_parameters


def tid_4019(relationship: Relationship, algorithm: ReportedAlgorithm) -> list[Dataset]:
    """TID 4019 Algorithm Identification: name, version, and weights, thresholds and status as parameters.

    Parameters
    ----------
    relationship : str
        Of the including row: HAS PROPERTIES in TID 4000 and below it, HAS CONCEPT MOD in TID 1410.
    """
    return _identification(relationship, algorithm.name, algorithm.version, algorithm_parameters(algorithm))


def named_tid_4019(relationship: Relationship, algorithm: ReportedAlgorithm) -> list[Dataset]:
    """TID 4019 with its mandatory rows only, where the parameters stand beside it."""
    return _identification(relationship, algorithm.name, algorithm.version, [])


def breast_rule_tid_4019(relationship: Relationship, algorithm: ReportedAlgorithm) -> list[Dataset]:
    """TID 4019 of the rule over the views of a breast, which is applied to what `algorithm` found on each."""
    name = f"{algorithm.name} breast rule"
    rule = "breast rule over the gravest finding of each view; findings are not matched between views"
    return _identification(relationship, name, algorithm.version, [rule, *algorithm_parameters(algorithm)])


def pipeline_tid_4019(relationship: Relationship, report: StudyReport) -> list[Dataset]:
    """TID 4019 of the pipeline: it is mandatory also where no algorithm was reached."""
    return _identification(relationship, report.pipeline, report.device.software_version or "unversioned", [])


def _identification(relationship: Relationship, name: str, version: str, parameters: list[str]) -> list[Dataset]:
    return [
        text_item(relationship, codes.ALGORITHM_NAME, name),
        text_item(relationship, codes.ALGORITHM_VERSION, version),
        *(text_item(relationship, codes.ALGORITHM_PARAMETERS, line) for line in parameters),
    ]
