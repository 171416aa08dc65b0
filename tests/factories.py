"""Small, complete DICOM files for tests, the same bytes at every run, and a large one that is never held in memory.

Every factory takes overrides by DICOM keyword, which win over what it would write; None leaves the element out and ""
leaves it empty. The content is made up: a half ellipse of tissue on a black ground.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    XRayRadiationDoseSRStorage,
)

from tests.factory_parts import (
    VIEW_CODES,
    Pixels,
    breast_pixels,
    code,
    content,
    encode,
    grey_image,
    item,
    mammography,
    put,
    seed_of,
    study,
    uid_of,
    write,
)

__all__ = [
    "STANDARD_VIEWS",
    "STUDY_INSTANCE_UID",
    "VIEW_CODES",
    "breast_pixels",
    "large_tomosynthesis",
    "small_dose_sr",
    "small_exam",
    "small_mammogram",
    "small_ultrasound",
    "uid_of",
]

STANDARD_VIEWS = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))
STUDY_INSTANCE_UID = uid_of("study")


def small_mammogram(
    path: Path,
    *,
    laterality: str = "L",
    view: str = "CC",
    rows: int = 64,
    columns: int = 48,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    pixels: Pixels | None = None,
    **overrides: Any,
) -> Path:
    """Write a digital mammogram for presentation of a few kilobytes and return `path`.

    Parameters
    ----------
    path : pathlib.Path
        The file; its folder exists.
    laterality : str
        ``"L"`` or ``"R"``.
    view : str
        A key of `VIEW_CODES`.
    rows, columns : int
        Size; with `pixels`, theirs.
    study_instance_uid : str
        The study; series and instance UIDs follow from it, the breast and the view.
    sop_instance_uid : str or None
        None: derived.
    transfer_syntax_uid : str
        Explicit or Implicit VR Little Endian, or any that pydicom can compress to (RLE, JPEG-LS, JPEG 2000).
    pixels : numpy.ndarray or None
        (rows, columns) uint16, 0 to 4095, 0 black; None: a made-up breast.
    **overrides
        Elements by keyword.

    Source: PS3.3 A.26, Digital Mammography X-Ray Image IOD.
    """
    if pixels is None:
        pixels = breast_pixels(rows, columns, laterality=laterality, seed=f"{study_instance_uid}{laterality}{view}")
    uid = sop_instance_uid or uid_of(study_instance_uid, laterality, view)
    dataset = study("MG", study_instance_uid, DigitalMammographyXRayImageStorageForPresentation, uid)
    put(dataset, mammography(laterality, view))
    put(dataset, grey_image(pixels))
    return write(dataset, path, transfer_syntax_uid, overrides)


def small_exam(folder: Path, *, study_instance_uid: str = STUDY_INSTANCE_UID, **overrides: Any) -> list[Path]:
    """Write the four standard views of one study into `folder` and return their paths: L-CC, R-CC, L-MLO, R-MLO."""
    return [
        small_mammogram(
            folder / f"{laterality}-{view}.dcm",
            laterality=laterality,
            view=view,
            study_instance_uid=study_instance_uid,
            **{"InstanceNumber": number, **overrides},
        )
        for number, (laterality, view) in enumerate(STANDARD_VIEWS, 1)
    ]


def small_ultrasound(
    path: Path,
    *,
    laterality: str = "L",
    rows: int = 64,
    columns: int = 48,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    **overrides: Any,
) -> Path:
    """Write a grey breast ultrasound image in 8 bits with one calibrated region of 0.1 mm a pixel; return `path`.

    `columns` is even. Source: PS3.3 A.6, Ultrasound Image IOD; C.8.5.5, US Region Calibration.
    """
    uid = sop_instance_uid or uid_of(study_instance_uid, "US", laterality)
    dataset = study("US", study_instance_uid, UltrasoundImageStorage, uid)
    speckle = np.random.default_rng(seed_of(uid)).integers(20, 120, size=(rows, columns), dtype=np.uint8)
    put(
        dataset,
        {
            "ImageType": ["ORIGINAL", "PRIMARY", "", "0001"],
            "BodyPartExamined": "BREAST",
            "AnatomicRegionSequence": [code(Code("76752008", "SCT", "Breast"))],
            "ImageLaterality": laterality,
            "PatientOrientation": "",
            "LossyImageCompression": "00",
            "BurnedInAnnotation": "NO",
            "SequenceOfUltrasoundRegions": [_region(rows, columns)],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": rows,
            "Columns": columns,
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "PixelRepresentation": 0,
            "PixelData": speckle.tobytes(),
        },
    )
    dataset["PixelData"].VR = "OB"
    return write(dataset, path, transfer_syntax_uid, overrides)


def _region(rows: int, columns: int) -> Dataset:
    return item(
        RegionSpatialFormat=1,  # 2D
        RegionDataType=1,  # tissue
        RegionFlags=0,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=columns - 1,
        RegionLocationMaxY1=rows - 1,
        PhysicalUnitsXDirection=3,  # cm
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.01,
        PhysicalDeltaY=0.01,
    )


def small_dose_sr(
    path: Path,
    *,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    **overrides: Any,
) -> Path:
    """Write an X-Ray Radiation Dose SR with little in it, as modalities add to a study; return `path`.

    Source: PS3.3 A.35.8; of PS3.16 TID 10001 it holds the procedure reported and the scope of accumulation.
    """
    uid = sop_instance_uid or uid_of(study_instance_uid, "dose")
    dataset = study("SR", study_instance_uid, XRayRadiationDoseSRStorage, uid)
    put(
        dataset,
        {
            "CompletionFlag": "COMPLETE",
            "VerificationFlag": "UNVERIFIED",
            "ReferencedPerformedProcedureStepSequence": [],
            "PerformedProcedureCodeSequence": [],
            "ValueType": "CONTAINER",
            "ContinuityOfContent": "SEPARATE",
            "ConceptNameCodeSequence": [code(Code("113701", "DCM", "X-Ray Radiation Dose Report"))],
            "ContentTemplateSequence": [item(MappingResource="DCMR", TemplateIdentifier="10001")],
            "ContentSequence": [_procedure_reported(), _scope(study_instance_uid)],
        },
    )
    return write(dataset, path, transfer_syntax_uid, overrides)


def _procedure_reported() -> Dataset:
    intent = content(
        "CODE",
        Code("363703001", "SCT", "Has Intent"),
        "HAS CONCEPT MOD",
        ConceptCodeSequence=[code(Code("261004008", "SCT", "Diagnostic Intent"))],
    )
    return content(
        "CODE",
        Code("121058", "DCM", "Procedure reported"),
        "HAS CONCEPT MOD",
        ConceptCodeSequence=[code(Code("71651007", "SCT", "Mammography"))],
        ContentSequence=[intent],
    )


def _scope(study_instance_uid: str) -> Dataset:
    name = Code("110180", "DCM", "Study Instance UID")
    return content(
        "CODE",
        Code("113705", "DCM", "Scope of Accumulation"),
        "HAS OBS CONTEXT",
        ConceptCodeSequence=[code(Code("113014", "DCM", "Study"))],
        ContentSequence=[content("UIDREF", name, "HAS PROPERTIES", UID=study_instance_uid)],
    )


def large_tomosynthesis(
    path: Path,
    size_bytes: int,
    *,
    laterality: str = "L",
    view: str = "CC",
    rows: int = 1024,
    columns: int = 768,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    **overrides: Any,
) -> Path:
    """Write a breast tomosynthesis object of exactly `size_bytes`, one frame in memory at a time; return `path`.

    As many frames as fit; the rest is Data Set Trailing Padding (FFFC,FFFC). Explicit VR Little Endian.

    Parameters
    ----------
    size_bytes : int
        Even; enough for the header and one frame of `rows` by `columns`; pixel data and padding below 4 GiB.

    Raises
    ------
    ValueError
        The size cannot be made.

    Source: PS3.3 A.55, Breast Tomosynthesis Image IOD; PS3.5 7.1.2 for the elements that are written by hand.
    """
    uid = sop_instance_uid or uid_of(study_instance_uid, "tomosynthesis", laterality, view, size_bytes)

    def header(frames: int) -> bytes:
        dataset = study("MG", study_instance_uid, BreastTomosynthesisImageStorage, uid)
        put(dataset, _tomosynthesis(laterality, view, rows, columns, frames))
        return encode(dataset, ExplicitVRLittleEndian, overrides)

    frame_bytes = rows * columns * 2
    frames = _frames_that_fit(size_bytes, frame_bytes, header)
    picture = breast_pixels(rows, columns, laterality=laterality, seed=uid).astype("<u2")
    with path.open("wb") as file:
        file.write(header(frames))
        file.write(_long_element(0x7FE0, 0x0010, b"OW", frames * frame_bytes))
        for frame in range(frames):
            file.write(np.roll(picture, frame, axis=0).tobytes())
        padding = size_bytes - file.tell()
        if padding:
            file.write(_long_element(0xFFFC, 0xFFFC, b"OB", padding - _LONG_ELEMENT_BYTES))
            file.truncate(size_bytes)  # the padding's zeros
    return path


_LONG_ELEMENT_BYTES = 12


def _long_element(group: int, element: int, vr: bytes, length: int) -> bytes:
    """Tag, VR, two reserved bytes and a 32 bit length: PS3.5 table 7.1-1."""
    return struct.pack("<HH2sHI", group, element, vr, 0, length)


def _frames_that_fit(size_bytes: int, frame_bytes: int, header: Callable[[int], bytes]) -> int:
    frames = size_bytes // frame_bytes
    if size_bytes % 2 or frames * frame_bytes >= 2**32 - 1:
        raise ValueError(f"{size_bytes} bytes: an even size is needed, and less than 4 GiB of pixels")
    while frames > 0:
        left = size_bytes - len(header(frames)) - _LONG_ELEMENT_BYTES - frames * frame_bytes
        if left == 0 or left >= _LONG_ELEMENT_BYTES:
            return frames
        frames -= 1
    raise ValueError(f"{size_bytes} bytes do not hold the header and one frame of {frame_bytes} bytes")


def _tomosynthesis(laterality: str, view: str, rows: int, columns: int, frames: int) -> dict[str, Any]:
    grey = grey_image(np.zeros((1, 1), dtype=np.uint16))
    for keyword in ("PixelData", "PixelIntensityRelationship", "PixelIntensityRelationshipSign"):
        del grey[keyword]
    for keyword in ("RescaleIntercept", "RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth"):
        del grey[keyword]  # these are in the functional groups
    view_item = code(VIEW_CODES[view])
    view_item.ViewModifierCodeSequence = []
    return {
        **grey,
        "Rows": rows,
        "Columns": columns,
        "NumberOfFrames": frames,
        "ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"],
        "PresentationIntentType": "FOR PRESENTATION",
        "BodyPartExamined": "BREAST",
        "AcquisitionDateTime": "20200301101600",
        "AcquisitionNumber": 1,
        "ContentQualification": "RESEARCH",
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "TOMOSYNTHESIS",
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "BreastImplantPresent": "NO",
        "ViewCodeSequence": [view_item],
        "FrameOfReferenceUID": uid_of("tomosynthesis", laterality, view),
        "PositionReferenceIndicator": "",
        "AcquisitionContextSequence": [],
        "DimensionOrganizationSequence": [item(DimensionOrganizationUID=uid_of("dimension"))],
        "DimensionIndexSequence": [
            item(
                DimensionOrganizationUID=uid_of("dimension"),
                DimensionIndexPointer=0x00200032,  # Image Position (Patient)
                FunctionalGroupPointer=0x00209113,  # Plane Position Sequence
            )
        ],
        "SharedFunctionalGroupsSequence": [_shared_groups(laterality)],
        "PerFrameFunctionalGroupsSequence": [_frame_groups(number) for number in range(frames)],
    }


def _shared_groups(laterality: str) -> Dataset:
    anatomy = item(AnatomicRegionSequence=[code(Code("76752008", "SCT", "Breast"))], FrameLaterality=laterality)
    return item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.1, 0.1], SliceThickness=1)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[0, -1, 0, 0, 0, -1])],
        FrameAnatomySequence=[anatomy],
        PixelValueTransformationSequence=[item(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")],
        FrameVOILUTSequence=[item(WindowCenter=2048, WindowWidth=4096)],
    )


def _frame_groups(number: int) -> Dataset:
    return item(
        XRay3DFrameTypeSequence=[
            item(
                FrameType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="TOMOSYNTHESIS",
                ReconstructionIndex=1,
            )
        ],
        FrameContentSequence=[item(StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=[number + 1])],
        PlanePositionSequence=[item(ImagePositionPatient=[number, 0, 0])],
    )
