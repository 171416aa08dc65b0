"""The manifest of ultrasound frames: which are trained on and evaluated, whose they are, and what they show.

One row a lesion; one row with neither mask nor box for a frame without any. docs/MANIFEST_ULTRASOUND.md explains it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models.contract import BoxPx, Label
from models.training.frames import Clinical, Her2
from pipelines.datasets.frame_rows import BIRADS, COLUMNS, REQUIRED_COLUMNS, FrameRow, parse_row
from pipelines.datasets.rows import BOX_COLUMNS
from pipelines.datasets.tables import Problem, contradictions, read_table, refuse

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
    by_frame: dict[Path, list[FrameRow]] = defaultdict(list)
    for row in rows:
        by_frame[row.path.resolve()].append(row)
    for of_one in by_frame.values():
        problems += contradictions(of_one, image="frame", place="lesion")
    refuse((*problems, *_leakage(rows)))
    return tuple(_entry(of_one) for of_one in by_frame.values())


def write_frames(path: Path, frames: Iterable[FrameEntry]) -> None:
    """Write a manifest that `read_frames` reads back as the same frames.

    Files below the manifest's folder are written relative to it, so that the folder can be moved as a whole.
    """
    folder = path.absolute().parent
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for frame in frames:
            writer.writerows(_cells(frame, folder))


def _leakage(rows: Iterable[FrameRow]) -> Iterator[Problem]:
    """A patient in two folds: what is trained on would be what is measured on."""
    first: dict[str, FrameRow] = {}
    for row in rows:
        begun = first.setdefault(row.patient, row)
        if row.fold != begun.fold:
            yield row.line, f"the patient of line {begun.line} in another fold: all frames of a patient go in one"


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
        "image": _path(frame.path, folder),
        "patient": frame.patient,
        "fold": "" if frame.fold is None else str(frame.fold),
        "spacing_mm": _number(frame.spacing_mm),
        "age": _number(clinical.age),
        "stage": _number(clinical.stage),
        "birads": "" if clinical.birads is None else _BIRADS_NAMES[clinical.birads],
    }
    for lesion in frame.lesions:
        box = {} if lesion.box_px is None else dict(zip(BOX_COLUMNS, map(_number, lesion.box_px), strict=True))
        mask = "" if lesion.mask is None else _path(lesion.mask, folder)
        yield {**of_frame, "label": lesion.label or "", "her2": lesion.her2 or "", "mask": mask, **box}
    if not frame.lesions:
        yield of_frame


def _path(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _number(value: float | None) -> str:
    """The shortest text that is read back as the same number."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
