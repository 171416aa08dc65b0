"""Frames of an ultrasound object, decoded one at a time: of a cine no more than one is ever in memory.

Every frame comes as 8-bit grey or RGB, whatever it was stored as.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    RLELossless,
)

from pipelines.errors import MissingPixels, UndecodablePixels, UnreadableInstance
from pipelines.greyscale import greyscale_table
from pipelines.headers import MALFORMED
from pipelines.pixels import DECODERS, END_OF_IMAGE, JPEG_FAMILY
from pipelines.ultrasound.codestream import read_head
from pipelines.ultrasound.frame_index import FrameSpans, encapsulated_spans, native_spans
from pipelines.ultrasound.header import UltrasoundHeader, describe_ultrasound
from pipelines.ultrasound.palette import PALETTE_KEYWORDS, applied_palette

Frame = NDArray[np.uint8]
"""Shape ``(rows, columns)``, grey, or ``(rows, columns, 3)``, RGB; 0 is black."""

PIXEL_DATA: Final = 0x7FE00010
UNDEFINED_LENGTH: Final = 0xFFFFFFFF
JPEG_2000_COLOURS: Final = frozenset({"YBR_RCT", "YBR_ICT"})
LONG_VRS: Final = frozenset({b"OB", b"OW", b"UN"})

MAX_FRAME_PIXELS: Final = 16_000_000
"""Eight times the largest screen of a scanner; beyond it the header lies."""

MAX_FRAMES: Final = 100_000

ENCODED_SLACK_BYTES: Final = 65_536
"""A compressed frame may be twice its uncompressed size and this; a larger one is a trap or garbage."""


class FrameReader:
    """The frames of one open file; made by `open_frames`.

    Attributes
    ----------
    header : UltrasoundHeader
        Of the same file.
    """

    def __init__(self, file: BinaryIO) -> None:
        try:
            dataset = dcmread(file, stop_before_pixels=True, force=True)
        except MALFORMED as error:
            raise UndecodablePixels("the object breaks off, or its header is damaged") from error
        self.header: UltrasoundHeader = describe_ultrasound(dataset)
        self._syntax = _known_syntax(self.header.transfer_syntax_uid)
        self._name = f"transfer syntax {self._syntax.name} [{self._syntax!s}]"
        self._require_sensible_size()
        self._photometric = self.header.photometric_interpretation
        self._dataset = dataset
        if self._syntax == DeflatedExplicitVRLittleEndian:  # inflated as a whole: there is no other way in
            self._file, start, length, self._vr = _inflated(file)
        else:
            self._file = file
            start, length, self._vr = _pixel_data_place(file, self._syntax)
        try:
            self._spans = self._frame_spans(start, length)
        except UndecodablePixels as error:
            raise UndecodablePixels(f"{error}, {self._name}") from error

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self._spans)

    def frame(self, number: int) -> Frame:
        """Decode one frame.

        Parameters
        ----------
        number : int
            From 1, as a Referenced Frame Number.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(rows, columns)`` for greyscale, ``(rows, columns, 3)`` RGB for colour.

        Raises
        ------
        UndecodablePixels
            No decoder reads the transfer syntax, or the frame is truncated or damaged.
        """
        encoded = b"".join(self._read(offset, length) for offset, length in self._spans[number - 1])
        try:
            single = self._single_frame(encoded)
            plugin = next((name for syntaxes, name in DECODERS if self._syntax in syntaxes), "")
            pixels, _ = get_decoder(self._syntax).as_array(single, decoding_plugin=plugin)
            shown = self._shown(pixels)
        except (RuntimeError, *MALFORMED) as error:
            raise UndecodablePixels(f"frame {number} truncated, damaged or of an unknown kind, {self._name}") from error
        colours = (3,) if self.header.samples_per_pixel == 3 or self._photometric == "PALETTE COLOR" else ()
        if shown.shape != (self.header.rows, self.header.columns, *colours):
            raise UndecodablePixels(f"frame {number} of an unexpected size, {self._name}")
        return shown

    def _require_sensible_size(self) -> None:
        """Refuse, before anything is decoded, what cannot be."""
        header = self.header
        if not 0 < header.rows * header.columns <= MAX_FRAME_PIXELS:
            raise UndecodablePixels(f"{header.rows} rows of {header.columns} pixels, {self._name}")
        if not 0 < header.frames <= MAX_FRAMES:
            raise UndecodablePixels(f"{header.frames} frames, {self._name}")
        if header.samples_per_pixel not in {1, 3} or header.bits_allocated not in {8, 16}:
            raise UndecodablePixels(
                f"{header.samples_per_pixel} samples of {header.bits_allocated} bits a pixel, {self._name}"
            )

        if header.photometric_interpretation in JPEG_2000_COLOURS and self._syntax not in JPEG2000TransferSyntaxes:
            raise UndecodablePixels(f"{header.photometric_interpretation}, which only JPEG 2000 has, {self._name}")

    def _native_bytes(self) -> int:
        header = self.header
        return header.rows * header.columns * header.samples_per_pixel * header.bits_allocated // 8

    def _frame_spans(self, start: int, length: int) -> FrameSpans:
        frames = self.header.frames
        if self._syntax.is_encapsulated:
            return encapsulated_spans(self._file, start, frames, one_fragment_each=self._syntax == RLELossless)
        if length == UNDEFINED_LENGTH:
            raise UndecodablePixels("pixel data of undefined length that are not encapsulated")
        length = min(length, self._file.seek(0, 2) - start)
        frame_bytes = self._native_bytes()
        if self._photometric == "YBR_FULL_422":
            if length // 2 * 2 == (frames * frame_bytes) // 2 * 2:
                self._photometric = "YBR_FULL"  # what decompressing leaves behind: chrominance at full size after all
            else:
                frame_bytes = frame_bytes // 3 * 2  # two pixels share their chrominance, PS3.3 C.7.6.3.1.2
        if not self._syntax.is_little_endian and self._vr == "OW" and frame_bytes % 2 and frames > 1:
            raise UndecodablePixels("frames that begin in the middle of a big-endian word")
        # Less than a pixel a row: one column more or less would make a skewed picture of it.
        return native_spans(start, length, frame_bytes, frames, max_padding=self.header.rows - 1)

    def _read(self, offset: int, length: int) -> bytes:
        if length > 2 * self._native_bytes() + ENCODED_SLACK_BYTES:
            raise UndecodablePixels(f"a compressed frame of {length} bytes, {self._name}")
        try:
            self._file.seek(offset)
            content = self._file.read(length)
        except OSError as error:
            raise UndecodablePixels(f"the file cannot be read ({type(error).__name__}), {self._name}") from error
        if len(content) < length:
            raise UndecodablePixels(f"truncated pixel data, {self._name}")
        return content

    def _single_frame(self, encoded: bytes) -> Dataset:
        """One frame with what decoders want to know, so that none looks at the rest of the object."""
        header = self.header
        single = Dataset()
        single.file_meta = self._dataset.file_meta
        single.SamplesPerPixel = header.samples_per_pixel
        single.PhotometricInterpretation = self._checked(encoded)
        if header.samples_per_pixel > 1:
            single.PlanarConfiguration = self._dataset.get("PlanarConfiguration") or 0
        single.Rows, single.Columns = header.rows, header.columns
        single.BitsAllocated, single.BitsStored = header.bits_allocated, header.bits_stored
        single.PixelRepresentation = self._dataset.get("PixelRepresentation") or 0
        if self._syntax.is_encapsulated:
            single.add_new(PIXEL_DATA, "OB", encapsulate([encoded]))
            single["PixelData"].is_undefined_length = True
        else:
            single.add_new(PIXEL_DATA, self._vr, encoded + b"\0" * (len(encoded) % 2))
        return single

    def _checked(self, encoded: bytes) -> str:
        """Photometric interpretation of the frame; a code stream that is not what the header says is refused.

        A decoder allocates what the code stream asks for, so its size has to be known before.
        """
        header = self.header
        if self._syntax not in JPEG_FAMILY:
            return self._photometric
        head = read_head(encoded)
        sizes = (header.rows, header.columns, header.samples_per_pixel)
        if head is None or (head.rows, head.columns, head.components) != sizes:
            raise UndecodablePixels(f"a code stream of another size than the header's, {self._name}")
        if END_OF_IMAGE not in encoded.rstrip(b"\0")[-16:]:
            raise UndecodablePixels(f"truncated pixel data, {self._name}")
        return head.photometric_interpretation or self._photometric

    def _shown(self, pixels: NDArray[np.integer]) -> Frame:
        """Display values, 8 bit: through the palette, the greyscale pipeline, or as they are."""
        if self._photometric == "PALETTE COLOR":
            palette = Dataset()
            palette.file_meta = self._dataset.file_meta
            for keyword in PALETTE_KEYWORDS:
                if keyword in self._dataset:
                    palette[keyword] = self._dataset[keyword]
            return applied_palette(pixels, palette)
        if self.header.samples_per_pixel == 3:
            return _eight_bit(pixels, self.header.bits_stored)
        return _displayed(pixels, self._dataset, self.header.bits_stored)


@contextmanager
def open_frames(path: Path) -> Iterator[FrameReader]:
    """Open a file to read frames from it.

    Raises
    ------
    UnreadableInstance
        The file cannot be opened.
    MissingPixels
        The object has no pixel data.
    UndecodablePixels
        It breaks off, states a size or a number of frames that cannot be or that is not there, or names a transfer
        syntax that is none of the standard's.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableInstance(f"the file cannot be opened ({type(error).__name__})") from error
    with file:
        yield FrameReader(file)


def _known_syntax(uid: str) -> UID:
    syntax = UID(uid)
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise UndecodablePixels(f"transfer syntax {syntax}, which is not of the standard")
    return syntax


def _pixel_data_place(file: BinaryIO, syntax: UID) -> tuple[int, int, str]:
    """Offset, length and VR of the pixel data's value, in front of whose element `file` stands."""
    byte_order = "<" if syntax.is_little_endian else ">"
    head = file.read(8)
    if len(head) < 8:
        raise MissingPixels("no pixel data")
    group, element = struct.unpack(f"{byte_order}HH", head[:4])
    if (group << 16 | element) != PIXEL_DATA:
        raise UndecodablePixels("pixel data that are not whole numbers")
    vr = "OW"
    if syntax != ImplicitVRLittleEndian and head[4:6] in LONG_VRS:
        vr = "OB" if head[4:6] == b"OB" else "OW"
        head = head[4:] + file.read(4)
    (length,) = struct.unpack(f"{byte_order}I", head[-4:])
    if length == 0:
        raise MissingPixels("no pixel data")
    return file.tell(), int(length), vr


def _inflated(file: BinaryIO) -> tuple[BinaryIO, int, int, str]:
    """Pixel data of a deflated object, in memory."""
    file.seek(0)
    try:
        content = dcmread(file, force=True).get("PixelData")
    except MALFORMED as error:
        raise UndecodablePixels("the object breaks off, or its pixel data are damaged") from error
    if not isinstance(content, bytes) or not content:
        raise MissingPixels("no pixel data")
    return BytesIO(content), 0, len(content), "OW"


def _eight_bit(pixels: NDArray[np.integer], bits_stored: int) -> Frame:
    full_scale = 2**bits_stored - 1
    if pixels.dtype == np.uint8 and full_scale == 255:
        return np.asarray(pixels, dtype=np.uint8)
    scaled = np.rint(pixels.astype(np.float32) * (255.0 / full_scale))
    return np.asarray(np.clip(scaled, 0, 255), dtype=np.uint8)


def _displayed(pixels: NDArray[np.integer], dataset: Dataset, bits_stored: int) -> Frame:
    """Through the greyscale pipeline; without a window the whole range is shown, as ultrasound is stored to be seen."""
    low = -(2 ** (bits_stored - 1)) if pixels.dtype.kind == "i" else 0
    values = np.arange(low, low + 2**bits_stored, dtype=np.int64)
    table = greyscale_table(dataset, values, values[[0, -1]])
    display = np.rint(table * 255.0).astype(np.uint8)
    found: Frame = display[np.clip(pixels.astype(np.int64) - low, 0, len(display) - 1)]
    return found
