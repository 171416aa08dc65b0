"""Read the content tree of any structured report (PS3.3 C.17.3) into plain values, however it was written.

Nothing here trusts the file: what is missing or malformed reads as empty, and depth and number of items are bounded.
Whatever is left out for that is said where it is missing, so that a lost finding never reads as no finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from pydicom import Dataset

from sr_templates.codes import BREAST_SIDE, SIDE, VIEW
from sr_templates.reading_attributes import (
    code_of,
    is_damaged,
    is_unreadable_sequence,
    items_of,
    text_of,
)
from sr_templates.reading_values import bounds, value_of
from sr_templates.withholding import WITHHELD, Withholding

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "ContentItem", "Position", "bounds", "read_tree"]

MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 20_000
Position = tuple[int, ...]

VALUE_SEQUENCES: Final = (
    "ConceptNameCodeSequence",
    "ConceptCodeSequence",
    "MeasuredValueSequence",
    "ReferencedSOPSequence",
)
DANGLING: Final = ", which is not there"
CIRCULAR: Final = ", which leads back to itself"
MAX_WORDS: Final = 200
"""Characters told of what an item refers to; all of it stands where it is."""
DAMAGED: Final = "an element is damaged or cut off"

# The older codes are of SNOMED-RT style, as reports from before 2018 have them (CID 6022, CID 244, CID 4014)
SHORT_NAMES: Final = {
    **{code.value: side for sides in (BREAST_SIDE, SIDE) for side, code in sides.items()},
    **{code.value: view for view, code in VIEW.items()},
    **{"T-04020": "R", "T-04030": "L", "G-A100": "R", "G-A101": "L"},
    **{"R-10242": "CC", "R-10226": "MLO", "R-10224": "ML", "R-10228": "LM", "R-10230": "LMO", "R-10244": "FB"},
    **{"R-102D0": "SIO", "R-40AAA": "ISO", "R-1024A": "XCCL", "R-1024B": "XCCM"},
}
"""What radiologists call sides and views, by code value; a meaning would take a line."""


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
        ``(column, row)`` of an SCOORD item; of a circle or an ellipse, corners of the box around it.
    sop_instance_uid : str
        Of an IMAGE, COMPOSITE or WAVEFORM item.
    frames : tuple of int
        Referenced frame numbers, 1-based.
    refers_to : tuple of int
        Position of the item that an item by reference stands for; empty otherwise.
    unread : str
        What of this item could not be read, in words; empty when all of it was.
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
    unread: str = ""
    children: tuple[ContentItem, ...] = ()

    @property
    def short(self) -> str:
        """Name of a side or a view as on a film, ``"R"`` or ``"MLO, Magnification"``; of anything else the value."""
        modifiers = (child.value for child in self.children if child.relationship == "HAS CONCEPT MOD")
        return ", ".join((SHORT_NAMES.get(self.value_code, self.value), *modifiers))

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


class _Reader:
    """Counts what it reads, so that a malicious file ends; `withheld` None shows the patient."""

    def __init__(self, *, withheld: Withholding | None) -> None:
        self._left = MAX_ITEMS
        self._withheld = withheld

    def read(self, dataset: Dataset, position: Position) -> ContentItem:
        self._left -= 1
        damaged = is_damaged(dataset)  # before any element is converted
        damaged |= any(is_unreadable_sequence(dataset, keyword) for keyword in VALUE_SEQUENCES)
        children, left_out = self._children(dataset, position)
        code, meaning = code_of(dataset, "ConceptNameCodeSequence")
        value_type, value = text_of(dataset, "ValueType"), value_of(dataset)
        if not (value_type or code or children or value.get("refers_to")):
            damaged = True
        if self._withheld is not None:
            told = self._withheld.of_item(value_type, code, value["value"])
            value = {"value": WITHHELD} if told == WITHHELD else {**value, "value": told}
        return ContentItem(
            position=position,
            relationship=text_of(dataset, "RelationshipType"),
            value_type=value_type,
            concept=meaning,
            concept_code=code,
            unread=left_out or (DAMAGED if damaged else ""),
            children=children,
            **value,
        )

    def _children(self, dataset: Dataset, position: Position) -> tuple[tuple[ContentItem, ...], str]:
        """Read what is below, and say what of it was left out."""
        if is_unreadable_sequence(dataset, "ContentSequence"):
            return (), "what is below cannot be read"
        items = items_of(dataset, "ContentSequence")
        if items and len(position) >= MAX_DEPTH:
            return (), f"deeper than {MAX_DEPTH} levels: what is below was not read"
        children: list[ContentItem] = []
        for number, item in enumerate(items, start=1):
            if self._left <= 0:
                return tuple(children), f"more than {MAX_ITEMS} items: {len(items) - len(children)} were not read"
            children.append(self.read(item, (*position, number)))
        return tuple(children), ""


def _at(root: ContentItem, position: Position) -> ContentItem | None:
    """Item at a position, counted from the root, which is 1; None when there is none."""
    if position[0] != 1:
        return None
    item = root
    for number in position[1:]:
        if not 1 <= number <= len(item.children):
            return None
        item = item.children[number - 1]
    return item


class _References:
    """What the items by reference of a tree stand for; chains are followed, circles are not, and no step twice."""

    def __init__(self, root: ContentItem) -> None:
        self._root = root
        self._words: dict[Position, str] = {}

    def resolved(self, item: ContentItem) -> ContentItem:
        """Tell what is referred to, here and below; the tree keeps its shape."""
        children = tuple(self.resolved(child) for child in item.children)
        value = item.value + self._words_after(item) if item.refers_to else item.value
        return replace(item, value=value, children=children)

    def _words_after(self, item: ContentItem) -> str:
        """Words after the value of an item by reference; the same for every item of a chain."""
        passed: dict[Position, None] = {}
        target: ContentItem | None = item
        while target is not None and target.refers_to and target.position not in self._words:
            if target.position in passed:
                break
            passed[target.position] = None
            target = _at(self._root, target.refers_to)
        words = DANGLING if target is None else self._words.get(target.position) or _words_of(target)
        self._words.update(dict.fromkeys(passed, words))
        return words


def _words_of(target: ContentItem) -> str:
    """Words on the end of a chain; one that is itself a reference has been there before."""
    if target.refers_to:
        return CIRCULAR
    words = ": ".join(filter(None, (target.concept, target.value.partition("\n")[0])))
    return f" ({words[:MAX_WORDS]}{'...' if len(words) > MAX_WORDS else ''})" if words else ""


def read_tree(dataset: Dataset, *, patient: bool = False) -> ContentItem:
    """Read the content tree of a structured report.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The document, best before anything else has looked at it: what breaks off is only seen in elements that are
        as they were read. Its own attributes are those of the root.
    patient : bool
        Tell names, the subject's ID and birth date, other dates of unknown meaning, and text on the patient that the
        header names (`withholding`).

    Returns
    -------
    ContentItem
        The root, at position ``(1,)``; an item by reference says what it refers to, if that exists.
    """
    damaged = is_damaged(dataset)
    root = _Reader(withheld=None if patient else Withholding(dataset)).read(dataset, (1,))
    if damaged and not root.unread:
        root = replace(root, unread=DAMAGED)
    return _References(root).resolved(root)
