"""Content items of a structured report (PS3.3 C.17.3.2), one function a value type.

Items are plain pydicom data sets: highdicom's own cannot refer to another item, and use relationships that TID 4000
does not allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import numpy as np
from pydicom import Dataset

from sr_templates.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_NAME, PRIVATE_SCHEME_ORGANISATION, Code
from sr_templates.evidence import InstanceReference

Relationship = Literal[
    "CONTAINS",
    "HAS ACQ CONTEXT",
    "HAS CONCEPT MOD",
    "HAS OBS CONTEXT",
    "HAS PROPERTIES",
    "INFERRED FROM",
    "SELECTED FROM",
]


def text(value: str, limit: int | None = None) -> str:
    """Own words as ASCII, so that they read the same in whatever character set the patient's name needs.

    Parameters
    ----------
    value : str
        Anything; characters outside of ASCII become ``?``, and controls and backslashes (which separate values)
        spaces and slashes.
    limit : int or None
        Longest length the attribute may have; a longer text ends in three dots.
    """
    return printable_text(value.encode("ascii", "replace").decode("ascii"), limit)


def printable_text(value: str, limit: int | None = None) -> str:
    """What a person wrote, in its own letters, else as `text`; `character_sets` finds a set that can carry it."""
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in value.replace("\\", "/")).strip()
    if limit is not None and len(clean) > limit:
        return clean[: limit - 3].rstrip() + "..."
    return clean


def code_sequence(code: Code) -> list[Dataset]:
    """One coded entry (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return [item]


def private_coding_scheme() -> list[Dataset]:
    """Say whose the private codes are (PS3.3 C.12.1, Coding Scheme Identification Sequence)."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = PRIVATE_SCHEME_NAME
    item.CodingSchemeResponsibleOrganization = PRIVATE_SCHEME_ORGANISATION
    return [item]


def _item(
    value_type: str, relationship: Relationship | None, name: Code | None, children: Iterable[Dataset]
) -> Dataset:
    item = Dataset()
    if relationship is not None:
        item.RelationshipType = relationship
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = code_sequence(name)
    below = list(children)
    if below:
        item.ContentSequence = below
    return item


def container(
    relationship: Relationship | None,
    name: Code,
    children: Iterable[Dataset],
    *,
    continuity: Literal["SEPARATE", "CONTINUOUS"] = "SEPARATE",
    template: str | None = None,
) -> Dataset:
    """Make a CONTAINER; the root has no relationship and names its template (PS3.3 C.18.8)."""
    item = _item("CONTAINER", relationship, name, children)
    item.ContinuityOfContent = continuity
    if template is not None:
        reference = Dataset()
        reference.MappingResource = "DCMR"
        reference.TemplateIdentifier = template
        item.ContentTemplateSequence = [reference]
    return item


def code_item(relationship: Relationship, name: Code, value: Code, children: Iterable[Dataset] = ()) -> Dataset:
    """Make a CODE item."""
    item = _item("CODE", relationship, name, children)
    item.ConceptCodeSequence = code_sequence(value)
    return item


def text_item(relationship: Relationship, name: Code, value: str) -> Dataset:
    """Make a TEXT item."""
    item = _item("TEXT", relationship, name, ())
    item.TextValue = text(value)
    return item


def written_item(relationship: Relationship, name: Code, value: str) -> Dataset:
    """Make a TEXT item of words that may be a radiologist's, in any letters."""
    item = _item("TEXT", relationship, name, ())
    item.TextValue = printable_text(value)
    return item


def uid_item(relationship: Relationship, name: Code, uid: str) -> Dataset:
    """Make a UIDREF item."""
    item = _item("UIDREF", relationship, name, ())
    item.UID = uid
    return item


def date_item(relationship: Relationship, name: Code, value: str) -> Dataset:
    """Make a DATE item from a DA value."""
    item = _item("DATE", relationship, name, ())
    item.Date = value
    return item


def time_item(relationship: Relationship, name: Code, value: str) -> Dataset:
    """Make a TIME item from a TM value."""
    item = _item("TIME", relationship, name, ())
    item.Time = value
    return item


def num_item(
    relationship: Relationship, name: Code, value: float, units: Code, children: Iterable[Dataset] = ()
) -> Dataset:
    """Make a NUM item; six significant digits keep the value within the 16 characters of DS."""
    measured = Dataset()
    measured.NumericValue = f"{value:.6g}"
    measured.MeasurementUnitsCodeSequence = code_sequence(units)
    item = _item("NUM", relationship, name, children)
    item.MeasuredValueSequence = [measured]
    return item


def image_item(
    relationship: Relationship,
    name: Code | None,
    reference: InstanceReference,
    children: Iterable[Dataset] = (),
    *,
    frame_number: int | None = None,
) -> Dataset:
    """Make an IMAGE item; `frame_number` is 1-based and only for multi-frame images (PS3.3 C.18.4)."""
    referenced = reference.as_item()
    if frame_number is not None:
        referenced.ReferencedFrameNumber = frame_number
    item = _item("IMAGE", relationship, name, children)
    item.ReferencedSOPSequence = [referenced]
    return item


def scoord_item(
    relationship: Relationship,
    name: Code,
    graphic_type: Literal["POINT", "POLYLINE"],
    points_px: Sequence[tuple[float, float]],
    children: Iterable[Dataset],
) -> Dataset:
    """Make an SCOORD item; points are ``(column, row)``, (0, 0) the outer top left corner (PS3.3 C.18.6)."""
    item = _item("SCOORD", relationship, name, children)
    item.GraphicType = graphic_type
    item.GraphicData = [float(np.float32(value)) for point in points_px for value in point]
    return item


def center_px(box_px: tuple[float, float, float, float]) -> tuple[float, float]:
    """Centre of a box ``(x0, y0, x1, y1)``, as ``(column, row)``."""
    x0, y0, x1, y1 = box_px
    return (x0 + x1) / 2, (y0 + y1) / 2


def closed_outline_px(box_px: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    """Corners of a box ``(x0, y0, x1, y1)``, clockwise from the upper left one, which is repeated (PS3.3 C.18.6.1.2).

    Raises
    ------
    ValueError
        The box has no area, as FL holds it: no reader could draw the outline.
    """
    x0, y0, x1, y1 = (float(np.float32(value)) for value in box_px)
    if not (x0 < x1 and y0 < y1):
        raise ValueError("an outline needs an area")
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def by_reference(relationship: Relationship, position: Sequence[int]) -> Dataset:
    """Refer to another item of the tree by its position, e.g. ``(1, 2, 3)`` (PS3.3 C.17.3.2.5)."""
    item = Dataset()
    item.RelationshipType = relationship
    item.ReferencedContentItemIdentifier = list(position)
    return item


def dicom_date(moment: datetime) -> str:
    """DA of a moment."""
    return moment.strftime("%Y%m%d")


def dicom_time(moment: datetime) -> str:
    """TM of a moment."""
    return moment.strftime("%H%M%S.%f")
