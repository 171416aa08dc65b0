"""The greyscale transformations of an image, said again for a presentation state.

A presentation state replaces those of the image: what it does not say is an identity, and the Photometric
Interpretation is ignored (PS3.4 N.2.1.1, N.2.1.3, N.2.1.4). So the Modality LUT, the VOI LUT and the polarity are read
from the header and written anew. Of several VOI transformations the first is taken, as only one is allowed (PS3.3
C.11.8), and a VOI LUT goes before a window, which is what the pipelines show too. A malformed attribute counts as
absent. Nothing but numbers and code strings is read: free text is never decoded.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException

from sr_templates.content import text
from sr_templates.evidence import value_text

_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_CURVED_FUNCTIONS = frozenset({"LINEAR_EXACT", "SIGMOID"})
_MALFORMED = (  # what pydicom and numpy raise on a mangled sequence or lookup table
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    EOFError,
    OSError,
    RuntimeError,  # pydicom: a VR that it does not know; a nesting too deep
    struct.error,
    BytesLengthException,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Window Center and Width with their function (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: str

    def as_item(self) -> Dataset:
        """Item of a Softcopy VOI LUT Sequence; LINEAR is what no function means."""
        item = Dataset()
        item.WindowCenter = _decimal_string(self.center)
        item.WindowWidth = _decimal_string(self.width)
        if self.function in _CURVED_FUNCTIONS:
            item.VOILUTFunction = self.function
        return item


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupTable:
    """A lookup table (PS3.3 C.11.1.1.1 and C.11.2.1.1).

    Attributes
    ----------
    first_mapped : int
        Input value of the first entry.
    bits : int
        Of an entry, 8 to 16.
    entries : numpy.ndarray
        Shape ``(n,)``, uint16, n from 1 to 65536.
    """

    first_mapped: int
    bits: int
    entries: NDArray[np.uint16]

    def over_full_range(self) -> LookupTable:
        """Same table with 16 bits, its greatest possible output being 65535.

        For a VOI LUT, whose output has no unit (PS3.4 N.2.1.3): readers differ on 9 to 15 bits, and so do headers, some
        of which state fewer than their entries have.
        """
        greatest = max(2**self.bits - 1, int(self.entries.max()))
        entries = np.rint(self.entries * (65535.0 / greatest)).astype(np.uint16)
        return LookupTable(first_mapped=self.first_mapped, bits=16, entries=entries)

    def as_item(self) -> Dataset:
        """Item of a VOI or Modality LUT Sequence, without its explanation.

        LUT Data is OW, since US holds at most 32767 entries in an explicit VR. Entries have 8 bits, packed, or 16.
        """
        packed = self.bits == 8 and self.entries.max() <= 0xFF
        item = Dataset()
        count = len(self.entries) & 0xFFFF  # 65536 is written as 0
        signed = self.first_mapped < 0
        # one VR for all three values; the first is always read as unsigned
        count = count - 0x10000 if signed and count > 0x7FFF else count
        item.add_new("LUTDescriptor", "SS" if signed else "US", [count, self.first_mapped, 8 if packed else 16])
        data = self.entries.astype("u1" if packed else "<u2").tobytes()
        item.add_new("LUTData", "OW", data + b"\0" * (len(data) % 2))
        return item


def is_greyscale(header: Dataset) -> bool:
    """Whether a grayscale presentation state can refer to the image; one that says nothing is taken for one."""
    return value_text(header, "PhotometricInterpretation") in {"", "MONOCHROME1", "MONOCHROME2"}


def presentation_lut_shape(header: Dataset) -> Literal["IDENTITY", "INVERSE"]:
    """Presentation LUT Shape that shows an image in its own polarity (PS3.3 C.11.6).

    Returns
    -------
    {"IDENTITY", "INVERSE"}
        INVERSE for MONOCHROME1, whose least value is white: after the inversion the output is in P-Values.
    """
    return "INVERSE" if value_text(header, "PhotometricInterpretation") == "MONOCHROME1" else "IDENTITY"


def modality_lut(header: Dataset) -> Dataset:
    """Attributes of the Modality LUT module (PS3.3 C.11.1).

    Returns
    -------
    pydicom.Dataset
        A lookup table, else rescale slope and intercept, of the image or of all its frames; empty when the image has
        neither, which is an identity.
    """
    module = Dataset()
    table = _lookup_table(header, "ModalityLUTSequence")
    if table is not None:
        item = table.as_item()
        sequence = _items(header, "ModalityLUTSequence")
        item.ModalityLUTType = text(value_text(sequence[0], "ModalityLUTType"), 64) or "US"
        module.ModalityLUTSequence = [item]
        return module
    source = _functional_group(header, "PixelValueTransformationSequence") or header
    slope, intercept = _number(source, "RescaleSlope"), _number(source, "RescaleIntercept")
    if slope is not None or intercept is not None:
        module.RescaleIntercept = _decimal_string(intercept or 0.0)
        module.RescaleSlope = _decimal_string(slope or 1.0)
        module.RescaleType = text(value_text(source, "RescaleType"), 64) or "US"
    return module


def voi_transformations(header: Dataset) -> list[tuple[tuple[int, ...], Dataset]]:
    """Items of the Softcopy VOI LUT Sequence, without their references (PS3.3 C.11.8).

    Returns
    -------
    list of (tuple of int, pydicom.Dataset)
        The 1-based frames that an item is for, none for all, and the item. Empty when the image has no VOI
        transformation: it is then shown over the whole range of its values.
    """
    table = _lookup_table(header, "VOILUTSequence")
    if table is not None:
        item = Dataset()
        item.VOILUTSequence = [table.over_full_range().as_item()]
        return [((), item)]
    whole = _window(header) or _window(_functional_group(header, "FrameVOILUTSequence") or Dataset())
    if whole is not None:
        return [((), whole.as_item())]
    frames: dict[Window, list[int]] = {}
    for number, groups in enumerate(_items(header, "PerFrameFunctionalGroupsSequence"), start=1):
        for macro in _items(groups, "FrameVOILUTSequence")[:1]:
            window = _window(macro)
            if window is not None:
                frames.setdefault(window, []).append(number)
    return [(tuple(numbers), window.as_item()) for window, numbers in frames.items()]


def _functional_group(header: Dataset, keyword: str) -> Dataset | None:
    """Macro that all frames share (PS3.3 C.7.6.16)."""
    for groups in _items(header, "SharedFunctionalGroupsSequence")[:1]:
        for item in _items(groups, keyword)[:1]:
            return item
    return None


def _window(dataset: Dataset) -> Window | None:
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if center is None or width is None:
        return None
    function = value_text(dataset, "VOILUTFunction").upper()
    curved = function in _CURVED_FUNCTIONS
    if width <= 0 or (not curved and width < 1):
        return None
    return Window(center=center, width=width, function=function if curved else "LINEAR")


def _lookup_table(dataset: Dataset, keyword: str) -> LookupTable | None:
    items = _items(dataset, keyword)
    if not items:
        return None
    item = items[0]
    try:
        stated, first_mapped, bits = (int(value) for value in item.LUTDescriptor)
        little_endian = item.original_encoding[1] is not False
        entries = _entries(item.LUTData, (stated & 0xFFFF) or 2**16, little_endian=little_endian)
    except _MALFORMED:
        return None
    if not len(entries) or not 8 <= bits <= 16 or not -0x8000 <= first_mapped <= 0xFFFF:
        return None
    return LookupTable(first_mapped=first_mapped, bits=bits, entries=entries)


def _entries(value: Any, count: int, *, little_endian: bool) -> NDArray[np.uint16]:
    """Entries however they are encoded: US, SS, OW, or 8 bits packed in OW; at most `count`."""
    if isinstance(value, bytes):
        width = 1 if len(value) in {count, count + 1} and count > 1 else 2
        kind = "u1" if width == 1 else ("<u2" if little_endian else ">u2")
        data = np.frombuffer(value[: len(value) // width * width], dtype=kind)
    else:
        data = np.asarray(value, dtype=np.int64).reshape(-1) & 0xFFFF
    return data[:count].astype(np.uint16)


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; none when it is absent or no sequence at all."""
    tag = tag_for_keyword(keyword)
    element = dataset.get_item(tag) if tag is not None else None
    if element is None:
        return []
    if isinstance(element, RawDataElement) and (element.value or b"")[:4] not in _ITEM_TAGS:
        return []  # pydicom makes items out of anything
    try:
        return list(dataset[keyword].value or [])
    except _MALFORMED:
        return []


def _number(dataset: Dataset, keyword: str) -> float | None:
    """First value of a DS, None when it is absent, malformed or not finite."""
    try:
        number = float(value_text(dataset, keyword).split("\\")[0])
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _decimal_string(number: float) -> str:
    """DS with ten significant digits, which its 16 characters always hold (PS3.5 6.2)."""
    return f"{number:.10g}"
