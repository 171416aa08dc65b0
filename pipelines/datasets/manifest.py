"""The manifest: a CSV file that says which images are trained on and evaluated, whose they are, and what they show.

One row a lesion; one row with an empty box for an image without any. docs/MANIFEST.md explains it by example.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.training.contract import Medium, Split, TruthBox
from pipelines.datasets.cells import box_cells, number_cell, path_cell
from pipelines.datasets.rows import COLUMNS, REQUIRED_COLUMNS, Laterality, Row, parse_row
from pipelines.datasets.tables import by_image, leakage, read_table, refuse, write_table


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
    rows, problems = read_table(
        path,
        parse_row,
        columns=COLUMNS,
        required=REQUIRED_COLUMNS,
        a_row_for="each lesion and for each image without any",
    )
    images, contradictory = by_image(rows)
    refuse((*problems, *contradictory, *leakage(rows, lambda row: row.split)))
    return tuple(_image(of_one) for of_one in images)


def write_manifest(path: Path, images: Iterable[ManifestImage]) -> None:
    """Write a manifest that `read_manifest` reads back as the same images.

    Images below the manifest's folder are written relative to it, so that the folder can be moved as a whole.
    """
    folder = path.absolute().parent
    write_table(path, COLUMNS, (row for image in images for row in _cells(image, folder)))


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
    of_image = {
        "image": path_cell(image.path.absolute(), folder),
        "patient": image.patient,
        "split": image.split or "",
        "laterality": image.laterality or "",
        "view": image.view or "",
        "spacing_mm": number_cell(image.spacing_mm),
        "medium": image.medium,
        "plantable": "yes" if image.plantable else "no",
    }
    for lesion in image.lesions:
        yield {**of_image, "label": lesion.label, **box_cells(lesion.box_px)}
    if not image.lesions:
        yield of_image
