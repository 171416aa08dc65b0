"""Generated mammograms as complete DICOM objects: for the demonstration, for tests, and for trying out a connection.

The pixels are `models.phantom`'s; here they get the headers of a Digital Mammography X-Ray Image For Presentation
(PS3.3 A.27, modules C.8.11.1 to C.8.11.7) with every type 1 and type 2 attribute. Nothing in them is anybody's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

from models.phantom import make_view
from pipelines.views import VIEW_BY_NAME

BITS_STORED: Final = 12
FULL_SCALE: Final = 2**BITS_STORED - 1
DEFAULT_VIEWS: Final = ("L-CC", "L-MLO", "R-CC", "R-MLO")
IMPLEMENTATION_CLASS_UID: Final = "2.25.300532413209461271416230371271412160217"

PATIENT_ORIENTATION: Final[Mapping[str, tuple[str, str]]] = {
    # PS3.3 C.7.6.1.1.1 and C.8.11.7.1.5: rows run away from the chest wall, columns downwards as displayed.
    "L-CC": ("A", "R"),
    "R-CC": ("P", "L"),
    "L-MLO": ("A", "FR"),
    "R-MLO": ("P", "FL"),
}
"""The chest wall is on the left of a left breast and on the right of a right one; a caller may know another view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomPatient:
    """Whose images they pretend to be.

    Attributes
    ----------
    patient_name : str or bytes
        Bytes go into the file as they are, whatever the character set says.
    specific_character_set : str or tuple of str
        Specific Character Set (0008,0005).
    """

    patient_name: str | bytes = "PHANTOM^MAMMONODE"
    patient_id: str = "PHANTOM"
    specific_character_set: str | tuple[str, ...] = "ISO_IR 192"
    attributes: Mapping[str, Any] = field(default_factory=dict)


def phantom_uid(*parts: object) -> str:
    """Derive a UID from values: ``2.25.`` and 128 bits of their SHA-256 (PS3.5 B.2)."""
    digest = hashlib.sha256("\n".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def write_study(
    directory: Path,
    seed: int,
    *,
    views: Sequence[str] = DEFAULT_VIEWS,
    rows: int = 2294,
    columns: int = 1914,
    spacing_mm: float = 0.1,
    monochrome1: bool = False,
    magnification: float = 1.0,
    patient: PhantomPatient | None = None,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Write a study of generated mammograms; the same arguments give the same bytes.

    Parameters
    ----------
    directory : pathlib.Path
        Made when it is not there. Files are named for their number and view, ``01_L-CC.dcm``.
    seed : int
        Of breasts and findings, and of UIDs that are not given.
    views : sequence of str
        ``"L-CC"``-style names, CC and MLO; the same one twice gives two instances with the same pixels.
    rows, columns : int
        Size of each image.
    spacing_mm : float
        In the plane of the breast; Imager Pixel Spacing is this times `magnification`.
    monochrome1 : bool
        Store inverted values, to be displayed inverted.
    patient : PhantomPatient, optional
        Name, ID and character set.
    study_instance_uid, series_instance_uid : str, optional
        In place of those derived from the seed.
    overrides : mapping of str to object, optional
        Attributes to set last, by keyword; None deletes one. For tests of what a node makes of them.

    Returns
    -------
    tuple of pathlib.Path
        The files, in the order of `views`.

    Raises
    ------
    ValueError
        A view is neither CC nor MLO of the left or right breast.
    """
    study_uid = study_instance_uid or phantom_uid("study", seed)
    series_uid = series_instance_uid or phantom_uid("series", study_uid)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, name in enumerate(views, start=1):
        laterality, _, view = name.partition("-")
        phantom = make_view(seed, laterality=laterality, view=view, rows=rows, columns=columns, spacing_mm=spacing_mm)
        dataset = mammogram(
            phantom.pixels,
            name,
            number=number,
            spacing_mm=spacing_mm,
            monochrome1=monochrome1,
            magnification=magnification,
            patient=patient or PhantomPatient(),
            study_instance_uid=study_uid,
            series_instance_uid=series_uid,
        )
        _override(dataset, overrides or {})
        paths.append(directory / f"{number:02d}_{name}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return tuple(paths)


def mammogram(
    pixels: NDArray[np.uint16],
    name: str,
    *,
    number: int = 1,
    spacing_mm: float = 0.1,
    monochrome1: bool = False,
    magnification: float = 1.0,
    patient: PhantomPatient,
    study_instance_uid: str,
    series_instance_uid: str,
) -> FileDataset:
    """Make a Digital Mammography For Presentation object of an image.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, 12 bits, 0 (air) to 4095 (brightest), whatever sense they are stored in.
    name : str
        ``"L-CC"``-style.
    number : int
        Instance Number, from 1.
    spacing_mm : float
        In the plane of the breast.

    Returns
    -------
    pydicom.dataset.FileDataset
        With file meta information, Explicit VR Little Endian.
    """
    laterality, _, view = name.partition("-")
    dataset = _file_dataset(phantom_uid("instance", series_instance_uid, number, name))
    _set(dataset, SpecificCharacterSet=_character_set(patient), **GENERAL)
    _set(dataset, PatientName=patient.patient_name, PatientID=patient.patient_id)
    _set(
        dataset,
        StudyInstanceUID=study_instance_uid,
        SeriesInstanceUID=series_instance_uid,
        InstanceNumber=number,
        SeriesDescription="PHANTOM",
        ImageLaterality=laterality,
        ViewPosition=view,
        PatientOrientation=list(PATIENT_ORIENTATION.get(name, PATIENT_ORIENTATION[f"{laterality}-CC"])),
        EstimatedRadiographicMagnificationFactor=magnification,
        ImagerPixelSpacing=[round(spacing_mm * magnification, 6)] * 2,
        ViewCodeSequence=[_view_code(view)],
        AnatomicRegionSequence=[_code("76752008", "SCT", "Breast")],
    )
    _set_pixels(dataset, pixels, inverted=monochrome1)
    _set(dataset, **patient.attributes)
    return dataset


GENERAL: Final[Mapping[str, Any]] = {
    # Patient, General Study, DX Series, Mammography Series, General Equipment (PS3.3 C.7, C.8.11.1, C.8.11.6)
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "PatientAge": "054Y",
    "StudyDate": "20240102",
    "StudyTime": "100000",
    "StudyID": "1",
    "AccessionNumber": "PHANTOM",
    "StudyDescription": "GENERATED MAMMOGRAM",
    "ReferringPhysicianName": "",
    "Modality": "MG",
    "PresentationIntentType": "FOR PRESENTATION",
    "SeriesNumber": 1,
    "SeriesDate": "20240102",
    "SeriesTime": "100000",
    "Manufacturer": "mammonode",
    "ManufacturerModelName": "phantom",
    # General Image, DX Anatomy Imaged, DX Image (C.7.6.1, C.8.11.2, C.8.11.3)
    "ContentDate": "20240102",
    "ContentTime": "100000",
    "AcquisitionDate": "20240102",
    "AcquisitionTime": "100000",
    "ImageType": ["ORIGINAL", "PRIMARY", ""],
    "PixelIntensityRelationship": "LOG",
    "PixelIntensityRelationshipSign": -1,
    "RescaleIntercept": 0,
    "RescaleSlope": 1,
    "RescaleType": "US",
    "LossyImageCompression": "00",
    "BurnedInAnnotation": "NO",
    "RecognizableVisualFeatures": "NO",
    # DX Detector (C.8.11.4)
    "DetectorType": "DIRECT",
    # Mammography Image (C.8.11.7)
    "PositionerType": "MAMMOGRAPHIC",
    "OrganExposed": "BREAST",
    "BreastImplantPresent": "NO",
    "PartialView": "NO",
    "BodyPartExamined": "BREAST",
    # VOI LUT, Acquisition Context (C.11.2, C.7.6.14)
    "WindowCenter": 2048,
    "WindowWidth": 4096,
    "AcquisitionContextSequence": [],
}


def _file_dataset(sop_instance_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = "MAMMONODE"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = sop_instance_uid
    return dataset


def _set_pixels(dataset: Dataset, pixels: NDArray[np.uint16], *, inverted: bool) -> None:
    stored = FULL_SCALE - pixels if inverted else pixels
    rows, columns = stored.shape
    _set(
        dataset,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        PresentationLUTShape="INVERSE" if inverted else "IDENTITY",
        Rows=rows,
        Columns=columns,
        BitsAllocated=16,
        BitsStored=BITS_STORED,
        HighBit=BITS_STORED - 1,
        PixelRepresentation=0,
    )
    dataset.add_new("PixelData", "OW", stored.astype("<u2").tobytes())


def _view_code(view: str) -> Dataset:
    known = VIEW_BY_NAME[view]
    item = _code(known.codes[0], "SCT", known.meaning)
    item.ViewModifierCodeSequence = []
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    _set(item, CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
    return item


def _character_set(patient: PhantomPatient) -> str | list[str]:
    declared = patient.specific_character_set
    return declared if isinstance(declared, str) else list(declared)


def _set(dataset: Dataset, **attributes: object) -> None:
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)


def _override(dataset: Dataset, attributes: Mapping[str, Any]) -> None:
    for keyword, value in attributes.items():
        if value is None and keyword in dataset:
            del dataset[keyword]
        elif value is not None:
            setattr(dataset, keyword, value)
