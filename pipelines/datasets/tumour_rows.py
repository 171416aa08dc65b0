"""One row of a manifest of tumours, a lesion on one view: its columns, what each may hold, and what to say otherwise.

No message repeats a cell: in a table whose columns have slipped, any of them may hold a name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from models.contract import BoxPx
from models.regions.contract import VIEWS, View
from models.regions.pathology import (
    IHC_SCORES,
    PATHOTYPES,
    STATUSES,
    SUBTYPES,
    Pathology,
    contradictions,
)
from models.training.contract import SPLITS, Split
from pipelines.datasets.cells import BOX_COLUMNS, Cells
from pipelines.datasets.frame_rows import MAX_AGE, MAX_FOLD
from pipelines.datasets.rows import LATERALITIES, MAX_SPACING_MM, Laterality, is_greyscale_file
from pipelines.errors import UnreadableInstance
from pipelines.headers import MammogramHeader, describe_mammogram, read_header

PATHOLOGY_COLUMNS: Final = tuple(one.name for one in fields(Pathology))
COLUMNS: Final = (
    "image",
    "patient",
    "lesion",
    "laterality",
    "view",
    "split",
    "fold",
    "spacing_mm",
    *BOX_COLUMNS,
    "mask",
    "sr",
    "mask2",
    *PATHOLOGY_COLUMNS,
    "age",
)
REQUIRED_COLUMNS: Final = ("image", "patient")
CLINICAL_PREFIX: Final = "clinical:"

ONLY_LESION: Final = "1"
"""Name of a lesion that the manifest does not name."""

MAX_GRADE: Final = 3
ULTRASOUND: Final = "US"
"""Modality, and what the view of a manifest is then called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a lesion is on an image: exactly one of the three is given.

    Attributes
    ----------
    box_px : tuple of float or None
        ``(x0, y0, x1, y1)`` in pixels of the stored image.
    mask : pathlib.Path or None
        A picture of the image's size, bright in the lesion.
    sr : pathlib.Path or None
        A DICOM object that marks a region of the image.
    """

    box_px: BoxPx | None = None
    mask: Path | None = None
    sr: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TumourRow:
    """What one row says of a lesion and of one view of it."""

    line: int
    path: Path
    patient: str
    lesion: str
    laterality: Laterality | None
    view: View
    split: Split | None
    fold: int | None
    spacing_mm: float | None
    mark: Mark
    second_mask: Path | None
    pathology: Pathology
    clinical: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def place(self) -> View:
        """The view, which a lesion has once."""
        return self.view

    @property
    def shared(self) -> dict[str, object]:
        """What all rows of a lesion must agree on, by column."""
        return {
            "laterality": self.laterality,
            "split": self.split,
            "fold": self.fold,
            **{name: getattr(self.pathology, name) for name in PATHOLOGY_COLUMNS},
            "age or a clinical column": self.clinical,
        }


def parse_row(line: int, values: Mapping[str, str], folder: Path) -> tuple[TumourRow | None, tuple[str, ...]]:
    """Read one row, and the header of its image where the row leaves the view or the laterality open.

    Returns
    -------
    TumourRow or None
        None when there are problems.
    tuple of str
        Every problem of the row, each with what to do.
    """
    cells = Cells(values, folder)
    path, patient = cells.file("image", required=True), cells.patient("images")
    mark, second_mask = _mark(cells, path), _picture(cells, "mask2")
    laterality, view = _aspect(cells, path)
    pathology = _pathology(cells)
    split, fold = cells.choice("split", SPLITS), cells.whole("fold", most=MAX_FOLD)
    spacing_mm = cells.number("spacing_mm", above=0.0, most=MAX_SPACING_MM)
    clinical = _clinical(cells, values)
    if path is None or view is None or cells.problems:
        return None, tuple(cells.problems)
    row = TumourRow(
        line=line,
        path=path,
        patient=patient,
        lesion=cells.text("lesion") or ONLY_LESION,
        laterality=laterality,
        view=view,
        split=split,
        fold=fold,
        spacing_mm=spacing_mm,
        mark=mark,
        second_mask=second_mask,
        pathology=pathology,
        clinical=clinical,
    )
    return row, ()


def covariate_column(name: str) -> str:
    """Return what the column of a covariate is called."""
    return name if name == "age" else CLINICAL_PREFIX + name


def covariate_columns(of_lesions: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the columns of all covariates that any lesion has, by the alphabet."""
    return [covariate_column(name) for name in sorted({name for one in of_lesions for name in one})]


def _mark(cells: Cells, image: Path | None) -> Mark:
    boxed = any(cells.text(column) for column in BOX_COLUMNS)
    given = [name for name, there in (("box", boxed), ("mask", cells.text("mask")), ("sr", cells.text("sr"))) if there]
    if len(given) > 1:
        cells.problems.append(f"{' and '.join(given)}: give one of them, which says where the lesion is")
    if not given:
        cells.problems.append("nothing says where the lesion is: give its box, a mask or an sr")
    if cells.text("sr") and image is not None and is_greyscale_file(image):
        cells.problems.append("sr: marks a region of a DICOM image, which image is not; give a mask or a box")
    return Mark(box_px=cells.box(), mask=_picture(cells, "mask"), sr=cells.file("sr"))


def _picture(cells: Cells, column: str) -> Path | None:
    path = cells.file(column)
    if path is not None and not is_greyscale_file(path):
        cells.problems.append(f"{column}: must be PNG, TIFF or PGM")
        return None
    return path


def _aspect(cells: Cells, path: Path | None) -> tuple[Laterality | None, View | None]:
    """Laterality and view as the row has them, else as the header of a DICOM image has them."""
    laterality, view = cells.choice("laterality", LATERALITIES), cells.choice("view", VIEWS)
    complete = (laterality or cells.text("laterality")) and (view or cells.text("view"))
    if path is None or complete:
        return laterality, view
    if is_greyscale_file(path):
        if not cells.text("view"):
            cells.problems.append("view is empty: PNG, TIFF and PGM files do not say it, so write CC, MLO or US")
        return laterality, view
    try:
        header = describe_mammogram(read_header(path))
    except UnreadableInstance as error:
        cells.problems.append(f"image: {error}")
        return laterality, view
    found = view or _view_of(header)
    if found is None and not cells.text("view"):
        cells.problems.append("view is empty, and the header says neither CC nor MLO: leave the image out, or write it")
    return laterality or header.laterality, found


def _view_of(header: MammogramHeader) -> View | None:
    if header.modality == ULTRASOUND:
        return "US"
    return next((view for view in VIEWS if view == header.view), None)


def _pathology(cells: Cells) -> Pathology:
    found = Pathology(
        er=cells.choice("er", STATUSES),
        pr=cells.choice("pr", STATUSES),
        her2_ihc=cells.choice("her2_ihc", IHC_SCORES),
        her2_fish=cells.choice("her2_fish", STATUSES),
        ki67=_percent(cells, "ki67"),
        grade=cells.whole("grade", most=MAX_GRADE),
        node=cells.choice("node", STATUSES),
        pathotype=cells.choice("pathotype", PATHOTYPES),
        subtype=cells.choice("subtype", SUBTYPES),
    )
    cells.problems += contradictions(found)
    return found


def _percent(cells: Cells, column: str) -> float | None:
    value = cells.number(column)
    if value is not None and not 0 <= value <= 100:
        cells.problems.append(f"{column}: must be a percentage from 0 to 100")
        return None
    return value


def _clinical(cells: Cells, values: Mapping[str, str]) -> dict[str, float | str]:
    """Age, and by the name after the colon whatever else the table has: numbers as such, anything else as a word."""
    found: dict[str, float | str] = {}
    age = cells.number("age", above=0.0, most=MAX_AGE)
    if age is not None:
        found["age"] = age
    for column in values:
        if column.startswith(CLINICAL_PREFIX) and cells.text(column):
            found[column.removeprefix(CLINICAL_PREFIX)] = _number_or_word(cells.text(column))
    return found


def _number_or_word(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text
