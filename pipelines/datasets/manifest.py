"""The manifest: a CSV file that says which images are trained on and evaluated, whose they are, and what they show.

One row a lesion; one row with an empty box for an image without any. docs/MANIFEST.md explains it by example.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models.training.contract import Medium, Split, TruthBox
from pipelines.datasets.rows import BOX_COLUMNS, COLUMNS, REQUIRED_COLUMNS, Laterality, Row, parse_row
from pipelines.errors import ManifestInvalid

Problem = tuple[int, str]
"""Line, from 1, and what is wrong there."""

DELIMITER: Final = ","


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestImage:
    """One image of a manifest, with all its lesions.

    Attributes
    ----------
    path : pathlib.Path
        Absolute.
    patient : str
        A pseudonym.
    split : {"train", "val", "test"} or None
        None until `pipelines.datasets.splits.split_by_patient` assigns one.
    laterality : {"L", "R"} or None
        Which breast; None when not known.
    view : str or None
        Name of a view in `pipelines.views`.
    spacing_mm : float or None
        In the plane of the breast; None for DICOM that says it itself.
    medium : {"film", "digital"}
    plantable : bool
        Whether lesions may be planted: somebody vouches that there is nothing to be found in the image.
    lesions : tuple of TruthBox
        In pixels of the stored image; empty when it holds no lesion.
    line : int or None
        First line of the image in the manifest that it was read from, for messages; not compared.
    """

    path: Path
    patient: str
    split: Split | None
    laterality: Laterality | None
    view: str | None
    spacing_mm: float | None
    medium: Medium
    plantable: bool
    lesions: tuple[TruthBox, ...]
    line: int | None = field(default=None, compare=False)


def read_manifest(path: Path) -> tuple[ManifestImage, ...]:
    """Read and validate a manifest; images keep the order in which the file first names them.

    Raises
    ------
    ManifestInvalid
        With every problem of every line, none of which repeats the contents of a cell.
    """
    rows, problems = _rows(path)
    by_image: dict[Path, list[Row]] = defaultdict(list)
    for row in rows:
        by_image[row.path.resolve()].append(row)
    for of_one in by_image.values():
        problems += _image_problems(of_one)
    problems += _leakage(rows)
    if problems:
        raise ManifestInvalid(tuple(f"line {line}: {text}" for line, text in sorted(set(problems))))
    return tuple(_image(of_one) for of_one in by_image.values())


def write_manifest(path: Path, images: Iterable[ManifestImage]) -> None:
    """Write a manifest that `read_manifest` reads back as the same images.

    Images below the manifest's folder are written relative to it, so that the folder can be moved as a whole.
    """
    folder = path.absolute().parent
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=DELIMITER, lineterminator="\n")
        writer.writeheader()
        for image in images:
            writer.writerows(_cells(image, folder))


def _rows(path: Path) -> tuple[list[Row], list[Problem]]:
    """Every row that can be read on its own, and the problems of the others."""
    rows: list[Row] = []
    problems: list[Problem] = []
    folder = path.absolute().parent
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=DELIMITER, restkey="")
            problems += _header_problems(reader.fieldnames or ())
            for values in reader if not problems else ():
                row, found = parse_row(reader.line_num, values, folder)
                if "" in values:
                    found = (*found, "more cells than columns: put a path with a comma in double quotes")
                problems += [(reader.line_num, text) for text in found]
                rows += [row] if row is not None else []
    except OSError as error:
        raise ManifestInvalid((f"the file cannot be read ({type(error).__name__})",)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(("the file is no CSV in UTF-8: save it as such",)) from error
    if not rows and not problems:
        raise ManifestInvalid(("the file has no rows: write one for each lesion and for each image without any",))
    return rows, problems


def _header_problems(names: Sequence[str]) -> list[Problem]:
    unknown = sum(name not in COLUMNS for name in names)
    found = []
    if unknown:
        found.append(
            f"{unknown} unknown column(s): the columns are {', '.join(COLUMNS)}, separated by commas; remove all others"
        )
    found += [f"there is no column {name}: add it" for name in REQUIRED_COLUMNS if name not in names]
    found += [f"column {name} is there twice: remove one" for name in COLUMNS if list(names).count(name) > 1]
    return [(1, text) for text in found]


def _image_problems(rows: Sequence[Row]) -> Iterator[Problem]:
    """What does not go together in the rows of one image."""
    first = rows[0]
    boxes: dict[object, int] = {}
    for row in rows:
        for column, value in row.of_image.items():
            if value != first.of_image[column]:
                yield row.line, f"{column} differs from line {first.line}, which is of the same image: make them equal"
        if row.box_px in boxes:
            what = "this box" if row.box_px is not None else "this image without a box"
            yield row.line, f"{what} is already in line {boxes[row.box_px]}: remove one of the two"
        boxes.setdefault(row.box_px, row.line)
    if None in boxes and len(boxes) > 1:
        yield boxes[None], "an empty box for an image that has a box in another line: remove this line"


def _leakage(rows: Iterable[Row]) -> Iterator[Problem]:
    """A patient in two splits: what is trained on would be what is measured on."""
    lines: dict[str, dict[Split, int]] = defaultdict(dict)
    for row in rows:
        if row.split is not None:
            lines[row.patient].setdefault(row.split, row.line)
    for by_split in lines.values():
        if len(by_split) > 1:
            where = ", ".join(f"{split} in line {line}" for split, line in by_split.items())
            yield min(by_split.values()), f"one patient in two splits ({where}): all images of a patient go in one"


def _image(rows: Sequence[Row]) -> ManifestImage:
    first = rows[0]
    return ManifestImage(
        path=first.path,
        patient=first.patient,
        split=first.split,
        laterality=first.laterality,
        view=first.view,
        spacing_mm=first.spacing_mm,
        medium=first.medium,
        plantable=first.plantable,
        lesions=tuple(
            TruthBox(box_px=row.box_px, label=row.label)
            for row in rows
            if row.box_px is not None and row.label is not None
        ),
        line=first.line,
    )


def _cells(image: ManifestImage, folder: Path) -> Iterator[Mapping[str, str]]:
    path = image.path.absolute()
    of_image = {
        "image": (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix(),
        "patient": image.patient,
        "split": image.split or "",
        "laterality": image.laterality or "",
        "view": image.view or "",
        "spacing_mm": "" if image.spacing_mm is None else _number(image.spacing_mm),
        "medium": image.medium,
        "plantable": "yes" if image.plantable else "no",
    }
    for lesion in image.lesions:
        box = dict(zip(BOX_COLUMNS, map(_number, lesion.box_px), strict=True))
        yield {**of_image, "label": lesion.label, **box}
    if not image.lesions:
        yield of_image


def _number(value: float) -> str:
    """The shortest text that is read back as the same number."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
