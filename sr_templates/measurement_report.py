"""Imaging Measurement Report: TID 1500 in Comprehensive 3D SR (PS3.16), which also general viewers draw.

The same tree as Comprehensive SR is for destinations that know no other: all its coordinates are of images, none of
space. One function a template. What holds for the whole exam, a breast or an image is a qualitative evaluation, where
TID 1500 has room for codes and text only; a measurement group without coordinates is what common viewers cannot open.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset

from sr_templates import codes
from sr_templates.algorithm_identification import tid_4019
from sr_templates.content import (
    code_item,
    container,
    date_item,
    image_item,
    num_item,
    scoord_item,
    text_item,
    time_item,
    uid_item,
    written_item,
)
from sr_templates.contract import ReportedFinding, ReportedImage, ResultObject, ResultVariant, StudyReport
from sr_templates.document import RESEARCH_USE, ReportDocument, finish
from sr_templates.evidence import (
    patient_orientation,
    pixel_spacing_mm,
    reference,
    valid_number,
    valid_text,
    value_text,
)
from sr_templates.identity import algorithm_parameters, device_uid
from sr_templates.outlines import outline_px
from sr_templates.prediction_groups import prediction_groups
from sr_templates.wording import NumberedFinding, numbered_findings, study_sentences

SERIES_NUMBER = 9002
SERIES_DESCRIPTION = "AI measurements (research use)"

_PROJECTION_MODALITIES = frozenset({"MG", "DX", "CR"})  # TID 1603 is for projection radiography


def make_measurement_report(report: StudyReport, variant: ResultVariant) -> tuple[ResultObject, ...]:
    """Make the measurement report of a study.

    Parameters
    ----------
    report : StudyReport
        At least one instance; images need not be analysed, nor be there at all.
    variant : ResultVariant
        Comprehensive 3D SR or Comprehensive SR.

    Returns
    -------
    tuple of ResultObject
        One object: silence must never look like "no findings".

    Raises
    ------
    ValueError
        A finding or a region lies outside of its image, or its image cannot be referred to; or a prediction has no code
        (`predictions.predicted_lesions`).
    """
    document = ReportDocument(
        report,
        tid_1500(report),
        variant=variant,
        sop_class_uid=variant.sop_class_uid,
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
    )
    return (finish(report, document, variant),)


def tid_1500(report: StudyReport) -> Dataset:
    """TID 1500 Measurement Report."""
    library = list(tid_1600(report))
    groups = [*(tid_1410(report, numbered) for numbered in numbered_findings(report)), *prediction_groups(report)]
    children = [
        code_item("HAS CONCEPT MOD", codes.LANGUAGE, codes.ENGLISH),
        *tid_1004(report),
        code_item("HAS CONCEPT MOD", codes.PROCEDURE_REPORTED, codes.IMAGING_PROCEDURE),
    ]
    if library:
        group = container("CONTAINS", codes.IMAGE_LIBRARY_GROUP, library, continuity="CONTINUOUS")
        children.append(container("CONTAINS", codes.IMAGE_LIBRARY, [group], continuity="CONTINUOUS"))
    if groups:
        children.append(container("CONTAINS", codes.IMAGING_MEASUREMENTS, groups, continuity="CONTINUOUS"))
    evaluations = list(qualitative_evaluations(report))
    children.append(container("CONTAINS", codes.QUALITATIVE_EVALUATIONS, evaluations, continuity="CONTINUOUS"))
    return container(None, codes.IMAGING_MEASUREMENT_REPORT, children, continuity="CONTINUOUS", template="1500")


def tid_1004(report: StudyReport) -> Iterator[Dataset]:
    """TID 1001, 1002 and 1004: the observer is a device, and other weights are another device."""
    device = report.device
    yield code_item("HAS OBS CONTEXT", codes.OBSERVER_TYPE, codes.DEVICE)
    yield uid_item("HAS OBS CONTEXT", codes.DEVICE_OBSERVER_UID, device_uid(report))
    for name, value in (
        (codes.DEVICE_OBSERVER_NAME, device.station_name),
        (codes.DEVICE_OBSERVER_MANUFACTURER, device.manufacturer),
        (codes.DEVICE_OBSERVER_MODEL_NAME, device.model_name),
        (codes.DEVICE_OBSERVER_SERIAL_NUMBER, device.station_name),
    ):
        yield text_item("HAS OBS CONTEXT", name, value)


def tid_1600(report: StudyReport) -> Iterator[Dataset]:
    """TID 1600 and 1601: the images, of whatever modality, each once."""
    seen: set[str] = set()
    for image in report.images:
        found = reference(image.header)
        if found is not None and found.sop_instance_uid not in seen:
            seen.add(found.sop_instance_uid)
            yield image_item("CONTAINS", codes.SOURCE, found, tid_1602(image))


def tid_1602(image: ReportedImage) -> Iterator[Dataset]:
    """TID 1602 Image Library Entry Descriptors; its first row is mandatory, so none without a known modality."""
    header = image.header
    modality = value_text(header, "Modality")
    if modality not in codes.ACQUISITION_MODALITY:
        return
    yield code_item("HAS ACQ CONTEXT", codes.MODALITY, codes.ACQUISITION_MODALITY[modality])
    yield code_item("HAS ACQ CONTEXT", codes.TARGET_REGION, codes.BREAST)
    if image.laterality is not None:
        yield code_item("HAS ACQ CONTEXT", codes.IMAGE_LATERALITY, codes.SIDE[image.laterality])
    date, time = valid_text(header, "StudyDate"), valid_text(header, "StudyTime")
    if date is not None:
        yield date_item("HAS ACQ CONTEXT", codes.STUDY_DATE, date)
    if time is not None:
        yield time_item("HAS ACQ CONTEXT", codes.STUDY_TIME, time)
    for name, keyword in ((codes.PIXEL_DATA_ROWS, "Rows"), (codes.PIXEL_DATA_COLUMNS, "Columns")):
        count = valid_number(header, keyword)
        if count:
            yield num_item("HAS ACQ CONTEXT", name, count, codes.PIXELS)
    if modality in _PROJECTION_MODALITIES:
        yield from tid_1603(image)


def tid_1603(image: ReportedImage) -> Iterator[Dataset]:
    """TID 1603 Image Library Entry Descriptors for Projection Radiography."""
    if image.view in codes.VIEW:
        modifiers = [codes.VIEW_MODIFIER[m] for m in image.view_modifiers if m in codes.VIEW_MODIFIER]
        children = [code_item("HAS CONCEPT MOD", codes.IMAGE_VIEW_MODIFIER, modifier) for modifier in modifiers]
        yield code_item("HAS ACQ CONTEXT", codes.IMAGE_VIEW, codes.VIEW[image.view], children)
    orientation = patient_orientation(image.header)
    if orientation is not None:
        yield text_item("HAS ACQ CONTEXT", codes.PATIENT_ORIENTATION_ROW, orientation[0])
        yield text_item("HAS ACQ CONTEXT", codes.PATIENT_ORIENTATION_COLUMN, orientation[1])
    spacing = pixel_spacing_mm(image.header)
    if spacing is not None:
        row_mm, column_mm = spacing
        yield num_item("HAS ACQ CONTEXT", codes.HORIZONTAL_PIXEL_SPACING, column_mm, codes.MILLIMETER)
        yield num_item("HAS ACQ CONTEXT", codes.VERTICAL_PIXEL_SPACING, row_mm, codes.MILLIMETER)


def tid_1410(report: StudyReport, numbered: NumberedFinding) -> Dataset:
    """TID 1410 Planar ROI Measurements and Qualitative Evaluations: one finding, its outline as a closed polyline."""
    image, finding = numbered.image, numbered.finding
    source = reference(image.header)
    if source is None:
        raise ValueError("a finding needs an image that can be referred to")
    side = (
        []
        if image.laterality is None
        else [code_item("HAS CONCEPT MOD", codes.LATERALITY, codes.SIDE[image.laterality])]
    )
    outline = outline_px(image, finding)
    selected = image_item("SELECTED FROM", codes.SOURCE, source, frame_number=finding.frame_number)
    children = [
        text_item("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, numbered.title),
        uid_item("HAS OBS CONTEXT", codes.TRACKING_UID, numbered.tracking_uid),
        code_item("CONTAINS", codes.FINDING, codes.FINDING_TYPE[report.target]),
        scoord_item("CONTAINS", codes.IMAGE_REGION, "POLYLINE", outline, [selected]),
        code_item("HAS CONCEPT MOD", codes.FINDING_SITE, codes.BREAST, side),
        *(item for a in report.algorithms if a.name == finding.algorithm for item in tid_4019("HAS CONCEPT MOD", a)),
        *tid_1419(report, finding),
    ]
    return container("CONTAINS", codes.MEASUREMENT_GROUP, children, continuity="CONTINUOUS")


def tid_1419(report: StudyReport, finding: ReportedFinding) -> Iterator[Dataset]:
    """TID 1419 ROI Measurements: probabilities, and size where it was measured.

    A value that is from another algorithm than the outline names it.
    """
    classifier = [
        item for a in report.algorithms if a.name == finding.classifier for item in tid_4019("HAS CONCEPT MOD", a)
    ]
    if finding.malignancy is not None:
        percent = 100 * finding.malignancy
        yield num_item("CONTAINS", codes.PROBABILITY_OF_CANCER, percent, codes.PERCENT, classifier)
    yield num_item("CONTAINS", codes.CERTAINTY_OF_FINDING, 100 * finding.score, codes.PERCENT)
    if finding.her2 is not None:
        yield num_item("CONTAINS", codes.PREDICTED_HER2_POSITIVE, 100 * finding.her2, codes.PERCENT)
    sizes = (
        (codes.LONG_AXIS, finding.long_axis_mm, codes.MILLIMETER),
        (codes.SHORT_AXIS, finding.short_axis_mm, codes.MILLIMETER),
        (codes.AREA, finding.area_mm2, codes.SQUARE_MILLIMETER),
        (codes.NUMBER_OF_CALCIFICATIONS, finding.calcification_count, codes.NO_UNITS),
    )
    for name, value, units in sizes:
        if value is not None:
            yield num_item("CONTAINS", name, value, units)


def qualitative_evaluations(report: StudyReport) -> Iterator[Dataset]:
    """TID 1500 row 12 and below: outcome, each breast, and in words why anything was not analysed."""
    yield code_item("CONTAINS", codes.ANALYSIS_OUTCOME, codes.OUTCOME[report.outcome])
    for breast in report.breasts:
        name = codes.BREAST_CALCIFICATION_STATUS[breast.laterality]
        yield code_item("CONTAINS", name, codes.BREAST_STATUS[breast.status])
    yield text_item("CONTAINS", codes.COMMENT, RESEARCH_USE)
    for sentence in study_sentences(report):
        yield written_item("CONTAINS", codes.COMMENT, sentence)
    for algorithm in report.algorithms:
        words = f"{algorithm.name} {algorithm.version}: {'; '.join(algorithm_parameters(algorithm))}"
        yield text_item("CONTAINS", codes.COMMENT, words)
