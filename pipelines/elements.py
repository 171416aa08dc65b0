"""Values of header elements, read without trusting one of them and without decoding text.

pydicom decodes a text element when it is accessed and forgets its bytes, which the results must carry on unchanged; so
every string is read with `sr_templates.evidence.value_text`, and only numbers and sequences by access. A value that
cannot be read is as good as an absent one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydicom import Dataset

from pipelines.headers import MALFORMED
from sr_templates.evidence import value_text


def text(dataset: Dataset, keyword: str) -> str:
    """First value of a string element, in capitals, without padding; empty when absent."""
    return texts(dataset, keyword)[0]


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """All values of a string element, in capitals, without padding; one empty value when it is absent."""
    return tuple(value.strip(" \0").upper() for value in value_text(dataset, keyword).split("\\"))


def number(dataset: Dataset, keyword: str) -> float | None:
    """Value of an element with one number; None when absent, several or not finite."""
    try:
        value = float(dataset.get(keyword))
    except MALFORMED:
        return None
    return value if math.isfinite(value) else None


def whole(dataset: Dataset, keyword: str) -> int | None:
    """`number`, when it is a whole one."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value.is_integer() else None


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Items of a sequence; none when it is absent or no sequence."""
    try:
        return tuple(item for item in dataset.get(keyword) or () if isinstance(item, Dataset))
    except MALFORMED:
        return ()


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """All values of an element of numbers, finite or not; none when it is absent or one cannot be read."""
    try:
        value = dataset.get(keyword)
        if value is None or isinstance(value, str | bytes):
            return () if not value else (float(value),)
        return tuple(float(one) for one in value) if isinstance(value, Iterable) else (float(value),)
    except MALFORMED:
        return ()


def readable(dataset: Dataset, keyword: str) -> str:
    """Text as a person reads it, by its character set; empty when it cannot be.

    It decodes the element for good, so the data set must not be one whose values are carried on.
    """
    try:
        value = dataset.get(keyword)
        return "" if value is None else str(value).strip(" \0")
    except MALFORMED:
        return ""
