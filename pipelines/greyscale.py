"""From stored values to what is displayed: the greyscale pipeline of PS3.3 C.7.6.3.1.2 and PS3.4 N.2, as one table.

Every step maps one value to one value, so the whole chain is computed once for each value that the bits can hold (at
most 65536) and then looked up: no step ever makes a floating-point copy of the image.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from pipelines.headers import MALFORMED

Values = NDArray[np.float64]

FALLBACK_VOI: Final = "LINEAR"


def greyscale_table(dataset: Dataset, stored_values: NDArray[np.int64], present: NDArray[np.int64]) -> Values:
    """Displayed brightness of each stored value.

    Modality LUT or rescale (C.11.1), VOI LUT or window (C.11.2), inversion of MONOCHROME1 (C.7.6.3.1.2), and padding
    shown as air (C.7.5.1.1.2). Of several VOI transformations the first is used: the one that the modality meant to be
    seen first. A VOI LUT goes before a window, as it is the more exact of the two. A malformed attribute counts as
    absent.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Header of the image.
    stored_values : numpy.ndarray
        Shape ``(n,)``: every value that the pixels can hold, in the order of the table wanted.
    present : numpy.ndarray
        Shape ``(2,)``: least and greatest value in the image, the range shown when there is no VOI transformation.

    Returns
    -------
    numpy.ndarray
        Shape ``(n,)``, 0 (air, black) to 1 (white).
    """
    modality = _modality_transformed(dataset, stored_values.astype(np.float64))
    shown = _voi_transformed(dataset, modality)
    if shown is None:
        ends = _modality_transformed(dataset, present.astype(np.float64))
        shown = _between(modality, float(ends.min()), float(ends.max()))
    if _first(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        shown = 1.0 - shown
    shown[_padding(dataset, stored_values)] = 0.0
    return np.clip(shown, 0.0, 1.0)


def _modality_transformed(dataset: Dataset, values: Values) -> Values:
    """Modality LUT, else rescale (PS3.3 C.11.1.1.2), else unchanged."""
    table = _lookup_table(dataset, "ModalityLUTSequence")
    if table is not None:
        return table.apply(values)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return values * (slope if slope else 1.0) + (intercept or 0.0)


def _voi_transformed(dataset: Dataset, values: Values) -> Values | None:
    table = _lookup_table(dataset, "VOILUTSequence")
    if table is not None:
        return np.asarray(table.apply(values) / table.full_scale, dtype=np.float64)
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if centre is None or width is None:
        return None
    function = str(_first(dataset, "VOILUTFunction") or FALLBACK_VOI).upper()
    return _windowed(values, centre, width, function)


def _windowed(values: Values, centre: float, width: float, function: str) -> Values | None:
    """VOI LUT Function, PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT)."""
    if function == "SIGMOID" and width > 0:
        exponent = np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)  # exp overflows beyond
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float64)
    if function == "LINEAR_EXACT" and width > 0:
        return _between(values, centre - width / 2, centre + width / 2)
    if function not in {"SIGMOID", "LINEAR_EXACT"} and width >= 1:
        return _between(values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)
    return None


def _between(values: Values, low: float, high: float) -> Values:
    """0 up to `low`, 1 above `high`, linear in between; a step when they are equal."""
    if high <= low:
        return np.asarray(values > low, dtype=np.float64)
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), dtype=np.float64)


class _LookupTable:
    """LUT Descriptor and LUT Data of one sequence item (PS3.3 C.11.1.1.1, C.11.2.1.1)."""

    def __init__(self, first_mapped: int, bits: int, data: NDArray[np.int64]) -> None:
        self.first_mapped = first_mapped
        self.data = data
        self.full_scale = float(max(2**bits - 1, int(data.max()), 1))

    def apply(self, values: Values) -> Values:
        """Look values up; those outside the table take its first or last entry."""
        index = np.clip(np.rint(values).astype(np.int64) - self.first_mapped, 0, len(self.data) - 1)
        return self.data[index].astype(np.float64)


def _lookup_table(dataset: Dataset, keyword: str) -> _LookupTable | None:
    try:
        item = (dataset.get(keyword) or [None])[0]
        if item is None:
            return None
        entries, first_mapped, bits = (int(value) for value in item.LUTDescriptor)
        entries = (entries & 0xFFFF) or 2**16  # may come as signed short; 0 stands for 65536
        data = _lut_data(item.LUTData, entries, little_endian=item.original_encoding[1] is not False)
    except MALFORMED:
        return None
    return _LookupTable(first_mapped, bits, data) if 1 <= bits <= 16 and len(data) else None


def _lut_data(value: Any, entries: int, *, little_endian: bool) -> NDArray[np.int64]:
    """Entries as unsigned integers, however they are encoded: US, SS, OW, or 8 bit packed in OW."""
    if isinstance(value, bytes):
        width = 1 if len(value) in {entries, entries + 1} and entries > 1 else 2
        kind = "u1" if width == 1 else ("<u2" if little_endian else ">u2")
        data = np.frombuffer(value[: len(value) // width * width], dtype=kind).astype(np.int64)
    else:
        data = np.asarray(value, dtype=np.int64).reshape(-1) & 0xFFFF
    return data[:entries]


def _padding(dataset: Dataset, values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixel Padding Value, or the range up to Pixel Padding Range Limit."""
    value = _number(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(values.shape, dtype=np.bool_)
    limit = _number(dataset, "PixelPaddingRangeLimit")
    ends = (value, value if limit is None else limit)
    return np.asarray((values >= min(ends)) & (values <= max(ends)), dtype=np.bool_)


def _first(dataset: Dataset, keyword: str) -> Any:
    """First value of an element, None when it is absent, empty or malformed."""
    try:
        value = dataset.get(keyword)
        if value is None or isinstance(value, str | bytes | int | float):
            return value
        return value[0] if len(value) else None
    except MALFORMED:
        return None


def _number(dataset: Dataset, keyword: str) -> float | None:
    try:
        number = float(_first(dataset, keyword))
    except MALFORMED:
        return None
    return number if math.isfinite(number) else None
