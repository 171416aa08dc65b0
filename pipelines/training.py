"""From a manifest to what a run trains on: images are read here as analysis reads them; `models.training` learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from models.training.contract import Medium, Split, TrainingImage
from pipelines.datasets.images import load_image
from pipelines.datasets.manifest import ManifestImage, read_manifest
from pipelines.errors import ManifestInvalid

Item = TypeVar("Item")
Progress = Callable[[Iterable[Item], int, str], Iterable[Item]]
"""Passes items on and shows how far it is: given the items, how many they are, and what is being done."""

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


def load_splits(manifest: Path, *, medium: Medium | None, progress: Progress[ManifestImage]) -> LoadedSplits:
    """Read the images of the splits train and val.

    Parameters
    ----------
    manifest : pathlib.Path
        See docs/MANIFEST.md.
    medium : {"film", "digital"} or None
        Only these images.

    Raises
    ------
    ManifestInvalid
        It cannot be read, or a split has no image.
    UnusableImage
        An image cannot be read.
    """
    entries = [entry for entry in read_manifest(manifest) if medium is None or entry.medium == medium]
    chosen = {split: [entry for entry in entries if entry.split == split] for split in SPLITS}
    missing = [split for split in SPLITS if not chosen[split]]
    if missing:
        what = "no image" if medium is None else f"no {medium} image"
        raise ManifestInvalid(tuple(f"{what} is in split {split}; see docs/MANIFEST.md" for split in missing))
    loaded = {
        split: tuple(load_image(entry) for entry in progress(found, len(found), f"reading {split}"))
        for split, found in chosen.items()
    }
    return LoadedSplits(
        train=loaded["train"], val=loaded["val"], note=_note(manifest.name, loaded["train"], loaded["val"])
    )


def _note(name: str, train: Sequence[TrainingImage], val: Sequence[TrainingImage]) -> str:
    parts = [f"{_counted(images)} for {use}" for images, use in ((train, "training"), (val, "validation"))]
    return f"{name}: {'; '.join(parts)}; calcifications simulated in images without any"


def _counted(images: Sequence[TrainingImage]) -> str:
    patients = len({image.patient for image in images})
    media = Counter(image.medium for image in images)
    lesions = sum(len(image.lesions) for image in images)
    of_media = ", ".join(f"{count} {medium}" for medium, count in sorted(media.items()))
    return f"{of_media} images of {patients} patients with {lesions} labelled lesions"
