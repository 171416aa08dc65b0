"""Mammography CAD SR: TID 4000 and the templates it includes (PS3.16, "Mammography CAD SR IOD Templates").

One function a template. TID 4000 may not be extended, so what it has no place for (outcome in words, weights,
thresholds) stands where TID 4002 and TID 4019 allow text: under the summary, and as algorithm parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset

from sr_templates import codes
from sr_templates.content import (
    Relationship,
    by_reference,
    code_item,
    container,
    date_item,
    image_item,
    num_item,
    scoord_item,
    text_item,
    time_item,
    uid_item,
)
from sr_templates.contract import (
    AlgorithmStatus,
    ReportedAlgorithm,
    ReportedImage,
    ResultObject,
    ResultVariant,
    StudyReport,
)
from sr_templates.document import RESEARCH_USE, ReportDocument, finish
from sr_templates.evidence import (
    InstanceReference,
    patient_orientation,
    pixel_spacing_mm,
    reference,
    valid_text,
    value_text,
)
from sr_templates.identity import algorithm_parameters
from sr_templates.wording import NumberedFinding, clipped_box_px, numbered_findings, study_sentences

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.88.50"
SERIES_NUMBER = 9001
SERIES_DESCRIPTION = "AI mammography CAD (research use)"

# Mammography and breast tomosynthesis, PS3.4 B.5
_MAMMOGRAM_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.2",
        "1.2.840.10008.5.1.4.1.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.13.1.3",
        "1.2.840.10008.5.1.4.1.1.13.1.4",
        "1.2.840.10008.5.1.4.1.1.13.1.5",
    }
)
_LIBRARY_POSITION = (1, 2)  # root, its second item: the first is the language

LibraryKey = tuple[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LibraryEntry:
    image: ReportedImage
    reference: InstanceReference
    frame_number: int | None


class _Library:
    """The mammograms of a report, each once, plus each frame that has a finding; items refer to them by position."""

    def __init__(self, report: StudyReport) -> None:
        self.entries: list[_LibraryEntry] = []
        self._positions: dict[LibraryKey, int] = {}
        for image in report.images:
            if not _is_mammogram(image):
                continue
            self._add(image, None)
            for frame_number in sorted({f.frame_number for f in image.findings if f.frame_number is not None}):
                self._add(image, frame_number)

    def _add(self, image: ReportedImage, frame_number: int | None) -> None:
        found = reference(image.header)
        if found is None or (found.sop_instance_uid, frame_number) in self._positions:
            return
        self.entries.append(_LibraryEntry(image=image, reference=found, frame_number=frame_number))
        self._positions[found.sop_instance_uid, frame_number] = len(self.entries)

    def position(self, image: ReportedImage, frame_number: int | None) -> tuple[int, ...] | None:
        """Position of an image in the tree; None if it is not in the library."""
        index = self._positions.get((value_text(image.header, "SOPInstanceUID"), frame_number))
        return None if index is None else (*_LIBRARY_POSITION, index)

    def images(self) -> Iterator[ReportedImage]:
        """Each image once."""
        return (entry.image for entry in self.entries if entry.frame_number is None)


def _is_mammogram(image: ReportedImage) -> bool:
    header = image.header
    return value_text(header, "SOPClassUID") in _MAMMOGRAM_CLASSES or value_text(header, "Modality") == "MG"


def make_mammography_cad(report: StudyReport, variant: ResultVariant) -> tuple[ResultObject, ...]:
    """Make the Mammography CAD SR of a study.

    Parameters
    ----------
    report : StudyReport
        Findings in stored-pixel coordinates.

    Returns
    -------
    tuple of ResultObject
        One object, or none when the study holds no mammogram: TID 4000 row 4 wants at least one image.
    """
    library = _Library(report)
    if not library.entries:
        return ()
    document = ReportDocument(
        report,
        tid_4000(report, library),
        variant=variant,
        sop_class_uid=SOP_CLASS_UID,
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
    )
    return (finish(report, document, variant),)


def tid_4000(report: StudyReport, library: _Library) -> Dataset:
    """TID 4000 Mammography CAD Document Root."""
    found = [n for n in numbered_findings(report) if library.position(n.image, n.finding.frame_number)]
    detection = [a for a in report.algorithms if a.task == "detection"]
    classification = [a for a in report.algorithms if a.task == "classification"]
    return container(
        None,
        codes.MAMMOGRAPHY_CAD_REPORT,
        [
            code_item("HAS CONCEPT MOD", codes.LANGUAGE, codes.ENGLISH),
            container("CONTAINS", codes.IMAGE_LIBRARY, [tid_4020(entry) for entry in library.entries]),
            tid_4001(report, library, found),
            tid_4015(library, detection),
            tid_4016(library, classification),
        ],
        template="4000",
    )


def tid_4020(entry: _LibraryEntry) -> Dataset:
    """TID 4020 CAD Image Library Entry; what the header lacks or garbles is left out, every row is optional."""
    image, header = entry.image, entry.image.header
    items: list[Dataset] = []
    if image.laterality is not None:
        items.append(code_item("HAS ACQ CONTEXT", codes.IMAGE_LATERALITY, codes.BREAST_SIDE[image.laterality]))
    if image.view in codes.VIEW:
        modifiers = [codes.VIEW_MODIFIER[m] for m in image.view_modifiers if m in codes.VIEW_MODIFIER]
        children = [code_item("HAS CONCEPT MOD", codes.IMAGE_VIEW_MODIFIER, modifier) for modifier in modifiers]
        items.append(code_item("HAS ACQ CONTEXT", codes.IMAGE_VIEW, codes.VIEW[image.view], children))
    orientation = patient_orientation(header)
    if orientation is not None:
        items.append(text_item("HAS ACQ CONTEXT", codes.PATIENT_ORIENTATION_ROW, orientation[0]))
        items.append(text_item("HAS ACQ CONTEXT", codes.PATIENT_ORIENTATION_COLUMN, orientation[1]))
    items += _dates_and_times(header)
    spacing = pixel_spacing_mm(header)
    if spacing is not None:
        row_mm, column_mm = spacing
        items.append(num_item("HAS ACQ CONTEXT", codes.HORIZONTAL_PIXEL_SPACING, column_mm, codes.MILLIMETER))
        items.append(num_item("HAS ACQ CONTEXT", codes.VERTICAL_PIXEL_SPACING, row_mm, codes.MILLIMETER))
    return image_item("CONTAINS", None, entry.reference, items, frame_number=entry.frame_number)


def _dates_and_times(header: Dataset) -> Iterator[Dataset]:
    for date_name, time_name, prefix in (
        (codes.STUDY_DATE, codes.STUDY_TIME, "Study"),
        (codes.CONTENT_DATE, codes.CONTENT_TIME, "Content"),
    ):
        date, time = valid_text(header, f"{prefix}Date"), valid_text(header, f"{prefix}Time")
        if date is not None:
            yield date_item("HAS ACQ CONTEXT", date_name, date)
        if time is not None:
            yield time_item("HAS ACQ CONTEXT", time_name, time)


def tid_4001(report: StudyReport, library: _Library, found: Sequence[NumberedFinding]) -> Dataset:
    """TID 4001 Mammography CAD Overall Impression/Recommendation, with TID 4002 below it."""
    summary = codes.FINDINGS_SUMMARY[_extent(report, library, bool(found)), bool(found)]
    children = [
        text_item("HAS PROPERTIES", codes.IMPRESSION_DESCRIPTION, "\n".join((RESEARCH_USE, *study_sentences(report))))
    ]
    for algorithm in report.algorithms:
        children += tid_4019(algorithm)
    if not report.algorithms:
        children += _nobody(report)
    if found:
        children.append(tid_4003(report, library, found))
    return code_item("CONTAINS", codes.PROCESSING_AND_FINDINGS_SUMMARY, summary, children)


def _nobody(report: StudyReport) -> list[Dataset]:
    """TID 4019 is mandatory beside an impression; when no algorithm was reached, the pipeline speaks for itself."""
    return [
        text_item("HAS PROPERTIES", codes.ALGORITHM_NAME, report.pipeline),
        text_item("HAS PROPERTIES", codes.ALGORITHM_VERSION, report.device.software_version or "unversioned"),
    ]


def _extent(report: StudyReport, library: _Library, has_findings: bool) -> Literal["all", "some", "none"]:
    """How many algorithms succeeded (CID 6047); an image left out counts against "all"."""
    statuses = [_status(library, [algorithm]) for algorithm in report.algorithms]
    if statuses and all(status == "succeeded" for status in statuses):
        return "all"
    if has_findings or any(status in ("succeeded", "partially_succeeded") for status in statuses):
        return "some"
    return "none"


def _status(library: _Library, algorithms: Sequence[ReportedAlgorithm]) -> AlgorithmStatus:
    """Status over several algorithms and all images of the library (CID 6042)."""
    statuses = {algorithm.status for algorithm in algorithms}
    if not statuses or statuses == {"not_attempted"}:
        return "not_attempted"
    if statuses <= {"failed", "not_attempted"}:
        return "failed"
    done, missed = _images_done(library)
    if not done:
        return "failed"
    return "succeeded" if statuses == {"succeeded"} and not missed else "partially_succeeded"


def _images_done(library: _Library) -> tuple[list[ReportedImage], list[ReportedImage]]:
    images = list(library.images())
    return [i for i in images if i.outcome == "analysed"], [i for i in images if i.outcome != "analysed"]


def tid_4003(report: StudyReport, library: _Library, found: Sequence[NumberedFinding]) -> Dataset:
    """TID 4003 Mammography CAD Impression/Recommendation Body: all findings in one container."""
    return container(
        "INFERRED FROM",
        codes.INDIVIDUAL_IMPRESSION,
        [
            code_item("HAS CONCEPT MOD", codes.RENDERING_INTENT, codes.PRESENTATION_REQUIRED),
            *(tid_4006(report, library, numbered) for numbered in found),
        ],
    )


def tid_4006(report: StudyReport, library: _Library, numbered: NumberedFinding) -> Dataset:
    """TID 4006 Mammography CAD Single Image Finding.

    TID 4010 asks for one property of a cluster. The detector counts and classifies no calcifications, so it gets the
    distribution that the word itself means: grouped.
    """
    finding = numbered.finding
    intent = codes.PRESENTATION_REQUIRED if finding.label == "malignant" else codes.PRESENTATION_OPTIONAL
    algorithm = next((a for a in report.algorithms if a.name == finding.algorithm), None)
    children = [
        code_item("HAS CONCEPT MOD", codes.RENDERING_INTENT, intent),
        text_item("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, numbered.title),
        uid_item("HAS OBS CONTEXT", codes.TRACKING_UID, numbered.tracking_uid),
        *(tid_4019(algorithm) if algorithm is not None else _nobody(report)),
        num_item("HAS PROPERTIES", codes.CERTAINTY_OF_FINDING, 100 * finding.score, codes.PERCENT),
        num_item("HAS PROPERTIES", codes.PROBABILITY_OF_CANCER, 100 * finding.malignancy, codes.PERCENT),
        *tid_4021(library, numbered),
        code_item("HAS PROPERTIES", codes.CALCIFICATION_DISTRIBUTION, codes.GROUPED_DISTRIBUTION),
    ]
    return code_item("CONTAINS", codes.SINGLE_IMAGE_FINDING, codes.CALCIFICATION_CLUSTER, children)


def tid_4021(library: _Library, numbered: NumberedFinding) -> Iterator[Dataset]:
    """TID 4021 Mammography CAD Geometry: the centre and the closed outline of the box."""
    position = library.position(numbered.image, numbered.finding.frame_number)
    if position is None:
        return
    x0, y0, x1, y1 = clipped_box_px(numbered.image, numbered.finding)
    selected = [by_reference("SELECTED FROM", position)]
    yield scoord_item("HAS PROPERTIES", codes.CENTER, "POINT", [((x0 + x1) / 2, (y0 + y1) / 2)], selected)
    outline = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    selected = [by_reference("SELECTED FROM", position)]
    yield scoord_item("HAS PROPERTIES", codes.OUTLINE, "POLYLINE", outline, selected)


def tid_4019(algorithm: ReportedAlgorithm, relationship: Relationship = "HAS PROPERTIES") -> list[Dataset]:
    """TID 4019 Algorithm Identification: name, version, and weights, thresholds and status as parameters."""
    return [
        text_item(relationship, codes.ALGORITHM_NAME, algorithm.name),
        text_item(relationship, codes.ALGORITHM_VERSION, algorithm.version),
        *(text_item(relationship, codes.ALGORITHM_PARAMETERS, line) for line in algorithm_parameters(algorithm)),
    ]


def tid_4015(library: _Library, algorithms: Sequence[ReportedAlgorithm]) -> Dataset:
    """TID 4015 CAD Detections Performed, below Summary of Detections (TID 4000 row 6)."""
    status = _status(library, algorithms)
    children = _performed(
        library,
        algorithms,
        status,
        (codes.SUCCESSFUL_DETECTIONS, codes.FAILED_DETECTIONS),
        (codes.DETECTION_PERFORMED, codes.CALCIFICATION_CLUSTER),
    )
    return code_item("CONTAINS", codes.SUMMARY_OF_DETECTIONS, codes.RESULT_STATUS[status], children)


def tid_4016(library: _Library, algorithms: Sequence[ReportedAlgorithm]) -> Dataset:
    """TID 4016 CAD Analyses Performed, below Summary of Analyses (TID 4000 row 8)."""
    status = _status(library, algorithms)
    children = _performed(
        library,
        algorithms,
        status,
        (codes.SUCCESSFUL_ANALYSES, codes.FAILED_ANALYSES),
        (codes.ANALYSIS_PERFORMED, codes.INDIVIDUAL_IMPRESSION_ANALYSIS),
    )
    return code_item("CONTAINS", codes.SUMMARY_OF_ANALYSES, codes.RESULT_STATUS[status], children)


def _performed(
    library: _Library,
    algorithms: Sequence[ReportedAlgorithm],
    status: AlgorithmStatus,
    containers: tuple[codes.Code, codes.Code],
    performed: tuple[codes.Code, codes.Code],
) -> list[Dataset]:
    """Successful and failed containers of TID 4015 and TID 4016, each algorithm with the images it did or missed."""
    if status == "not_attempted":
        return []
    done, missed = _images_done(library)
    successful: list[Dataset] = []
    failed: list[Dataset] = []
    for algorithm in algorithms:
        its_status = _status(library, [algorithm])
        if its_status in ("succeeded", "partially_succeeded"):
            successful.append(_tid_4017(library, algorithm, performed, done))
        if its_status == "partially_succeeded":
            # where no image was left out, the algorithm's own word that something failed cannot be pinned on one
            failed.append(_tid_4017(library, algorithm, performed, missed or done))
        elif its_status in ("failed", "not_attempted"):
            failed.append(_tid_4017(library, algorithm, performed, [*done, *missed]))
    pairs = zip(containers, (successful, failed), strict=True)
    return [container("INFERRED FROM", name, items) for name, items in pairs if items]


def _tid_4017(
    library: _Library,
    algorithm: ReportedAlgorithm,
    performed: tuple[codes.Code, codes.Code],
    images: Sequence[ReportedImage],
) -> Dataset:
    """TID 4017 CAD Detection Performed, and TID 4018 CAD Analysis Performed, which differ in their concepts only."""
    positions = [position for image in images if (position := library.position(image, None)) is not None]
    references = [by_reference("HAS PROPERTIES", position) for position in positions]
    return code_item("CONTAINS", *performed, [*tid_4019(algorithm), *references])
