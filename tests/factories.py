"""Small DICOM instances with complete headers, the same bytes for the same arguments.

Keyword arguments beyond the named ones set any element by its keyword; None removes it::

    small_mammogram(path, laterality="L", view="CC", PresentationIntentType="FOR PROCESSING", StudyID=None)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    BreastTomosynthesisImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    UltrasoundImageStorage,
    XRayRadiationDoseSRStorage,
)

ENCAPSULATED_UNCOMPRESSED: Final = UID("1.2.840.10008.1.2.1.98")
"""Encapsulated Uncompressed Explicit VR Little Endian (PS3.5 A.4.11), for which pydicom has no constant."""
FRAME_CONTENT_SEQUENCE: Final = 0x00209111
IN_STACK_POSITION_NUMBER: Final = 0x00209057
NATIVE_SYNTAXES: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
STANDARD_VIEWS: Final = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
VIEW_CODES: Final = {  # CID 4014
    "CC": Code("399162004", "SCT", "cranio-caudal"),
    "MLO": Code("399368009", "SCT", "medio-lateral oblique"),
    "ML": Code("399260004", "SCT", "medio-lateral"),
    "LM": Code("399352003", "SCT", "latero-medial"),
}
ORIENTATIONS: Final = {  # row and column direction of a breast whose chest wall is at the image's edge
    ("L", "CC"): ["A", "R"],
    ("R", "CC"): ["P", "L"],
    ("L", "MLO"): ["A", "FR"],
    ("R", "MLO"): ["P", "FL"],
}


def uid(*parts: object) -> str:
    """UID made from any values: 2.25 and 128 bits of a digest (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


STUDY_INSTANCE_UID: Final = uid("study")


def small_mammogram(
    path: Path | None = None,
    *,
    laterality: str,
    view: str,
    rows: int = 64,
    columns: int = 48,
    number: int = 1,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    pixels: NDArray[np.uint16] | None = None,
    **elements: Any,
) -> Dataset:
    """Make a Digital Mammography X-Ray Image, For Presentation (PS3.3 A.26) of 12 bits, some 8 kB.

    Parameters
    ----------
    path : pathlib.Path, optional
        Where to write the file.
    laterality : {"L", "R"}
    view : str
        View Position, for instance "CC" or "MLO".
    number : int
        Instance Number; two images of one study and view differ in it, and so in their UID and pixels.
    transfer_syntax_uid : str
        Native ones, RLE, JPEG-LS and JPEG 2000 (what pydicom can write).
    pixels : numpy.ndarray, optional
        Shape ``(rows, columns)``, uint16, 0 to 4095, in place of the half disc at the chest wall.
    **elements
        Any element by keyword; None removes it.

    Returns
    -------
    pydicom.Dataset
        With file meta, ready to be saved or sent.
    """
    instance_uid = sop_instance_uid or uid("mammogram", study_instance_uid, laterality, view, number)
    dataset = _general(
        DigitalMammographyXRayImageStorageForPresentation, instance_uid, study_instance_uid, "MG", number
    )
    stored = half_disc(rows, columns, laterality=laterality, seed=number) if pixels is None else pixels
    _set(
        dataset,
        **_acquisition(number),
        ImageType=["DERIVED", "PRIMARY"],
        PresentationIntentType="FOR PRESENTATION",
        PresentationLUTShape="IDENTITY",
        OrganExposed="BREAST",
        BodyPartExamined="BREAST",
        ImageLaterality=laterality,
        ViewPosition=view,
        ViewCodeSequence=_view_code(view),
        PatientOrientation=ORIENTATIONS.get((laterality, view), ["A", "R"] if laterality == "L" else ["P", "L"]),
        AnatomicRegionSequence=[_code(Code("76752008", "SCT", "Breast"))],
        ImagerPixelSpacing=[0.07, 0.07],
        EstimatedRadiographicMagnificationFactor=1.0,
        DistanceSourceToDetector=650,
        DistanceSourceToPatient=650,
        KVP=28,
        ExposureInuAs=80_000,
        ExposureTime=900,
        BodyPartThickness=52,
        CompressionForce=98,
        AnodeTargetMaterial="TUNGSTEN",
        FilterMaterial="RHODIUM",
        OrganDose=0.012,
        PositionerType="MAMMOGRAPHIC",
        PositionerPrimaryAngle=0 if view == "CC" else 45,
        DetectorType="DIRECT",
        FieldOfViewShape="RECTANGLE",
        BreastImplantPresent="NO",
        PartialView="NO",
        PixelIntensityRelationship="LOG",
        PixelIntensityRelationshipSign=-1,
        RescaleIntercept=0,
        RescaleSlope=1,
        RescaleType="US",
        LossyImageCompression="00",
        BurnedInAnnotation="NO",
        WindowCenter=2048,
        WindowWidth=4096,
        AcquisitionContextSequence=[],
    )
    _set_pixel_module(dataset, stored.shape, bits_stored=12)
    dataset.PixelData = stored.astype("<u2").tobytes()
    return _finish(dataset, path, transfer_syntax_uid, elements)


def screening_exam(folder: Path, **arguments: Any) -> list[Path]:
    """Write the four standard views (R and L, CC and MLO) of one study; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{laterality}_{view}.dcm" for laterality, view in STANDARD_VIEWS]
    for number, (path, (laterality, view)) in enumerate(zip(paths, STANDARD_VIEWS, strict=True), start=1):
        small_mammogram(path, laterality=laterality, view=view, number=number, **arguments)
    return paths


def small_ultrasound(
    path: Path | None = None,
    *,
    rows: int = 64,
    columns: int = 48,
    number: int = 1,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> Dataset:
    """Make an Ultrasound Image (PS3.3 A.6): RGB, one calibrated tissue region; parameters as of `small_mammogram`."""
    instance_uid = sop_instance_uid or uid("ultrasound", study_instance_uid, number)
    dataset = _general(UltrasoundImageStorage, instance_uid, study_instance_uid, "US", number)
    region = Dataset()
    _set(
        region,
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionFlags=0,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=columns - 1,
        RegionLocationMaxY1=rows - 1,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.01,
        PhysicalDeltaY=0.01,
    )
    _set(
        dataset,
        **_acquisition(number),
        ImageType=["ORIGINAL", "PRIMARY", "BREAST", "0001"],
        BodyPartExamined="BREAST",
        Laterality="L",
        PatientOrientation=[],
        SequenceOfUltrasoundRegions=[region],
        LossyImageCompression="00",
        BurnedInAnnotation="NO",
    )
    _set_pixel_module(dataset, (rows, columns), bits_stored=8)
    _set(dataset, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    grey = half_disc(rows, columns, laterality="L", seed=number) >> 4
    dataset.PixelData = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2).tobytes()
    return _finish(dataset, path, transfer_syntax_uid, elements)


def small_dose_sr(
    path: Path | None = None,
    *,
    number: int = 1,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> Dataset:
    """Make an X-Ray Radiation Dose SR (PS3.3 A.35.8) with the first rows of TID 10001 for projection X-ray."""
    instance_uid = sop_instance_uid or uid("dose", study_instance_uid, number)
    dataset = _general(XRayRadiationDoseSRStorage, instance_uid, study_instance_uid, "SR", number)
    template = Dataset()
    _set(template, MappingResource="DCMR", TemplateIdentifier="10001")
    procedure = _content("HAS CONCEPT MOD", "CODE", Code("121058", "DCM", "Procedure reported"))
    procedure.ConceptCodeSequence = [_code(Code("71651007", "SCT", "Mammography"))]
    intent = _content("HAS CONCEPT MOD", "CODE", Code("363703001", "SCT", "Has Intent"))
    intent.ConceptCodeSequence = [_code(Code("360156006", "SCT", "Screening Intent"))]
    procedure.ContentSequence = [intent]
    observer = _content("HAS OBS CONTEXT", "CODE", Code("121005", "DCM", "Observer Type"))
    observer.ConceptCodeSequence = [_code(Code("121007", "DCM", "Device"))]
    device = _content("HAS OBS CONTEXT", "UIDREF", Code("121012", "DCM", "Device Observer UID"))
    device.UID = uid("device")
    _set(
        dataset,
        InstanceNumber=number,
        CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED",
        ReferencedPerformedProcedureStepSequence=[],
        PerformedProcedureCodeSequence=[],
        ValueType="CONTAINER",
        ConceptNameCodeSequence=[_code(Code("113701", "DCM", "X-Ray Radiation Dose Report"))],
        ContinuityOfContent="SEPARATE",
        ContentTemplateSequence=[template],
        ContentSequence=[procedure, observer, device],
    )
    return _finish(dataset, path, transfer_syntax_uid, elements)


def large_tomosynthesis(
    path: Path,
    size_bytes: int,
    *,
    rows: int = 2048,
    columns: int = 1024,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    study_instance_uid: str = STUDY_INSTANCE_UID,
    sop_instance_uid: str | None = None,
    **elements: Any,
) -> Dataset:
    """Write a Breast Tomosynthesis Image (PS3.3 A.55), frame after frame; memory holds one frame.

    Parameters
    ----------
    size_bytes : int
        Size of the file: at least this, and less than a frame and the header more.
    rows, columns : int
        Of a frame of 16 bits, 4 MiB by default.
    transfer_syntax_uid : str
        Explicit VR Little Endian: one run of bytes, at most 4 GB; or
        `ENCAPSULATED_UNCOMPRESSED`: one item a frame.

    Returns
    -------
    pydicom.Dataset
        The header, without pixels.
    """
    frame_bytes = rows * columns * 2
    frames = max(1, -(-size_bytes // frame_bytes))
    instance_uid = sop_instance_uid or uid("tomosynthesis", study_instance_uid, frames, rows, columns)
    dataset = _general(BreastTomosynthesisImageStorage, instance_uid, study_instance_uid, "MG", 1)
    _set(
        dataset,
        ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"],
        NumberOfFrames=frames,
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="TOMOSYNTHESIS",
        PixelPresentation="MONOCHROME",
        ContentQualification="RESEARCH",
        PresentationLUTShape="IDENTITY",
        LossyImageCompression="00",
        BurnedInAnnotation="NO",
        BreastImplantPresent="NO",
        ViewCodeSequence=_view_code("CC"),
        AcquisitionContextSequence=[],
        SharedFunctionalGroupsSequence=[_shared_groups()],
        PerFrameFunctionalGroupsSequence=[_frame_groups(index) for index in range(frames)],
    )
    dimension_uid = uid("dimensions", instance_uid)
    by_position = _with(
        DimensionOrganizationUID=dimension_uid,
        DimensionIndexPointer=IN_STACK_POSITION_NUMBER,
        FunctionalGroupPointer=FRAME_CONTENT_SEQUENCE,
    )
    _set(
        dataset,
        DimensionOrganizationSequence=[_with(DimensionOrganizationUID=dimension_uid)],
        DimensionIndexSequence=[by_position],
    )
    _set_pixel_module(dataset, (rows, columns), bits_stored=12)
    header = _finish(dataset, path, transfer_syntax_uid, elements)
    frame = half_disc(rows, columns, laterality="L", seed=1).astype("<u2").tobytes()
    with path.open("ab") as file:
        if transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED:
            _append_items(file, frame, frames)
        else:
            file.write(b"\xe0\x7f\x10\x00OW\0\0" + (frame_bytes * frames).to_bytes(4, "little"))
            for stamped in _stamped(frame, frames):
                file.write(stamped)
    return header


def half_disc(rows: int, columns: int, *, laterality: str, seed: int) -> NDArray[np.uint16]:
    """Make a bright half disc on black at the left edge (L) or the right edge (R).

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns)``, uint16, 0 to 4095.
    """
    y, x = np.ogrid[:rows, :columns]
    distance = np.hypot((y - rows / 2) / (rows / 2), x / (columns * 0.8))
    texture = (x * 7 + y * 13 + (x * y) % 31 + seed * 17) % 256
    picture = np.where(distance < 0.9, 1200 + 1600 * (1 - distance) + texture, 0).astype(np.uint16)
    return picture if laterality == "L" else np.ascontiguousarray(picture[:, ::-1])


def _append_items(file: BinaryIO, frame: bytes, frames: int) -> None:
    """Encapsulated pixel data with an empty offset table (PS3.5 A.4)."""
    file.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0")
    for stamped in _stamped(frame, frames):
        file.write(b"\xfe\xff\x00\xe0" + len(frame).to_bytes(4, "little"))
        file.write(stamped)
    file.write(b"\xfe\xff\xdd\xe0\0\0\0\0")


def _stamped(frame: bytes, frames: int) -> Iterator[bytearray]:
    """The frame again and again, its last pixel being the frame's number."""
    stamped = bytearray(frame)
    for index in range(frames):
        stamped[-2:] = (index % 4096).to_bytes(2, "little")
        yield stamped


def _shared_groups() -> Dataset:
    groups = Dataset()
    anatomy = _with(
        AnatomicRegionSequence=[_code(Code("76752008", "SCT", "Breast"))],
        FrameLaterality="L",
    )
    _set(
        groups,
        FrameAnatomySequence=[anatomy],
        PixelMeasuresSequence=[_with(SliceThickness=1.0, PixelSpacing=[0.1, 0.1])],
        PixelValueTransformationSequence=[_with(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")],
        FrameVOILUTSequence=[_with(WindowCenter=2048, WindowWidth=4096)],
        PlaneOrientationSequence=[_with(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])],
    )
    return groups


def _frame_groups(index: int) -> Dataset:
    frame_type = _with(
        FrameType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="TOMOSYNTHESIS",
    )
    content = _with(StackID="1", InStackPositionNumber=index + 1, DimensionIndexValues=[index + 1])
    return _with(
        XRay3DFrameTypeSequence=[frame_type],
        FrameContentSequence=[content],
        PlanePositionSequence=[_with(ImagePositionPatient=[float(index), 0.0, 0.0])],
    )


def _general(sop_class_uid: str, instance_uid: str, study_uid: str, modality: str, number: int) -> Dataset:
    """Patient, study, series, equipment and SOP common modules."""
    return _with(
        SpecificCharacterSet="ISO_IR 192",
        SOPClassUID=sop_class_uid,
        SOPInstanceUID=instance_uid,
        StudyInstanceUID=study_uid,
        SeriesInstanceUID=uid("series", study_uid, sop_class_uid),
        Modality=modality,
        StudyDate="20250102",
        SeriesDate="20250102",
        ContentDate="20250102",
        StudyTime="101500",
        SeriesTime="101500",
        ContentTime=f"1016{number % 60:02d}",
        AccessionNumber="ACC0001",
        StudyID="STUDY1",
        StudyDescription="Screening mammography",
        ReferringPhysicianName="Referrer^Anna",
        PatientName="Test^Breast",
        PatientID="PATIENT1",
        PatientBirthDate="19650403",
        PatientSex="F",
        PatientAge="059Y",
        Manufacturer="mammonode tests",
        ManufacturerModelName="factory",
        DeviceSerialNumber="1",
        SoftwareVersions="1",
        InstitutionName="Test hospital",
        SeriesNumber=1,
        InstanceNumber=number,
    )


def _acquisition(number: int) -> dict[str, Any]:
    time = f"1016{number % 60:02d}"
    return {
        "AcquisitionDate": "20250102",
        "AcquisitionTime": time,
        "AcquisitionDateTime": f"20250102{time}",
        "AcquisitionNumber": number,
    }


def _set_pixel_module(dataset: Dataset, shape: tuple[int, ...], *, bits_stored: int) -> None:
    _set(
        dataset,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=shape[0],
        Columns=shape[1],
        BitsAllocated=16 if bits_stored > 8 else 8,
        BitsStored=bits_stored,
        HighBit=bits_stored - 1,
        PixelRepresentation=0,
    )


def _finish(dataset: Dataset, path: Path | None, transfer_syntax_uid: str, elements: dict[str, Any]) -> Dataset:
    """Apply the caller's elements, add the file meta, compress, write."""
    _set(dataset, **elements)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = UID(uid("implementation"))
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    if "PixelData" in dataset and transfer_syntax_uid not in NATIVE_SYNTAXES:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(transfer_syntax_uid, generate_instance_uid=False)
    if path is not None:
        dataset.save_as(path, enforce_file_format=True)
    return dataset


def _with(**elements: Any) -> Dataset:
    dataset = Dataset()
    _set(dataset, **elements)
    return dataset


def _set(dataset: Dataset, **elements: Any) -> None:
    for keyword, value in elements.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)


def _code(code: Code) -> Dataset:
    return _with(CodeValue=code.value, CodingSchemeDesignator=code.scheme_designator, CodeMeaning=code.meaning)


def _view_code(view: str) -> Sequence:
    if view not in VIEW_CODES:
        return Sequence()
    item = _code(VIEW_CODES[view])
    item.ViewModifierCodeSequence = []
    return Sequence([item])


def _content(relationship: str, value_type: str, name: Code) -> Dataset:
    return _with(RelationshipType=relationship, ValueType=value_type, ConceptNameCodeSequence=[_code(name)])
