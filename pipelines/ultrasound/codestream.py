"""The head of a compressed frame: its size and colour space, read before any decoder allocates memory for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

JPEG_START: Final = b"\xff\xd8"
JPEG_2000_START: Final = b"\xff\x4f\xff\x51"
IMAGE_STARTS: Final = (JPEG_START, JPEG_2000_START[:2])
"""SOI of ISO 10918-1 and 14495-1, SOC of ISO 15444-1: what the first fragment of a frame begins with."""

JP2_WRAPPER_BYTES: Final = 1024
"""Within this, a code stream begins that was stored in a JP2 file, which the standard forbids and some do."""

START_OF_SCAN: Final = 0xDA
STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
FRAME_HEADS: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 without DHT, JPG and DAC (ISO 10918-1 table B.1), and SOF55 of JPEG-LS."""

APP0: Final = 0xE0
APP14: Final = 0xEE
RGB_COMPONENT_IDS: Final = (b"RGB", b"rgb")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodestreamHead:
    """What a code stream says of itself.

    Attributes
    ----------
    photometric_interpretation : str or None
        "RGB" or "YBR_FULL" where markers of a JPEG stream settle it: component names, Adobe's APP14, JFIF. They are
        trusted over the header, since they are written by the encoder that made the pixels.
    """

    rows: int
    columns: int
    components: int
    photometric_interpretation: str | None


def read_head(frame: bytes) -> CodestreamHead | None:
    """Read the head of one JPEG, JPEG-LS or JPEG 2000 frame; None when it is none of them, or breaks off."""
    try:
        if frame.startswith(JPEG_START):
            return _jpeg_head(frame)
        start = frame.find(JPEG_2000_START, 0, JP2_WRAPPER_BYTES)
        return None if start < 0 else _jpeg_2000_head(frame, start)
    except (struct.error, IndexError):  # it breaks off
        return None


def _jpeg_head(frame: bytes) -> CodestreamHead | None:
    """Segments up to the frame header; ISO 10918-1 B.1.1.4 and B.2.2."""
    colour_transform: str | None = None
    jfif = False
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in STANDALONE:
            at += 2
            continue
        if marker == START_OF_SCAN:
            return None
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if length < 2:
            return None
        segment = frame[at + 4 : at + 2 + length]
        if marker in FRAME_HEADS:
            _, rows, columns, components = struct.unpack_from(">BHHB", segment)
            named_rgb = components == 3 and segment[6:15:3] in RGB_COMPONENT_IDS
            settled = "RGB" if named_rgb else colour_transform or ("YBR_FULL" if jfif else None)
            return CodestreamHead(
                rows=rows,
                columns=columns,
                components=components,
                photometric_interpretation=settled if components == 3 else None,
            )
        if marker == APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:
            colour_transform = {0: "RGB", 1: "YBR_FULL"}.get(segment[11])
        jfif = jfif or (marker == APP0 and segment.startswith(b"JFIF"))
        at += 2 + length
    return None


def _jpeg_2000_head(frame: bytes, start: int) -> CodestreamHead:
    """SIZ marker segment, ISO 15444-1 A.5.1."""
    columns_end, rows_end, columns_start, rows_start = struct.unpack_from(">4I", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    return CodestreamHead(
        rows=rows_end - rows_start,
        columns=columns_end - columns_start,
        components=components,
        photometric_interpretation=None,
    )
