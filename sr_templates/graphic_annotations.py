"""Graphic annotations of a presentation state: outlines, their tags, a note (PS3.3 C.10.5), their layers (C.10.7).

Boxes are in PIXEL units, where 0.0\\0.0 is the outer top left corner of the first pixel and Columns\\Rows the outer
bottom right corner of the last (PS3.3 table C.10-5, Graphic Annotation Units): as in SCOORD and in
`ReportedFinding.box_px`, so nothing is shifted. Highdicom's Graphic Annotation reads attributes of the source image;
its layers, graphics and texts are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from highdicom.color import CIELabColor
from highdicom.pr import GraphicLayer, GraphicObject, TextObject
from pydicom import Dataset

from sr_templates.content import text
from sr_templates.contract import Label, ReportedImage, StudyReport
from sr_templates.drawing import BENIGN, MALIGNANT, PLAIN, REGION, UNCLASSIFIED, Rectangle, Rgb
from sr_templates.evidence import InstanceReference, patient_orientation, valid_number
from sr_templates.outlines import Point, outline_px, region_box_px, region_outline_px
from sr_templates.predictions import algorithms_shown, regions_on
from sr_templates.wording import (
    NumberedFinding,
    clipped_box_px,
    image_name,
    numbered_findings,
    tag_prediction_words,
    tag_words,
)

RESEARCH_USE_LINE = "AI, research use, not for primary diagnosis"

_NOTE_LAYER = "AI NOTE"
_REGION_LAYER = "AI REGION"
# Drawn in this order, so that a malignant box lies over a benign one; one layer each, to be hidden by itself.
_LAYERS: tuple[tuple[str, str, Rgb], ...] = (
    ("AI BENIGN", "Findings predicted benign", BENIGN),
    ("AI MALIGNANT", "Findings predicted malignant", MALIGNANT),
    ("AI LESION", "Findings that were not classified", UNCLASSIFIED),
    (_REGION_LAYER, "Regions that predictions are made from", REGION),
    (_NOTE_LAYER, "Image, model and intended use", PLAIN),
)
_LAYER_OF_LABEL: dict[Label | None, str] = {"benign": "AI BENIGN", "malignant": "AI MALIGNANT", None: "AI LESION"}
_WHITE_P_VALUE = 0xFFFF
_TAGGED_IN_FULL = 12
_HASH_PREFIX = 12
_ST_CHARACTERS = 1024

# A viewer chooses its own font; this is the room that one of readable size takes on an image shown whole.
_LINES_PER_IMAGE = 70
_LINE_HEIGHT = 1.3
_CHARACTER_WIDTH = 0.6


def graphic_annotations(report: StudyReport, image: ReportedImage, source: InstanceReference) -> list[Dataset]:
    """Items of the Graphic Annotation Sequence: findings and regions by frame and layer, then the note on all frames.

    Parameters
    ----------
    image : ReportedImage
        One of the report, with Rows and Columns.

    Returns
    -------
    list of pydicom.Dataset
        Outlines are closed and not filled. A tag stands beside its box and on no finding; where there is no such place,
        it is tied to the corner of its box.
    """
    found = [numbered for numbered in numbered_findings(report) if numbered.image is image]
    boxes = [clipped_box_px(image, numbered.finding) for numbered in found]
    regions = list(_region_outlines(report, image))
    covered = [*boxes, *(region.box for region in regions)]
    area = (0.0, 0.0, float(valid_number(image.header, "Columns") or 0), float(valid_number(image.header, "Rows") or 0))
    note = _note(report, image)
    note_place = _corner(note, covered, area, air_on_the_left=_chest_wall_on_the_right(image))
    taken: dict[int | None, list[Rectangle]] = {}
    drawings: dict[tuple[int | None, str], list[tuple[GraphicObject, TextObject | None]]] = {}
    for numbered, box in zip(found, boxes, strict=True):
        frame, tag = _frame(image, numbered.finding.frame_number), _tag(numbered, len(found))
        others = taken.setdefault(frame, [note_place, *covered])
        place = _beside(box, _size(tag, area), others, area)
        if place is not None:
            others.append(place)
        drawn = (_outline(numbered, outline_px(image, numbered.finding)), _tag_text(tag, box, place))
        drawings.setdefault((frame, _LAYER_OF_LABEL[numbered.finding.label]), []).append(drawn)
    for region in regions:
        others = taken.setdefault(region.frame, [note_place, *covered])
        place = _beside(region.box, _size(region.tag, area), others, area) if region.tag else None
        if place is not None:
            others.append(place)
        tag_text = _tag_text(region.tag, region.box, place) if region.tag else None
        drawings.setdefault((region.frame, _REGION_LAYER), []).append((region.outline, tag_text))
    items = []
    for (frame, layer), drawn_together in drawings.items():
        item = _annotation(source, layer, frame)
        item.GraphicObjectSequence = [outline for outline, _ in drawn_together]
        item.TextObjectSequence = [tag_text for _, tag_text in drawn_together if tag_text is not None]
        items.append(item)
    item = _annotation(source, _NOTE_LAYER, None)
    item.TextObjectSequence = [_note_text(note, note_place, area)]
    return [*items, item]


def graphic_layers(annotations: Sequence[Dataset]) -> list[Dataset]:
    """Items of the Graphic Layer Sequence: those in use, with a grey for the monitors that mammograms are read on."""
    used = {annotation.GraphicLayer for annotation in annotations}
    layers: list[Dataset] = []
    for order, (name, description, color) in enumerate(_LAYERS, start=1):
        if name in used:
            layer = GraphicLayer(name, order, description, CIELabColor.from_rgb(*color))
            layer.GraphicLayerRecommendedDisplayGrayscaleValue = _WHITE_P_VALUE
            layers.append(layer)
    return layers


def _annotation(source: InstanceReference, layer: str, frame: int | None) -> Dataset:
    referenced = source.as_item()
    if frame is not None:
        referenced.ReferencedFrameNumber = frame
    item = Dataset()
    item.ReferencedImageSequence = [referenced]
    item.GraphicLayer = layer
    return item


@dataclass(frozen=True, slots=True, kw_only=True)
class _RegionOutline:
    """One outline of a region; only its first has a tag."""

    outline: GraphicObject
    box: Rectangle
    frame: int | None
    tag: str


def _region_outlines(report: StudyReport, image: ReportedImage) -> Iterator[_RegionOutline]:
    for lesion, placed in regions_on(report, image):
        named = f'{lesion.name} "{placed.label}"'
        for part, polygon in enumerate(placed.region.polygons_px):
            yield _RegionOutline(
                outline=GraphicObject(
                    graphic_type="POLYLINE",
                    graphic_data=np.array(region_outline_px(image, polygon), dtype=np.float32),
                    units="PIXEL",
                    tracking_id=named,
                    tracking_uid=placed.tracking_uids[part],
                ),
                box=region_box_px(image, polygon),
                frame=_frame(image, placed.region.frame_number),
                tag="" if part else f"{named}: {tag_prediction_words(lesion)}",
            )


def _frame(image: ReportedImage, frame: int | None) -> int | None:
    """Frame of a mark; None, which is the whole image, for one that the image does not have."""
    count = valid_number(image.header, "NumberOfFrames") or 1
    return frame if frame is not None and count > 1 and 1 <= frame <= count else None


def _outline(numbered: NumberedFinding, points_px: list[Point]) -> GraphicObject:
    return GraphicObject(
        graphic_type="POLYLINE",
        graphic_data=np.array(points_px, dtype=np.float32),
        units="PIXEL",
        tracking_id=text(numbered.title),
        tracking_uid=numbered.tracking_uid,
    )


def _tag(numbered: NumberedFinding, count: int) -> str:
    if count > _TAGGED_IN_FULL:
        return str(numbered.number)
    return text(f"{tag_words(numbered)} ({numbered.finding.algorithm})", 64)


def _tag_text(tag: str, box: Rectangle, place: Rectangle | None) -> TextObject:
    """Tag in its place; without one, tied to the corner of its box, and the viewer finds room."""
    if place is None:
        return TextObject(text_value=tag, units="PIXEL", anchor_point=box[:2], anchor_point_visible=True)
    return TextObject(text_value=tag, units="PIXEL", bounding_box=place, text_justification="LEFT")


def _note(report: StudyReport, image: ReportedImage) -> list[str]:
    """Which image, what for, and by which weights."""
    lines = [image_name(image), RESEARCH_USE_LINE]
    for algorithm in algorithms_shown(report, image):
        weights = algorithm.weights_sha256
        lines.append(
            f"{algorithm.name} {algorithm.version}, "
            + (f"weights {weights[:_HASH_PREFIX]}" if weights else "no weights installed")
        )
    return [text(line, 128) for line in lines]


def _note_text(lines: list[str], place: Rectangle, area: Rectangle) -> TextObject:
    """Note in DISPLAY units, so that it stays in its corner when the reader zooms (0.0 to 1.0, PS3.3 table C.10-5)."""
    columns, rows = area[2:]
    corners = (place[0] / columns, place[1] / rows, min(place[2] / columns, 1.0), min(place[3] / rows, 1.0))
    return TextObject(
        text_value="\r\n".join(lines)[:_ST_CHARACTERS], units="DISPLAY", bounding_box=corners, text_justification="LEFT"
    )


def _size(longest_line: str, area: Rectangle, lines: int = 1) -> tuple[float, float]:
    """Width and height of text on the image, in its pixels."""
    font_px = max(area[2:]) / _LINES_PER_IMAGE
    return (len(longest_line) + 1) * _CHARACTER_WIDTH * font_px, lines * _LINE_HEIGHT * font_px


def _chest_wall_on_the_right(image: ReportedImage) -> bool:
    """By Patient Orientation, else by the usual hanging of a right breast."""
    orientation = patient_orientation(image.header)
    return orientation[0].startswith("P") if orientation is not None else image.laterality == "R"


def _corner(lines: list[str], boxes: list[Rectangle], area: Rectangle, *, air_on_the_left: bool) -> Rectangle:
    """Corner of the image that covers least of the findings, of equal ones the upper on the side of the air."""
    width, height = _size(max(lines, key=len), area, len(lines))
    width, height = min(width, area[2]), min(height, area[3])
    left, right = 0.0, area[2] - width
    sides = (left, right) if air_on_the_left else (right, left)
    corners = [(x, y, x + width, y + height) for y in (0.0, area[3] - height) for x in sides]
    return min(corners, key=lambda corner: sum(_overlap_px2(corner, box) for box in boxes))


def _beside(box: Rectangle, size: tuple[float, float], taken: list[Rectangle], area: Rectangle) -> Rectangle | None:
    """Place for a tag next to its box, within the image and on nothing that is taken; None when there is none."""
    (x0, y0, x1, y1), (width, height) = box, size
    gap = height / 4
    for x, y in (
        (x0, y0 - gap - height),
        (x0, y1 + gap),
        (x1 + gap, y0),
        (x0 - gap - width, y0),
        (x1 - width, y0 - gap - height),
        (x1 - width, y1 + gap),
        (x1 + gap, y1 - height),
        (x0 - gap - width, y1 - height),
    ):
        place = (x, y, x + width, y + height)
        inside = x >= area[0] and y >= area[1] and place[2] <= area[2] and place[3] <= area[3]
        if inside and not any(_overlap_px2(place, other) for other in taken):
            return place
    return None


def _overlap_px2(a: Rectangle, b: Rectangle) -> float:
    """Area that two rectangles share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
