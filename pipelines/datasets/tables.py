"""A table of images, CSV or Parquet: every problem of every line at once, without the contents of a cell."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TextIO, TypeVar

from pipelines.datasets.parquet import is_parquet, read_parquet
from pipelines.errors import ManifestInvalid

Parsed = TypeVar("Parsed")

Problem = tuple[int, str]
"""Line, from 1, and what is wrong there."""

ParseRow = Callable[[int, Mapping[str, str], Path], tuple[Parsed | None, tuple[str, ...]]]
"""Given the line, its cells by column and the folder of the file: a row or None, and every problem of it."""


def read_table(
    path: Path,
    parse: ParseRow[Parsed],
    *,
    columns: Sequence[str],
    required: Sequence[str],
    a_row_for: str,
    prefix: str | None = None,
) -> tuple[list[Parsed], list[Problem]]:
    """Return every row that can be read on its own, and the problems of the header and of the others.

    Parameters
    ----------
    a_row_for : str
        What the file should have a row for, to be said when it has none.
    prefix : str or None
        Columns that begin so, and have more to their name, may be there as well.

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
            names, lines = _parquet(path) if is_parquet(path) else _csv(file)
            problems += _header_problems(names, columns, required, prefix)
            for line, values in lines if not problems else ():
                row, found = parse(line, values, folder)
                if "" in values:
                    found = (*found, "more cells than columns: put a path with a comma in double quotes")
                problems += [(line, text) for text in found]
                rows += [row] if row is not None else []
    except OSError as error:
        raise ManifestInvalid((f"the file cannot be read ({type(error).__name__})",)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(("the file is no CSV in UTF-8: save it as such",)) from error
    if not rows and not problems:
        raise ManifestInvalid((f"the file has no rows: write one for {a_row_for}",))
    return rows, problems


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the headings of a table; none where it cannot be read, which `read_table` then says."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names, _ = _parquet(path) if is_parquet(path) else _csv(file)
    except (OSError, UnicodeDecodeError, csv.Error, ManifestInvalid):
        return ()
    return tuple(names)


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
    def shared(self) -> Mapping[str, object]:
        """What all rows of an image (or of a lesion, in a table of views) must agree on, by column."""
        ...

    @property
    def place(self) -> object | None:
        """Where the lesion is; None in a row without one."""
        ...


LesionRowT = TypeVar("LesionRowT", bound=LesionRow)


class OfPatient(Protocol):
    """A row of a table that names a patient."""

    @property
    def patient(self) -> str:
        """A pseudonym."""
        ...

    @property
    def line(self) -> int:
        """From 1."""
        ...


OfPatientT = TypeVar("OfPatientT", bound=OfPatient)


def by_image(
    rows: Iterable[LesionRowT], *, image: str = "image", place: str = "box"
) -> tuple[list[list[LesionRowT]], list[Problem]]:
    """Gather the rows of each image, in the order in which the table first names it, and what contradicts in them.

    Parameters
    ----------
    image, place : str
        As for `contradictions`.
    """
    found = grouped(rows, lambda row: row.path.resolve())
    return found, [problem for group in found for problem in contradictions(group, image=image, place=place)]


def grouped(rows: Iterable[Parsed], key: Callable[[Parsed], object]) -> list[list[Parsed]]:
    """Gather rows by what each is of, a resolved path or a lesion, in the order in which the table first names it."""
    groups: dict[object, list[Parsed]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
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
        for column, value in row.shared.items():
            if value != first.shared[column]:
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


def leakage(
    rows: Iterable[OfPatientT],
    part_of: Callable[[OfPatientT], object],
    *,
    parts: str = "splits",
    things: str = "images",
    whose: Callable[[OfPatientT], object] | None = None,
    what: str = "patient",
) -> Iterator[Problem]:
    """A patient, or the same image, in two splits or folds: what is trained on would be what is measured on.

    Parameters
    ----------
    part_of : callable
        Split or fold of a row, None when it has none yet.
    parts, things : str
        What the parts and what the rows are of, in words.
    whose, what : callable and str
        What must not be in two parts, and what that is in words; the patient when not given.
    """
    lines: dict[object, dict[object, int]] = defaultdict(dict)
    for row in rows:
        if part_of(row) is not None:
            lines[whose(row) if whose is not None else row.patient].setdefault(part_of(row), row.line)
    for by_part in lines.values():
        if len(by_part) > 1:
            where = ", ".join(f"{part} in line {line}" for part, line in by_part.items())
            yield min(by_part.values()), f"one {what} in two {parts} ({where}): all {things} of the {what} go in one"


Table = tuple[Sequence[str], Iterable[tuple[int, Mapping[str, str]]]]
"""Names of the columns, and each row's line with its cells."""


def _csv(file: TextIO) -> Table:
    reader = csv.DictReader(file, restkey="")
    return reader.fieldnames or (), ((reader.line_num, values) for values in reader)


def _parquet(path: Path) -> Table:
    names, rows = read_parquet(path)
    return names, ((line, dict(zip(names, cells, strict=True))) for line, cells in rows)


def _header_problems(
    names: Sequence[str], columns: Sequence[str], required: Sequence[str], prefix: str | None
) -> list[Problem]:
    more = [name for name in names if prefix is not None and name.startswith(prefix) and len(name) > len(prefix)]
    unknown = sum(name not in columns for name in names) - len(more)
    found = []
    if unknown:
        known = ", ".join(columns if prefix is None else (*columns, f"{prefix}NAME"))
        found.append(f"{unknown} unknown column(s): the columns are {known}, separated by commas; remove all others")
    found += [f"there is no column {name}: add it" for name in required if name not in names]
    found += [f"column {name} is there twice: remove one" for name in columns if list(names).count(name) > 1]
    if len(more) > len(set(more)):
        found.append(f"a column {prefix}... is there twice: remove one")
    return [(1, text) for text in found]
