"""Which objects the ultrasound pipeline looks at: a table of rules, the first that applies gives the reason.

What single regions hold is decided later, from header and pixels together (`pipelines.ultrasound.plan`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydicom.uid import JPEGExtended12Bit

from pipelines import reasons as shared_reasons
from pipelines.contract import Reason
from pipelines.ultrasound import reasons
from pipelines.ultrasound.header import UltrasoundHeader

PICTURES: Final = frozenset(
    {
        # PS3.4 table B.5-1: US Image, US Multi-frame Image; then their retired predecessors, which old machines send.
        "1.2.840.10008.5.1.4.1.1.6.1",
        "1.2.840.10008.5.1.4.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.6",
        "1.2.840.10008.5.1.4.1.1.3",
    }
)
VOLUMES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.6.2"})

VIDEO_SYNTAXES: Final = "1.2.840.10008.1.2.4.10"
"""MPEG2, MPEG-4 and HEVC (PS3.5 A.4.5 to A.4.11) all begin with this: 4.100 to 4.108."""

ONE_SAMPLE: Final = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
THREE_SAMPLES: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})
"""Photometric Interpretation of US images: PS3.3 C.8.5.6.1.2; YBR_RCT and YBR_ICT come with JPEG 2000."""

MIN_SIDE_PX: Final = 64
"""Smaller than the input of the networks: there is nothing to look at."""


def _when(applies: Callable[[UltrasoundHeader], bool], reason: Reason) -> Callable[[UltrasoundHeader], Reason | None]:
    return lambda header: reason if applies(header) else None


def _pixel_kind(header: UltrasoundHeader) -> bool:
    kinds = {1: ONE_SAMPLE, 3: THREE_SAMPLES}.get(header.samples_per_pixel, frozenset())
    depth = 1 <= header.bits_stored <= header.bits_allocated and header.bits_allocated in {8, 16}
    return header.photometric_interpretation not in kinds or not depth


def _only_shows(header: UltrasoundHeader, mode: str) -> bool:
    """Image Type states this mode, and no region says where else a picture could be."""
    return mode in header.modes and not header.regions


RULES: Final[tuple[Callable[[UltrasoundHeader], Reason | None], ...]] = (
    _when(lambda h: h.sop_class_uid in VOLUMES, reasons.VOLUME),
    _when(lambda h: h.sop_class_uid not in PICTURES, reasons.NOT_ULTRASOUND),
    _when(lambda h: h.modality not in {"US", ""}, reasons.NOT_ULTRASOUND),
    # What can be seen from the header alone, the sender can change; so it comes before what is shown.
    _when(
        lambda h: h.transfer_syntax_uid.startswith(VIDEO_SYNTAXES),
        shared_reasons.undecodable("video (MPEG); frames that are compressed one by one are needed"),
    ),
    _when(
        lambda h: h.transfer_syntax_uid == JPEGExtended12Bit and h.bits_stored > 8,
        shared_reasons.undecodable(f"transfer syntax {JPEGExtended12Bit.name} [{JPEGExtended12Bit!s}], 12 bit"),
    ),
    _when(lambda h: h.rows == 0 or h.columns == 0, shared_reasons.NO_PIXELS),
    _when(lambda h: h.frames == 0, reasons.FRAME_COUNT),
    _when(_pixel_kind, reasons.PIXEL_KIND),
    _when(lambda h: h.organ == "other", reasons.OTHER_ORGAN),
    _when(lambda h: "rendering_3d" in h.modes, reasons.RENDERING),
    _when(lambda h: "elastography" in h.modes, reasons.ELASTOGRAPHY),
    _when(lambda h: _only_shows(h, "colour_flow"), reasons.COLOUR_FLOW),
    _when(lambda h: _only_shows(h, "spectral"), reasons.SPECTRAL),
    _when(lambda h: _only_shows(h, "m_mode"), reasons.M_MODE),
    _when(lambda h: min(h.rows, h.columns) < MIN_SIDE_PX, reasons.PICTURE_TOO_SMALL),
    _when(lambda h: not h.referable, shared_reasons.NOT_REFERABLE),
)


def unfit_reason(header: UltrasoundHeader) -> Reason | None:
    """Say why the ultrasound pipeline does not look at this object's pixels, None when it does.

    Returns
    -------
    Reason or None
        Of the first rule that applies.
    """
    return next((reason for rule in RULES if (reason := rule(header)) is not None), None)
