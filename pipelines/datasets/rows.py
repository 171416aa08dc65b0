"""One row of a manifest: its columns, what each may hold, and what to say of a cell that holds something else.

No message repeats a cell: in a table whose columns have slipped, any of them may hold a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from models.contract import BoxPx, Label
from models.training.contract import MEDIA, SPLITS, Medium, Split
from pipelines.datasets.cells import BOX_COLUMNS, Cells
from pipelines.views import VIEW_BY_NAME

Laterality = Literal["L", "R"]

COLUMNS: Final = (
    "image",
    "patient",
    "split",
    "label",
    *BOX_COLUMNS,
    "laterality",
    "view",
    "spacing_mm",
    "medium",
    "plantable",
)
REQUIRED_COLUMNS: Final = ("image", "patient")

GREYSCALE_SUFFIXES: Final = frozenset({".png", ".tif", ".tiff", ".pgm"})
"""A file of any other name is read as DICOM."""

MAX_SPACING_MM: Final = 1.0
"""Mammography resolves a tenth of a millimetre; a greater number is in another unit."""

LABELS: Final[tuple[Label, ...]] = ("benign", "malignant")
LATERALITIES: Final[tuple[Laterality, ...]] = ("L", "R")
YES_NO: Final = ("yes", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one row says: of its image, and of one lesion (`label` and `box_px`) or none (both None)."""

    line: int
    path: Path
    patient: str
    split: Split | None
    laterality: Laterality | None
    view: str | None
    spacing_mm: float | None
    medium: Medium
    plantable: bool
    label: Label | None
    box_px: BoxPx | None

    @property
    def place(self) -> BoxPx | None:
        """Where the lesion is."""
        return self.box_px

    @property
    def shared(self) -> dict[str, object]:
        """What all rows of an image must agree on, by column."""
        return {
            "patient": self.patient,
            "split": self.split,
            "laterality": self.laterality,
            "view": self.view,
            "spacing_mm": self.spacing_mm,
            "medium": self.medium,
            "plantable": self.plantable,
        }


def is_greyscale_file(path: Path) -> bool:
    """Whether a file is read as PNG, TIFF or PGM, by its suffix; else it is read as DICOM."""
    return path.suffix.lower() in GREYSCALE_SUFFIXES


def parse_row(line: int, values: Mapping[str, str], folder: Path) -> tuple[Row | None, tuple[str, ...]]:
    """Read one row.

    Parameters
    ----------
    line : int
        In the manifest, from 1, the header being line 1.
    values : mapping of str to str
        Cell by column; an absent column is as good as an empty cell.
    folder : pathlib.Path
        What a relative path is relative to.

    Returns
    -------
    Row or None
        None when there are problems.
    tuple of str
        Every problem of the row, each with what to do.
    """
    cells = Cells(values, folder)
    path, patient = cells.file("image", required=True), cells.patient("images")
    box_px = cells.box()
    label = cells.choice("label", LABELS)
    if label is not None and all(not cells.text(column) for column in BOX_COLUMNS):
        cells.problems.append("a label without a box: give x0, y0, x1 and y1, or leave label empty")
    if box_px is not None and not cells.text("label"):
        cells.problems.append("a box without a label: write benign or malignant")
    plantable = cells.choice("plantable", YES_NO) == "yes"
    if plantable and box_px is not None:
        cells.problems.append("plantable is yes in a row with a box: lesions are planted into images without any")
    spacing_mm = _spacing_mm(cells, required=path is not None and is_greyscale_file(path))
    split, laterality = cells.choice("split", SPLITS), cells.choice("laterality", LATERALITIES)
    view, medium = cells.choice("view", tuple(VIEW_BY_NAME)), cells.choice("medium", MEDIA)
    if path is None or cells.problems:
        return None, tuple(cells.problems)
    row = Row(
        line=line,
        path=path,
        patient=patient,
        split=split,
        laterality=laterality,
        view=view,
        spacing_mm=spacing_mm,
        medium=medium or "digital",
        plantable=plantable,
        label=label,
        box_px=box_px,
    )
    return row, ()


def _spacing_mm(cells: Cells, *, required: bool) -> float | None:
    if required and not cells.text("spacing_mm"):
        cells.problems.append("spacing_mm is empty: PNG, TIFF and PGM files do not say it, so the manifest must")
    return cells.number("spacing_mm", above=0.0, most=MAX_SPACING_MM)
