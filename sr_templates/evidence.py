"""What the source headers give: patient and study copied byte for byte, references, and values read with tolerance.

The headers must come from ``dcmread(..., stop_before_pixels=True)``, and names and free text must not have been
accessed on them (nor the whole data set printed or iterated over): pydicom decodes an element when it is first accessed
and keeps no bytes, so a value that does not fit its declared character set cannot be restored afterwards. One that fits
still comes back as the same text. Nothing here decodes them; use `value_text` where a value has to be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings, encode_string
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PersonName

from sr_templates.contract import ResultVariant, StudyReport

# PS3.3 C.7.1.1 Patient, C.7.2.1 General Study, C.7.2.2 Patient Study, C.7.1.3 and C.7.2.3 Clinical Trial Subject and
# Study; type 2 is always written, empty if the source has none.
TYPE_2_KEYWORDS = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
)
_TYPE_2_TAGS = frozenset(tag_for_keyword(keyword) for keyword in TYPE_2_KEYWORDS)
TYPE_3_KEYWORDS = (
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "RequestingServiceCodeSequence",
    "ReferencedStudySequence",
    "ReasonForPerformedProcedureCodeSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedPatientSequence",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthTime",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "MedicalAlerts",
    "Allergies",
    "EthnicGroup",
    "Occupation",
    "SmokingStatus",
    "AdditionalPatientHistory",
    "PregnancyStatus",
    "LastMenstrualDate",
    "PatientReligiousPreference",
    "PatientComments",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
)

# Identity is copied whatever it looks like; of the rest, a value its VR does not allow (PS3.5 6.2) is left out.
_TEXT_VRS = frozenset({"PN", "LO", "SH", "ST", "LT", "UT", "UC"})
_PATTERNS = {
    "DA": re.compile(rb"\d{8}"),
    "TM": re.compile(rb"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
    "AS": re.compile(rb"\d{3}[DWMY]"),
    "CS": re.compile(rb"[A-Z0-9 _]{1,16}"),
    "DS": re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "IS": re.compile(rb"[+-]?\d{1,12}"),
    "UI": re.compile(rb"[0-9]+(\.[0-9]+)*"),
}
_SEXES = frozenset({b"M", b"F", b"O"})  # PS3.3 C.7.1.1, enumerated
_ITEM = b"\xfe\xff\x00\xe0"
_ITEM_BIG_ENDIAN = b"\xff\xfe\xe0\x00"
_LENGTH_32_VRS = frozenset({"SQ", "UT", "UC", "UR", "UN", "OB", "OW"})
_MULTIPLE_VRS = frozenset({"CS", "UI", "DS", "IS"})
_SPECIFIC_CHARACTER_SET = Tag(0x0008, 0x0005)
_PATIENT_SEX = Tag(0x0010, 0x0040)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReference:
    """Where an instance is: what PS3.3 C.17.2.1 needs to refer to it."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str

    def as_item(self) -> Dataset:
        """Item of a Referenced SOP Sequence (PS3.3 10.8)."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.sop_class_uid
        item.ReferencedSOPInstanceUID = self.sop_instance_uid
        return item


def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return Tag(tag)


def _element(header: Dataset, keyword: str) -> DataElement | RawDataElement | None:
    element: DataElement | RawDataElement | None = header.get_item(_tag(keyword))
    return element


def value_text(header: Dataset, keyword: str) -> str:
    """Read a value of a string VR without decoding or checking it.

    Returns
    -------
    str
        Latin-1 reading of the bytes, without padding; values separated by a backslash; empty when absent.
    """
    element = _element(header, keyword)
    if element is None or element.value is None:
        return ""
    if isinstance(element, RawDataElement):
        return element.value.decode("latin-1").strip(" \0") if element.value else ""
    if isinstance(element.value, MultiValue | list | tuple):
        return "\\".join(str(value) for value in element.value).strip(" \0")
    return str(element.value).strip(" \0")


def valid_text(header: Dataset, keyword: str) -> str | None:
    """Read one value if its VR allows it, else None: what goes into an own content item has to be valid."""
    value = value_text(header, keyword)
    return value if _is_valid(dictionary_VR(_tag(keyword)), value.encode("latin-1", "replace")) else None


def valid_number(header: Dataset, keyword: str) -> int | None:
    """Read an US or IS value, e.g. Rows; None when absent or nonsense."""
    element = _element(header, keyword)
    if element is None or element.value is None:
        return None
    if isinstance(element, RawDataElement) and dictionary_VR(_tag(keyword)) == "US":
        value = element.value or b""
        if len(value) != 2:
            return None
        return int.from_bytes(value, "little") if element.is_little_endian else int.from_bytes(value, "big")
    digits = value_text(header, keyword)
    return int(digits) if re.fullmatch(r"\d{1,12}", digits) else None


def pixel_spacing_mm(header: Dataset) -> tuple[float, float] | None:
    """Pixel spacing as the header states it, ``(row, column)`` in mm: at the detector, else in the patient."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        parts = value_text(header, keyword).split("\\")
        if len(parts) == 2 and all(_PATTERNS["DS"].fullmatch(p.strip().encode("latin-1")) for p in parts):
            row_mm, column_mm = (float(part) for part in parts)
            if 0 < row_mm < 1000 and 0 < column_mm < 1000:
                return row_mm, column_mm
    return None


def patient_orientation(header: Dataset) -> tuple[str, str] | None:
    """Read Patient Orientation as ``(row, column)``; None when it is not two valid directions (PS3.3 C.7.6.1.1.1)."""
    parts = [part.strip() for part in value_text(header, "PatientOrientation").split("\\")]
    if len(parts) == 2 and all(re.fullmatch(r"[ALPRHF]{1,3}", part) for part in parts):
        return parts[0], parts[1]
    return None


def reference(header: Dataset) -> InstanceReference | None:
    """Make a reference to an instance; None if the header lacks what a valid reference needs."""
    uids = [value_text(header, k) for k in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")]
    if not all(len(uid) <= 64 and _PATTERNS["UI"].fullmatch(uid.encode("latin-1", "replace")) for uid in uids):
        return None
    return InstanceReference(sop_class_uid=uids[0], sop_instance_uid=uids[1], series_instance_uid=uids[2])


def headers(report: StudyReport) -> Iterator[Dataset]:
    """Headers of all instances of the study, images first."""
    for image in report.images:
        yield image.header
    for header, _ in report.other_instances:
        yield header


def instance_uids(report: StudyReport) -> list[str]:
    """SOP Instance UIDs of all instances of the study."""
    return [value_text(header, "SOPInstanceUID") for header in headers(report)]


def evidence_sequence(report: StudyReport) -> list[Dataset]:
    """Items of the Current Requested Procedure Evidence Sequence: every instance, by series (PS3.3 C.17.2.1)."""
    by_series: dict[str, dict[str, InstanceReference]] = {}
    for header in headers(report):
        found = reference(header)
        if found is not None:
            by_series.setdefault(found.series_instance_uid, {}).setdefault(found.sop_instance_uid, found)
    return _hierarchical(report.study_instance_uid, by_series)


def predecessor_sequence(report: StudyReport, variant: ResultVariant) -> list[Dataset]:
    """Items of the Predecessor Documents Sequence: the same document of the revision before (PS3.3 C.17.2.2)."""
    by_series: dict[str, dict[str, InstanceReference]] = {}
    for replaced in report.replaces:
        if replaced.variant == variant.name:
            by_series.setdefault(replaced.series_instance_uid, {})[replaced.sop_instance_uid] = InstanceReference(
                sop_class_uid=replaced.sop_class_uid,
                sop_instance_uid=replaced.sop_instance_uid,
                series_instance_uid=replaced.series_instance_uid,
            )
    return _hierarchical(report.study_instance_uid, by_series)


def _hierarchical(study_uid: str, by_series: dict[str, dict[str, InstanceReference]]) -> list[Dataset]:
    """Hierarchical SOP Instance Reference macro (PS3.3 table C.17-3); no item without an instance."""
    if not by_series:
        return []
    study = Dataset()
    study.StudyInstanceUID = study_uid
    study.ReferencedSeriesSequence = []
    for series_uid, instances in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ReferencedSOPSequence = [instance.as_item() for instance in instances.values()]
        study.ReferencedSeriesSequence.append(series)
    return [study]


def _is_valid(vr: str, value: bytes) -> bool:
    pattern = _PATTERNS.get(vr)
    if pattern is not None and not pattern.fullmatch(value):
        return False
    if vr == "DA":
        try:
            date(int(value[:4]), int(value[4:6]), int(value[6:8]))
        except ValueError:
            return False
    limits = {"DS": 16, "UI": 64}
    return len(value) <= limits.get(vr, 0xFFFE)


def _encoded(element: DataElement | RawDataElement, dataset: Dataset) -> bytes:
    """Bytes of a string element as they stand in the source, without padding checks."""
    value = element.value
    if isinstance(element, RawDataElement) or isinstance(value, bytes):
        return value or b""
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    declared = dataset.get("SpecificCharacterSet") or dataset._parent_encoding
    encodings = convert_encodings(declared)
    parts = []
    for part in values:
        if isinstance(part, PersonName):
            parts.append(part.encode(encodings))
        elif part is not None:
            original = getattr(part, "original_string", None)
            parts.append(encode_string(str(original if original is not None else part), encodings))
    return b"\\".join(parts)


def _sequence_bytes(element: DataElement | RawDataElement, dataset: Dataset) -> bytes:
    items = dataset[element.tag].value if isinstance(element, RawDataElement) else element.value
    out = bytearray()
    for item in items or []:
        body = b"".join(
            explicit_bytes(copied) for tag in sorted(item.keys()) if (copied := _verbatim(item, tag)) is not None
        )
        out += _ITEM + len(body).to_bytes(4, "little") + body
    return bytes(out)


def _verbatim(dataset: Dataset, tag: BaseTag) -> RawDataElement | None:
    """Copy an element as raw explicit little endian; None when its VR does not allow what it holds."""
    element: DataElement | RawDataElement | None = dataset.get_item(tag)
    if element is None or tag.is_private or not dictionary_has_tag(tag):
        return None
    vr = dictionary_VR(tag)
    value = _sequence_value(element, dataset) if vr == "SQ" else _plain_value(element, dataset, vr)
    if value is None or (len(value) > 0xFFFE and vr not in _LENGTH_32_VRS):
        return None
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


def _sequence_value(element: DataElement | RawDataElement, dataset: Dataset) -> bytes | None:
    if isinstance(element, RawDataElement) and (element.value or b"")[:4] not in (_ITEM, _ITEM_BIG_ENDIAN):
        return None  # pydicom makes items out of anything
    try:
        return _sequence_bytes(element, dataset) or None
    except (ValueError, OSError, EOFError, TypeError, AttributeError):  # what pydicom raises on a mangled sequence
        return None


def _plain_value(element: DataElement | RawDataElement, dataset: Dataset, vr: str) -> bytes | None:
    if vr in _TEXT_VRS or element.tag == _SPECIFIC_CHARACTER_SET:  # the text depends on it, whatever it says
        return _encoded(element, dataset)
    if vr in _PATTERNS:
        value = _encoded(element, dataset)
        stripped = value.strip(b" \0")
        values = stripped.split(b"\\") if vr in _MULTIPLE_VRS else [stripped]
        well_formed = all(_is_valid(vr, part.strip(b" ")) for part in values)
        known = element.tag != _PATIENT_SEX or stripped in _SEXES
        return value if not stripped or (well_formed and known) else None
    if vr == "US" and isinstance(element, RawDataElement) and element.is_little_endian:
        return element.value or b""
    return None


def explicit_bytes(element: RawDataElement) -> bytes:
    """Encode a raw element in Explicit VR Little Endian (PS3.5 7.1.2) without touching its value."""
    if element.VR is None:
        raise ValueError(f"no VR for {element.tag}")
    value = element.value or b""
    head = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little")
    head += element.VR.encode("ascii")
    if element.VR in _LENGTH_32_VRS:
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def patient_and_study(report: StudyReport) -> dict[BaseTag, RawDataElement]:
    """Copy the patient and study modules of the first readable instance, byte for byte, with their character set.

    Parameters
    ----------
    report : StudyReport
        At least one instance.

    Returns
    -------
    dict of pydicom.tag.BaseTag to RawDataElement
        To be written as they are (`encoding.encode`). Text is as in the source even if it is too long or cannot be
        decoded; a date, a code or a number that its VR does not allow is empty (type 2) or left out (type 3).
    """
    first = next(headers(report))
    source = next((header for header in headers(report) if _TYPE_2_TAGS & header.keys()), first)
    copied: dict[BaseTag, RawDataElement] = {}
    for keyword in ("SpecificCharacterSet", *TYPE_2_KEYWORDS, *TYPE_3_KEYWORDS):
        tag = _tag(keyword)
        element = _verbatim(source, tag)
        if element is None and keyword in TYPE_2_KEYWORDS:
            element = RawDataElement(tag, dictionary_VR(tag), 0, b"", 0, False, True)
        if element is not None:
            copied[tag] = element
    if not copied.keys() & {_tag("DeidentificationMethod"), _tag("DeidentificationMethodCodeSequence")}:
        copied.pop(_tag("PatientIdentityRemoved"), None)  # YES is invalid without the method (PS3.3 C.7.1.1)
    return copied
