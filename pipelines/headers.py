"""What a header says about a mammogram, read without pixels and without trusting a single value.

Everything here is called for each received instance, so it imports pydicom only and never raises on a malformed
value: a value that cannot be read is as good as an absent one, and `pipelines.fitness` says what follows from that.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError

from pipelines.errors import UnreadableInstance
from pipelines.fitness import unfit_reason
from pipelines.views import MODIFIER_BY_CODE, VIEW_BY_CODE, VIEW_BY_NAME

__all__ = ["MammogramHeader", "describe_mammogram", "read_header", "unfit_reason", "view_name"]

Laterality = Literal["L", "R"]

MALFORMED: Final = (
    ValueError,  # a number that is none, a wrong date, bytes of a wrong length
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,  # pydicom: a VR that it does not know; a nesting too deep
    EOFError,
    OSError,  # a sequence that does not begin with an item
    struct.error,
    zlib.error,  # a damaged file in Deflated Explicit VR Little Endian
    InvalidDicomError,
    BytesLengthException,  # a plain Exception
)
"""What pydicom raises when a malformed element is read or, as it converts lazily, when its value is first used."""

GENERATED_2D: Final = "GENERATED_2D"
TOMOSYNTHESIS_IMAGE_TYPES: Final = frozenset({"TOMO_PROJ", "TOMOSYNTHESIS", "TOMO_SCOUT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MammogramHeader:
    """The header of one image, each attribute read the way PS3.3 C.8.11.7 means it.

    Attributes
    ----------
    laterality : {"L", "R"} or None
        Image Laterality, else Laterality, else Frame Laterality; None when absent, unpaired or both.
    view : str or None
        Name of a view of CID 4014 (`pipelines.views`): "CC", "MLO", "ML", ...
    view_modifiers : tuple of str
        SNOMED CT code values of CID 4015.
    presentation_intent : str
        "FOR PRESENTATION", "FOR PROCESSING" or empty.
    image_type : tuple of str
        Values of Image Type (0008,0008).
    implant, partial_view : bool
        Breast Implant Present, Partial View.
    magnification : float
        Estimated Radiographic Magnification Factor, 1.0 when absent or senseless.
    synthesised : bool
        A 2D image computed from tomosynthesis (PS3.3 C.8.11.7.1.4: GENERATED_2D).
    tomosynthesis : bool
        A reconstructed volume or its projections, by SOP class or Image Type.
    pixel_spacing_mm : tuple of float or None
        ``(row, column)`` in the plane of the breast: Imager Pixel Spacing, which is at the detector, over the
        magnification factor.
    transfer_syntax_uid : str
        Of the file; empty when the data set came without file meta information.
    rows, columns, frames : int
        0 rows or columns when absent; frames is at least 1.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    modality: str
    laterality: Laterality | None
    view: str | None
    view_position: str
    view_modifiers: tuple[str, ...]
    presentation_intent: str
    image_type: tuple[str, ...]
    implant: bool
    partial_view: bool
    quality_control: bool
    magnification: float
    synthesised: bool
    tomosynthesis: bool
    pixel_spacing_mm: tuple[float, float] | None
    photometric_interpretation: str
    samples_per_pixel: int
    bits_stored: int
    transfer_syntax_uid: str
    rows: int
    columns: int
    frames: int


def read_header(path: Path) -> Dataset:
    """Read the data set in front of the pixel data.

    A file without preamble or file meta information is read as well, as long as it holds a SOP Class UID.

    Returns
    -------
    pydicom.Dataset
        With its ``file_meta``. pydicom converts a value when it is first used: patient and study attributes are
        best left untouched, so that they can be copied to the results byte for byte.

    Raises
    ------
    UnreadableInstance
        When the file is absent, is not DICOM, or breaks off inside the header.
    """
    try:
        dataset = dcmread(path, stop_before_pixels=True, force=True)
        has_class = "SOPClassUID" in dataset
    except MALFORMED as error:
        raise UnreadableInstance(f"header cannot be read ({type(error).__name__})") from error
    if not has_class:
        raise UnreadableInstance("not a DICOM image or document: no SOP Class UID")
    return dataset


def describe_mammogram(dataset: Dataset) -> MammogramHeader:
    """Read what the pipeline needs to know from a header; never raises on a malformed value.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Any instance, not only mammograms; what it lacks comes back as None, empty or False.
    """
    image_type = _texts(dataset, "ImageType")
    sop_class_uid = _text(dataset, "SOPClassUID")
    view_items = _items(dataset, "ViewCodeSequence")
    magnification = _positive(_numbers(dataset, "EstimatedRadiographicMagnificationFactor"), 1) or (1.0,)
    return MammogramHeader(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        modality=_text(dataset, "Modality").upper(),
        laterality=_laterality(dataset),
        view=_view(dataset, view_items),
        view_position=_text(dataset, "ViewPosition").upper(),
        view_modifiers=_view_modifiers(dataset, view_items),
        presentation_intent=_text(dataset, "PresentationIntentType").upper(),
        image_type=image_type,
        implant=_text(dataset, "BreastImplantPresent").upper() == "YES",
        partial_view=_text(dataset, "PartialView").upper() == "YES",
        quality_control=_text(dataset, "QualityControlImage").upper() == "YES",
        magnification=magnification[0],
        synthesised=GENERATED_2D in image_type[2:],
        tomosynthesis=_is_tomosynthesis(sop_class_uid, image_type),
        pixel_spacing_mm=_breast_plane_spacing_mm(dataset, magnification[0]),
        photometric_interpretation=_text(dataset, "PhotometricInterpretation").upper(),
        samples_per_pixel=_count(dataset, "SamplesPerPixel", default=1),
        bits_stored=_count(dataset, "BitsStored", default=0),
        transfer_syntax_uid=_text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID"),
        rows=_count(dataset, "Rows", default=0),
        columns=_count(dataset, "Columns", default=0),
        frames=max(1, _count(dataset, "NumberOfFrames", default=1)),
    )


def view_name(header: MammogramHeader) -> str | None:
    """``"L-CC"``-style name of the breast and view, None when either is unknown."""
    if header.laterality is None or header.view is None:
        return None
    return f"{header.laterality}-{header.view}"


def _is_tomosynthesis(sop_class_uid: str, image_type: tuple[str, ...]) -> bool:
    if sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.13.1."):  # PS3.4 B.5: the breast tomosynthesis family
        return True
    return not TOMOSYNTHESIS_IMAGE_TYPES.isdisjoint(image_type[2:]) and GENERATED_2D not in image_type[2:]


def _laterality(dataset: Dataset) -> Laterality | None:
    for found in (_text(dataset, "ImageLaterality"), _text(dataset, "Laterality"), _frame_laterality(dataset)):
        if found:
            return cast("Laterality", found.upper()) if found.upper() in {"L", "R"} else None
    return None


def _frame_laterality(dataset: Dataset) -> str:
    """Frame Laterality (PS3.3 C.7.6.16.2.8) of the shared group, else the one on which all frames agree."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        found = {
            _text(anatomy, "FrameLaterality")
            for group in _items(dataset, groups)
            for anatomy in _items(group, "FrameAnatomySequence")
        } - {""}
        if len(found) == 1:
            return found.pop()
    return ""


def _view(dataset: Dataset, view_items: tuple[Dataset, ...]) -> str | None:
    """View Code Sequence first: View Position is optional and of free terms in practice."""
    for item in view_items:
        view = VIEW_BY_CODE.get(_text(item, "CodeValue"))
        if view is not None:
            return view.name
    named = VIEW_BY_NAME.get(_text(dataset, "ViewPosition").upper())
    return named.name if named is not None else None


def _view_modifiers(dataset: Dataset, view_items: tuple[Dataset, ...]) -> tuple[str, ...]:
    """Modifiers sit inside the view's item (PS3.3 C.8.11.7); some writers put them beside it."""
    found = [
        MODIFIER_BY_CODE[code].sct_code
        for parent in (*view_items, dataset)
        for modifier in _items(parent, "ViewModifierCodeSequence")
        if (code := _text(modifier, "CodeValue")) in MODIFIER_BY_CODE
    ]
    return tuple(dict.fromkeys(found))


def _breast_plane_spacing_mm(dataset: Dataset, magnification: float) -> tuple[float, float] | None:
    spacing = _positive(_numbers(dataset, "ImagerPixelSpacing"), 2)
    return None if spacing is None else (spacing[0] / magnification, spacing[1] / magnification)


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except MALFORMED:
        return None


def _values(dataset: Dataset, keyword: str) -> Iterator[Any]:
    value = _value(dataset, keyword)
    if value is None:
        return
    if isinstance(value, str | bytes | int | float):
        yield value
        return
    try:
        yield from value
    except MALFORMED:
        return


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(str(value).strip().upper() for value in _values(dataset, keyword))


def _text(dataset: Dataset, keyword: str) -> str:
    """First value as text, stripped; empty when absent."""
    for value in _values(dataset, keyword):
        return "" if value is None else str(value).strip(" \0")
    return ""


def _numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in _values(dataset, keyword))
    except MALFORMED:
        return ()


def _positive(numbers: tuple[float, ...], count: int) -> tuple[float, ...] | None:
    if len(numbers) != count or not all(math.isfinite(number) and number > 0 for number in numbers):
        return None
    return numbers


def _count(dataset: Dataset, keyword: str, *, default: int) -> int:
    numbers = _numbers(dataset, keyword)
    return int(numbers[0]) if numbers and math.isfinite(numbers[0]) else default


def _items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    return tuple(item for item in _values(dataset, keyword) if isinstance(item, Dataset))
