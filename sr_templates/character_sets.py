"""In which character set an object is written that quotes a radiologist: that of its source wherever it can.

Own words are ASCII, and patient and study are repeated byte for byte with their character set. Only what a radiologist
called a region may need letters that this set lacks. The object is then in UTF-8, with patient and study in it as the
same text. Items with a character set of their own (PS3.5 7.5.3) would be simpler, but DCMTK 3.6.7 refuses to read them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.charset import python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from sr_templates.content import text

Verbatim = Mapping[BaseTag, RawDataElement | DataElement]

UTF_8: Final = "ISO_IR 192"
_ASCII: Final = "ISO_IR 6"
_SPECIFIC_CHARACTER_SET: Final = Tag("SpecificCharacterSet")
_FREE_TEXT_VRS: Final = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})


def carrying(document: Dataset, verbatim: Mapping[BaseTag, RawDataElement]) -> tuple[Verbatim, str | None]:
    """Find a character set for what a document says and for what it repeats of its source.

    Parameters
    ----------
    document : pydicom.Dataset
        Own elements. Letters that nothing can carry become ``?`` in it, as in all own words.
    verbatim : mapping of pydicom.tag.BaseTag to RawDataElement
        Patient and study of the source, with its character set.

    Returns
    -------
    mapping of pydicom.tag.BaseTag to RawDataElement or DataElement
        `verbatim`, or the same text to be written in UTF-8.
    str or None
        Python codec for own elements; None when they are ASCII.
    """
    foreign = [element for element in document.iterall() if _is_foreign(element)]
    if not foreign:
        return verbatim, None
    declared = _declared(verbatim)
    codec = python_encoding.get(declared) if declared.startswith("ISO_IR ") and declared != _ASCII else None
    if codec is not None and all(_encodes(element.value, codec) for element in foreign):
        return verbatim, codec
    decoded = _decoded(verbatim, declared)
    if decoded is not None:
        return decoded, python_encoding[UTF_8]
    for element in foreign:
        element.value = text(element.value)
    return verbatim, None


def _is_foreign(element: DataElement) -> bool:
    return element.VR in _FREE_TEXT_VRS and isinstance(element.value, str) and not element.value.isascii()


def _encodes(value: str, codec: str) -> bool:
    try:
        value.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _declared(verbatim: Mapping[BaseTag, RawDataElement]) -> str:
    element = verbatim.get(_SPECIFIC_CHARACTER_SET)
    return (element.value or b"").decode("latin-1").strip(" \0") if element is not None else ""


def _decoded(verbatim: Mapping[BaseTag, RawDataElement], declared: str) -> Verbatim | None:
    """Patient and study as text, declared to be UTF-8; None when the source's bytes are not what it declares."""
    others = [element for tag, element in verbatim.items() if tag != _SPECIFIC_CHARACTER_SET]
    if declared in ("", _ASCII) and not all((element.value or b"").isascii() for element in others):
        return None
    source = Dataset()
    for element in verbatim.values():
        source[element.tag] = element
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydicom warns of bytes and of sets that it cannot decode, and replaces
            source.decode()
    except (UserWarning, ValueError, LookupError, TypeError, AttributeError, OSError, EOFError):
        return None
    source.SpecificCharacterSet = UTF_8
    return {element.tag: element for element in source}
