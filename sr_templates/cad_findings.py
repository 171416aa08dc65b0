"""Findings of a CAD report: impressions (TID 4003), single image findings (TID 4006) and where they are (TID 4021)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from pydicom import Dataset

from sr_templates import codes
from sr_templates.algorithm_identification import pipeline_tid_4019, tid_4019
from sr_templates.cad_library import ImageLibrary
from sr_templates.content import (
    by_reference,
    center_px,
    closed_outline_px,
    code_item,
    container,
    num_item,
    scoord_item,
    text_item,
    uid_item,
)
from sr_templates.contract import Label, ReportedFinding, StudyReport
from sr_templates.wording import NumberedFinding, clipped_box_px

# A reader has to see what may be cancer, and may see the rest (PS3.4 O.2.2.1)
INTENT: Final[dict[Label, codes.Code]] = {
    "malignant": codes.PRESENTATION_REQUIRED,
    "benign": codes.PRESENTATION_OPTIONAL,
}


def tid_4003(findings: Iterable[Dataset]) -> Dataset:
    """TID 4003 Mammography CAD Individual Impression/Recommendation around a composite feature or single findings."""
    intent = code_item("HAS CONCEPT MOD", codes.RENDERING_INTENT, codes.PRESENTATION_REQUIRED)
    return container("INFERRED FROM", codes.INDIVIDUAL_IMPRESSION, [intent, *findings])


def tid_4006(
    report: StudyReport,
    library: ImageLibrary,
    numbered: NumberedFinding,
    relationship: Literal["CONTAINS", "INFERRED FROM"] = "CONTAINS",
) -> Dataset:
    """TID 4006 Mammography CAD Single Image Finding.

    Parameters
    ----------
    relationship : {"CONTAINS", "INFERRED FROM"}
        To an impression, or to a composite feature that is inferred from it.
    """
    finding = numbered.finding
    label, malignancy = classified(finding)
    algorithm = next((a for a in report.algorithms if a.name == finding.algorithm), None)
    children = [
        code_item("HAS CONCEPT MOD", codes.RENDERING_INTENT, INTENT[label]),
        text_item("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, numbered.title),
        uid_item("HAS OBS CONTEXT", codes.TRACKING_UID, numbered.tracking_uid),
        *(
            tid_4019("HAS PROPERTIES", algorithm)
            if algorithm is not None
            else pipeline_tid_4019("HAS PROPERTIES", report)
        ),
        num_item("HAS PROPERTIES", codes.CERTAINTY_OF_FINDING, 100 * finding.score, codes.PERCENT),
        num_item("HAS PROPERTIES", codes.PROBABILITY_OF_CANCER, 100 * malignancy, codes.PERCENT),
        *tid_4021(library, numbered),
        tid_4010(finding),
    ]
    return code_item(relationship, codes.SINGLE_IMAGE_FINDING, codes.CALCIFICATION_CLUSTER, children)


def classified(finding: ReportedFinding) -> tuple[Label, float]:
    """Label and malignancy of a calcification, which always has both; raises ValueError for one that has not."""
    if finding.label is None or finding.malignancy is None:
        raise ValueError("a calcification is benign or malignant, with a probability")
    return finding.label, finding.malignancy


def tid_4010(finding: ReportedFinding) -> Dataset:
    """TID 4010 Mammography CAD Calcification Cluster, of whose rows one at least is mandatory.

    Where the algorithm counts no calcifications, the cluster gets the distribution that the word itself means.
    """
    count = finding.calcification_count
    if count is not None:
        return num_item("HAS PROPERTIES", codes.NUMBER_OF_CALCIFICATIONS, count, codes.NO_UNITS)
    return code_item("HAS PROPERTIES", codes.CALCIFICATION_DISTRIBUTION, codes.GROUPED_DISTRIBUTION)


def tid_4021(library: ImageLibrary, numbered: NumberedFinding) -> Iterator[Dataset]:
    """TID 4021 Mammography CAD Geometry: the centre and the closed outline of the box, on the image or its frame."""
    position = library.position(numbered.image, numbered.finding.frame_number)
    if position is None:
        raise ValueError("a finding needs an image that is in the library")
    box = clipped_box_px(numbered.image, numbered.finding)
    selected = [by_reference("SELECTED FROM", position)]
    yield scoord_item("HAS PROPERTIES", codes.CENTER, "POINT", [center_px(box)], selected)
    selected = [by_reference("SELECTED FROM", position)]
    yield scoord_item("HAS PROPERTIES", codes.OUTLINE, "POLYLINE", closed_outline_px(box), selected)
