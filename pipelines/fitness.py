"""Which instances can be analysed: a table of rules, the first that applies gives the reason.

A rule is a line; a new modality or a model that learns another view removes or narrows one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pydicom import Dataset
from pydicom.uid import JPEGExtended12Bit

from pipelines import reasons
from pipelines.contract import Reason
from pipelines.views import (
    IMPLANT_DISPLACED,
    MAGNIFICATION,
    MODIFIER_BY_SCT,
    SPECIMEN,
    SPOT_COMPRESSION,
    VIEW_BY_NAME,
)
from sr_templates.evidence import reference

if TYPE_CHECKING:  # headers re-exports unfit_reason, so importing it here at run time would be a circle
    from pipelines.headers import MammogramHeader

MG_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.2"

UNFIT_SOP_CLASSES: Final[tuple[tuple[str, Reason], ...]] = (
    # PS3.4 table B.5-1; a UID that ends with a dot stands for all classes below it.
    ("1.2.840.10008.5.1.4.1.1.1.2.1", reasons.FOR_PROCESSING),
    ("1.2.840.10008.5.1.4.1.1.13.1.3", reasons.TOMOSYNTHESIS),
    ("1.2.840.10008.5.1.4.1.1.13.1.4", reasons.TOMOSYNTHESIS_PROJECTIONS),
    ("1.2.840.10008.5.1.4.1.1.13.1.5", reasons.TOMOSYNTHESIS_PROJECTIONS),
    ("1.2.840.10008.5.1.4.1.1.6", reasons.ULTRASOUND),  # retired
    ("1.2.840.10008.5.1.4.1.1.6.", reasons.ULTRASOUND),
    ("1.2.840.10008.5.1.4.1.1.3", reasons.ULTRASOUND),  # retired
    ("1.2.840.10008.5.1.4.1.1.3.", reasons.ULTRASOUND),
    ("1.2.840.10008.5.1.4.1.1.7", reasons.SECONDARY_CAPTURE),
    ("1.2.840.10008.5.1.4.1.1.7.", reasons.SECONDARY_CAPTURE),
    ("1.2.840.10008.5.1.4.1.1.88.67", reasons.DOSE_REPORT),
    ("1.2.840.10008.5.1.4.1.1.88.68", reasons.DOSE_REPORT),
    ("1.2.840.10008.5.1.4.1.1.88.73", reasons.DOSE_REPORT),
    ("1.2.840.10008.5.1.4.1.1.88.", reasons.STRUCTURED_REPORT),
    ("1.2.840.10008.5.1.4.1.1.11.", reasons.PRESENTATION_STATE),
)

SPOT_MODIFIERS: Final = (MAGNIFICATION, SPOT_COMPRESSION)
ANALYSED_VIEWS: Final = ("CC", "MLO")

BIOPSY_IMAGE_TYPE_PREFIXES: Final = ("STEREO_", "PREFIRE", "POSTFIRE", "POSTBIOPSY", "POSTMARKER")
"""PS3.3 C.8.11.7.1.4, table C.8-74a."""

CONTRAST_IMAGE_TYPES: Final = frozenset({"SUBTRACTION", "ADDITION", "HIGH_ENERGY"})
"""PS3.3 C.8.11.7.1.4, values 4 and 5; a LOW_ENERGY image is read like any mammogram."""

MIN_SIDE_PX: Final = 64
"""The stride of the coarsest level of a five-level feature pyramid: below it there is nothing to look at."""

MIN_SIDE_MM: Final = 5.0
"""Smaller than the smallest spot: whatever it is, it is no view of a breast."""

MAX_SIDE_MM: Final = 500.0
"""Detectors measure 24 x 30 cm, films no more than 30 x 40 cm; a wrong spacing would resample to a giant image."""


def _sop_class(header: MammogramHeader) -> Reason | None:
    uid = header.sop_class_uid
    if uid == MG_FOR_PRESENTATION:
        return None
    for unfit, reason in UNFIT_SOP_CLASSES:
        if uid == unfit or (unfit.endswith(".") and uid.startswith(unfit)):
            return reason
    return reasons.NOT_A_MAMMOGRAM


def _spot_view(header: MammogramHeader) -> Reason | None:
    spot = [MODIFIER_BY_SCT[code].meaning for code in SPOT_MODIFIERS if code in header.view_modifiers]
    return reasons.spot_view(spot) if spot else None


def _view(header: MammogramHeader) -> Reason | None:
    if header.view is None:
        return reasons.UNKNOWN_VIEW
    if header.view in ANALYSED_VIEWS:
        return None
    return reasons.view_not_analysed(header.view, VIEW_BY_NAME[header.view].meaning)


def _sides_mm(header: MammogramHeader) -> tuple[float, float]:
    row_mm, column_mm = header.pixel_spacing_mm or (0.0, 0.0)
    return header.rows * row_mm, header.columns * column_mm


def _when(applies: Callable[[MammogramHeader], bool], reason: Reason) -> Callable[[MammogramHeader], Reason | None]:
    return lambda header: reason if applies(header) else None


RULES: Final[tuple[Callable[[MammogramHeader], Reason | None], ...]] = (
    # What the object is. The flat field comes first: it is met under several SOP classes and with a breast's codes.
    _when(lambda h: h.view_position.replace(" ", "") == "FLATFIELD", reasons.FLAT_FIELD),
    # Before the SOP class, since it names what the sender can change: no free decoder reads it.
    _when(
        lambda h: h.transfer_syntax_uid == JPEGExtended12Bit and h.bits_stored > 8,
        reasons.undecodable(f"transfer syntax {JPEGExtended12Bit.name} [{JPEGExtended12Bit!s}], 12 bit"),
    ),
    _sop_class,
    _when(lambda h: h.presentation_intent == "FOR PROCESSING", reasons.FOR_PROCESSING),
    _when(lambda h: h.tomosynthesis, reasons.TOMOSYNTHESIS),
    _when(lambda h: h.modality not in {"MG", ""}, reasons.NOT_A_MAMMOGRAM),
    _when(lambda h: h.quality_control, reasons.QUALITY_CONTROL),
    # What it shows. Partial views are analysed: each shows part of a breast as a full view does.
    # So are 2D images synthesised from tomosynthesis: they are sent to be read as mammograms.
    _when(lambda h: h.view == SPECIMEN, reasons.SPECIMEN),
    _when(lambda h: h.implant or IMPLANT_DISPLACED in h.view_modifiers, reasons.IMPLANT),
    _when(lambda h: any(t.startswith(BIOPSY_IMAGE_TYPE_PREFIXES) for t in h.image_type[2:]), reasons.BIOPSY),
    _when(lambda h: not CONTRAST_IMAGE_TYPES.isdisjoint(h.image_type[2:]), reasons.CONTRAST),
    _spot_view,
    _view,
    _when(lambda h: h.laterality is None, reasons.UNKNOWN_LATERALITY),
    # Whether it can be computed on.
    _when(lambda h: h.rows == 0 or h.columns == 0, reasons.NO_PIXELS),
    _when(lambda h: h.frames > 1, reasons.MULTI_FRAME),
    _when(
        lambda h: h.samples_per_pixel != 1 or not h.photometric_interpretation.startswith("MONOCHROME"),
        reasons.NOT_GREYSCALE,
    ),
    _when(lambda h: min(h.rows, h.columns) < MIN_SIDE_PX, reasons.IMAGE_TOO_SMALL),
    _when(lambda h: h.pixel_spacing_mm is None, reasons.NO_PIXEL_SPACING),
    _when(lambda h: max(_sides_mm(h)) > MAX_SIDE_MM, reasons.IMPLAUSIBLE_PIXEL_SPACING),
    _when(lambda h: min(_sides_mm(h)) < MIN_SIDE_MM, reasons.IMAGE_TOO_SMALL),
)


def unfit_reason(header: MammogramHeader, dataset: Dataset) -> Reason | None:
    """Say why the mammography pipeline does not analyse this instance, None when it does.

    Parameters
    ----------
    header : MammogramHeader
        From `pipelines.headers.describe_mammogram`.
    dataset : pydicom.Dataset
        The same header as a data set; with pixel data in it, an empty one is found out.

    Returns
    -------
    Reason or None
        Of the first rule that applies.
    """
    for rule in RULES:
        reason = rule(header)
        if reason is not None:
            return reason
    if "PixelData" in dataset and not dataset["PixelData"].value:
        return reasons.NO_PIXELS
    # A finding on it could not be reported, as each has to say on which image it is.
    return reasons.NOT_REFERABLE if reference(dataset) is None else None
