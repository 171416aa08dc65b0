"""What the factories of test files are made of: modules of IODs as dictionaries by keyword, codes, pixels, writing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

Pixels = NDArray[np.uint16]

#: CID 4014 "View for Mammography" by the terms of View Position (0018,5101).
VIEW_CODES = {
    "CC": codes.CID4014.CranioCaudal,
    "MLO": codes.CID4014.MedioLateralObliqueProjection,
    "ML": codes.CID4014.MedioLateralProjection,
    "LM": codes.CID4014.LateroMedial,
}

#: Patient Orientation (0020,0020) by laterality and view: the chest wall is at the left edge of a left breast.
PATIENT_ORIENTATIONS = {
    ("L", "CC"): ["A", "R"],
    ("R", "CC"): ["P", "L"],
    ("L", "MLO"): ["A", "FR"],
    ("R", "MLO"): ["P", "FL"],
    ("L", "ML"): ["A", "F"],
    ("R", "ML"): ["P", "F"],
    ("L", "LM"): ["A", "F"],
    ("R", "LM"): ["P", "F"],
}


def uid_of(*parts: object) -> str:
    """Return the same UID for the same parts, under 2.25 (PS3.5 B.2: a 128-bit number)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def seed_of(text: str) -> int:
    """Return the same seed for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def put(dataset: Dataset, elements: Mapping[str, Any]) -> None:
    """Set elements by keyword; None leaves one out, and removes it if it is there.

    Raises
    ------
    ValueError
        A keyword is not in the data dictionary (PS3.6).
    """
    for keyword, value in elements.items():
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"{keyword} is not a DICOM keyword")
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)


def item(**elements: Any) -> Dataset:
    """Return a sequence item."""
    made = Dataset()
    put(made, elements)
    return made


def code(concept: Code) -> Dataset:
    """Return a code sequence's item."""
    return item(CodeValue=concept.value, CodingSchemeDesignator=concept.scheme_designator, CodeMeaning=concept.meaning)


def content(value_type: str, concept: Code, relationship: str | None = None, **elements: Any) -> Dataset:
    """Return a content item of an SR document (PS3.3 C.17.3)."""
    return item(
        RelationshipType=relationship, ValueType=value_type, ConceptNameCodeSequence=[code(concept)], **elements
    )


def study(modality: str, study_instance_uid: str, sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """Return a data set with the modules of patient, study, series, equipment and SOP common."""
    dataset = Dataset()
    put(
        dataset,
        {
            "SpecificCharacterSet": "ISO_IR 100",
            "SOPClassUID": sop_class_uid,
            "SOPInstanceUID": sop_instance_uid,
            "PatientName": "Test^Factory",
            "PatientID": "TEST-1",
            "PatientBirthDate": "19600229",
            "PatientSex": "F",
            "PatientAge": "060Y",
            "StudyInstanceUID": study_instance_uid,
            "StudyID": "1",
            "StudyDate": "20200301",
            "StudyTime": "101500",
            "StudyDescription": "test",
            "AccessionNumber": "ACC-1",
            "ReferringPhysicianName": "",
            "Modality": modality,
            "SeriesInstanceUID": uid_of(study_instance_uid, modality, "series"),
            "SeriesNumber": 1,
            "SeriesDate": "20200301",
            "SeriesTime": "101600",
            "InstanceNumber": 1,
            "ContentDate": "20200301",
            "ContentTime": "101601",
            "Manufacturer": "MAMMONODE tests",
            "ManufacturerModelName": "factory",
            "DeviceSerialNumber": "1",
            "SoftwareVersions": "1",
        },
    )
    return dataset


def mammography(laterality: str, view: str) -> dict[str, Any]:
    """Return the modules of DX and mammography images (PS3.3 C.8.11.1 to C.8.11.7), for presentation."""
    view_item = code(VIEW_CODES[view])
    view_item.ViewModifierCodeSequence = []
    return {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "AcquisitionDate": "20200301",
        "AcquisitionTime": "101600",
        "PresentationIntentType": "FOR PRESENTATION",
        "RequestAttributesSequence": [item(RequestedProcedureID="1", ScheduledProcedureStepID="1")],
        "PatientOrientation": PATIENT_ORIENTATIONS[laterality, view],
        "BodyPartExamined": "BREAST",
        "ImageLaterality": laterality,
        "AnatomicRegionSequence": [code(Code("76752008", "SCT", "Breast"))],
        "ViewPosition": view,
        "ViewCodeSequence": [view_item],
        "PositionerType": "MAMMOGRAPHIC",
        "PositionerPrimaryAngle": 0 if view == "CC" else 45,
        "OrganExposed": "BREAST",
        "BodyPartThickness": "50",
        "CompressionForce": "100",
        "KVP": "28",
        "ExposureInuAs": "80000",
        "AnodeTargetMaterial": "TUNGSTEN",
        "FilterMaterial": "RHODIUM",
        "DetectorType": "DIRECT",
        "DetectorID": "1",
        "ImagerPixelSpacing": [0.07, 0.07],
        "AcquisitionContextSequence": [],
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "BreastImplantPresent": "NO",
        "PartialView": "NO",
    }


def breast_pixels(rows: int, columns: int, *, laterality: str = "L", seed: str = "breast") -> Pixels:
    """Return a made-up breast: (rows, columns) uint16, 0 to 4095; 0 outside a half ellipse at the chest wall's edge."""
    across = np.arange(columns) / (0.8 * columns)
    down = (np.arange(rows) - rows / 2) / (0.45 * rows)
    inside = across[None, :] ** 2 + down[:, None] ** 2 < 1
    texture = np.random.default_rng(seed_of(seed)).integers(-300, 300, size=(rows, columns))
    pixels = np.where(inside, 1600 + texture, 0).astype(np.uint16)
    return pixels if laterality == "L" else np.ascontiguousarray(pixels[:, ::-1])


def grey_image(pixels: Pixels) -> dict[str, Any]:
    """Return the image pixel and VOI modules of a 12 bit MONOCHROME2 image, and its pixel data."""
    rows, columns = pixels.shape
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
        "WindowCenter": 2048,
        "WindowWidth": 4096,
        "PixelData": pixels.astype("<u2").tobytes(),
    }


def encode(dataset: Dataset, transfer_syntax_uid: str, overrides: Mapping[str, Any]) -> bytes:
    """Return the DICOM file of `dataset`, changed by `overrides`, in a transfer syntax that pydicom can write.

    The data set's own UIDs, as overridden, go into the file meta information.
    """
    put(dataset, overrides)
    native = transfer_syntax_uid in {ExplicitVRLittleEndian, ImplicitVRLittleEndian}
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid if native else ExplicitVRLittleEndian
    if not native:
        dataset.compress(transfer_syntax_uid, generate_instance_uid=False)
    written = BytesIO()
    dcmwrite(written, dataset, enforce_file_format=True)
    return written.getvalue()


def write(dataset: Dataset, path: Path, transfer_syntax_uid: str, overrides: Mapping[str, Any]) -> Path:
    """Write what `encode` returns to `path`, and return `path`."""
    path.write_bytes(encode(dataset, transfer_syntax_uid, overrides))
    return path
