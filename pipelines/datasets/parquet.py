"""A Parquet file as the CSV file that would say the same: names of columns, and rows of text, the first in line 2."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from pipelines.datasets.cells import number_cell
from pipelines.errors import ManifestInvalid

SUFFIXES: Final = frozenset({".parquet", ".pq"})


def is_parquet(path: Path) -> bool:
    """Whether a table is one, by its name."""
    return path.suffix.lower() in SUFFIXES


def read_parquet(path: Path, *, origin: str = "manifest") -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """Read a table; a missing value is an empty cell.

    Parameters
    ----------
    origin : str
        What the table is, for messages.

    Raises
    ------
    ManifestInvalid
        pyarrow is not installed, or the file is no Parquet.
    OSError
        It cannot be read.
    """
    try:
        import pyarrow as arrow  # noqa: PLC0415  of the extra research, which a node does without
        from pyarrow import parquet  # noqa: PLC0415  likewise
    except ImportError as error:
        reason = "a Parquet file needs pyarrow: make research installs it, or save as CSV"
        raise ManifestInvalid((reason,), origin=origin) from error
    try:
        table = parquet.read_table(path)
    except arrow.ArrowException as error:
        raise ManifestInvalid(("the file is no Parquet: save it again, or as CSV",), origin=origin) from error
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    rows = [list(cells) for cells in zip(*columns, strict=True)]
    return tuple(map(str, table.column_names)), list(enumerate(rows, start=2))


def _text(value: object) -> str:
    """A value as its cell; a whole number has no point, as pandas makes a column with gaps float."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return number_cell(value) if isinstance(value, float) and math.isfinite(value) else str(value)
