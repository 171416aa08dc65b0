"""Regions of a structured report: the measurement groups of TID 1500 (PS3.16 TID 1410, 1411, 1501).

Read as they come, not as they should be: viewers write a region's coordinates below each measurement of it, leave a
rectangle open, or name it by the tool that drew it. Items are found by their codes, wherever they are in the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset
from pydicom.uid import UID

from pipelines import reasons
from pipelines.contract import RegionOfInterest
from pipelines.elements import items, numbers, readable
from pipelines.region_objects.contract import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_MARKS,
    MarkedRegion,
    Marks,
    NotARegion,
    RefusedMark,
    trimmed,
)
from pipelines.region_objects.references import only_frame
from pipelines.region_objects.shapes import Closed, graphic_data, polygon
from sr_templates.evidence import value_text

# Context Group and template concepts of PS3.16, all of scheme DCM.
MEASUREMENT_GROUP: Final = "125007"
TRACKING_IDENTIFIER: Final = "112039"
TRACKING_UNIQUE_IDENTIFIER: Final = "112040"
FINDING: Final = "121071"
COMMENT: Final = "121106"
OBSERVER_TYPE: Final = "121005"
DEVICE: Final = "121007"
ALGORITHM_NAME: Final = "111001"
REFERENCED_SEGMENTS: Final = frozenset({"121191", "121214"})  # Referenced Segment, Referenced Segmentation Frame

TOOL_SIGN: Final = "@"
"""Viewers built on Cornerstone put package, version and tool in the place of a name: ``package@version:Tool``."""

AREA_TOOLS: Final = ("rectangle", "roi", "freehand", "contour")
"""Words of tools whose lines enclose an area even where they are not closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """What a measurement group says of all of its marks; `encloses`: their lines do, closed or not."""

    label: str
    tracking_uid: str | None
    encloses: bool
    by_a_device: bool


def read(dataset: Dataset) -> Marks:
    """Find every mark of a report; see `pipelines.regions.examine`."""
    regions: dict[RegionOfInterest, None] = {}
    refused: dict[RefusedMark, None] = {}
    budget = [MAX_ITEMS]
    by_a_device = _is_device(dataset)
    seen = 0
    for item in _groups(dataset, budget):
        if seen > MAX_MARKS:
            break
        group = _described(item, by_a_device=by_a_device)
        if group.by_a_device:
            refused[RefusedMark(label=group.label, reason=reasons.REGION_BY_A_DEVICE, is_request=False)] = None
            continue
        for mark in _marks(item, budget):
            seen += 1
            if seen > MAX_MARKS:
                break
            try:
                regions[_region(dataset, group, mark)] = None
            except NotARegion as why:
                refused[RefusedMark(label=group.label, reason=why.reason, is_request=why.is_request)] = None
    if budget[0] <= 0 or seen > MAX_MARKS:
        refused[RefusedMark(label="", reason=reasons.REGION_OBJECT_TOO_LARGE, is_request=False)] = None
    return Marks(regions=tuple(MarkedRegion(region=region) for region in regions), refused=tuple(refused))


def _described(item: Dataset, *, by_a_device: bool | None) -> _Group:
    """Read what a group says of its marks; `by_a_device` is what the report says."""
    children = _children(item)
    own_observer = _is_device(item)
    tracking_uid = _text(children.get(TRACKING_UNIQUE_IDENTIFIER))
    tool = _text(children.get(TRACKING_IDENTIFIER)).lower()
    return _Group(
        label=_label(children),
        tracking_uid=tracking_uid if UID(tracking_uid).is_valid else None,
        encloses=any(word in tool for word in AREA_TOOLS),
        by_a_device=bool(by_a_device if own_observer is None else own_observer) or ALGORITHM_NAME in children,
    )


def _region(root: Dataset, group: _Group, mark: Dataset) -> RegionOfInterest:
    value_type = value_text(mark, "ValueType")
    if value_type == "SCOORD3D":
        raise NotARegion(reasons.region_unsupported("it is drawn in space (SCOORD3D), not on an image"))
    if value_type == "IMAGE":
        raise NotARegion(reasons.region_unsupported("it refers to a segmentation, which has to be sent itself"))
    closed: Closed = "always" if group.encloses else "by_points"
    outline = polygon(value_text(mark, "GraphicType"), graphic_data(mark), closed=closed)
    selected = [_resolved(root, child) for child in items(mark, "ContentSequence")]
    images = [reference for item in selected for reference in items(item, "ReferencedSOPSequence")]
    sop_instance_uid, frame = only_frame(images)
    return RegionOfInterest(
        sop_instance_uid=sop_instance_uid,
        frame=frame,
        polygons_px=(outline,),
        source="radiologist",
        label=group.label,
        tracking_uid=group.tracking_uid,
        object_uid=value_text(root, "SOPInstanceUID") or None,
    )


def _walk(item: Dataset, budget: list[int], depth: int = 0) -> Iterator[Dataset]:
    """Everything below an item, itself excepted, as far as the bounds allow."""
    if depth >= MAX_DEPTH:
        return
    for child in items(item, "ContentSequence"):
        budget[0] -= 1
        if budget[0] <= 0:
            return
        yield child
        if _concept(child) != MEASUREMENT_GROUP:
            yield from _walk(child, budget, depth + 1)


def _groups(root: Dataset, budget: list[int]) -> Iterator[Dataset]:
    return (item for item in _walk(root, budget) if _concept(item) == MEASUREMENT_GROUP)


def _marks(group: Dataset, budget: list[int]) -> Iterator[Dataset]:
    for item in _walk(group, budget):
        value_type = value_text(item, "ValueType")
        if value_type in {"SCOORD", "SCOORD3D"} or (value_type == "IMAGE" and _concept(item) in REFERENCED_SEGMENTS):
            yield item


def _resolved(root: Dataset, item: Dataset) -> Dataset:
    """The item, or what it refers to by its place in the tree (PS3.3 C.17.3.2.5), the root being 1."""
    places = [int(place) for place in numbers(item, "ReferencedContentItemIdentifier")]
    if not places or len(places) > MAX_DEPTH:
        return item
    found = root
    for place in places[1:]:
        children = items(found, "ContentSequence")
        if not 1 <= place <= len(children):
            return item
        found = children[place - 1]
    return found


def _is_device(item: Dataset) -> bool | None:
    """Whether a program alone is named as the observer (TID 1002); None when there is no word of an observer."""
    observers = {_code(child) for child in items(item, "ContentSequence") if _concept(child) == OBSERVER_TYPE}
    return observers == {DEVICE} if observers else None


def _label(children: Mapping[str, Dataset]) -> str:
    """Tracking Identifier, unless a tool is named there: then what the person wrote, a comment, or the finding."""
    name = trimmed(_text(children.get(TRACKING_IDENTIFIER)))
    finding = children.get(FINDING)
    meanings = [readable(code, "CodeMeaning") for code in items(finding or Dataset(), "ConceptCodeSequence")]
    said = trimmed(meanings[0] if meanings else _text(finding))
    if TOOL_SIGN in name:
        return trimmed(_text(children.get(COMMENT))) or said or name.rpartition(":")[2]
    return name or said


def _children(group: Dataset) -> dict[str, Dataset]:
    """First item of each concept."""
    found: dict[str, Dataset] = {}
    for child in items(group, "ContentSequence"):
        found.setdefault(_concept(child), child)
    return found


def _concept(item: Dataset) -> str:
    return next((value_text(code, "CodeValue") for code in items(item, "ConceptNameCodeSequence")), "")


def _code(item: Dataset) -> str:
    return next((value_text(code, "CodeValue") for code in items(item, "ConceptCodeSequence")), "")


def _text(item: Dataset | None) -> str:
    return "" if item is None else readable(item, "TextValue") or value_text(item, "UID")
