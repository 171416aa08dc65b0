"""The manifest of ultrasound frames: which are trained on and evaluated, whose they are, and what they show.

One row a lesion; one row with neither mask nor box for a frame without any. docs/MANIFEST_ULTRASOUND.md explains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models.contract import BoxPx, Label
from models.training.frames import Clinical, Her2
from pipelines.datasets.cells import box_cells, number_cell, path_cell
from pipelines.datasets.frame_rows import BIRADS, COLUMNS, REQUIRED_COLUMNS, FrameRow, parse_row
from pipelines.datasets.tables import by_image, leakage, read_table, refuse, write_table

_BIRADS_NAMES: Final = {value: name.upper() for name, value in BIRADS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionEntry:
    """One lesion, or all lesions that a mask file shows; `mask` or `box_px` is given, not both."""

    mask: Path | None
    box_px: BoxPx | None
    label: Label | None
    her2: Her2 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEntry:
    """One frame of a manifest, with all its lesions.

    Attributes
    ----------
    path : pathlib.Path
        Absolute.
    patient : str
        A pseudonym, or a group of frames that show the same.
    fold : int or None
        None until `pipelines.datasets.folds.assign_folds` gives one.
    spacing_mm : float or None
        Rows and columns alike; None when not known.
    clinical : Clinical
    lesions : tuple of LesionEntry
        Empty for a normal frame.
    line : int or None
        First line of the frame in the manifest that it was read from, for messages; not compared.
    """

    path: Path
    patient: str
    fold: int | None
    spacing_mm: float | None
    clinical: Clinical
    lesions: tuple[LesionEntry, ...]
    line: int | None = field(default=None, compare=False)


def read_frames(path: Path) -> tuple[FrameEntry, ...]:
    """Read and validate a manifest of frames; they keep the order in which the file first names them.

    Raises
    ------
    ManifestInvalid
        With every problem of every line, none of which repeats the contents of a cell.
    """
    rows, problems = read_table(
        path,
        parse_row,
        columns=COLUMNS,
        required=REQUIRED_COLUMNS,
        a_row_for="each lesion and for each frame without any",
    )
    frames, contradictory = by_image(rows, image="frame", place="lesion")
    refuse((*problems, *contradictory, *leakage(rows, lambda row: row.fold, parts="folds", things="frames")))
    return tuple(_entry(of_one) for of_one in frames)


def write_frames(path: Path, frames: Iterable[FrameEntry]) -> None:
    """Write a manifest that `read_frames` reads back as the same frames.

    Files below the manifest's folder are written relative to it, so that the folder can be moved as a whole.
    """
    folder = path.absolute().parent
    write_table(path, COLUMNS, (row for frame in frames for row in _cells(frame, folder)))


def _entry(rows: Sequence[FrameRow]) -> FrameEntry:
    first = rows[0]
    return FrameEntry(
        path=first.path,
        patient=first.patient,
        fold=first.fold,
        spacing_mm=first.spacing_mm,
        clinical=first.clinical,
        lesions=tuple(
            LesionEntry(mask=row.mask, box_px=row.box_px, label=row.label, her2=row.her2)
            for row in rows
            if row.has_lesion
        ),
        line=first.line,
    )


def _cells(frame: FrameEntry, folder: Path) -> Iterator[Mapping[str, str]]:
    clinical = frame.clinical
    of_frame = {
        "image": path_cell(frame.path, folder),
        "patient": frame.patient,
        "fold": "" if frame.fold is None else str(frame.fold),
        "spacing_mm": number_cell(frame.spacing_mm),
        "age": number_cell(clinical.age),
        "stage": number_cell(clinical.stage),
        "birads": "" if clinical.birads is None else _BIRADS_NAMES[clinical.birads],
    }
    for lesion in frame.lesions:
        of_lesion = {
            "label": lesion.label or "",
            "her2": lesion.her2 or "",
            "mask": "" if lesion.mask is None else path_cell(lesion.mask, folder),
        }
        yield {**of_frame, **of_lesion, **box_cells(lesion.box_px)}
    if not frame.lesions:
        yield of_frame
