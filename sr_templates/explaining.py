"""Say in words what a result object says: ours, or anyone's structured report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pydicom import Dataset

from sr_templates.explaining_findings import HASH, INDENT, Names, cad_report, measurement_report, names_of
from sr_templates.reading import ContentItem, class_name, items_of, read_tree, text_of

CAD_REPORT: Final = "111036"
MEASUREMENT_REPORT: Final = "126000"
PRESENTATION_STATES: Final = "1.2.840.10008.5.1.4.1.1.11."
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
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
    return [*_heading(dataset, patient=patient), "", *_body(dataset)]


def outline(dataset: Dataset) -> list[str]:
    """Return the content tree of a structured report, a line an item; of anything else, a sentence."""
    if not items_of(dataset, "ContentSequence"):
        return ["no content tree"]
    root = read_tree(dataset)
    return [root.concept or "report", *_outline(root.children, 1, names_of(root))]


def _heading(dataset: Dataset, *, patient: bool) -> Iterator[str]:
    series = " ".join(
        part for part in (text_of(dataset, "SeriesNumber"), _quoted(text_of(dataset, "SeriesDescription"))) if part
    )
    yield class_name(text_of(dataset, "SOPClassUID")) + (f", series {series}" if series else "")
    date = (
        text_of(dataset, "ContentDate")
        or text_of(dataset, "PresentationCreationDate")
        or text_of(dataset, "InstanceCreationDate")
    )
    maker = " ".join(
        dict.fromkeys(filter(None, (text_of(dataset, k) for k in ("Manufacturer", "ManufacturerModelName"))))
    )
    yield f"made {_date(date)} by {maker or 'an unnamed maker'}: {text_of(dataset, 'SoftwareVersions') or 'no version'}"
    flags = [text_of(dataset, k).lower() for k in ("CompletionFlag", "VerificationFlag", "PreliminaryFlag")]
    if any(flags):
        yield ", ".join(filter(None, flags))
    yield f"study of {_date(text_of(dataset, 'StudyDate'))}, {text_of(dataset, 'StudyInstanceUID') or 'without UID'}"
    yield f"this object: {text_of(dataset, 'SOPInstanceUID') or 'without UID'}"
    if patient:
        yield f"patient: {text_of(dataset, 'PatientName') or 'no name'}, ID {text_of(dataset, 'PatientID') or 'none'}"
    else:
        yield "patient withheld; --patient shows it"
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


def _date(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if len(value) == 8 and value.isdigit() else value or "unknown date"


def _references(dataset: Dataset, keyword: str) -> Iterator[str]:
    for study in items_of(dataset, keyword):
        for series in items_of(study, "ReferencedSeriesSequence"):
            for item in items_of(series, "ReferencedSOPSequence"):
                yield _instance(item)


def _instance(reference: Dataset) -> str:
    sop_class = class_name(text_of(reference, "ReferencedSOPClassUID"))
    return f"{sop_class} {text_of(reference, 'ReferencedSOPInstanceUID')}"


def _body(dataset: Dataset) -> Iterator[str]:
    sop_class = text_of(dataset, "SOPClassUID")
    if items_of(dataset, "ContentSequence"):
        root = read_tree(dataset)
        readings: dict[str, Callable[[ContentItem], Iterator[str]]] = {
            CAD_REPORT: cad_report,
            MEASUREMENT_REPORT: measurement_report,
        }
        reading = readings.get(root.concept_code)
        if reading is not None:
            yield from reading(root)
        else:
            yield root.concept or "report without a title"
            yield from _outline(root.children, 1, names_of(root))
    elif sop_class.startswith(STRUCTURED_REPORTS):
        yield "a structured report without content"
    elif sop_class.startswith(PRESENTATION_STATES):
        yield from _presentation_state(dataset)
    elif sop_class.startswith(SECONDARY_CAPTURE) and text_of(dataset, "DerivationDescription"):
        yield text_of(dataset, "DerivationDescription")
        for item in items_of(dataset, "SourceImageSequence"):
            yield f"of {_instance(item)}"
    else:
        yield "no result of an analysis: an object of this kind is input, or something else"


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
        first, *more = (f"{concept}: {value}" if value else concept or item.value_type or "item").split("\n")
        yield INDENT * depth + first
        yield from (INDENT * (depth + 2) + line for line in more)
        yield from _outline(item.children, depth + 1, names)
