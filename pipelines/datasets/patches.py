"""The manifest of patches: a CSV file of malignant calcifications, one row a lesion, with what they were found to be.

Columns: image, patient, split, x0, y0, x1, y1, and, which may be empty or absent, spacing_mm, medium, pathology
(invasive, microinvasive, dcis) and er (positive, negative). The first nine mean what they mean in the manifest of
images (docs/MANIFEST.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.training.contract import TruthBox
from models.training.patches import PATHOLOGIES, RECEPTORS, Patch, Pathology, Receptor, make_patch
from pipelines.datasets.cells import BOX_COLUMNS, Cells
from pipelines.datasets.images import load_image
from pipelines.datasets.manifest import ManifestImage
from pipelines.datasets.rows import Row, parse_row
from pipelines.datasets.tables import contradictions, grouped, leakage, read_table, refuse

REQUIRED_COLUMNS: Final = ("image", "patient", "split", *BOX_COLUMNS)
COLUMNS: Final = (*REQUIRED_COLUMNS, "spacing_mm", "medium", "pathology", "er")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRow:
    """One lesion: where it is, and what it was found to be; None where that is not known."""

    row: Row
    pathology: Pathology | None
    er: Receptor | None


def read_patches(path: Path) -> tuple[PatchRow, ...]:
    """Read and validate a manifest of patches.

    Raises
    ------
    ManifestInvalid
        With every problem of every line, none of which repeats the contents of a cell.
    """
    rows, problems = read_table(path, _row, columns=COLUMNS, required=REQUIRED_COLUMNS, a_row_for="each lesion")
    for of_image in by_image(rows):
        problems += contradictions([one.row for one in of_image])
    refuse((*problems, *leakage((one.row for one in rows), lambda row: row.split)))
    return tuple(rows)


def load_patches(rows: Sequence[PatchRow]) -> Iterator[tuple[Patch, ...]]:
    """Read the images of `rows`, each once, and cut the lesions out; yields the patches of one image after the other.

    Raises
    ------
    UnusableImage
        An image cannot be used; the message begins with its line in the manifest.
    """
    for of_image in by_image(rows):
        first = of_image[0].row
        entry = ManifestImage(
            path=first.path,
            patient=first.patient,
            split=first.split,
            laterality=None,
            view=None,
            spacing_mm=first.spacing_mm,
            medium=first.medium,
            plantable=False,
            lesions=tuple(_lesion(one.row) for one in of_image),
            line=first.line,
        )
        image = load_image(entry)
        assert first.split is not None  # read_patches refuses a row without
        yield tuple(
            make_patch(image, lesion.box_px, split=first.split, pathology=one.pathology, er=one.er)
            for one, lesion in zip(of_image, image.lesions, strict=True)
        )


def by_image(rows: Iterable[PatchRow]) -> tuple[tuple[PatchRow, ...], ...]:
    """Group rows by their image, in the order in which the file first names them."""
    return tuple(tuple(of_image) for of_image in grouped(rows, lambda one: one.row.path.resolve()))


def note_of(path: Path, patches: Sequence[Patch]) -> str:
    """Say what is learned from, in words and numbers, without anything of a patient."""
    parts = []
    for split in ("train", "val"):
        chosen = [one for one in patches if one.split == split]
        patients = len({one.patient for one in chosen})
        found = Counter(one.pathology or "pathology unknown" for one in chosen)
        receptors = Counter(f"ER {one.er or 'unknown'}" for one in chosen)
        counts = ", ".join(f"{count} {name}" for name, count in (*sorted(found.items()), *sorted(receptors.items())))
        parts.append(f"{split}: {len(chosen)} patches of {patients} patients ({counts})")
    return f"{path.name}: {'; '.join(parts)}"


def _row(line: int, values: Mapping[str, str], folder: Path) -> tuple[PatchRow | None, tuple[str, ...]]:
    cells = Cells(values, folder)
    empty = not any(cells.text(column) for column in BOX_COLUMNS)
    row, found = parse_row(line, {**values, "label": "" if empty else "malignant"}, folder)
    cells.problems += found
    if empty:
        cells.problems.append("no box: give x0, y0, x1 and y1, or remove the line")
    if row is not None and row.split is None:
        cells.problems.append("split is empty: write train, val or test")
    pathology, er = cells.choice("pathology", PATHOLOGIES), cells.choice("er", RECEPTORS)
    if row is None or cells.problems:
        return None, tuple(cells.problems)
    return PatchRow(row=row, pathology=pathology, er=er), ()


def _lesion(row: Row) -> TruthBox:
    assert row.box_px is not None  # a row without one is refused
    return TruthBox(box_px=row.box_px, label="malignant")
