"""VinDr-Mammo: 5,000 digital screening exams with boxes and BI-RADS.

Nguyen et al., "VinDr-Mammo: A large-scale benchmark dataset for computer-aided diagnosis in full-field digital
mammography", Scientific Data 10:277 (2023). Classes come from BI-RADS, not from pathology.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.contract import BoxPx, Label
from models.training.contract import Split, TruthBox
from pipelines.datasets.layout import (
    VALIDATION_FROM_TRAINING,
    Imported,
    ImportOptions,
    find_table,
    read_table,
    sorted_out,
)
from pipelines.datasets.manifest import ManifestImage
from pipelines.datasets.rows import Laterality
from pipelines.datasets.splits import split_by_patient
from pipelines.errors import LayoutUnreadable
from pipelines.views import VIEW_BY_NAME

TABLE: Final = "finding_annotations.csv"
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
COLUMNS: Final = (
    "study_id",
    "image_id",
    "laterality",
    "view_position",
    "height",
    "width",
    "breast_birads",
    "finding_categories",
    "finding_birads",
    *CORNERS,
    "split",
)
CALCIFICATION: Final = "Suspicious Calcification"
NO_FINDING: Final = "No Finding"
NEGATIVE: Final = "BI-RADS 1"
BENIGN: Final = "BI-RADS 2"
LABELS: Final[Mapping[str, Label]] = {
    "BI-RADS 1": "benign",
    "BI-RADS 2": "benign",
    "BI-RADS 3": "benign",
    "BI-RADS 4": "malignant",
    "BI-RADS 5": "malignant",
}
SPLITS: Final[Mapping[str, Split | None]] = {"training": None, "test": "test"}
LATERALITIES: Final[Mapping[str, Laterality]] = {"L": "L", "R": "R"}

Row = Mapping[str, str]


def import_vindr_mammo(folder: Path, options: ImportOptions) -> Imported:
    """Boxes of suspicious calcifications; the official test split, and validation taken out of training by exam.

    The release names no patients: an exam (``study_id``) stands for one.

    Raises
    ------
    LayoutUnreadable
        The folder is laid out otherwise.
    """
    table = find_table(folder, TABLE)
    by_image: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read_table(table, COLUMNS):
        by_image[row["study_id"], row["image_id"]].append(row)
    imported = sorted_out(_image(table.parent, rows, options) for rows in by_image.values())
    return replace(imported, images=split_by_patient(imported.images, VALIDATION_FROM_TRAINING, options.seed))


def _image(folder: Path, rows: Sequence[Row], options: ImportOptions) -> ManifestImage | str:
    first = rows[0]
    path = folder / "images" / first["study_id"] / f"{first['image_id']}.dicom"
    if not path.is_file():
        return "in the table, but not among the files"
    if first["split"] not in SPLITS:
        raise LayoutUnreadable(f"{TABLE}: split must be training or test")
    categories = {category for row in rows for category in _categories(row)}
    calcifications = [row for row in rows if CALCIFICATION in _categories(row)]
    if any(row["finding_birads"] not in LABELS for row in calcifications):
        return "a calcification without BI-RADS"
    if not calcifications and first["breast_birads"] == BENIGN:
        return "a breast of BI-RADS 2: its benign calcifications, if any, are not outlined"
    boxes_px = [_box_px(row) for row in calcifications]
    if any(x0 >= x1 or y0 >= y1 for x0, y0, x1, y1 in boxes_px):
        return "a box that lies outside its image"
    return ManifestImage(
        path=path.absolute(),
        patient=first["study_id"],
        split=SPLITS[first["split"]],
        laterality=LATERALITIES.get(first["laterality"]),
        view=first["view_position"] if first["view_position"] in VIEW_BY_NAME else None,
        spacing_mm=options.spacing_mm,
        medium="digital",
        plantable=categories == {NO_FINDING} and first["breast_birads"] == NEGATIVE,
        lesions=tuple(
            TruthBox(box_px=box_px, label=LABELS[row["finding_birads"]])
            for box_px, row in zip(boxes_px, calcifications, strict=True)
        ),
    )


def _categories(row: Row) -> Iterator[str]:
    """The names in ``"['Suspicious Calcification', 'Mass']"``."""
    try:
        names = ast.literal_eval(row["finding_categories"])
    except (ValueError, SyntaxError) as error:
        raise LayoutUnreadable(f"{TABLE}: finding_categories must be a list of names") from error
    if not isinstance(names, list):
        raise LayoutUnreadable(f"{TABLE}: finding_categories must be a list of names")
    yield from map(str, names)


def _box_px(row: Row) -> BoxPx:
    """The box, cut at the edges of the image, over which some reach."""
    try:
        x0, y0, x1, y1 = (float(row[column]) for column in CORNERS)
        columns, rows = float(row["width"]), float(row["height"])
    except ValueError as error:
        raise LayoutUnreadable(f"{TABLE}: a calcification without a box, or an image without a size") from error
    return max(x0, 0.0), max(y0, 0.0), min(x1, columns), min(y1, rows)
