"""Mammography CAD SR: TID 4000 and TID 4001 (PS3.16, "Mammography CAD SR IOD Templates").

One function a template, here and in the ``cad_`` modules. TID 4000 may not be extended, so what it has no place for
(outcome in words, predictions of a lesion, weights, thresholds) stands where TID 4002 and TID 4019 allow text: under
the summary, and as algorithm parameters. What is said in codes is of the images alone: the status of a model that
predicts of lesions is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from sr_templates import codes
from sr_templates.algorithm_identification import pipeline_tid_4019, tid_4019
from sr_templates.cad_composite import breast_composites, tid_4004
from sr_templates.cad_findings import tid_4003, tid_4006
from sr_templates.cad_library import ImageLibrary, tid_4020
from sr_templates.cad_performed import extent, tid_4015, tid_4016
from sr_templates.content import code_item, container, written_item
from sr_templates.contract import ResultObject, ResultVariant, StudyReport
from sr_templates.document import RESEARCH_USE, ReportDocument, finish
from sr_templates.wording import NumberedFinding, numbered_findings, study_sentences

SERIES_NUMBER = 9001
SERIES_DESCRIPTION = "AI mammography CAD (research use)"


def make_mammography_cad(report: StudyReport, variant: ResultVariant) -> tuple[ResultObject, ...]:
    """Make the Mammography CAD SR of a study.

    Parameters
    ----------
    report : StudyReport
        Findings in stored-pixel coordinates.

    Returns
    -------
    tuple of ResultObject
        One object, or none when the study holds no mammogram (TID 4000 row 4 wants at least one image) or was searched
        for something else than calcifications.

    Raises
    ------
    ValueError
        A finding lies outside of its image, or an analysed image is none that the report can refer to.
    """
    library = ImageLibrary(report)
    if not library.entries or report.target != "calcification":
        return ()
    document = ReportDocument(
        report,
        tid_4000(report, library),
        variant=variant,
        sop_class_uid=variant.sop_class_uid,
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
    )
    return (finish(report, document, variant),)


def tid_4000(report: StudyReport, library: ImageLibrary) -> Dataset:
    """TID 4000 Mammography CAD Document Root."""
    return container(
        None,
        codes.MAMMOGRAPHY_CAD_REPORT,
        [
            code_item("HAS CONCEPT MOD", codes.LANGUAGE, codes.ENGLISH),
            container("CONTAINS", codes.IMAGE_LIBRARY, [tid_4020(entry) for entry in library.entries]),
            tid_4001(report, library),
            tid_4015(report, library),
            tid_4016(report, library),
        ],
        template="4000",
    )


def tid_4001(report: StudyReport, library: ImageLibrary) -> Dataset:
    """TID 4001 Mammography CAD Overall Impression/Recommendation, with TID 4002 and the impressions below it."""
    found = numbered_findings(report)
    summary = codes.FINDINGS_SUMMARY[extent(report, library, has_findings=bool(found)), bool(found)]
    words = "\n".join((RESEARCH_USE, *study_sentences(report)))
    children = [written_item("HAS PROPERTIES", codes.IMPRESSION_DESCRIPTION, words)]
    for algorithm in report.image_algorithms:
        children += tid_4019("HAS PROPERTIES", algorithm)
    if not report.image_algorithms:
        children += pipeline_tid_4019("HAS PROPERTIES", report)
    children += impressions(report, library, found)
    return code_item("CONTAINS", codes.PROCESSING_AND_FINDINGS_SUMMARY, summary, children)


def impressions(report: StudyReport, library: ImageLibrary, found: Sequence[NumberedFinding]) -> Iterator[Dataset]:
    """Each composite feature in an impression (TID 4003) of its own, then all other findings in one more.

    TID 4003 lets an impression hold both; validators check the findings only where it holds one kind.
    """
    grouped: set[int] = set()
    for composite in breast_composites(report, found):
        grouped.update(numbered.number for numbered in composite.deciding)
        yield tid_4003([tid_4004(report, library, composite)])
    single = [tid_4006(report, library, numbered) for numbered in found if numbered.number not in grouped]
    if single:
        yield tid_4003(single)
