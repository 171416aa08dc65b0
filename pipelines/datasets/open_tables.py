"""A table of which only some columns are known by name, as CSV or Parquet: a row a case, every cell as text.

No message repeats a cell. Columns are named in messages only where the header has all required ones: else the first
line may be no header, but somebody's data.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.datasets.parquet import is_parquet, read_parquet
from pipelines.datasets.tables import Problem
from pipelines.errors import ManifestInvalid

NOT_KNOWN: Final = frozenset({"", "na", "n/a", "nan", "null"})
"""What an empty cell is written as, in small letters."""

Line = tuple[int, Mapping[str, str]]
"""Number of the line, from 1, the header being line 1; and its cells by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTable:
    """Columns in their order, and lines."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def read_open_table(path: Path, *, required: Sequence[str], origin: str) -> OpenTable:
    """Read a table; a file that ends in .parquet or .pq as Parquet, any other as CSV in UTF-8.

    Parameters
    ----------
    required : sequence of str
        Columns that must be there.
    origin : str
        What the table is, for messages.

    Raises
    ------
    ManifestInvalid
        The file cannot be read, has no rows, lacks a column, or has one twice or without a name.
    """
    try:
        names, rows = read_parquet(path, origin=origin) if is_parquet(path) else _csv(path)
    except OSError as error:
        raise ManifestInvalid((f"the file cannot be read ({type(error).__name__})",), origin=origin) from error
    except (UnicodeDecodeError, csv.Error) as error:
        reason = "the file is no CSV in UTF-8: save it as such, or as .parquet"
        raise ManifestInvalid((reason,), origin=origin) from error
    columns = tuple(name.strip() for name in names)
    problems = [f"line 1: {text}" for text in _header_problems(columns, required)]
    uneven = [line for line, cells in rows if len(cells) != len(columns)]
    problems += [f"line {line}: more or fewer cells than columns; quote a cell that has a comma" for line in uneven]
    if not rows and not problems:
        problems = ["the file has no rows"]
    if problems:
        raise ManifestInvalid(tuple(problems), origin=origin)
    lines = tuple((line, dict(zip(columns, map(known, cells), strict=True))) for line, cells in rows)
    return OpenTable(columns=columns, lines=lines)


def known(cell: str) -> str:
    """Give a cell without spaces around it; one that says "not known" is empty."""
    text = cell.strip()
    return "" if text.casefold() in NOT_KNOWN else text


def numbers_or_words(cells: Sequence[str]) -> tuple[float | str | None, ...]:
    """Read a column: as numbers when every cell that is not empty is a finite one, else as words."""
    values: list[float | None] = []
    for cell in cells:
        try:
            values.append(float(cell) if cell else None)
        except ValueError:
            return tuple(cell or None for cell in cells)
    if not all(value is None or math.isfinite(value) for value in values):
        return tuple(cell or None for cell in cells)
    return tuple(values)


def repeated(keys: Sequence[tuple[int, Hashable]], what: str) -> Iterator[Problem]:
    """Tell of each line whose key another line before it has."""
    first: dict[Hashable, int] = {}
    for line, key in keys:
        if first.setdefault(key, line) != line:
            yield line, f"{what} is already in line {first[key]}: remove one of the two"


def _csv(path: Path) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        rows = [(reader.line_num, cells) for cells in reader if any(cells)]
    return tuple(header), rows


def _header_problems(columns: Sequence[str], required: Sequence[str]) -> list[str]:
    missing = [f"there is no column {name}: add it" for name in required if name not in columns]
    if missing:
        return missing
    unnamed = [place for place, name in enumerate(columns, start=1) if not name]
    found = [f"column number {place} has no name: name or remove it" for place in unnamed]
    twice = sorted({name for name in columns if name and list(columns).count(name) > 1})
    return found + [f"column {name} is there twice: remove one" for name in twice]
