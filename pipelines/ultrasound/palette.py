"""PALETTE COLOR: from indices to RGB (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, segmented C.7.9.2)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

CHANNELS: Final = ("Red", "Green", "Blue")

PALETTE_KEYWORDS: Final = tuple(
    f"{segmented}{channel}PaletteColorLookupTable{part}"
    for channel in CHANNELS
    for segmented, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)


def applied_palette(indices: NDArray[np.integer], dataset: Dataset) -> NDArray[np.uint8]:
    """Look every index up.

    Parameters
    ----------
    indices : numpy.ndarray
        Shape ``(rows, columns)``.
    dataset : pydicom.Dataset
        With the elements of `PALETTE_KEYWORDS` and its ``file_meta``.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns, 3)``, uint8, RGB.

    Raises
    ------
    ValueError, TypeError, AttributeError, KeyError, struct.error ...
        What `pipelines.headers.MALFORMED` lists, for a palette that is absent or malformed.
    """
    entries, first, bits = (int(value) for value in dataset["RedPaletteColorLookupTableDescriptor"].value)
    entries = (entries & 0xFFFF) or 2**16
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        ramp = np.arange(first, first + min(entries, 256 if bits == 8 else entries), dtype=np.int32)
        table = apply_color_lut(ramp, dataset)[..., :3]
    else:
        table = np.stack([_plain(dataset, channel, entries) for channel in CHANNELS], axis=-1)
    found = np.clip(indices.astype(np.int32) - first, 0, len(table) - 1)
    return _eight_bit(table)[found]


def _plain(dataset: Dataset, channel: str, entries: int) -> NDArray[np.uint16]:
    """One channel's entries; they may take 8 or 16 bits each, whatever the descriptor says."""
    value = dataset[f"{channel}PaletteColorLookupTableData"].value
    if isinstance(value, bytes):
        wide = "<u2" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">u2"
        kind = np.dtype("u1" if len(value) < 2 * entries else wide)
        data = np.frombuffer(value[: len(value) // kind.itemsize * kind.itemsize], dtype=kind)
    else:
        data = np.asarray(value).reshape(-1)
    if len(data) < entries:
        raise ValueError(f"a palette of {len(data)} entries in place of {entries}")
    return data[:entries].astype(np.uint16)


def _eight_bit(table: NDArray[np.integer]) -> NDArray[np.uint8]:
    """16-bit palettes hold the value in their high byte; some writers leave it in the low one."""
    wide = int(table.max()) > 255
    return (table >> 8 if wide else table).astype(np.uint8)
