"""CBIS-DDSM: digitised films with masks and pathology, as DICOM from The Cancer Imaging Archive.

Lee et al., "A curated mammography data set for use in computer-aided detection and diagnosis research", Scientific Data
4:170177 (2017). The paths in its tables are those of the first release. Since then folders bear dates and descriptions,
files are called ``1-1.dcm``, and the columns of mask and crop are swapped for part of the rows. So only the first part
of a path is believed, the name of the case; which file is the mask is seen in the files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

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
from pipelines.errors import UndecodablePixels, UnreadableInstance
from pipelines.headers import MammogramHeader, describe_mammogram, read_header
from pipelines.pixels import decode
from pipelines.views import VIEW_BY_NAME

TABLES: Final[Mapping[Split, str]] = {
    "train": "calc_case_description_train_set.csv",
    "test": "calc_case_description_test_set.csv",
}
IMAGE, MASK, CROP = "image file path", "roi mask file path", "cropped image file path"
COLUMNS: Final = ("patient_id", "left or right breast", "image view", "pathology", IMAGE, MASK, CROP)

SPACING_MM: Final = 0.05
"""The objects give no spacing and name no scanner. DDSM's were LUMISYS (0.05 mm), HOWTEK (0.0435) and DBA (0.042)."""

PATHOLOGIES: Final[Mapping[str, Label]] = {
    "MALIGNANT": "malignant",
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign",
}
LATERALITIES: Final[Mapping[str, Laterality]] = {"LEFT": "L", "RIGHT": "R"}

Row = Mapping[str, str]


def import_cbis_ddsm(folder: Path, options: ImportOptions) -> Imported:
    """The calcification cases, official test split, validation taken out of training by patient.

    A patient of both official splits is in the test split with all images.

    Raises
    ------
    LayoutUnreadable
        The folder is laid out otherwise.
    """
    by_image: dict[str, list[Row]] = defaultdict(list)
    of_test: set[str] = set()
    for split, table in TABLES.items():
        for row in read_table(find_table(folder, table), COLUMNS):
            by_image[_case(row[IMAGE])].append(row)
            if split == "test":
                of_test.add(row["patient_id"])
    imported = sorted_out(_images(_case_folders(folder), by_image, options))
    in_test = (replace(image, split="test" if image.patient in of_test else None) for image in imported.images)
    return replace(imported, images=split_by_patient(in_test, VALIDATION_FROM_TRAINING, options.seed))


def _images(
    folders: Mapping[str, Path], by_image: Mapping[str, Sequence[Row]], options: ImportOptions
) -> Iterator[ManifestImage | str]:
    for case, rows in tqdm(by_image.items(), desc="reading masks", unit="image", leave=False, disable=None):
        try:
            yield _image(folders, case, rows, options)
        except (UnreadableInstance, UndecodablePixels):
            yield "an image or a mask that cannot be decoded"


def _image(folders: Mapping[str, Path], case: str, rows: Sequence[Row], options: ImportOptions) -> ManifestImage | str:
    first = rows[0]
    files = _files(folders, case)
    if not files:
        return "in the table, but not among the files"
    if any(row["pathology"] not in PATHOLOGIES for row in rows):
        return "a lesion without pathology"
    path = max(files, key=lambda file: file.stat().st_size)
    header = _header(path)
    shape = (header.rows, header.columns)
    boxes = [_mask_box_px(_files(folders, _case(row[MASK]) or _case(row[CROP])), shape) for row in rows]
    found = tuple(
        TruthBox(box_px=box_px, label=PATHOLOGIES[row["pathology"]])
        for box_px, row in zip(boxes, rows, strict=True)
        if box_px is not None
    )
    if len(found) < len(rows):
        return "a lesion without a mask of the image's size"
    return ManifestImage(
        path=path.absolute(),
        patient=first["patient_id"],
        split=None,
        laterality=LATERALITIES.get(first["left or right breast"]),
        view=first["image view"] if first["image view"] in VIEW_BY_NAME else None,
        spacing_mm=None if header.pixel_spacing_mm else options.spacing_mm or SPACING_MM,
        medium="film",
        plantable=False,
        lesions=tuple(dict.fromkeys(found)),
    )


def _case(path: str) -> str:
    """``"Calc-Training_P_00005_RIGHT_CC_1"`` of a path in a table."""
    return path.partition("/")[0]


def _case_folders(folder: Path) -> Mapping[str, Path]:
    """Folders of the cases, in this folder or up to two below it, where the retriever puts them."""
    patterns = ("*/*/Calc-*_P_*", "*/Calc-*_P_*", "Calc-*_P_*")
    return {path.name: path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_dir()}


def _files(folders: Mapping[str, Path], case: str) -> Sequence[Path]:
    return sorted(folders[case].rglob("*.dcm")) if case in folders else ()


def _header(path: Path) -> MammogramHeader:
    return describe_mammogram(read_header(path))


def _mask_box_px(files: Sequence[Path], shape: tuple[int, int]) -> BoxPx | None:
    """Smallest box around a mask: the file that is as large as the image and has two values."""
    for file in files:
        header = _header(file)
        if (header.rows, header.columns) != shape:
            continue
        stored = decode(file).stored
        inside = stored == stored.max()
        if stored.min() == stored.max() or not np.all(inside | (stored == stored.min())):
            continue
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    return None
