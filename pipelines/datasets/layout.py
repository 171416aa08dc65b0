"""What an importer is given and what it gives; and how it finds and reads a publisher's tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from models.training.contract import Split
from pipelines.datasets.manifest import ManifestImage
from pipelines.errors import LayoutUnreadable

VALIDATION_FROM_TRAINING: Final[Mapping[Split, float]] = MappingProxyType({"train": 0.85, "val": 0.15})
"""Shares of the patients that a publisher gives for training, where it names no validation set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What a person may choose.

    Attributes
    ----------
    seed : int
        Of the splits that the publisher leaves open.
    spacing_mm : float or None
        Of images that do not say it themselves; None takes what the layout's own documentation says.
    """

    seed: int = 0
    spacing_mm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The images of a data set, and why each of the others was left out, one reason an image."""

    images: tuple[ManifestImage, ...]
    left_out: tuple[str, ...]


Importer = Callable[[Path, ImportOptions], Imported]


def sorted_out(found: Iterator[ManifestImage | str]) -> Imported:
    """Images, and the reasons of those that are none.

    Raises
    ------
    LayoutUnreadable
        When there is no image at all.
    """
    images: list[ManifestImage] = []
    left_out: list[str] = []
    for item in found:
        if isinstance(item, str):
            left_out.append(item)
        else:
            images.append(item)
    if not images:
        why = f"; left out, for instance: {left_out[0]}" if left_out else ""
        raise LayoutUnreadable(f"no image that can be used in this folder{why}")
    return Imported(images=tuple(images), left_out=tuple(left_out))


def find_table(folder: Path, name: str) -> Path:
    """Find a table in a folder, or one or two folders below it, where archives are unpacked to.

    Raises
    ------
    LayoutUnreadable
        When it is not there.
    """
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise LayoutUnreadable(f"{name} is neither in this folder nor up to two below it: name the folder that it is in")


def read_table(path: Path, columns: tuple[str, ...]) -> list[Mapping[str, str]]:
    """Read a CSV file with commas or semicolons.

    Parameters
    ----------
    path : pathlib.Path
    columns : tuple of str
        That must be there, in lower case; others are ignored.

    Returns
    -------
    list of mapping of str to str
        Stripped cells by column in lower case; CBIS-DDSM's paths end with line breaks.

    Raises
    ------
    LayoutUnreadable
        When it is no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=";" if heading.count(";") > heading.count(",") else ",")
            rows: list[Mapping[str, str]] = [
                {name.strip().lower(): (cell or "").strip() for name, cell in row.items() if isinstance(name, str)}
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutUnreadable(f"{path.name}: no CSV file in UTF-8 ({type(error).__name__})") from error
    missing = [column for column in columns if not rows or column not in rows[0]]
    if missing:
        raise LayoutUnreadable(f"{path.name}: no rows, or no column {', '.join(missing)}")
    return rows
