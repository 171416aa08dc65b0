"""Attributes of a data set that nobody vouches for, as printable text, numbers and items; nothing here raises."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException
from pydicom.uid import UID

MAX_CHARACTERS: Final = 20_000
_JOINERS: Final = frozenset("\u200c\u200d")  # Persian and Indian scripts are misspelt without them
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF

UNREADABLE: Final = (
    # What pydicom raises on elements and sequences that hold garbage
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,  # pydicom: a VR that it does not know; a nesting too deep
    EOFError,
    OSError,
    struct.error,
    zlib.error,
    BytesLengthException,
)


def printable(value: object) -> str:
    """Text without control and format characters, which a terminal would obey; lines remain."""
    text = "\n".join(str(value).splitlines())
    kept = (c if c == "\n" or c in _JOINERS or c.isprintable() else " " for c in text)
    whole = "".join(kept).strip()
    if len(whole) > MAX_CHARACTERS:
        return f"{whole[:MAX_CHARACTERS]}... ({len(whole) - MAX_CHARACTERS} more characters)"
    return whole


def text_of(dataset: Dataset, keyword: str) -> str:
    """Value of an attribute as printable text; several values by commas; empty when absent.

    A value that its VR does not allow is told as it stands in the file.
    """
    try:
        value = dataset.get(keyword)
    except UNREADABLE:
        return _as_it_stands(dataset, keyword)
    if value is None:
        return ""
    values = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
    return ", ".join(printable(one) for one in values)


def _as_it_stands(dataset: Dataset, keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    try:
        element = dataset.get_item(tag) if tag is not None else None
    except UNREADABLE:
        return ""
    value = element.value if isinstance(element, RawDataElement) else None
    return printable(value.decode("latin-1").strip(" \0")) if isinstance(value, bytes) else ""


def raw_value(dataset: Dataset, keyword: str) -> Any:
    """Value of an attribute as pydicom has it; None when absent or when its bytes fit no value."""
    try:
        return dataset.get(keyword)
    except UNREADABLE:
        return None


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; none when it is absent or something else."""
    value = raw_value(dataset, keyword)
    return [item for item in value if isinstance(item, Dataset)] if is_list(value) else []


def is_unreadable_sequence(dataset: Dataset, keyword: str) -> bool:
    """Whether something is there that should be a sequence, and is none."""
    try:
        value = dataset.get(keyword)
    except UNREADABLE:
        return True
    return value is not None and not is_list(value)


def is_damaged(dataset: Dataset) -> bool:
    """Whether an element has no valid VR, or is shorter than its length says, as in a file that was cut off.

    Parameters
    ----------
    dataset : pydicom.Dataset
        As it was read: what has been looked at is converted, and has no stated length any more.
    """
    try:
        return any(_is_short(dataset.get_item(tag)) for tag in list(dataset.keys()))
    except UNREADABLE:
        return True


def _is_short(element: object) -> bool:
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length


def is_list(value: object) -> bool:
    """Whether a value is one of several, or a sequence."""
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes | Dataset)


def integers(value: Any) -> tuple[int, ...]:
    """One integer or several; none when any of them is something else."""
    if value is None or value == "":
        return ()
    values: list[Any] = list(value) if is_list(value) else [value]
    try:
        return tuple(int(one) for one in values)
    except (ValueError, TypeError, OverflowError):
        return ()


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


def class_name(uid: str) -> str:
    """Name of a SOP class without "Storage"; the UID itself when it is unknown."""
    return UID(uid).name.replace(" Storage", "") if uid else "object of unknown class"


def date_words(value: str) -> str:
    """DA as ``2025-01-31`` and DT with its time; anything else as it is."""
    digits = value[:8]
    if len(digits) < 8 or not (digits.isascii() and digits.isdecimal()):
        return value
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    return f"{day} {time_words(value[8:])}" if value[8:] else day


def time_words(value: str) -> str:
    """TM as ``12:30:05``, without fractions; anything else as it is."""
    digits = value[:6]
    if len(digits) < 4 or not (digits.isascii() and digits.isdecimal()):
        return value
    return ":".join(digits[start : start + 2] for start in range(0, len(digits), 2))
