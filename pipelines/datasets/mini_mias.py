"""mini-MIAS: digitised films, MLO, 1024 x 1024 pixels of 0.2 mm, with a table of lesions.

Suckling et al., "The Mammographic Image Analysis Society digital mammogram database", Excerpta Medica 1069 (1994). Read
as PNG files beside a table ``labels.csv`` whose y runs from the top; the original counts it from the bottom.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.contract import Label
from models.training.contract import Split, TruthBox
from pipelines.datasets.layout import Imported, ImportOptions, find_table, read_table, sorted_out
from pipelines.datasets.manifest import ManifestImage
from pipelines.errors import LayoutUnreadable

TABLE: Final = "labels.csv"
COLUMNS: Final = ("image", "patient", "abnormality", "severity", "x_px", "y_px", "radius_px")
SPACING_MM: Final = 0.2
SIDE_PX: Final = 1024.0
CALCIFICATION: Final = "CALC"
NORMAL: Final = "NORM"
SHARES: Final[tuple[tuple[Split, float], ...]] = (("train", 0.62), ("val", 0.74))
"""Of a number from 0 to 1: below which a patient is in that split; the rest is the test split."""

SEVERITIES: Final[Mapping[str, Label]] = {"B": "benign", "M": "malignant"}

Rows = Sequence[Mapping[str, str]]


def import_mini_mias(folder: Path, options: ImportOptions) -> Imported:
    """Images with located calcification clusters go to the test split, and so does all of their patients.

    The few clusters are too few to train on. All other patients are split by a digest of their number (`SHARES`), so
    that those who have a part of the release and those who have another agree on every patient. An image with a
    calcification that has no coordinates is left out: what is found there would be neither true nor false.

    Raises
    ------
    LayoutUnreadable
        The folder is laid out otherwise.
    """
    table = find_table(folder, TABLE)
    by_image: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in read_table(table, COLUMNS):
        by_image[row["image"]].append(row)
    of_test = {rows[0]["patient"] for rows in by_image.values() if _calcifications(rows)}
    imported = sorted_out(_images(table.parent, by_image, options))
    split = (
        replace(image, split="test" if image.patient in of_test else _split(image.patient)) for image in imported.images
    )
    return replace(imported, images=tuple(split))


def _split(patient: str) -> Split:
    """Return the split of a patient without calcifications, by the first byte of SHA-256 of ``mini-mias NUMBER``."""
    drawn = hashlib.sha256(f"mini-mias {patient}".encode()).digest()[0] / 256.0
    return next((split for split, below in SHARES if drawn < below), "test")


def _images(folder: Path, by_image: Mapping[str, Rows], options: ImportOptions) -> Iterator[ManifestImage | str]:
    for name, rows in by_image.items():
        path = folder / f"{name}.png"
        if not path.is_file():
            yield "in the table, but not among the files"
        elif any(not row["x_px"] for row in _calcifications(rows)):
            yield "calcifications without coordinates"
        else:
            yield ManifestImage(
                path=path.absolute(),
                patient=rows[0]["patient"],
                split=None,
                laterality="R" if _number_of(name) % 2 else "L",
                view="MLO",
                spacing_mm=options.spacing_mm or SPACING_MM,
                medium="film",
                plantable=all(row["abnormality"] == NORMAL for row in rows),
                lesions=tuple(_lesion(row) for row in _calcifications(rows)),
            )


def _calcifications(rows: Rows) -> Rows:
    return [row for row in rows if row["abnormality"] == CALCIFICATION]


def _number_of(name: str) -> int:
    """Number of a film, ``mdb001``: the notes of the release say that even ones are left breasts, odd ones right."""
    digits = name.removeprefix("mdb")
    if not digits.isdecimal():
        raise LayoutUnreadable(f"{TABLE}: an image is not named mdb and its number")
    return int(digits)


def _lesion(row: Mapping[str, str]) -> TruthBox:
    """The square around the circle that the release gives, cut at the edges of the image."""
    try:
        x, y, radius = (float(row[column]) for column in ("x_px", "y_px", "radius_px"))
        label = SEVERITIES[row["severity"]]
    except (ValueError, KeyError) as error:
        raise LayoutUnreadable(f"{TABLE}: a calcification whose circle or severity cannot be read") from error
    box_px = (max(x - radius, 0.0), max(y - radius, 0.0), min(x + radius, SIDE_PX), min(y + radius, SIDE_PX))
    return TruthBox(box_px=box_px, label=label)
