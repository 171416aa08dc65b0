"""One row of a manifest of ultrasound frames: its columns, what each may hold, and what to say of a cell that does not.

No message repeats a cell: in a table whose columns have slipped, any of them may hold a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.contract import BoxPx, Label
from models.training.frames import HER2, Clinical, Her2
from pipelines.datasets.cells import BOX_COLUMNS, Cells
from pipelines.datasets.rows import LABELS, MAX_SPACING_MM

CLINICAL_COLUMNS: Final = ("age", "stage", "birads")
COLUMNS: Final = ("image", "patient", "fold", "label", "mask", *BOX_COLUMNS, "her2", "spacing_mm", *CLINICAL_COLUMNS)
REQUIRED_COLUMNS: Final = ("image", "patient")
SUFFIXES: Final = frozenset({".png", ".tif", ".tiff", ".pgm", ".bmp"})

MAX_FOLD: Final = 99
MAX_AGE: Final = 120.0
STAGES: Final[Mapping[str, float]] = {"0": 0.0, "i": 1.0, "ii": 2.0, "iii": 3.0, "iv": 4.0} | {
    str(number): float(number) for number in range(1, 5)
}
BIRADS: Final[Mapping[str, float]] = {str(number): float(number) for number in range(7)} | {
    "4a": 4.25,
    "4b": 4.5,
    "4c": 4.75,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """What one row says: of its frame, and of one lesion (`mask` or `box_px`) or none (both None)."""

    line: int
    path: Path
    patient: str
    fold: int | None
    spacing_mm: float | None
    clinical: Clinical
    label: Label | None
    her2: Her2 | None
    mask: Path | None
    box_px: BoxPx | None

    @property
    def has_lesion(self) -> bool:
        """Whether the row tells of a lesion."""
        return self.mask is not None or self.box_px is not None

    @property
    def place(self) -> tuple[Path | None, BoxPx | None] | None:
        """Where the lesion is: its mask or its box; None in a row without one."""
        return (self.mask, self.box_px) if self.has_lesion else None

    @property
    def shared(self) -> dict[str, object]:
        """What all rows of a frame must agree on, by column."""
        return {
            "patient": self.patient,
            "fold": self.fold,
            "spacing_mm": self.spacing_mm,
            **{name: getattr(self.clinical, name) for name in CLINICAL_COLUMNS},
        }


def parse_row(line: int, values: Mapping[str, str], folder: Path) -> tuple[FrameRow | None, tuple[str, ...]]:
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
    FrameRow or None
        None when there are problems.
    tuple of str
        Every problem of the row, each with what to do.
    """
    cells = Cells(values, folder)
    path, mask = _picture(cells, "image", required=True), _picture(cells, "mask")
    patient = cells.patient("frames")
    box_px = cells.box()
    label, her2 = cells.choice("label", LABELS), cells.choice("her2", HER2)
    if mask is not None and box_px is not None:
        cells.problems.append("a mask and a box: give one of the two, the box of a mask is known")
    lesion = cells.text("mask") or any(cells.text(column) for column in BOX_COLUMNS)
    if not lesion and (cells.text("label") or cells.text("her2")):
        cells.problems.append("label or her2 without a lesion: give its mask or its box, or leave them empty")
    fold = cells.whole("fold", most=MAX_FOLD)
    spacing_mm = cells.number("spacing_mm", above=0.0, most=MAX_SPACING_MM)
    clinical = Clinical(
        age=cells.number("age", above=0.0, most=MAX_AGE),
        stage=_coded(cells, "stage", STAGES, "I to IV"),
        birads=_coded(cells, "birads", BIRADS, "0 to 6, or 4A, 4B, 4C"),
    )
    if path is None or cells.problems:
        return None, tuple(cells.problems)
    row = FrameRow(
        line=line,
        path=path,
        patient=patient,
        fold=fold,
        spacing_mm=spacing_mm,
        clinical=clinical,
        label=label,
        her2=her2,
        mask=mask,
        box_px=box_px,
    )
    return row, ()


def _picture(cells: Cells, column: str, *, required: bool = False) -> Path | None:
    if cells.text(column) and Path(cells.text(column)).suffix.lower() not in SUFFIXES:
        cells.problems.append(f"{column}: must be PNG, TIFF, PGM or BMP; export the frame of a DICOM object as such")
        return None
    return cells.file(column, required=required)


def _coded(cells: Cells, column: str, codes: Mapping[str, float], which: str) -> float | None:
    text = cells.text(column).casefold()
    if text and text not in codes:
        cells.problems.append(f"{column}: must be {which}, or empty")
    return codes.get(text)
