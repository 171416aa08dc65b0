"""What a measurement report says of its findings: which image and frame, which box (TID 1500, TID 1410, PS3.16)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset

from models.contract import BoxPx

MEASUREMENT_GROUP: Final = "125007"
IMAGE_REGION: Final = "111030"
TRACKING_IDENTIFIER: Final = "112039"
TRACKING_UID: Final = "112040"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedBox:
    """A finding of the report; `box_px` is ``(x0, y0, x1, y1)`` in stored pixels, of `frame` if it has frames."""

    name: str
    tracking_uid: str
    sop_instance_uid: str
    frame: int | None
    box_px: BoxPx


def reported_boxes(report: Dataset) -> tuple[ReportedBox, ...]:
    """Read the findings, in the order of the report."""
    return tuple(_reported_box(group) for group in _items(report, MEASUREMENT_GROUP))


def _reported_box(group: Dataset) -> ReportedBox:
    (region,) = _items(group, IMAGE_REGION)
    (tracking,) = _items(group, TRACKING_UID)
    (name,) = _items(group, TRACKING_IDENTIFIER)
    reference = region.ContentSequence[0].ReferencedSOPSequence[0]
    frame = reference.get("ReferencedFrameNumber")
    across, down = region.GraphicData[0::2], region.GraphicData[1::2]
    return ReportedBox(
        name=str(name.TextValue),
        tracking_uid=str(tracking.UID),
        sop_instance_uid=str(reference.ReferencedSOPInstanceUID),
        frame=None if frame is None else int(frame),
        box_px=(min(across), min(down), max(across), max(down)),
    )


def _items(parent: Dataset, code_value: str) -> Iterator[Dataset]:
    """Yield the items of this concept, however deep."""
    for child in parent.get("ContentSequence", ()):
        if "ConceptNameCodeSequence" in child and child.ConceptNameCodeSequence[0].CodeValue == code_value:
            yield child
        yield from _items(child, code_value)
