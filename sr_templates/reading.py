"""Read the content tree of any structured report (PS3.3 C.17.3) into plain values, however it was written.

Nothing here trusts the file: what is missing or malformed reads as empty, and depth and number of items are bounded.
"""

from __future__ import annotations

import math
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from pydicom.errors import BytesLengthException
from pydicom.uid import UID

MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 20_000
Position = tuple[int, ...]

VALUE_KEYWORD: Final = {
    "TEXT": "TextValue",
    "UIDREF": "UID",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "PNAME": "PersonName",
}
"""Attribute that holds the value, by value type (PS3.3 table C.17.3-7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentItem:
    """One content item.

    Attributes
    ----------
    position : tuple of int
        Path from the root, ``(1,)``, as Referenced Content Item Identifier counts (PS3.3 C.17.3.2.5).
    value_type : str
        Empty for an item by reference.
    concept, concept_code : str
        Meaning and value of the concept name.
    value, value_code : str
        Value in words; code value of a CODE item.
    number : float or None
        Of a NUM item.
    points : tuple of (float, float)
        ``(column, row)`` of an SCOORD item.
    sop_instance_uid : str
        Of an IMAGE, COMPOSITE or WAVEFORM item.
    frames : tuple of int
        Referenced frame numbers, 1-based.
    refers_to : tuple of int
        Position of the item that an item by reference stands for; empty otherwise.
    """

    position: Position
    relationship: str
    value_type: str
    concept: str
    concept_code: str
    value: str
    value_code: str = ""
    number: float | None = None
    points: tuple[tuple[float, float], ...] = ()
    sop_instance_uid: str = ""
    frames: tuple[int, ...] = ()
    refers_to: Position = ()
    children: tuple[ContentItem, ...] = ()

    def walk(self) -> Iterator[ContentItem]:
        """Yield this item and all below it, in their order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def all_of(self, *codes: str) -> tuple[ContentItem, ...]:
        """Children whose concept name has one of these code values."""
        return tuple(child for child in self.children if child.concept_code in codes)

    def first(self, *codes: str) -> ContentItem | None:
        """Return the first of `all_of`, or None."""
        return next(iter(self.all_of(*codes)), None)


def printable(value: object) -> str:
    """Text without control and format characters, which a terminal would obey; lines remain."""
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    kept = (c if c == "\n" or not unicodedata.category(c).startswith("C") else " " for c in text)
    return "".join(kept).strip()


def text_of(dataset: Dataset, keyword: str) -> str:
    """Value of an attribute as printable text; several values by commas; empty when absent or unreadable."""
    value = raw_value(dataset, keyword)
    if value is None:
        return ""
    values = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
    return ", ".join(printable(one) for one in values)


UNREADABLE: Final = (
    # What pydicom raises on elements and sequences that hold garbage
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    EOFError,
    OSError,
    RecursionError,
    struct.error,
    BytesLengthException,
)


def raw_value(dataset: Dataset, keyword: str) -> Any:
    """Value of an attribute as pydicom has it; None when absent or when its bytes fit no value."""
    try:
        return dataset.get(keyword)
    except UNREADABLE:
        return None


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; none when it is absent or something else."""
    value = raw_value(dataset, keyword)
    return (
        [item for item in value if isinstance(item, Dataset)]
        if isinstance(value, list | tuple) or _is_list(value)
        else []
    )


def _is_list(value: object) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes | Dataset)


def code_of(dataset: Dataset, keyword: str) -> tuple[str, str]:
    """Return value and meaning of a coded attribute; a code without a meaning as ``"(value, scheme)"``."""
    items = items_of(dataset, keyword)
    if not items:
        return "", ""
    value = next(
        (text for name in ("CodeValue", "LongCodeValue", "URNCodeValue") if (text := text_of(items[0], name))), ""
    )
    meaning = text_of(items[0], "CodeMeaning")
    return value, meaning or f"({value}, {text_of(items[0], 'CodingSchemeDesignator')})"


class _Reader:
    """Counts what it reads, so that a malicious file ends."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def read(self, dataset: Dataset, position: Position) -> ContentItem:
        self._left -= 1
        children: list[ContentItem] = []
        if len(position) < MAX_DEPTH:
            for number, item in enumerate(items_of(dataset, "ContentSequence"), start=1):
                if self._left <= 0:
                    break
                children.append(self.read(item, (*position, number)))
        code, meaning = code_of(dataset, "ConceptNameCodeSequence")
        return ContentItem(
            position=position,
            relationship=text_of(dataset, "RelationshipType"),
            value_type=text_of(dataset, "ValueType"),
            concept=meaning,
            concept_code=code,
            children=tuple(children),
            **_value(dataset),
        )


def _value(dataset: Dataset) -> dict[str, Any]:
    reference = _integers(raw_value(dataset, "ReferencedContentItemIdentifier"))
    if reference:
        return {"value": "item " + ".".join(map(str, reference)), "refers_to": reference}
    match text_of(dataset, "ValueType"):
        case "NUM":
            return _number(dataset)
        case "SCOORD" | "SCOORD3D" as kind:
            return _graphic(dataset, kind)
        case "IMAGE" | "COMPOSITE" | "WAVEFORM":
            return _instance(dataset)
        case kind:
            code, meaning = code_of(dataset, "ConceptCodeSequence")
            keyword = VALUE_KEYWORD.get(kind)
            return {"value": text_of(dataset, keyword) if keyword else meaning, "value_code": code}


def _number(dataset: Dataset) -> dict[str, Any]:
    measured = items_of(dataset, "MeasuredValueSequence")
    if not measured:
        _, why = code_of(dataset, "NumericValueQualifierCodeSequence")
        return {"value": why or "no value"}
    unit, meaning = code_of(measured[0], "MeasurementUnitsCodeSequence")
    words = text_of(measured[0], "NumericValue")
    try:
        number = float(words)
    except ValueError:
        number = None
    unit = "" if unit == "1" else (unit if len(unit) <= 8 and not unit.startswith("{") else meaning)
    return {"value": f"{words} {unit}".strip(), "number": number}


def _graphic(dataset: Dataset, kind: str) -> dict[str, Any]:
    values = raw_value(dataset, "GraphicData")
    numbers = [float(one) for one in values if isinstance(one, float | int)] if _is_list(values) else []
    name = text_of(dataset, "GraphicType").lower() or "graphic"
    if kind == "SCOORD3D":
        return {"value": f"{name} of {len(numbers) // 3} points in space"}
    points = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    if not points:
        return {"value": f"{name} without points"}
    if name == "circle" and len(points) == 2:  # its centre, and one point on it (PS3.3 C.18.6.1.2)
        (x, y), (on_x, on_y) = points
        radius = math.hypot(on_x - x, on_y - y)
        words = f"circle around ({x:.1f}, {y:.1f}), radius {radius:.1f} px"
        return {"value": words, "points": ((x - radius, y - radius), (x + radius, y + radius))}
    x0, y0, x1, y1 = bounds(points)
    where = f"({(x0 + x1) / 2:.1f}, {(y0 + y1) / 2:.1f})"
    if len(points) == 1:
        return {"value": f"{name} at {where}", "points": points}
    return {
        "value": f"{name} of {len(points)} points around {where}, {x1 - x0:.1f} x {y1 - y0:.1f} px",
        "points": points,
    }


def bounds(points: tuple[tuple[float, float], ...]) -> tuple[float, float, float, float]:
    """Return the box ``(x0, y0, x1, y1)`` around some points."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def _instance(dataset: Dataset) -> dict[str, Any]:
    references = items_of(dataset, "ReferencedSOPSequence")
    if not references:
        return {"value": "no reference"}
    uid = text_of(references[0], "ReferencedSOPInstanceUID")
    frames = _integers(raw_value(references[0], "ReferencedFrameNumber"))
    words = f"{class_name(text_of(references[0], 'ReferencedSOPClassUID'))} {uid}"
    if frames:
        words += f", frame {', '.join(map(str, frames))}"
    return {"value": words, "sop_instance_uid": uid, "frames": frames}


def class_name(uid: str) -> str:
    """Name of a SOP class without "Storage"; the UID itself when it is unknown."""
    return UID(uid).name.removesuffix(" Storage") if uid else "unknown object"


def _integers(value: Any) -> tuple[int, ...]:
    if value is None or value == "":
        return ()
    values: list[Any] = list(value) if _is_list(value) else [value]
    numbers = []
    for one in values:
        try:
            numbers.append(int(one))
        except (ValueError, TypeError):
            return ()
    return tuple(numbers)


def read_tree(dataset: Dataset) -> ContentItem:
    """Read the content tree of a structured report.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The document; its own attributes are those of the root.

    Returns
    -------
    ContentItem
        The root, at position ``(1,)``.
    """
    return _Reader().read(dataset, (1,))
