"""Which pipeline an instance goes to: one table over SOP class and modality, first row that fits.

What makes one image of a routed kind unfit (intent, view, implant, ...) is the pipeline's own table, since the answer
for that image is the pipeline's to write. Objects in which a person marked regions are told by what is in them
(`pipelines.regions.carries_regions`); they go with the images, and to no pipeline of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom import Dataset, uid
from pynetdicom.presentation import AllStoragePresentationContexts

from pipelines.contract import Reason
from sr_templates.contract import ReportingDevice

MAMMOGRAPHY: Final = frozenset(
    {
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.BreastTomosynthesisImageStorage,
        uid.BreastProjectionXRayImageStorageForPresentation,
        uid.BreastProjectionXRayImageStorageForProcessing,
    }
)
RETIRED_ULTRASOUND: Final = {
    "1.2.840.10008.5.1.4.1.1.6": "UltrasoundImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.3": "UltrasoundMultiFrameImageStorageRetired",
}
"""PS3.6 table A-1; old machines still send them. Keywords as pynetdicom wants them registered."""

ULTRASOUND: Final = frozenset(
    {
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
        uid.EnhancedUSVolumeStorage,
        *RETIRED_ULTRASOUND,
    }
)
SECONDARY_CAPTURE: Final = frozenset(
    {
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)
STRUCTURED_REPORTS: Final = frozenset(
    str(context.abstract_syntax)
    for context in AllStoragePresentationContexts
    if str(context.abstract_syntax).startswith("1.2.840.10008.5.1.4.1.1.88.")
)
PRESENTATION_STATES: Final = frozenset({uid.GrayscaleSoftcopyPresentationStateStorage})
SEGMENTATIONS: Final = frozenset({uid.SegmentationStorage})
ACCEPTED_SOP_CLASSES: Final = (
    MAMMOGRAPHY | ULTRASOUND | SECONDARY_CAPTURE | STRUCTURED_REPORTS | PRESENTATION_STATES | SEGMENTATIONS
)
"""What the receiver takes; anything else is refused when the association is negotiated."""

RESULT_SOP_CLASSES: Final = STRUCTURED_REPORTS | SECONDARY_CAPTURE | PRESENTATION_STATES | SEGMENTATIONS
"""Of what this node, or one of another version, gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row: the SOP classes it is for, and the pipeline or the reason why there is none."""

    sop_class_uids: frozenset[str]
    pipeline: str | None = None
    reason: Reason | None = None


ROUTES: Final = (
    Route(sop_class_uids=MAMMOGRAPHY, pipeline="mammography"),
    Route(sop_class_uids=ULTRASOUND, pipeline="ultrasound"),
    Route(
        sop_class_uids=SECONDARY_CAPTURE,
        reason=Reason(code="secondary_capture", text="secondary capture: not an original image of the modality"),
    ),
    Route(
        sop_class_uids=STRUCTURED_REPORTS,
        reason=Reason(code="structured_report", text="structured report: it holds no image"),
    ),
    Route(
        sop_class_uids=PRESENTATION_STATES,
        reason=Reason(code="presentation_state", text="presentation state: it holds no image"),
    ),
    Route(
        sop_class_uids=SEGMENTATIONS,
        reason=Reason(code="segmentation", text="segmentation: it holds no image, and no region that a person marked"),
    ),
)
UNKNOWN = Reason(code="sop_class", text="not a kind of object that this node analyses")


def route(sop_class_uid: str) -> str | Reason:
    """Return the name of the pipeline for an instance, or the reason why no pipeline takes it."""
    for row in ROUTES:
        if sop_class_uid in row.sop_class_uids:
            return row.pipeline or row.reason or UNKNOWN
    return UNKNOWN


def is_result_of_a_node(header: Dataset) -> bool:
    """Whether this node or another one made it; two behind one PACS would else answer each other's results for ever."""
    if str(header.get("SOPClassUID", "")) not in RESULT_SOP_CLASSES:
        return False
    return str(header.get("ManufacturerModelName", "")).strip() == ReportingDevice(station_name="").model_name
