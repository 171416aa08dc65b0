"""Manifests and the layouts of public data sets, of a few pixels each."""

from __future__ import annotations

import csv
import plistlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.contract import TruthBox
from pipelines.datasets.manifest import ManifestImage
from tests.factories import small_mammogram

FILM_COLUMNS = ("image", "patient", "label", "x0", "y0", "x1", "y1", "spacing_mm")


def breast_pixels(rows: int = 96, columns: int = 64, *, left: int = 24, white: int = 255) -> NDArray[np.uint16]:
    """Black background, and a breast of 40 % of `white` from column `left` to the right edge."""
    pixels = np.zeros((rows, columns), dtype=np.uint16)
    pixels[:, left:] = round(0.4 * white)
    return pixels


def write_png(path: Path, pixels: NDArray[np.uint16] | None = None) -> Path:
    """Write a film of 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((breast_pixels() if pixels is None else pixels).astype(np.uint8)).save(path)
    return path


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> Path:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def entry(path: Path, **values: Any) -> ManifestImage:
    """An image of a manifest: a film without lesions, unless told otherwise."""
    defaults: dict[str, Any] = {
        "patient": "p1",
        "split": None,
        "laterality": None,
        "view": None,
        "spacing_mm": 0.2,
        "medium": "film",
        "plantable": False,
        "lesions": (),
    }
    return ManifestImage(path=path, **{**defaults, **values})


def lesion(x0: float, y0: float, x1: float, y1: float, label: str = "malignant") -> TruthBox:
    return TruthBox(box_px=(x0, y0, x1, y1), label=label)


def cbis_files(
    folder: Path,
    case: str,
    number: int,
    *,
    mask_px: tuple[int, int, int, int] | None,
    mask_first: bool = False,
    new_release: bool = True,
) -> None:
    """Full image, mask and crop of one lesion as the retriever lays them out; `mask_px` None leaves out the mask."""
    dated = "08-07-2016-DDSM-NA-23157" if new_release else "1.3.6.1.4.1.9590.1"
    small_mammogram(
        _made(folder / case / dated / "1.000000-full mammogram images-38548" / "1-1.dcm"),
        laterality="L",
        view="CC",
        ImagerPixelSpacing=None,
        PixelSpacing=None,
    )
    where = folder / f"{case}_{number}" / dated / "1.000000-ROI mask images-01064"
    names = ("1-1.dcm", "1-2.dcm") if mask_first else ("1-2.dcm", "1-1.dcm")
    small_mammogram(_made(where / names[1]), laterality="L", view="CC", rows=70, columns=20)
    if mask_px is not None:
        x0, y0, x1, y1 = mask_px
        mask = np.zeros((64, 48), dtype=np.uint16)
        mask[y0:y1, x0:x1] = 255
        small_mammogram(_made(where / names[0]), laterality="L", view="CC", pixels=mask)


CBIS_COLUMNS = (
    "patient_id",
    "breast density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "pathology",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
)


def cbis_row(case: str, patient: str, number: int, pathology: str) -> tuple[object, ...]:
    """A row whose paths are those of the first release, one of which ends with a line break as in the tables."""
    old = "1.3.6.1.4.1.9590.100.1.2/1.3.6.1.4.1.9590.100.1.3"
    roi = f"{case}_{number}/{old}"
    image = f"{case}/{old}/000000.dcm"
    side, view = case.split("_")[-2:]
    return (
        patient,
        3,
        side,
        view,
        number,
        "calcification",
        pathology,
        image,
        f"{roi}/000000.dcm",
        f"{roi}/000001.dcm\n",
    )


def osirix(path: Path, regions: Iterable[tuple[str, Sequence[tuple[float, float]]]]) -> Path:
    """Regions by name and points, as OsiriX exports them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rois: list[Mapping[str, object]] = [
        {"Name": name, "NumberOfPoints": len(points), "Point_px": [f"({x:f}, {y:f})" for x, y in points]}
        for name, points in regions
    ]
    path.write_bytes(plistlib.dumps({"Images": [{"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": rois}]}))
    return path


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
