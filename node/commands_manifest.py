"""The commands that work on manifests: import, split, check."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import typer
from tqdm import tqdm

from models.training.contract import SPLITS, Split
from node.errors import SettingsInvalid
from pipelines.datasets import folds
from pipelines.datasets.frame_manifest import write_frames
from pipelines.datasets.images import inspect_image
from pipelines.datasets.importers import FRAME_IMPORTERS, import_frame_layout, import_layout
from pipelines.datasets.layout import ImportOptions
from pipelines.datasets.manifest import ManifestImage, read_manifest, write_manifest
from pipelines.datasets.splits import STRATA, split_by_patient, stratum
from pipelines.errors import UnusableImage

NO_SPLIT: Final = "none yet"
COLUMNS: Final = ("split", "images", "patients", *STRATA, "boxes", "plantable")


def import_layout_to(layout: str, folder: Path, out: Path, *, seed: int, spacing_mm: float | None) -> None:
    """Write the manifest of a data set, and print its counts.

    Raises
    ------
    LayoutUnreadable
        The folder is not laid out as `layout` is.
    """
    options = ImportOptions(seed=seed, spacing_mm=spacing_mm)
    if layout in FRAME_IMPORTERS:
        of_frames = import_frame_layout(layout, folder, options)
        write_frames(out, of_frames.frames)
        _tell(folds.counts(of_frames.frames), of_frames.left_out, out)
        return
    imported = import_layout(layout, folder, options)
    write_manifest(out, imported.images)
    _tell(counts(imported.images), imported.left_out, out)


def _tell(table: str, left_out: Iterable[str], out: Path) -> None:
    typer.echo(table)
    for reason, count in Counter(left_out).most_common():
        typer.echo(f"left out: {count} image{'s' if count > 1 else ''}: {reason}")
    typer.echo(f"wrote {out}")


def split(path: Path, out: Path, *, val: float, test: float, seed: int) -> None:
    """Give a split to each patient of a manifest that has none; what is left of the shares is for training.

    Raises
    ------
    ManifestInvalid
        With every problem of the rows.
    SettingsInvalid
        The shares leave nothing to train on.
    """
    if val + test >= 1:
        raise SettingsInvalid(("--val and --test: must be less than 1 together",), origin="command line")
    shares: dict[Split, float] = {"train": 1 - val - test, "val": val, "test": test}
    images = split_by_patient(read_manifest(path), shares, seed)
    write_manifest(out, images)
    typer.echo(counts(images))
    typer.echo(f"wrote {out}")


def check(path: Path) -> None:
    """Check a manifest and the header of each image; ends with exit status 1 when anything is wrong.

    Raises
    ------
    ManifestInvalid
        With every problem of the rows; headers are read only when there is none.
    """
    images = read_manifest(path)
    problems = []
    for image in tqdm(images, desc="reading headers", unit="image", leave=False, disable=None):
        try:
            inspect_image(image)
        except UnusableImage as error:
            problems.append(str(error))
    typer.echo(counts(images))
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)


def counts(images: Iterable[ManifestImage]) -> str:
    """A table by split: images, patients, patients by what they have, boxes, and images to plant lesions in."""
    by_split: dict[str, list[ManifestImage]] = defaultdict(list)
    for image in images:
        by_split[image.split or NO_SPLIT].append(image)
    rows = [COLUMNS, *(_row(split, by_split[split]) for split in (*SPLITS, NO_SPLIT) if split in by_split)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _row(split: str, images: list[ManifestImage]) -> tuple[str, ...]:
    by_patient: dict[str, list[ManifestImage]] = defaultdict(list)
    for image in images:
        by_patient[image.patient].append(image)
    strata = Counter(stratum(of_one) for of_one in by_patient.values())
    numbers = (
        len(images),
        len(by_patient),
        *(strata[name] for name in STRATA),
        sum(len(image.lesions) for image in images),
        sum(image.plantable for image in images),
    )
    return (split, *map(str, numbers))
