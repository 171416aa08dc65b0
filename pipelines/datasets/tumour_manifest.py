"""The manifest of tumours: lesions with their views, and what pathology found out about them.

One row a lesion and view. docs/MANIFEST_TUMOURS.md explains it by example.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.regions.contract import View
from models.regions.pathology import Pathology, outcomes
from models.training.contract import Split
from pipelines.datasets.cells import box_cells, covariate_cell, number_cell, path_cell
from pipelines.datasets.images import content_hash
from pipelines.datasets.rows import Laterality
from pipelines.datasets.tables import Problem, contradictions, grouped, leakage, read_table, refuse, write_table
from pipelines.datasets.tumour_rows import (
    CLINICAL_PREFIX,
    COLUMNS,
    PATHOLOGY_COLUMNS,
    REQUIRED_COLUMNS,
    Mark,
    TumourRow,
    covariate_column,
    covariate_columns,
    parse_row,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEntry:
    """A lesion on one image of a manifest.

    Attributes
    ----------
    path : pathlib.Path
        Absolute.
    mark : Mark
        Where the lesion is.
    spacing_mm : float or None
        Rows and columns alike; None when not given.
    second_mask : pathlib.Path or None
        The lesion as another reader outlined it.
    line : int or None
        In the manifest that it was read from, for messages; not compared.
    """

    path: Path
    mark: Mark
    spacing_mm: float | None = None
    second_mask: Path | None = None
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TumourEntry:
    """One lesion of a manifest, in all its views.

    Attributes
    ----------
    patient : str
        A pseudonym.
    lesion : str
        Tells the lesions of a patient apart.
    laterality : {"L", "R"} or None
    split : {"train", "val", "test"} or None
    fold : int or None
    views : mapping of str to ViewEntry
        In the order of the manifest.
    pathology : Pathology
    clinical : mapping of str to float or str
        Covariates that are known, ``age`` among them.
    """

    patient: str
    lesion: str
    laterality: Laterality | None
    split: Split | None
    fold: int | None
    views: Mapping[View, ViewEntry]
    pathology: Pathology
    clinical: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tells it apart in the data set."""
        return f"{self.patient}/{self.lesion}"

    @property
    def outcomes(self) -> dict[str, str]:
        """Class by outcome, as far as `pathology` tells: `models.regions.pathology.outcomes`."""
        return outcomes(self.pathology)


def read_tumours(path: Path) -> tuple[TumourEntry, ...]:
    """Read and validate a manifest, CSV or Parquet; lesions keep the order in which the file first names them.

    Raises
    ------
    ManifestInvalid
        With every problem of every line, none of which repeats the contents of a cell.
    UnusableImage
        An image cannot be read.
    """
    rows, problems = read_table(
        path,
        parse_row,
        columns=COLUMNS,
        required=REQUIRED_COLUMNS,
        a_row_for="each view of each lesion",
        prefix=CLINICAL_PREFIX,
    )
    lesions = grouped(rows, lambda row: (row.patient, row.lesion))
    for of_lesion in lesions:
        problems += contradictions(of_lesion, image="lesion", place="view")
    problems += _alike([of_lesion[0] for of_lesion in lesions])
    refuse((*problems, *_leaks(rows)))
    return tuple(_entry(of_lesion) for of_lesion in lesions)


def write_tumours(path: Path, entries: Iterable[TumourEntry]) -> None:
    """Write a CSV file that `read_tumours` reads back as the same lesions.

    Files below the manifest's folder are written relative to it, so that the folder can be moved as a whole.
    """
    kept, folder = tuple(entries), path.absolute().parent
    columns = dict.fromkeys((*COLUMNS, *covariate_columns(entry.clinical for entry in kept)))
    write_table(path, tuple(columns), (row for entry in kept for row in _cells(entry, folder)))


def _alike(lesions: Sequence[TumourRow]) -> Iterator[Problem]:
    """Lesions that `TumourEntry.name` does not tell apart."""
    lines: dict[str, int] = {}
    for row in lesions:
        first = lines.setdefault(f"{row.patient}/{row.lesion}", row.line)
        if first != row.line:
            yield (
                row.line,
                f"patient and lesion, joined by a slash, are those of line {first}: leave slashes out",
            )


def _leaks(rows: Sequence[TumourRow]) -> Iterator[Problem]:
    """A patient, or an image under whatever name and patient, in two splits or two folds."""
    content = _content(rows)
    parts: tuple[tuple[Callable[[TumourRow], object], str], ...] = (
        (lambda row: row.split, "splits"),
        (lambda row: row.fold, "folds"),
    )
    for part_of, name in parts:
        of_patients = tuple(leakage(rows, part_of, parts=name))
        yield from of_patients
        if not of_patients:  # else every image of such a patient would be told as well
            yield from leakage(
                rows,
                part_of,
                parts=name,
                things="lesions",
                whose=lambda row: content[row.path.resolve()],
                what="image",
            )


def _content(rows: Iterable[TumourRow]) -> dict[Path, str]:
    """What tells images apart: the SHA-256 of files of which another has the size, else the path itself."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(row.path.resolve() for row in rows):
        by_size[path.stat().st_size].append(path)
    return {path: content_hash(path) if len(alike) > 1 else str(path) for alike in by_size.values() for path in alike}


def _entry(rows: Sequence[TumourRow]) -> TumourEntry:
    first = rows[0]
    return TumourEntry(
        patient=first.patient,
        lesion=first.lesion,
        laterality=first.laterality,
        split=first.split,
        fold=first.fold,
        views={
            row.view: ViewEntry(
                path=row.path, mark=row.mark, spacing_mm=row.spacing_mm, second_mask=row.second_mask, line=row.line
            )
            for row in rows
        },
        pathology=first.pathology,
        clinical=first.clinical,
    )


def _cells(entry: TumourEntry, folder: Path) -> Iterator[Mapping[str, str]]:
    of_lesion = {
        "patient": entry.patient,
        "lesion": entry.lesion,
        "laterality": entry.laterality or "",
        "split": entry.split or "",
        "fold": number_cell(entry.fold),
        **{name: covariate_cell(getattr(entry.pathology, name)) for name in PATHOLOGY_COLUMNS},
        **{covariate_column(name): covariate_cell(value) for name, value in entry.clinical.items()},
    }
    for name, view in entry.views.items():
        files = {"image": view.path, "mask": view.mark.mask, "sr": view.mark.sr, "mask2": view.second_mask}
        yield {
            **of_lesion,
            **{column: path_cell(path, folder) for column, path in files.items() if path is not None},
            "view": name,
            "spacing_mm": number_cell(view.spacing_mm),
            **box_cells(view.mark.box_px),
        }
