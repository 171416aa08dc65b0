"""What a header says about an ultrasound image, read without pixels and without trusting a single value.

Attribute names follow the US Image module (PS3.3 C.8.5.6) and the US Region Calibration module (C.8.5.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydicom import Dataset

from pipelines.elements import items, text, texts, whole
from pipelines.ultrasound.anatomy import Laterality, Organ, laterality, organ
from pipelines.ultrasound.regions import StatedRegion, read_regions
from sr_templates.evidence import reference, value_text

Mode = Literal["2d", "m_mode", "spectral", "colour_flow", "rendering_3d", "elastography"]

MODE_BITS: Final[tuple[tuple[int, Mode], ...]] = (
    # Image Type value 4, PS3.3 C.8.5.6.1.1: a bitmap of four hexadecimal digits. Its bits 0200 (tissue
    # characterisation) and 0400 (spatially related frames) say nothing against a picture being B-mode.
    (0x0001, "2d"),
    (0x0002, "m_mode"),
    (0x0004, "spectral"),
    (0x0008, "spectral"),
    (0x0010, "colour_flow"),
    (0x0020, "m_mode"),
    (0x0040, "rendering_3d"),
    (0x0100, "colour_flow"),
)
ELASTOGRAPHY_WORDS: Final = ("ELASTO", "STRAIN", "SHEAR")
"""No attribute of the US Image module states elastography; vendors put one of these words into Image Type."""

PLANES: Final = {
    # PS3.16 CID 6 "Transducer Orientation", SCT
    "62824007": "transverse",
    "30730003": "sagittal",
    "38717003": "longitudinal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UltrasoundHeader:
    """The header of one object.

    Attributes
    ----------
    laterality : {"L", "R"} or None
        On which Image Laterality, Frame Laterality and the coded anatomy agree, else Laterality (of the series); None
        when absent, both sides, or contradictory.
    organ : {"breast", "other"} or None
        By Body Part Examined, the coded anatomy and Image Type; None when they say nothing either way.
    modes : frozenset of str
        Imaging modes that Image Type states; empty when it does not.
    transducer : str
        First value of Transducer Data, else Transducer Type; Latin-1 reading, empty when absent.
    plane : str or None
        Orientation of the transducer, where coded.
    frames : int
        Number of Frames; 1 when absent, 0 when it is no positive whole number.
    regions : tuple of StatedRegion
        Sequence of Ultrasound Regions, in its order.
    referable : bool
        Whether the UIDs allow a result to refer to the object.
    transfer_syntax_uid : str
        Of the file; empty when it has no file meta information.
    rows, columns, samples_per_pixel, bits_allocated, bits_stored : int
        0 when absent (samples: 1).
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    referable: bool
    modality: str
    laterality: Laterality | None
    organ: Organ | None
    image_type: tuple[str, ...]
    modes: frozenset[Mode]
    transducer: str
    plane: str | None
    photometric_interpretation: str
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    transfer_syntax_uid: str
    rows: int
    columns: int
    frames: int
    regions: tuple[StatedRegion, ...]

    @property
    def view(self) -> None:
        """None: ultrasound has no standard views of the breast."""

    @property
    def view_modifiers(self) -> tuple[str, ...]:
        """Likewise none."""
        return ()


def describe_ultrasound(dataset: Dataset) -> UltrasoundHeader:
    """Read what the pipeline needs to know from a header; never raises on a malformed value.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Any instance, as `pipelines.headers.read_header` gives it. No text element of it is decoded.
    """
    image_type = texts(dataset, "ImageType")
    return UltrasoundHeader(
        sop_class_uid=value_text(dataset, "SOPClassUID"),
        sop_instance_uid=value_text(dataset, "SOPInstanceUID"),
        study_instance_uid=value_text(dataset, "StudyInstanceUID"),
        referable=reference(dataset) is not None,
        modality=text(dataset, "Modality"),
        laterality=laterality(dataset),
        organ=organ(dataset, image_type),
        image_type=image_type,
        modes=_modes(image_type),
        transducer=_transducer(dataset),
        plane=_plane(dataset),
        photometric_interpretation=text(dataset, "PhotometricInterpretation"),
        samples_per_pixel=_count(dataset, "SamplesPerPixel", absent=1),
        bits_allocated=_count(dataset, "BitsAllocated"),
        bits_stored=_count(dataset, "BitsStored"),
        transfer_syntax_uid=value_text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID"),
        rows=_count(dataset, "Rows"),
        columns=_count(dataset, "Columns"),
        frames=declared_frames(dataset),
        regions=read_regions(dataset),
    )


def declared_frames(dataset: Dataset) -> int:
    """Number of Frames: 1 when absent or empty, 0 when it is no positive whole number."""
    stated = text(dataset, "NumberOfFrames")
    if not stated:
        return 1
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) <= 12 else 0


def _count(dataset: Dataset, keyword: str, *, absent: int = 0) -> int:
    value = whole(dataset, keyword)
    return absent if value is None or value < 0 else value


def _modes(image_type: tuple[str, ...]) -> frozenset[Mode]:
    modes: set[Mode] = set()
    bitmap = image_type[3] if len(image_type) > 3 else ""
    if len(bitmap) == 4 and all(digit in "0123456789ABCDEF" for digit in bitmap):
        modes.update(mode for bit, mode in MODE_BITS if int(bitmap, 16) & bit)
    if any(word in value for value in image_type[2:] for word in ELASTOGRAPHY_WORDS):
        modes.add("elastography")
    return frozenset(modes)


def _transducer(dataset: Dataset) -> str:
    data = value_text(dataset, "TransducerData").split("\\")[0].strip(" \0")
    return data or value_text(dataset, "TransducerType")


def _plane(dataset: Dataset) -> str | None:
    sequences = ("TransducerOrientationSequence", "ViewCodeSequence")
    codes = (value_text(item, "CodeValue") for keyword in sequences for item in items(dataset, keyword))
    return next((PLANES[code] for code in codes if code in PLANES), None)
