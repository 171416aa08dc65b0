"""Regions that a radiologist marked, out of the objects in which viewers send them: what models of regions are asked.

::

    Enhanced, Comprehensive, Comprehensive 3D, Extensible SR   measurement groups of TID 1500
    Grayscale Softcopy Presentation State                      graphic annotations
    Segmentation                                               segments that a person drew

An object comes from outside and is not trusted: how much of it is looked at is bounded, and a mark that cannot be used
comes back with its reason. Marks of other programs are not answered: their author asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_partial
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SegmentationStorage,
)

from pipelines import reasons
from pipelines.contract import Reason, RegionOfInterest
from pipelines.elements import items
from pipelines.headers import MALFORMED
from pipelines.region_objects.contract import MAX_REGIONS, MarkedRegion, Marks, RefusedMark
from sr_templates.evidence import value_text

__all__ = [
    "REGION_OBJECTS",
    "MarkedRegion",
    "Marks",
    "RefusedMark",
    "carries_regions",
    "examine",
    "examine_file",
    "read_regions",
]

MAX_SEGMENTATION_BYTES: Final = 256 * 1024 * 1024
"""Of a segmentation that is read: several fractional frames of the largest detector."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of a report or presentation state: the longest outlines of all the regions that are taken fill a sixth."""

_READERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        EnhancedSRStorage: "structured_reports",
        ComprehensiveSRStorage: "structured_reports",
        Comprehensive3DSRStorage: "structured_reports",
        ExtensibleSRStorage: "structured_reports",
        GrayscaleSoftcopyPresentationStateStorage: "presentation_states",
        SegmentationStorage: "segmentations",
    }
)
"""SOP class to module, imported when first needed: the receiver looks at reports, and never at a mask."""

REGION_OBJECTS: Final = frozenset(_READERS)
"""SOP classes in which regions are looked for (PS3.4 B.5)."""


def read_regions(dataset: Dataset) -> tuple[RegionOfInterest, ...]:
    """Return the regions that a person marked in an object; what is no region is left out.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The whole object; a segmentation with its pixels. Not to be carried on afterwards: texts are decoded.
    """
    return tuple(marked.region for marked in examine(dataset).regions)


def examine(dataset: Dataset) -> Marks:
    """Return every mark of an object, as a region or with the reason why it is none; never raises on a damaged one."""
    sop_class_uid = value_text(dataset, "SOPClassUID")
    if sop_class_uid not in REGION_OBJECTS:
        return _refused(reasons.NO_REGION)
    try:
        marks = _read(dataset, sop_class_uid)
    except (MemoryError, *MALFORMED):
        return _refused(reasons.UNREADABLE)
    if not marks.regions and not marks.refused:
        return _refused(reasons.NO_REGION)
    surplus = marks.regions[MAX_REGIONS:]
    if not surplus:
        return marks
    too_many = RefusedMark(label="", reason=reasons.TOO_MANY_REGIONS)
    return replace(marks, regions=marks.regions[:MAX_REGIONS], refused=(*marks.refused, too_many))


def examine_file(path: Path) -> Marks:
    """`examine` the object in a file; one that is not there, or no DICOM, is a reason as well."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES and (size_bytes > MAX_SEGMENTATION_BYTES or not _is_segmentation(path)):
            return _refused(reasons.REGION_OBJECT_TOO_LARGE)
        dataset = dcmread(path, force=True)
    except (MemoryError, *MALFORMED):
        return _refused(reasons.UNREADABLE)
    return examine(dataset)


def _is_segmentation(path: Path) -> bool:
    """Whether a file is one, by what stands before all that is large."""
    last = tag_for_keyword("SOPClassUID") or 0
    with path.open("rb") as file:
        start = read_partial(file, stop_when=lambda tag, _vr, _length: tag > last, force=True)
    return value_text(start, "SOPClassUID") == SegmentationStorage


def carries_regions(header: Dataset) -> bool:
    """Whether an object asks for regions to be analysed, by its header alone: for the moment of its receipt.

    A report in which a person marked something does, even if nothing of it can be used: that is then the answer. One
    of another program does not, nor do the lines that a distance was measured along.
    """
    sop_class_uid = value_text(header, "SOPClassUID")
    if sop_class_uid not in REGION_OBJECTS:
        return False
    if sop_class_uid == SegmentationStorage:
        return any(value_text(item, "SegmentAlgorithmType") != "AUTOMATIC" for item in items(header, "SegmentSequence"))
    try:
        marks = _read(header, sop_class_uid)
    except (MemoryError, *MALFORMED):
        return False
    return bool(marks.regions) or any(mark.is_request for mark in marks.refused)


def _read(dataset: Dataset, sop_class_uid: str) -> Marks:
    module = import_module(f"pipelines.region_objects.{_READERS[sop_class_uid]}")
    return cast("Marks", module.read(dataset))


def _refused(reason: Reason) -> Marks:
    return Marks(refused=(RefusedMark(label="", reason=reason),))
