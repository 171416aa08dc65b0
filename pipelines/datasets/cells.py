"""The cells of one row of a manifest, whatever its columns are: read, with what to say of a wrong one, and written.

No message repeats a cell: in a table whose columns have slipped, any of them may hold a name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from models.contract import BoxPx

Choice = TypeVar("Choice", bound=str)

BOX_COLUMNS: Final = ("x0", "y0", "x1", "y1")


class Cells:
    """One row, read cell by cell; an empty cell reads as None.

    Parameters
    ----------
    values : mapping of str to str
        Cell by column; an absent column is as good as an empty cell.
    folder : pathlib.Path
        What a relative path is relative to.

    Attributes
    ----------
    problems : list of str
        What was found wrong so far, each with what to do.
    """

    def __init__(self, values: Mapping[str, str], folder: Path) -> None:
        self._values, self._folder = values, folder
        self.problems: list[str] = []

    def text(self, column: str) -> str:
        """Return what the cell holds, without spaces around it."""
        return (self._values.get(column) or "").strip()

    def patient(self, images: str) -> str:
        """Return the pseudonym in ``patient``, which no row may lack; `images` is what has one."""
        if not self.text("patient"):
            self.problems.append(f"patient is empty: give a pseudonym, the same for all {images} of a patient")
        return self.text("patient")

    def file(self, column: str, *, required: bool = False) -> Path | None:
        """Return an existing file."""
        text = self.text(column)
        if not text:
            if required:
                self.problems.append(f"{column} is empty: give the path of a file, relative to the manifest's folder")
            return None
        path = (self._folder / text).absolute()
        if not path.is_file():
            self.problems.append(f"{column}: no such file; a relative path starts at the manifest's folder")
            return None
        return path

    def choice(self, column: str, allowed: Iterable[Choice]) -> Choice | None:
        """Return one of `allowed`, in its own spelling; capitals do not matter."""
        text = self.text(column)
        by_name = {name.casefold(): name for name in allowed}
        if text and text.casefold() not in by_name:
            self.problems.append(f"{column}: must be {', '.join(by_name.values())}, or empty")
        return by_name.get(text.casefold())

    def number(self, column: str, *, above: float | None = None, most: float = math.inf) -> float | None:
        """Return a finite number; with `above`, one greater than that and at most `most`."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.problems.append(f"{column}: must be a finite number with a decimal point")
            return None
        if above is not None and not above < value <= most:
            self.problems.append(f"{column}: must be above {above:g} and at most {most:g}")
            return None
        return value

    def whole(self, column: str, *, most: int) -> int | None:
        """Return a whole number from 1 to `most`."""
        text = self.text(column)
        if not text:
            return None
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
            self.problems.append(f"{column}: must be a whole number from 1 to {most}, or empty")
            return None
        return int(text)

    def box(self) -> BoxPx | None:
        """Return the box of `BOX_COLUMNS`, of which all are given or none."""
        given = [column for column in BOX_COLUMNS if self.text(column)]
        values = [self.number(column) for column in BOX_COLUMNS]
        if given and len(given) < len(BOX_COLUMNS):
            missing = ", ".join(column for column in BOX_COLUMNS if column not in given)
            self.problems.append(f"an incomplete box: give {missing}, or empty all four")
            return None
        if any(value is None for value in values):
            return None
        x0, y0, x1, y1 = (value for value in values if value is not None)
        if not (0 <= x0 < x1 and 0 <= y0 < y1):
            self.problems.append("a box out of order: 0 <= x0 < x1, 0 <= y0 < y1, in pixels from the top left corner")
            return None
        return x0, y0, x1, y1


def path_cell(path: Path, folder: Path) -> str:
    """Return a path as a cell: relative to the manifest's `folder` when it lies below it."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def number_cell(value: float | None) -> str:
    """Return the shortest text that is read back as the same number; None is an empty cell."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def covariate_cell(value: float | str | None) -> str:
    """Return a covariate as a cell: a word as it is, a number as `number_cell`."""
    return value if isinstance(value, str) else number_cell(value)


def box_cells(box_px: BoxPx | None) -> dict[str, str]:
    """Return the cells of a box; none when there is none."""
    return {} if box_px is None else dict(zip(BOX_COLUMNS, map(number_cell, box_px), strict=True))
