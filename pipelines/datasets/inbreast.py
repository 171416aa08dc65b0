"""INbreast: 410 digital mammograms with outlines drawn by radiologists, and BI-RADS.

Moreira et al., "INbreast: toward a full-field digital mammographic database", Academic Radiology 19:236-248 (2012).
Classes come from the BI-RADS of the table, one an image, not from pathology.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from tqdm import tqdm

from models.contract import Label
from models.training.contract import TruthBox
from pipelines.datasets.inbreast_regions import CALCIFICATIONS, calcification_boxes_px, read_regions
from pipelines.datasets.layout import Imported, ImportOptions, find_table, read_table, sorted_out
from pipelines.datasets.manifest import ManifestImage
from pipelines.datasets.rows import Laterality
from pipelines.datasets.splits import DEFAULT_SHARES, split_by_patient
from pipelines.errors import LayoutUnreadable, UnreadableInstance
from pipelines.headers import describe_mammogram, read_header

TABLE: Final = "INbreast.csv"
COLUMNS: Final = ("file name", "bi-rads")
FILE_NAME: Final = re.compile(r"(?P<id>\d+)_(?P<patient>[0-9a-f]+)_MG_(?P<laterality>[LR])_(?P<view>CC|ML|MLO)_ANON")
LATERALITIES: Final[Mapping[str, Laterality]] = {"L": "L", "R": "R"}
VIEWS: Final = {"CC": "CC", "ML": "MLO", "MLO": "MLO"}
"""The release has CC and MLO images only; its file names shorten the latter."""

SPACING_MM: Final = 0.07
"""Of the detector, where a header does not say it."""

NEGATIVE: Final = "1"
LABELS: Final[Mapping[str, Label]] = {
    "1": "benign",
    "2": "benign",
    "3": "benign",
    "4": "malignant",
    "5": "malignant",
    "6": "malignant",
}


def import_inbreast(folder: Path, options: ImportOptions) -> Imported:
    """Calcification clusters and groups of single calcifications; split by patient with `DEFAULT_SHARES`.

    The table has no patients left in it; the second part of a file's name is the same for all images of one.

    Raises
    ------
    LayoutUnreadable
        The folder is laid out otherwise.
    """
    try:
        table = find_table(folder, TABLE)
    except LayoutUnreadable as error:
        raise LayoutUnreadable(f"{error}; if the release has INbreast.xls only, save that as {TABLE}") from error
    grades = {row["file name"]: row["bi-rads"][:1] for row in read_table(table, COLUMNS)}
    imported = sorted_out(_images(table.parent, grades, options))
    return replace(imported, images=split_by_patient(imported.images, DEFAULT_SHARES, options.seed))


def _images(folder: Path, grades: Mapping[str, str], options: ImportOptions) -> Iterator[ManifestImage | str]:
    files = sorted((folder / "AllDICOMs").glob("*.dcm"))
    for path in tqdm(files, desc="reading outlines", unit="image", leave=False, disable=None):
        named = FILE_NAME.fullmatch(path.stem)
        if named is None:
            yield "not named as the release names its images"
        elif grades.get(named["id"]) not in LABELS:
            yield "no BI-RADS in the table"
        else:
            yield _image(path, named, grades[named["id"]], folder / "AllXML" / f"{named['id']}.xml", options)


def _image(path: Path, named: re.Match[str], grade: str, outlines: Path, options: ImportOptions) -> ManifestImage | str:
    try:
        header = describe_mammogram(read_header(path))
    except UnreadableInstance:
        return "a header that cannot be read"
    regions = read_regions(outlines) if outlines.is_file() else ()
    row_mm, column_mm = header.pixel_spacing_mm or (options.spacing_mm or SPACING_MM,) * 2
    boxes_px = calcification_boxes_px(regions, (header.rows, header.columns), (row_mm + column_mm) / 2)
    if not boxes_px and any(region.name in CALCIFICATIONS for region in regions):
        return "calcifications outlined one by one, too few for a group"
    return ManifestImage(
        path=path.absolute(),
        patient=named["patient"],
        split=None,
        laterality=LATERALITIES[named["laterality"]],
        view=VIEWS[named["view"]],
        spacing_mm=column_mm if header.pixel_spacing_mm is None else None,
        medium="digital",
        plantable=grade == NEGATIVE and not regions,
        lesions=tuple(TruthBox(box_px=box_px, label=LABELS[grade]) for box_px in boxes_px),
    )
