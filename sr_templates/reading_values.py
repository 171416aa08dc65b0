"""The value of a content item in words, and the numbers in it, by value type (PS3.3 table C.17.3-7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydicom import Dataset

from sr_templates.reading_attributes import (
    class_name,
    code_of,
    date_words,
    integers,
    is_list,
    items_of,
    raw_value,
    text_of,
    time_words,
)

Points = tuple[tuple[float, float], ...]

_TEXTS: Final[Mapping[str, tuple[str, Callable[[str], str]]]] = {
    "TEXT": ("TextValue", str),
    "UIDREF": ("UID", str),
    "PNAME": ("PersonName", str),
    "TCOORD": ("TemporalRangeType", str),
    "DATE": ("Date", date_words),
    "TIME": ("Time", time_words),
    "DATETIME": ("DateTime", date_words),
}
"""Attribute that holds the value, and how it is told, by value type."""


def value_of(dataset: Dataset) -> dict[str, Any]:
    """Value of a content item.

    Returns
    -------
    dict of str to Any
        ``value`` in words, and those of the other attributes of `ContentItem` that the value type has.
    """
    reference = integers(raw_value(dataset, "ReferencedContentItemIdentifier"))
    if reference:
        return {"value": "item " + ".".join(map(str, reference)), "refers_to": reference}
    match text_of(dataset, "ValueType"):
        case "NUM":
            return _number(dataset)
        case "SCOORD" | "SCOORD3D" as kind:
            return _graphic(dataset, kind)
        case "IMAGE" | "COMPOSITE" | "WAVEFORM":
            return _instance(dataset)
        case kind if kind in _TEXTS:
            keyword, in_words = _TEXTS[kind]
            return {"value": in_words(text_of(dataset, keyword))}
        case _:
            code, meaning = code_of(dataset, "ConceptCodeSequence")
            return {"value": meaning, "value_code": code}


def _number(dataset: Dataset) -> dict[str, Any]:
    measured = items_of(dataset, "MeasuredValueSequence")
    if not measured:
        _, why = code_of(dataset, "NumericValueQualifierCodeSequence")
        return {"value": why or "no value"}
    unit, meaning = code_of(measured[0], "MeasurementUnitsCodeSequence")
    words = text_of(measured[0], "NumericValue")
    if not words:
        return {"value": "no value"}
    units = "" if unit == "1" else meaning if not unit or len(unit) > 8 or unit[0] in "{[(" else unit
    try:
        number = float(words)
    except ValueError:
        number = math.nan
    return {"value": f"{words} {units}".strip(), "number": number if math.isfinite(number) else None}


def _graphic(dataset: Dataset, kind: str) -> dict[str, Any]:
    values = raw_value(dataset, "GraphicData")
    numbers = [float(one) for one in values if isinstance(one, float | int)] if is_list(values) else []
    name = text_of(dataset, "GraphicType").lower() or "graphic"
    if not all(map(math.isfinite, numbers)):
        return {"value": f"{name} whose coordinates are no numbers"}
    if kind == "SCOORD3D":
        return {"value": f"{name} of {_points(len(numbers) // 3)} in space"}
    points = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    if not points:
        return {"value": f"{name} without points"}
    x0, y0, x1, y1 = bounds(_around(name, points))
    where = f"({(x0 + x1) / 2:.1f}, {(y0 + y1) / 2:.1f})"
    if len(points) == 1:
        return {"value": f"{name} at {where}", "points": points}
    size = f"{x1 - x0:.1f} x {y1 - y0:.1f} px"
    if name in ("circle", "ellipse"):
        return {"value": f"{name} around {where}, {size}", "points": ((x0, y0), (x1, y1))}
    return {"value": f"{name} of {_points(len(points))} around {where}, {size}", "points": points}


def _points(count: int) -> str:
    return f"{count} point{'' if count == 1 else 's'}"


def _around(name: str, points: Points) -> Points:
    """Points whose bounds are those of the figure (PS3.3 C.18.6.1.2)."""
    if name == "circle" and len(points) == 2:  # its centre, and one point on it
        (x, y), (on_x, on_y) = points
        half_width = half_height = math.hypot(on_x - x, on_y - y)
    elif name == "ellipse" and len(points) == 4:  # the ends of its axes, of any direction
        (ax0, ay0), (ax1, ay1), (bx0, by0), (bx1, by1) = points
        x, y = (ax0 + ax1) / 2, (ay0 + ay1) / 2
        half_width = math.hypot(ax1 - ax0, bx1 - bx0) / 2
        half_height = math.hypot(ay1 - ay0, by1 - by0) / 2
    else:
        return points
    return (x - half_width, y - half_height), (x + half_width, y + half_height)


def bounds(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Return the box ``(x0, y0, x1, y1)`` around some points."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def _instance(dataset: Dataset) -> dict[str, Any]:
    references = items_of(dataset, "ReferencedSOPSequence")
    if not references:
        return {"value": "no reference"}
    uid = text_of(references[0], "ReferencedSOPInstanceUID")
    frames = integers(raw_value(references[0], "ReferencedFrameNumber"))
    words = f"{class_name(text_of(references[0], 'ReferencedSOPClassUID'))} {uid}"
    if frames:
        words += f", frame {', '.join(map(str, frames))}"
    return {"value": words, "sop_instance_uid": uid, "frames": frames}
