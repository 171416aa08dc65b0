"""Say in words what a result object says: ours, or anyone's structured report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from pydicom import Dataset

from sr_templates.explaining_findings import HASH, INDENT, Library, Names, cad_report, measurement_report
from sr_templates.explaining_result import (
    CAD_REPORT,
    MEASUREMENT_REPORT,
    not_read,
    result_lines,
    untold,
    untold_lines,
)
from sr_templates.reading import ContentItem, read_tree
from sr_templates.reading_attributes import (
    class_name,
    date_words,
    is_damaged,
    is_unreadable_sequence,
    items_of,
    text_of,
    time_words,
)
from sr_templates.withholding import Withholding

PRESENTATION_STATES: Final = "1.2.840.10008.5.1.4.1.1.11."
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
NO_DERIVATION: Final = "a picture that does not say what it was derived from: whatever it shows stands in its pixels"
READINGS: Final[Mapping[str, Callable[[ContentItem, Library], Iterator[str]]]] = {
    CAD_REPORT: cad_report,
    MEASUREMENT_REPORT: measurement_report,
}
STRUCTURED_REPORTS: Final = "1.2.840.10008.5.1.4.1.1.88."


def explain(dataset: Dataset, *, patient: bool = False) -> list[str]:
    """Read an object as a person would.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Any DICOM object; pixels are not looked at.
    patient : bool
        Name the patient.

    Returns
    -------
    list of str
        Lines, indented by two spaces a level, not wrapped, without control characters.
    """
    damaged = is_damaged(dataset)  # before any element is converted
    root = read_tree(dataset, patient=patient)
    lines = [*_heading(dataset, patient=patient), ""]
    if _is_report(dataset):
        return [*_single(lines), *_single(_report(root))]
    if damaged:
        lines.append("CAUTION: the file is damaged or cut off, and not all of it could be read")
    return [*_single(lines), *_single(_other_object(dataset, patient=patient))]


def _single(lines: Iterable[str]) -> Iterator[str]:
    """Put what follows a line break in a value below it and further in, so that no value can pass for our own words."""
    for line in lines:
        first, *more = line.split("\n")
        yield first
        indent = line[: len(line) - len(line.lstrip())]
        yield from (indent + 2 * INDENT + words for words in more)


def outline(dataset: Dataset, *, patient: bool = False) -> list[str]:
    """Return the content tree of a structured report, a line an item; of anything else, a sentence."""
    root = read_tree(dataset, patient=patient)
    if not _is_report(dataset):
        return [f"no content tree: {class_name(text_of(dataset, 'SOPClassUID'))}"]
    return [
        *(f"CAUTION: {caution}" for caution in not_read(root)),
        root.concept or "report",
        *_outline(root.children, 1, Library(root).names),
    ]


def _is_report(dataset: Dataset) -> bool:
    has_tree = items_of(dataset, "ContentSequence") or is_unreadable_sequence(dataset, "ContentSequence")
    return bool(has_tree) or text_of(dataset, "SOPClassUID").startswith(STRUCTURED_REPORTS)


def _report(root: ContentItem) -> Iterator[str]:
    library = Library(root)
    result = [*result_lines(root, library.names)]
    if result:
        yield from (*result, "")
    reading = READINGS.get(root.concept_code)
    if reading is not None:
        yield from reading(root, library)
        yield from untold_lines([*_outline(untold(root), 0, library.names)])
    else:
        yield root.concept or "report without a title"
        yield from _outline(root.children, 1, library.names) if root.children else ("  without content",)


def _heading(dataset: Dataset, *, patient: bool) -> Iterator[str]:
    description = text_of(dataset, "SeriesDescription")
    if not patient:
        description = Withholding(dataset).of_text(description)
    series = " ".join(part for part in (text_of(dataset, "SeriesNumber"), _quoted(description)) if part)
    yield class_name(text_of(dataset, "SOPClassUID")) + (f", series {series}" if series else "")
    maker = " ".join(
        dict.fromkeys(filter(None, (text_of(dataset, k) for k in ("Manufacturer", "ManufacturerModelName"))))
    )
    version = text_of(dataset, "SoftwareVersions") or "no version"
    yield f"made {_made(dataset)} by {maker or 'an unnamed maker'}: {version}"
    flags = [text_of(dataset, k).lower() for k in ("CompletionFlag", "VerificationFlag", "PreliminaryFlag")]
    if any(flags):
        yield ", ".join(filter(None, flags))
    study_date = date_words(text_of(dataset, "StudyDate")) or "unknown date"
    yield f"study of {study_date}, {text_of(dataset, 'StudyInstanceUID') or 'without UID'}"
    yield f"series: {text_of(dataset, 'SeriesInstanceUID') or 'without UID'}"
    yield f"this object: {text_of(dataset, 'SOPInstanceUID') or 'without UID'}"
    if patient:
        yield f"patient: {text_of(dataset, 'PatientName') or 'no name'}, ID {text_of(dataset, 'PatientID') or 'none'}"
    else:
        yield "patient withheld where name, ID or birth date were recognised, no de-identification; --patient shows all"
    for reference in _references(dataset, "PredecessorDocumentsSequence"):
        yield f"replaces {reference}"
    evidence = list(_references(dataset, "CurrentRequestedProcedureEvidenceSequence"))
    if evidence:
        yield f"evidence: {len(evidence)} instance{'s' if len(evidence) != 1 else ''}"
    for equipment in items_of(dataset, "ContributingEquipmentSequence"):
        described = HASH.sub(r"\1...", text_of(equipment, "ContributionDescription"))
        if described and not items_of(dataset, "ContentSequence"):  # a report names its algorithms itself
            yield f"equipment: {described}"


def _quoted(value: str) -> str:
    return f'"{value}"' if value else ""


def _made(dataset: Dataset) -> str:
    for kind in ("Content", "PresentationCreation", "InstanceCreation"):
        day, time = text_of(dataset, f"{kind}Date"), text_of(dataset, f"{kind}Time")
        if day:
            return f"{date_words(day)} {time_words(time)}".strip()
    return "unknown date"


def _references(dataset: Dataset, keyword: str) -> Iterator[str]:
    for study in items_of(dataset, keyword):
        for series in items_of(study, "ReferencedSeriesSequence"):
            for item in items_of(series, "ReferencedSOPSequence"):
                yield _instance(item)


def _instance(reference: Dataset) -> str:
    sop_class = class_name(text_of(reference, "ReferencedSOPClassUID"))
    return f"{sop_class} {text_of(reference, 'ReferencedSOPInstanceUID')}"


def _other_object(dataset: Dataset, *, patient: bool) -> Iterator[str]:
    sop_class = text_of(dataset, "SOPClassUID")
    if sop_class.startswith(PRESENTATION_STATES):
        told = map(Withholding(dataset).of_text, _presentation_state(dataset))  # a label may hold the patient's name
        yield from _presentation_state(dataset) if patient else told
    elif sop_class.startswith(SECONDARY_CAPTURE):
        yield text_of(dataset, "DerivationDescription") or NO_DERIVATION
        for item in items_of(dataset, "SourceImageSequence"):
            yield f"of {_instance(item)}"
    else:
        size = " x ".join(filter(None, (text_of(dataset, "Columns"), text_of(dataset, "Rows"))))
        side = text_of(dataset, "ImageLaterality") or text_of(dataset, "Laterality")
        about = ", ".join(filter(None, (f"{side} {text_of(dataset, 'ViewPosition')}".strip(), size and f"{size} px")))
        yield f"no result of an analysis: {class_name(sop_class)}" + (f" ({about})" if about else "")


def _presentation_state(dataset: Dataset) -> Iterator[str]:
    words = [text_of(dataset, k) for k in ("ContentLabel", "ContentDescription")]
    yield ": ".join(filter(None, words)) or "presentation state"
    for series in items_of(dataset, "ReferencedSeriesSequence"):
        for item in items_of(series, "ReferencedImageSequence"):
            yield f"over {_instance(item)}"
    for annotation in items_of(dataset, "GraphicAnnotationSequence"):
        count = len(items_of(annotation, "GraphicObjectSequence"))
        yield f"layer {text_of(annotation, 'GraphicLayer') or '?'}: {count} graphic object{'s' if count != 1 else ''}"
        for label in items_of(annotation, "TextObjectSequence"):
            yield from (INDENT + line for line in text_of(label, "UnformattedTextValue").split("\n"))


def _outline(items: Iterable[ContentItem], depth: int, names: Names) -> Iterator[str]:
    for item in items:
        value = names.get(item.refers_to, item.value) if item.refers_to else item.value
        if item.value_type == "IMAGE":
            value = names.get(item.position) or names.get(item.sop_instance_uid) or value
        concept = item.concept or item.relationship.lower()
        unread = f" [{item.unread}]" if item.unread else ""
        first, *more = (f"{concept}: {value}" if value else concept or item.value_type or "item").split("\n")
        yield INDENT * depth + first + unread
        yield from (INDENT * (depth + 2) + line for line in more)
        yield from _outline(item.children, depth + 1, names)
