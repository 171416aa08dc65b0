"""From a manifest to what a run trains on: images are read here as analysis reads them; `models.training` learns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from models.training.contract import Medium, Split, TrainingImage
from pipelines.datasets.images import inspect_image, load_image
from pipelines.datasets.manifest import ManifestImage, read_manifest
from pipelines.errors import ManifestInvalid, UnusableImage

Item = TypeVar("Item")
Progress = Callable[[Iterable[Item], int, str], Iterable[Item]]
"""Passes items on and shows how far it is: given the items, how many they are, and what is being done."""

BYTES_A_PIXEL: Final = 4

SPLITS: Final[tuple[Split, ...]] = ("train", "val")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSplits:
    """The images of a manifest that a run needs.

    Attributes
    ----------
    train, val : tuple of TrainingImage
        By split.
    note : str
        What they are, in words and numbers, without anything of a patient.
    """

    train: tuple[TrainingImage, ...]
    val: tuple[TrainingImage, ...]
    note: str


def load_splits(
    manifest: Path,
    *,
    medium: Medium | None,
    cache: Path,
    phantoms: bool,
    progress: Progress[ManifestImage],
) -> LoadedSplits:
    """Read the images of the splits train and val.

    Parameters
    ----------
    manifest : pathlib.Path
        See docs/MANIFEST.md.
    medium : {"film", "digital"} or None
        Only these images.
    cache : pathlib.Path
        Folder for the standardised pixels of images that together take more than half of the machine's memory; they
        are then read from there as they are needed. Not made otherwise.
    phantoms : bool
        Whether there will be phantoms as well: with `medium`, a split may then be without an image of its own.

    Raises
    ------
    ManifestInvalid
        It cannot be read, a split has no image, or images cannot be used; all of them are named.
    """
    entries = [entry for entry in read_manifest(manifest) if medium is None or entry.medium == medium]
    chosen = {split: [entry for entry in entries if entry.split == split] for split in SPLITS}
    missing = [split for split in SPLITS if not chosen[split]]
    if missing and (medium is None or not phantoms):
        what = "no image" if medium is None else f"no {medium} image"
        raise ManifestInvalid(tuple(f"{what} is in split {split}; see docs/MANIFEST.md" for split in missing))
    needed = [entry for split in SPLITS for entry in chosen[split]]
    keep = None if _needed_bytes(needed, progress) <= _memory_bytes() / 2 else cache
    loaded = {split: _load(found, keep, progress, f"reading {split}") for split, found in chosen.items()}
    return LoadedSplits(
        train=loaded["train"], val=loaded["val"], note=_note(manifest.name, loaded["train"], loaded["val"])
    )


def _needed_bytes(entries: Sequence[ManifestImage], progress: Progress[ManifestImage]) -> int:
    """What the pixels of all images take in memory, by their headers; every image that cannot be used is named."""
    total, problems = 0, []
    for entry in progress(entries, len(entries), "checking"):
        try:
            rows, columns = inspect_image(entry).shape
            total += rows * columns * BYTES_A_PIXEL
        except UnusableImage as error:
            problems.append(str(error))
    if problems:
        raise ManifestInvalid(tuple(problems))
    return total


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _load(
    entries: Sequence[ManifestImage], cache: Path | None, progress: Progress[ManifestImage], doing: str
) -> tuple[TrainingImage, ...]:
    images, problems = [], []
    for entry in progress(entries, len(entries), doing):
        try:
            image = load_image(entry)
        except UnusableImage as error:
            problems.append(str(error))
            continue
        images.append(image if cache is None else _kept(image, cache))
    if problems:
        raise ManifestInvalid(tuple(problems))
    return tuple(images)


def _kept(image: TrainingImage, cache: Path) -> TrainingImage:
    """The same image, its pixels in a file that is read where it is looked at."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{image.name}.npy"
    np.save(path, image.pixels)
    return replace(image, pixels=np.load(path, mmap_mode="r"))


def _note(name: str, train: Sequence[TrainingImage], val: Sequence[TrainingImage]) -> str:
    parts = [f"{_counted(images)} for {use}" for images, use in ((train, "training"), (val, "validation"))]
    return f"{name}: {'; '.join(parts)}; calcifications simulated in images without any"


def _counted(images: Sequence[TrainingImage]) -> str:
    patients = len({image.patient for image in images})
    media = Counter(image.medium for image in images)
    lesions = sum(len(image.lesions) for image in images)
    of_media = ", ".join(f"{count} {medium}" for medium, count in sorted(media.items()))
    return f"{of_media} images of {patients} patients with {lesions} labelled lesions"
