"""Pixel data: decoded without GPL decoders, then standardised to what a model and a reader see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from pipelines.errors import MissingPixels, UndecodablePixels, UnreadableInstance
from pipelines.greyscale import greyscale_table
from pipelines.headers import MALFORMED, MammogramHeader

Brightness = TypeVar("Brightness", np.float32, np.uint8)
StoredPixels = NDArray[np.uint8] | NDArray[np.int8] | NDArray[np.uint16] | NDArray[np.int16]

DECODERS: Final[tuple[tuple[frozenset[UID], str], ...]] = (
    # One decoder a family: falling back to a laxer one after a stricter one refused hides damage.
    (frozenset(JPEG2000TransferSyntaxes), "pylibjpeg"),  # with pylibjpeg-openjpeg, BSD
    (frozenset(JPEGLSTransferSyntaxes), "pyjpegls"),  # CharLS, BSD
    (frozenset(JPEGTransferSyntaxes), "gdcm"),  # BSD; 8 bit lossy and all lossless JPEG
    (frozenset({RLELossless}), "pydicom"),
)

JPEG_FAMILY: Final = frozenset((*JPEG2000TransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEGTransferSyntaxes))
END_OF_IMAGE: Final = b"\xff\xd9"
"""EOI of ISO 10918-1 and 14495-1, EOC of ISO 15444-1: a code stream that does not end with it was cut off."""

MAX_PIXELS: Final = 150_000_000
"""Five times the largest detector (24 x 30 cm at 50 um); beyond it the header lies."""

BLOCK_ROWS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """Stored values and the header that says what they mean.

    Attributes
    ----------
    stored : numpy.ndarray
        Shape ``(rows, columns)``, 8 or 16 bit integers as stored, unused bits cleared.
    dataset : pydicom.Dataset
        Header without pixel data.
    transfer_syntax_uid : str
        As the file had it.
    """

    stored: StoredPixels
    dataset: Dataset
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardImage:
    """One image as a reader sees it, in the stored frame.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 (air) to 1 (brightest), MONOCHROME2 sense, after the VOI LUT.
    display : numpy.ndarray
        The same as uint8.
    spacing_mm : tuple of float or None
        ``(row, column)`` in the plane of the breast.
    """

    pixels: NDArray[np.float32]
    display: NDArray[np.uint8]
    spacing_mm: tuple[float, float] | None


def decode(path: Path) -> DecodedImage:
    """Decode a single greyscale frame.

    Raises
    ------
    UnreadableInstance
        The file cannot be opened.
    MissingPixels
        The object has no pixel data.
    UndecodablePixels
        No decoder reads the transfer syntax, which the message names; or the pixel data are truncated or damaged.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableInstance(f"the file cannot be opened ({type(error).__name__})") from error
    try:
        with file:
            dataset = dcmread(file, force=True)
    except MALFORMED as error:
        raise UndecodablePixels("the object breaks off, or its pixel data are damaged") from error
    syntax = _transfer_syntax(dataset)
    _require_whole_pixel_data(dataset, syntax)
    try:
        stored, _ = get_decoder(syntax).as_array(dataset, raw=True, decoding_plugin=_plugin(syntax))
    except (RuntimeError, *MALFORMED) as error:
        raise UndecodablePixels(f"truncated, damaged or of an unknown kind, transfer syntax {_name(syntax)}") from error
    if stored.ndim != 2 or stored.dtype.itemsize > 2 or stored.dtype.kind not in "iu":
        raise UndecodablePixels(f"{stored.ndim}-dimensional {stored.dtype} pixels, transfer syntax {_name(syntax)}")
    del dataset.PixelData
    stored = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))  # big endian syntax
    return DecodedImage(stored=stored, dataset=dataset, transfer_syntax_uid=str(syntax))


def standardise(decoded: DecodedImage, header: MammogramHeader) -> StandardImage:
    """Take stored values to display brightness; see `pipelines.greyscale` for the steps.

    Parameters
    ----------
    decoded : DecodedImage
        Of one frame.
    header : MammogramHeader
        Of the same image.
    """
    stored = decoded.stored
    code_type = np.dtype(f"u{stored.dtype.itemsize}")
    codes = stored.view(code_type)
    values = np.arange(256**stored.dtype.itemsize).astype(code_type).view(stored.dtype).astype(np.int64)
    present = np.array([stored.min(), stored.max()], dtype=np.int64)
    table = greyscale_table(decoded.dataset, values, present)
    return StandardImage(
        pixels=_looked_up(table.astype(np.float32), codes),
        display=_looked_up(np.rint(table * 255.0).astype(np.uint8), codes),
        spacing_mm=header.pixel_spacing_mm,
    )


def _looked_up(table: NDArray[Brightness], codes: NDArray[np.unsignedinteger]) -> NDArray[Brightness]:
    """``table[codes]`` in blocks of rows: numpy widens an index to 64 bit, eight bytes a pixel."""
    out = np.empty(codes.shape, dtype=table.dtype)
    for start in range(0, codes.shape[0], BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        np.take(table, codes[rows], out=out[rows], mode="clip")
    return out


def _transfer_syntax(dataset: Dataset) -> UID:
    try:
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        known = syntax.is_transfer_syntax and not syntax.is_private
    except MALFORMED as error:
        raise UndecodablePixels("no transfer syntax is given") from error
    if not known:
        raise UndecodablePixels(f"transfer syntax {syntax}, which is not of the standard")
    return syntax


def _require_whole_pixel_data(dataset: Dataset, syntax: UID) -> None:
    """Refuse, before any decoder runs, what is absent, absurd or visibly cut off."""
    try:
        content = dataset.PixelData if "PixelData" in dataset else None
        if not content:
            raise MissingPixels("no pixel data")
        pixels = int(dataset.Rows or 0) * int(dataset.Columns or 0)
        bits_stored = int(dataset.BitsStored)
    except MALFORMED as error:
        raise UndecodablePixels(f"malformed pixel description, transfer syntax {_name(syntax)}") from error
    if not 0 < pixels <= MAX_PIXELS:
        raise UndecodablePixels(f"{dataset.Rows} rows of {dataset.Columns} pixels, transfer syntax {_name(syntax)}")
    if syntax == JPEGExtended12Bit and bits_stored > 8:
        # GDCM 3 returns noise for these without an error, and the other decoders that read them are GPL.
        raise UndecodablePixels(f"transfer syntax {_name(syntax)}, 12 bit")
    if syntax in JPEG_FAMILY and END_OF_IMAGE not in content.rstrip(b"\0")[-16:]:
        raise UndecodablePixels(f"truncated pixel data, transfer syntax {_name(syntax)}")


def _plugin(syntax: UID) -> str:
    return next((plugin for syntaxes, plugin in DECODERS if syntax in syntaxes), "")


def _name(syntax: UID) -> str:
    """Name and UID, e.g. ``"JPEG Extended (Process 2 and 4) [1.2.840.10008.1.2.4.51]"``."""
    return f"{syntax.name} [{syntax!s}]"
