"""What kind a covariate is, and how a regression takes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import NotDefined

Floats = NDArray[np.float64]

MAX_WORDS: Final = 10
"""A covariate of more different words is free text, or names: it has no place in a table."""

PER_UNIT: Final = "per unit"
TOO_MANY_WORDS: Final = f"more than {MAX_WORDS} different words: give numbers, or fewer categories"
CONSTANT: Final = "it is the same for all cases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """A covariate as columns of a design: shape (n, terms); of words, an indicator of each but the reference."""

    columns: Floats
    terms: tuple[str, ...]
    reference: str | None


def is_number(values: Sequence[float | str]) -> bool:
    """Whether a covariate is measured: numbers, and more than two different ones (0 and 1 are no and yes)."""
    return all(not isinstance(value, str) for value in values) and len(set(values)) > 2


def word(value: float | str) -> str:
    """Give a value as a category is called."""
    return value if isinstance(value, str) else f"{value:g}"


def words(values: Sequence[float | str]) -> tuple[str, ...] | NotDefined:
    """Give the categories of a covariate, numbers by size and words by the alphabet."""
    found = set(values)
    if len(found) > MAX_WORDS:
        return NotDefined(reason=TOO_MANY_WORDS)
    return tuple(word(value) for value in sorted(found, key=lambda one: (isinstance(one, str), one)))


def coded(values: Sequence[float | str]) -> Coded | NotDefined:
    """Code a covariate without gaps for a regression. The reference is the commonest word; of equals, the first."""
    if len(set(values)) < 2:
        return NotDefined(reason=CONSTANT)
    if is_number(values):
        return Coded(columns=np.array(values, dtype=np.float64)[:, None], terms=(PER_UNIT,), reference=None)
    categories = words(values)
    if isinstance(categories, NotDefined):
        return categories
    counts = Counter(map(word, values))
    reference = max(categories, key=counts.__getitem__)
    if all(not isinstance(value, str) for value in values):
        reference = categories[0]  # of 0 and 1, 0 is the one without
    terms = tuple(name for name in categories if name != reference)
    columns = np.array([[word(value) == term for term in terms] for value in values], dtype=np.float64)
    return Coded(columns=columns, terms=terms, reference=reference)
