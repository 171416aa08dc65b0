"""What every result object has in common: its headers, and how it becomes the bytes that are sent."""

from __future__ import annotations

from collections.abc import Mapping

from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from sr_templates import identity
from sr_templates.character_sets import carrying
from sr_templates.content import dicom_date, dicom_time, private_coding_scheme, text
from sr_templates.contract import ResultObject, ResultVariant, StudyReport
from sr_templates.evidence import evidence_sequence, patient_and_study, predecessor_sequence

RESEARCH_USE = "Research use, not for primary diagnosis."


class ResultDocument(SOPClass):
    """A result object with the headers that all kinds share (PS3.3 C.7.3.1, C.7.5.1, C.12.1).

    Patient and study are not set here: they are copied byte for byte when the object is encoded.

    Parameters
    ----------
    report : StudyReport
        What is reported.
    variant : ResultVariant
        Kind and form of the result; one series each.
    part : str
        Tells instances of one kind apart, e.g. the UID of the source image.
    series_number, instance_number : int
        Fixed for a kind; 1-based within the series.
    modality, sop_class_uid, series_description : str
        Of the object.
    transfer_syntax_uid : str
        Explicit VR Little Endian, or an encapsulated one for compressed pixels.
    """

    def __init__(
        self,
        report: StudyReport,
        *,
        variant: ResultVariant,
        part: str = "",
        sop_class_uid: str,
        modality: str,
        series_number: int,
        series_description: str,
        instance_number: int = 1,
        transfer_syntax_uid: str = ExplicitVRLittleEndian,
    ) -> None:
        device = report.device
        super().__init__(
            study_instance_uid=report.study_instance_uid,
            series_instance_uid=identity.result_uid(report, f"series:{variant.name}"),
            series_number=series_number,
            sop_instance_uid=identity.result_uid(report, variant.name, part),
            sop_class_uid=sop_class_uid,
            instance_number=instance_number,
            modality=modality,
            manufacturer=text(device.manufacturer, 64),
            manufacturer_model_name=text(device.model_name, 64),
            device_serial_number=text(device.station_name, 64),
            transfer_syntax_uid=transfer_syntax_uid,
            series_description=text(series_description + _revision_words(report), 64),
            # a presentation state has a creation date in their place (PS3.3 C.11.10), and highdicom refuses these
            content_date=None if modality == "PR" else dicom_date(report.created_at),
            content_time=None if modality == "PR" else dicom_time(report.created_at),
        )
        self.file_meta.ImplementationClassUID = identity.IMPLEMENTATION_CLASS_UID
        self.file_meta.ImplementationVersionName = identity.IMPLEMENTATION_VERSION_NAME
        # highdicom stamps the wall clock; a result knows no clock but its report's
        self.InstanceCreationDate = DA(dicom_date(report.created_at))
        self.InstanceCreationTime = TM(dicom_time(report.created_at))
        self.add_new("SoftwareVersions", "LO", identity.software_versions(report))
        self.StationName = text(device.station_name, 16)
        equipment = identity.contributing_equipment(report)
        self.add_new("ContributingEquipmentSequence", "SQ", equipment)


def _revision_words(report: StudyReport) -> str:
    """What a series description says of the set that this one replaces; nothing in a first answer."""
    if not report.replaces:
        return ""
    return f", revision {report.revision} replaces {max(old.revision for old in report.replaces)}"


class ReportDocument(ResultDocument):
    """A structured report: the headers of PS3.3 C.17.1 to C.17.3 around a content tree.

    Parameters
    ----------
    root : pydicom.Dataset
        Root container of the tree.
    **headers
        As for `ResultDocument`.
    """

    def __init__(
        self,
        report: StudyReport,
        root: Dataset,
        *,
        variant: ResultVariant,
        sop_class_uid: str,
        series_number: int,
        series_description: str,
    ) -> None:
        super().__init__(
            report,
            variant=variant,
            sop_class_uid=sop_class_uid,
            modality="SR",
            series_number=series_number,
            series_description=series_description,
        )
        self.CompletionFlag = "COMPLETE"
        self.VerificationFlag = "UNVERIFIED"
        self.PreliminaryFlag = "PRELIMINARY"
        self.add_new("ReferencedPerformedProcedureStepSequence", "SQ", [])
        self.add_new("PerformedProcedureCodeSequence", "SQ", [])
        evidence = evidence_sequence(report)
        if evidence:
            self.CurrentRequestedProcedureEvidenceSequence = evidence
        predecessors = predecessor_sequence(report, variant)
        if predecessors:
            self.PredecessorDocumentsSequence = predecessors
        self.CodingSchemeIdentificationSequence = private_coding_scheme()
        self.update(root)


def encode(dataset: Dataset, verbatim: Mapping[BaseTag, RawDataElement]) -> bytes:
    """Encode a complete DICOM file (PS3.10 7.1) in Explicit VR Little Endian, as compressed ones are too (PS3.5 A.4).

    pydicom would decode and re-encode text on the way to another character set, and fail or replace where it cannot;
    so the source's elements are written as the bytes they are, and ours, being ASCII, need no character set. What a
    radiologist wrote in other letters is the exception (`character_sets`).

    Parameters
    ----------
    dataset : pydicom.Dataset
        Object with its file meta.
    verbatim : mapping of pydicom.tag.BaseTag to RawDataElement
        Patient, study and character set of the source; they replace those of `dataset`.

    Returns
    -------
    bytes
        Preamble, file meta and data set.
    """
    elements, codec = carrying(dataset, verbatim)
    encodings = [codec] if codec is not None else None
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = False
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, dataset.file_meta)
    buffer.is_little_endian = True
    buffer.is_implicit_VR = False
    for tag in sorted({*dataset.keys(), *elements}):
        write_data_element(buffer, elements[tag] if tag in elements else dataset[tag], encodings)
    return bytes(buffer.getvalue())


def finish(
    report: StudyReport, document: ResultDocument, variant: ResultVariant, *, source_sop_instance_uid: str | None = None
) -> ResultObject:
    """Encode a document, once, with the patient and study of `report`."""
    return ResultObject(
        variant=variant,
        sop_class_uid=str(document.SOPClassUID),
        sop_instance_uid=str(document.SOPInstanceUID),
        series_instance_uid=str(document.SeriesInstanceUID),
        transfer_syntax_uid=str(document.file_meta.TransferSyntaxUID),
        content=encode(document, patient_and_study(report)),
        referenced_sop_instance_uid=source_sop_instance_uid,
    )
