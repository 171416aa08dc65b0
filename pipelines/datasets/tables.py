"""A CSV file of images, read and written: every problem of every line at once, without the contents of a cell."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from models.training.contract import Split
from pipelines.datasets.rows import Row
from pipelines.errors import ManifestInvalid

Parsed = TypeVar("Parsed")
Problem = tuple[int, str]
"""Line, from 1, and what is wrong there."""

ParseRow = Callable[[int, Mapping[str, str], Path], tuple[Parsed | None, tuple[str, ...]]]
"""Given the line, its cells by column and the folder of the file: a row or None, and every problem of it."""


def read_table(
    path: Path, parse: ParseRow[Parsed], *, columns: Sequence[str], required: Sequence[str], a_row_for: str
) -> tuple[list[Parsed], list[Problem]]:
    """Return every row that can be read on its own, and the problems of the header and of the others.

    Parameters
    ----------
    a_row_for : str
        What the file should have a row for, to be said when it has none.

    Raises
    ------
    ManifestInvalid
        The file cannot be read, is no CSV or has no rows.
    """
    rows: list[Parsed] = []
    problems: list[Problem] = []
    folder = path.absolute().parent
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="")
            problems += _header_problems(reader.fieldnames or (), columns, required)
            for values in reader if not problems else ():
                row, found = parse(reader.line_num, values, folder)
                if "" in values:
                    found = (*found, "more cells than columns: put a path with a comma in double quotes")
                problems += [(reader.line_num, text) for text in found]
                rows += [row] if row is not None else []
    except OSError as error:
        raise ManifestInvalid((f"the file cannot be read ({type(error).__name__})",)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(("the file is no CSV in UTF-8: save it as such",)) from error
    if not rows and not problems:
        raise ManifestInvalid((f"the file has no rows: write one for {a_row_for}",))
    return rows, problems


def refuse(problems: Iterable[Problem], *, origin: str = "manifest") -> None:
    """Raise ManifestInvalid when there are any, each said once and in the order of the lines; `origin` is the table."""
    found = sorted(set(problems))
    if found:
        raise ManifestInvalid(tuple(f"line {line}: {text}" for line, text in found), origin=origin)


class LesionRow(Protocol):
    """A row of a table that has one for each lesion, and one for each image without any."""

    @property
    def path(self) -> Path:
        """Of the image."""
        ...

    @property
    def line(self) -> int:
        """From 1."""
        ...

    @property
    def of_image(self) -> Mapping[str, object]:
        """What all rows of an image must agree on, by column."""
        ...

    @property
    def place(self) -> object | None:
        """Where the lesion is; None in a row without one."""
        ...


LesionRowT = TypeVar("LesionRowT", bound=LesionRow)


def by_image(
    rows: Iterable[LesionRowT], *, image: str = "image", place: str = "box"
) -> tuple[list[list[LesionRowT]], list[Problem]]:
    """Gather the rows of each image, in the order in which the table first names it, and what contradicts in them.

    Parameters
    ----------
    image, place : str
        As for `contradictions`.
    """
    found = grouped(rows, lambda row: row.path)
    return found, [problem for group in found for problem in contradictions(group, image=image, place=place)]


def grouped(rows: Iterable[Parsed], path_of: Callable[[Parsed], Path]) -> list[list[Parsed]]:
    """Gather rows by the file that each is of, in the order in which the table first names it."""
    groups: dict[Path, list[Parsed]] = defaultdict(list)
    for row in rows:
        groups[path_of(row).resolve()].append(row)
    return list(groups.values())


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a CSV file that `read_table` reads; a cell that a row lacks is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def contradictions(rows: Sequence[LesionRow], *, image: str = "image", place: str = "box") -> Iterator[Problem]:
    """What does not go together in the rows of one image.

    Parameters
    ----------
    image, place : str
        What an image and the place of a lesion are called in this table.
    """
    first = rows[0]
    lines: dict[object, int] = {}
    for row in rows:
        for column, value in row.of_image.items():
            if value != first.of_image[column]:
                yield (
                    row.line,
                    f"{column} differs from line {first.line}, which is of the same {image}: make them equal",
                )
        if row.place in lines:
            what = f"this {place}" if row.place is not None else f"this {image} without a {place}"
            yield row.line, f"{what} is already in line {lines[row.place]}: remove one of the two"
        lines.setdefault(row.place, row.line)
    if None in lines and len(lines) > 1:
        yield lines[None], f"no {place}, but this {image} has one in another line: remove this line"


def leakage(rows: Iterable[Row]) -> Iterator[Problem]:
    """A patient in two splits: what is trained on would be what is measured on."""
    lines: dict[str, dict[Split, int]] = defaultdict(dict)
    for row in rows:
        if row.split is not None:
            lines[row.patient].setdefault(row.split, row.line)
    for by_split in lines.values():
        if len(by_split) > 1:
            where = ", ".join(f"{split} in line {line}" for split, line in by_split.items())
            yield min(by_split.values()), f"one patient in two splits ({where}): all images of a patient go in one"


def _header_problems(names: Sequence[str], columns: Sequence[str], required: Sequence[str]) -> list[Problem]:
    unknown = sum(name not in columns for name in names)
    found = []
    if unknown:
        found.append(
            f"{unknown} unknown column(s): the columns are {', '.join(columns)}, separated by commas; remove all others"
        )
    found += [f"there is no column {name}: add it" for name in required if name not in names]
    found += [f"column {name} is there twice: remove one" for name in columns if list(names).count(name) > 1]
    return [(1, text) for text in found]
