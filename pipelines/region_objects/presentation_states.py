"""Regions of a Grayscale Softcopy Presentation State: its graphic annotations (PS3.3 C.10.5).

Compound graphics come with plain ones that draw the same for viewers that know no compounds: of the two the compound
is read, except for kinds of it that are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset
from pydicom.uid import UID

from pipelines import reasons
from pipelines.contract import RegionOfInterest
from pipelines.elements import items, number, numbers, readable
from pipelines.region_objects.contract import MAX_MARKS, MarkedRegion, Marks, NotARegion, RefusedMark, trimmed
from pipelines.region_objects.references import only_frame
from pipelines.region_objects.shapes import Points, box, graphic_data, inscribed, paired, polygon
from sr_templates.evidence import value_text

COMPOUNDS: Final = frozenset({"RECTANGLE", "ELLIPSE", "MULTILINE"})
"""Compound Graphic Types (PS3.3 C.10.5.1.3) that may enclose an area; the others are lines, rulers and arrows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graphic:
    """One graphic of an annotation; `kind` is its type, `units` those of its points."""

    item: Dataset
    kind: str
    units: str
    filled: bool
    compound: bool


def read(dataset: Dataset) -> Marks:
    """Find every mark of a presentation state; see `pipelines.regions.examine`."""
    regions: dict[RegionOfInterest, None] = {}
    refused: dict[RefusedMark, None] = {}
    seen = 0
    for annotation in items(dataset, "GraphicAnnotationSequence"):
        label = _label(annotation)
        for graphic in _graphics(annotation):
            seen += 1
            if seen > MAX_MARKS:
                refused[RefusedMark(label="", reason=reasons.REGION_OBJECT_TOO_LARGE, is_request=False)] = None
                return _marks(regions, refused)
            name = trimmed(readable(graphic.item, "TrackingID")) or label
            try:
                regions[_region(dataset, annotation, graphic, name)] = None
            except NotARegion as why:
                refused[RefusedMark(label=name, reason=why.reason, is_request=why.is_request)] = None
    return _marks(regions, refused)


def _marks(regions: dict[RegionOfInterest, None], refused: dict[RefusedMark, None]) -> Marks:
    return Marks(regions=tuple(MarkedRegion(region=region) for region in regions), refused=tuple(refused))


def _graphics(annotation: Dataset) -> Iterator[_Graphic]:
    compounds = [
        item
        for item in items(annotation, "CompoundGraphicSequence")
        if value_text(item, "CompoundGraphicType") in COMPOUNDS
    ]
    drawn = {number(item, "CompoundGraphicInstanceID") for item in compounds} - {None}
    for item in compounds:
        yield _Graphic(
            item=item,
            kind=value_text(item, "CompoundGraphicType"),
            units=value_text(item, "CompoundGraphicUnits"),
            filled=value_text(item, "GraphicFilled") == "Y" or bool(items(item, "FillStyleSequence")),
            compound=True,
        )
    for item in items(annotation, "GraphicObjectSequence"):
        if number(item, "CompoundGraphicInstanceID") not in drawn:
            yield _Graphic(
                item=item,
                kind=value_text(item, "GraphicType"),
                units=value_text(item, "GraphicAnnotationUnits"),
                filled=value_text(item, "GraphicFilled") == "Y",
                compound=False,
            )


def _region(dataset: Dataset, annotation: Dataset, graphic: _Graphic, label: str) -> RegionOfInterest:
    outline = _outline(graphic)
    sop_instance_uid, frame = only_frame(_references(dataset, annotation))
    tracking_uid = value_text(graphic.item, "TrackingUID")
    return RegionOfInterest(
        sop_instance_uid=sop_instance_uid,
        frame=frame,
        polygons_px=(_in_pixels(outline, graphic.units, dataset, sop_instance_uid),),
        source="radiologist",
        label=label,
        tracking_uid=tracking_uid if UID(tracking_uid).is_valid else None,
        object_uid=value_text(dataset, "SOPInstanceUID") or None,
    )


def _outline(graphic: _Graphic) -> Points:
    data = graphic_data(graphic.item)
    if not graphic.compound or graphic.kind == "MULTILINE":
        kind = "POLYLINE" if graphic.compound else graphic.kind
        return polygon(kind, data, closed="always" if graphic.filled else "by_points")
    if number(graphic.item, "RotationAngle"):
        raise NotARegion(reasons.region_unsupported("a rotated compound graphic"))
    return box(paired(data)) if graphic.kind == "RECTANGLE" else inscribed(paired(data))


def _references(dataset: Dataset, annotation: Dataset) -> Sequence[Dataset]:
    """Images of the annotation; where it names none it is for all images of the presentation state (C.10.5)."""
    own = items(annotation, "ReferencedImageSequence")
    return own or [
        image
        for series in items(dataset, "ReferencedSeriesSequence")
        for image in items(series, "ReferencedImageSequence")
    ]


def _in_pixels(outline: Points, units: str, dataset: Dataset, sop_instance_uid: str) -> Points:
    """Points by the pixels of the image; in units DISPLAY they are fractions of the displayed area (C.10.5.1.2)."""
    if units == "PIXEL":
        return outline
    if units != "DISPLAY":
        raise NotARegion(reasons.region_unsupported("its points are neither by pixels nor by the displayed area"))
    if number(dataset, "ImageRotation") or value_text(dataset, "ImageHorizontalFlip") == "Y":
        raise NotARegion(reasons.region_unsupported("its points are by a display that is rotated or flipped"))
    x0, y0, x1, y1 = _displayed_area(dataset, sop_instance_uid)
    return tuple((x0 + x * (x1 - x0), y0 + y * (y1 - y0)) for x, y in outline)


def _displayed_area(dataset: Dataset, sop_instance_uid: str) -> tuple[float, float, float, float]:
    """Edges of what is displayed of the image; the corners are pixels, the first one 1 and 1 (C.10.4)."""
    areas = [
        item
        for item in items(dataset, "DisplayedAreaSelectionSequence")
        if sop_instance_uid
        in {value_text(image, "ReferencedSOPInstanceUID") for image in items(item, "ReferencedImageSequence")}
        or not items(item, "ReferencedImageSequence")
    ]
    corners = [
        (*numbers(area, "DisplayedAreaTopLeftHandCorner"), *numbers(area, "DisplayedAreaBottomRightHandCorner"))
        for area in areas
    ]
    if len(corners) != 1 or len(corners[0]) != 4:
        raise NotARegion(reasons.region_unsupported("its points are by a displayed area that is not given"))
    left, top, right, bottom = corners[0]
    if right < left or bottom < top:  # the corners of a display that is rotated or flipped
        raise NotARegion(reasons.region_unsupported("its points are by a display that is rotated or flipped"))
    return left - 1, top - 1, right, bottom


def _label(annotation: Dataset) -> str:
    texts = (readable(item, "UnformattedTextValue") for item in items(annotation, "TextObjectSequence"))
    return next((label for text in texts if (label := trimmed(text))), "")
