"""Where each frame lies in a file, so that one can be read without the others.

The item headers of encapsulated pixel data (PS3.5 A.4) are walked once; no fragment is read for it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import BinaryIO, Final

from pipelines.errors import UndecodablePixels
from pipelines.ultrasound.codestream import IMAGE_STARTS

Span = tuple[int, int]
"""Offset in the file, length in bytes."""

FrameSpans = tuple[tuple[Span, ...], ...]
"""For each frame the parts that make it up when joined."""

ITEM: Final = 0xE000FFFE
SEQUENCE_END: Final = 0xE0DDFFFE
"""(FFFE,E000) and (FFFE,E0DD), read as one little-endian number."""

ITEM_HEAD_BYTES: Final = 8
MAX_FRAGMENTS: Final = 200_000
"""Two hours of cine; beyond it the item headers are garbage."""


def native_spans(start: int, length: int, frame_bytes: int, frames: int, *, max_padding: int) -> FrameSpans:
    """Frames of uncompressed pixel data, one after another.

    Parameters
    ----------
    start, length : int
        Place of the pixel data in the file, bytes.
    frame_bytes, frames : int
        As the header has them.
    max_padding : int
        So many bytes may follow the last frame.

    Raises
    ------
    UndecodablePixels
        There are fewer bytes than the frames need, or more: the header's number of frames or their size is wrong.
    """
    if not 0 <= length - frames * frame_bytes <= max_padding:
        raise UndecodablePixels(f"{frames} frames are stated, and data of {length / frame_bytes:.2f} present")
    return tuple(((start + index * frame_bytes, frame_bytes),) for index in range(frames))


def encapsulated_spans(file: BinaryIO, start: int, frames: int, *, one_fragment_each: bool) -> FrameSpans:
    """Frames of encapsulated pixel data.

    Parameters
    ----------
    file : binary file
        Seekable; its position is changed.
    start : int
        Where the Basic Offset Table item begins.
    frames : int
        As the header has it.
    one_fragment_each : bool
        Whether the transfer syntax allows a frame only one fragment (RLE, PS3.5 A.4.2).

    Raises
    ------
    UndecodablePixels
        The items are malformed or cut off, or do not make up the stated number of frames.
    """
    file_bytes = file.seek(0, 2)
    table, first = _offset_table(file, start, frames, file_bytes)
    fragments = _fragments(file, first, file_bytes)
    if len(fragments) == frames:
        return tuple((fragment,) for fragment in fragments)
    if len(fragments) < frames or one_fragment_each:
        raise UndecodablePixels(f"{frames} frames are stated, and data of {len(fragments)} present")
    by_table = _grouped(fragments, [first + ITEM_HEAD_BYTES + offset for offset in table])
    starts = [offset for offset, _ in fragments if _begins_image(file, offset)]
    by_start = _grouped(fragments, starts)
    for grouped in (by_table, by_start) if len(starts) in {0, frames} else (by_start,):
        if grouped is not None and len(grouped) == frames:
            return grouped
    raise UndecodablePixels(f"{frames} frames are stated, and data of {len(starts)} present")


def _offset_table(file: BinaryIO, start: int, frames: int, file_bytes: int) -> tuple[tuple[int, ...], int]:
    """Basic Offset Table, empty unless it has an entry a frame, and where the first fragment's item begins."""
    length = _item_length(file, start)
    if length is None or start + ITEM_HEAD_BYTES + length > file_bytes:
        raise UndecodablePixels("the items of the pixel data are malformed")
    entries = struct.unpack(f"<{frames}I", file.read(length)) if length == 4 * frames else ()
    return entries, start + ITEM_HEAD_BYTES + length


def _fragments(file: BinaryIO, first: int, file_bytes: int) -> list[Span]:
    fragments: list[Span] = []
    at = first
    while (length := _item_length(file, at)) is not None:
        if at + ITEM_HEAD_BYTES + length > file_bytes or len(fragments) == MAX_FRAGMENTS:
            raise UndecodablePixels("the pixel data break off, or are malformed")
        fragments.append((at + ITEM_HEAD_BYTES, length))
        at += ITEM_HEAD_BYTES + length
    return fragments


def _item_length(file: BinaryIO, at: int) -> int | None:
    """Length of the item that begins here; None at the end of the sequence."""
    file.seek(at)
    head = file.read(ITEM_HEAD_BYTES)
    if len(head) < ITEM_HEAD_BYTES:
        raise UndecodablePixels("the pixel data break off")
    tag, length = struct.unpack("<II", head)
    if tag == SEQUENCE_END:
        return None
    if tag != ITEM or length == 0xFFFFFFFF:
        raise UndecodablePixels("the items of the pixel data are malformed")
    return int(length)


def _begins_image(file: BinaryIO, offset: int) -> bool:
    file.seek(offset)
    return file.read(2) in IMAGE_STARTS


def _grouped(fragments: Sequence[Span], starts: Sequence[int]) -> FrameSpans | None:
    """Fragments by the frames that begin at `starts`; None when these are no fragments, or not in order."""
    index = {offset: number for number, (offset, _) in enumerate(fragments)}
    if any(offset not in index for offset in starts):
        return None
    firsts = [index[offset] for offset in starts]
    if not firsts or firsts[0] != 0 or any(a >= b for a, b in pairwise(firsts)):
        return None
    ends = [*firsts[1:], len(fragments)]
    return tuple(tuple(fragments[first:end]) for first, end in zip(firsts, ends, strict=True))
