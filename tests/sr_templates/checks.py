"""What no validator sees in a set of results: whether it fits its sources, and whether its members fit each other.

Knows DICOM and the bytes, not the code that wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from tests.sr_templates.tree_checks import below, concept, row, tree_problems, walk

CAD, MEASUREMENTS_3D, MEASUREMENTS = (f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (50, 34, 33))
CAPTURE, PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.11.1"
MODALITY = {CAD: "SR", MEASUREMENTS_3D: "SR", MEASUREMENTS: "SR", CAPTURE: "OT", PRESENTATION_STATE: "PR"}
TEMPLATE = {CAD: ("111036", "4000"), MEASUREMENTS_3D: ("126000", "1500"), MEASUREMENTS: ("126000", "1500")}
VERBATIM = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "ReferringPhysicianName",
)


def problems(files: Sequence[bytes], sources: Sequence[Dataset]) -> list[str]:
    """Problems of the results of one revision of a study, each a sentence that begins with its kind."""
    results = [dcmread(BytesIO(content)) for content in files]
    by_uid = {str(header.SOPInstanceUID): header for header in sources}
    found = [problem for result in results for problem in object_problems(result, by_uid)]
    return [*found, *set_problems(results)]


def object_problems(result: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    yield from identity_problems(result, next(iter(sources.values())))
    yield from provenance_problems(result)
    sop_class = result.get("SOPClassUID")
    if sop_class in TEMPLATE:
        yield from report_problems(result, sources)
    elif sop_class == CAPTURE:
        yield from capture_problems(result, sources)
    elif sop_class == PRESENTATION_STATE:
        yield from presentation_state_problems(result, sources)


def identity_problems(result: Dataset, source: Dataset) -> Iterator[str]:
    if result.file_meta.MediaStorageSOPInstanceUID != result.get("SOPInstanceUID"):
        yield "identity: the file meta names another instance"
    if result.file_meta.MediaStorageSOPClassUID != result.get("SOPClassUID"):
        yield "identity: the file meta names another SOP class"
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        uid = UID(str(result.get(keyword, "")))
        if not uid.is_valid or not uid.startswith("2.25."):
            yield f"identity: {keyword} is {uid!r}"
    if result.get("StudyInstanceUID") != source.get("StudyInstanceUID"):
        yield "identity: another study"
    if result.get("Modality") != MODALITY.get(str(result.get("SOPClassUID"))):
        yield f"identity: Modality is {result.get('Modality')}"
    rewritten = raw(result, "SpecificCharacterSet") != raw(source, "SpecificCharacterSet")
    if rewritten and raw(result, "SpecificCharacterSet") != b"ISO_IR 192":
        yield "identity: another character set, which is not UTF-8"
    whose = deepcopy(source)  # text is decoded where it is looked at
    for keyword in VERBATIM[1:]:
        same = str(result.get(keyword, "")) == str(whose.get(keyword, ""))
        if not (same if rewritten else raw(result, keyword) == raw(source, keyword)):
            yield f"identity: {keyword} is not that of the source"


def raw(dataset: Dataset, keyword: str) -> bytes:
    """Bytes of an element as they stand in the file, but for padding."""
    tag = tag_for_keyword(keyword)
    element: Any = dataset.get_item(tag) if tag is not None else None
    value = getattr(element, "value", None)
    return value.rstrip(b" \0") if isinstance(value, bytes) else str(value or "").encode("latin-1", "replace").rstrip()


def provenance_problems(result: Dataset) -> Iterator[str]:
    equipment = result.get("ContributingEquipmentSequence")
    if not equipment:
        yield "provenance: no contributing equipment"
        return
    item = equipment[0]
    described = str(item.get("ContributionDescription", ""))
    if "research use" not in described.lower():
        yield "provenance: nothing says research use"
    if not UID(str(item.get("DeviceUID", ""))).is_valid:
        yield "provenance: no device UID"
    if "No algorithm ran" not in described and not re.search(r"weights_sha256=[0-9a-f]{64}|weights: none", described):
        yield "provenance: no hash of the weights"
    if re.search(r"weights_sha256", described) and "threshold=" not in described:
        yield "provenance: no operating point"
    if not result.get("SoftwareVersions"):
        yield "provenance: no software version"


def report_problems(result: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    flags = [result.get(k) for k in ("CompletionFlag", "VerificationFlag", "PreliminaryFlag")]
    if flags != ["COMPLETE", "UNVERIFIED", "PRELIMINARY"]:
        yield f"flags: {flags}"
    if (concept(result), template(result)) != TEMPLATE[str(result.SOPClassUID)]:
        yield f"template: {concept(result)} by {template(result)}"
    yield from evidence_problems(result, sources)
    schemes = {code_item.CodingSchemeDesignator for code_item in coded(result)}
    declared = {item.CodingSchemeDesignator for item in result.get("CodingSchemeIdentificationSequence", ())}
    yield from (f"codes: {s} is not declared" for s in sorted(schemes) if s.startswith("99") and s not in declared)
    words = " ".join(str(item.get("TextValue", "")) for item in walk(result))
    if "research use" not in words.lower():
        yield "words: nothing says research use"
    for study in result.get("PredecessorDocumentsSequence", ()):
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                if item.ReferencedSOPInstanceUID == result.SOPInstanceUID:
                    yield "predecessor: the document itself"
                if item.ReferencedSOPInstanceUID in sources:
                    yield "predecessor: an image"
        if study.StudyInstanceUID != result.StudyInstanceUID:
            yield "predecessor: in another study"
    yield from tree_problems(result, sources)


def template(result: Dataset) -> str:
    templates = result.get("ContentTemplateSequence")
    return str(templates[0].TemplateIdentifier) if templates else ""


def coded(dataset: Dataset) -> Iterator[Dataset]:
    for element in dataset:
        for item in element.value if element.VR == "SQ" else ():
            if "CodeValue" in item:
                yield item
            yield from coded(item)


def evidence_problems(result: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    listed = {
        (study.StudyInstanceUID, series.SeriesInstanceUID, item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for study in result.get("CurrentRequestedProcedureEvidenceSequence", ())
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    there = {
        (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPClassUID, header.SOPInstanceUID)
        for header in sources.values()
    }
    if listed - there:
        yield "evidence: lists what is no source"
    if there - listed:
        yield "evidence: lacks a source"


def capture_problems(result: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    if result.get("BurnedInAnnotation") != "YES":
        yield "capture: text is drawn, and not declared"
    if "research use" not in str(result.get("DerivationDescription", "")).lower():
        yield "capture: nothing says research use"
    if result.get("PhotometricInterpretation") not in ("RGB", "YBR_FULL_422"):
        yield f"capture: {result.get('PhotometricInterpretation')}"
    if result.file_meta.TransferSyntaxUID.is_compressed:
        if (result.get("LossyImageCompression"), result.PhotometricInterpretation) != ("01", "YBR_FULL_422"):
            yield "capture: compressed and not declared"
    elif len(result.PixelData) != result.Rows * result.Columns * 3:
        yield "capture: pixels of another size"
    named = [sources.get(str(item.ReferencedSOPInstanceUID)) for item in result.get("SourceImageSequence", ())]
    if None in named:
        yield "capture: of no source image"
    header = named[0] if len(named) == 1 else None
    is_heatmap = "ViewPosition" in result or "ImageLaterality" in result
    if header is not None and is_heatmap:
        for keyword in ("ImageLaterality", "ViewPosition"):
            if result.get(keyword) != header.get(keyword):
                yield f"capture: {keyword} is {result.get(keyword)}"


def presentation_state_problems(result: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    referenced = {
        str(item.ReferencedSOPInstanceUID)
        for series in result.get("ReferencedSeriesSequence", ())
        for item in series.ReferencedImageSequence
    }
    if not referenced or referenced - sources.keys():
        yield "presentation: of no source image"
        return
    header = sources[next(iter(referenced))]
    for annotation in result.get("GraphicAnnotationSequence", ()):
        for graphic in annotation.get("GraphicObjectSequence", ()):
            xs, ys = graphic.GraphicData[::2], graphic.GraphicData[1::2]
            if graphic.GraphicAnnotationUnits == "PIXEL" and not (
                min(xs) >= 0 and max(xs) <= header.Columns and min(ys) >= 0 and max(ys) <= header.Rows
            ):
                yield "presentation: a graphic outside of the image"
    if result.get("PresentationLUTShape") not in ("IDENTITY", "INVERSE"):
        yield "presentation: no greyscale"
    inverse = header.get("PhotometricInterpretation", "MONOCHROME2") == "MONOCHROME1"
    if (result.get("PresentationLUTShape") == "INVERSE") != inverse:
        yield "presentation: inverted"


def set_problems(results: Sequence[Dataset]) -> Iterator[str]:
    """Whether the members of a set say the same."""
    uids = [result.get("SOPInstanceUID") for result in results]
    if len(set(uids)) < len(uids):
        yield "set: two objects have one UID"
    series: dict[str, set[str]] = {}
    for result in results:
        series.setdefault(str(result.get("SeriesInstanceUID")), set()).add(str(result.get("Modality")))
    yield from (f"set: a series of {sorted(kinds)}" for kinds in series.values() if len(kinds) > 1)
    told = [findings(result) for result in results if result.get("SOPClassUID") in TEMPLATE]
    yield from ("set: the reports tell of other findings" for other in told[1:] if other != told[0])


def findings(report: Dataset) -> dict[str, tuple[float, ...]]:
    """Outline of each finding by its tracking UID."""
    found = {}
    for item in walk(report):
        if row(item) not in ("111059", "125007"):
            continue
        tracking = "".join(str(child.UID) for child in below(item, "112040"))
        outlines = [tuple(map(float, child.GraphicData)) for child in below(item, "111041", "111030")]
        found[tracking] = (*(outlines[0] if outlines else ()), *probability(item))
    return found


def probability(item: Dataset) -> tuple[float, ...]:
    measured = [child.MeasuredValueSequence[0] for child in below(item, "111047") if child.get("MeasuredValueSequence")]
    return tuple(float(value.NumericValue) for value in measured)
