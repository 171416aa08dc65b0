"""From a manifest to images in memory, or in files where memory is short; everything that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from pipelines import training
from pipelines.datasets.manifest import ManifestImage, write_manifest
from pipelines.errors import ManifestInvalid
from pipelines.training import LoadedSplits, load_splits
from tests.datasets.builders import breast_pixels, entry, lesion, write_png


def plain(items: Iterable[ManifestImage], _count: int, _doing: str) -> Iterable[ManifestImage]:
    return items


def manifest_of(folder: Path, *media: str) -> Path:
    """For each medium an image to train on, then one to validate on."""
    entries = []
    for number, split_of in enumerate(media):
        medium, split = split_of.split()
        path = write_png(folder / f"{number}.png", breast_pixels(left=20 + number))
        entries.append(entry(path, patient=f"p{number}", split=split, medium=medium, plantable=True))
    write_manifest(folder / "manifest.csv", entries)
    return folder / "manifest.csv"


def loaded(manifest: Path, **options: object) -> LoadedSplits:
    values = {"medium": None, "cache": manifest.parent / "images", "phantoms": False, **options}
    return load_splits(manifest, progress=plain, **values)  # type: ignore[arg-type]  # as given by the tests


def test_images_are_read_by_split_and_counted(tmp_path: Path) -> None:
    splits = loaded(manifest_of(tmp_path, "film train", "digital train", "film val"))
    assert [image.medium for image in splits.train] == ["film", "digital"] and len(splits.val) == 1
    assert "1 digital, 1 film images of 2 patients with 0 labelled lesions for training" in splits.note
    assert not (tmp_path / "images").exists()


def test_where_memory_is_short_the_pixels_are_read_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = manifest_of(tmp_path, "film train", "film val")
    in_memory = loaded(manifest)
    monkeypatch.setattr(training, "_memory_bytes", lambda: 2 * 2 * 96 * 64 * 4 - 1)
    in_files = loaded(manifest)
    assert isinstance(in_files.train[0].pixels, np.memmap)
    assert len(list((tmp_path / "images").glob("*.npy"))) == 2
    for one, other in zip((*in_memory.train, *in_memory.val), (*in_files.train, *in_files.val), strict=True):
        assert np.array_equal(one.pixels, other.pixels) and one.name == other.name


def test_every_image_that_cannot_be_used_is_told_before_any_work(tmp_path: Path) -> None:
    paths = [write_png(tmp_path / f"{number}.png") for number in range(3)]
    beyond = (lesion(60, 10, 90, 20),)
    entries = [
        entry(paths[0], patient="a", split="train", lesions=beyond),
        entry(paths[1], patient="b", split="train"),
        entry(paths[2], patient="c", split="val", lesions=beyond),
    ]
    write_manifest(tmp_path / "manifest.csv", entries)
    with pytest.raises(ManifestInvalid, match="2 problems") as refused:
        loaded(tmp_path / "manifest.csv")
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["line 2", "line 4"]


def test_an_image_whose_pixels_cannot_be_used_is_told_with_the_others(tmp_path: Path) -> None:
    """A box in the background shows only when the pixels are read."""
    paths = [write_png(tmp_path / f"{number}.png") for number in range(3)]
    in_air = (lesion(2, 10, 8, 20),)
    entries = [
        entry(path, patient=path.stem, split=s, lesions=in_air)
        for path, s in zip(paths, ("train", "train", "val"), strict=True)
    ]
    write_manifest(tmp_path / "manifest.csv", entries)
    with pytest.raises(ManifestInvalid, match="2 problems"):
        loaded(tmp_path / "manifest.csv")


def test_a_medium_without_an_image_is_an_error_unless_there_are_phantoms(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, "film train", "digital train", "film val")
    with pytest.raises(ManifestInvalid, match="no digital image is in split val"):
        loaded(manifest, medium="digital")
    splits = loaded(manifest, medium="digital", phantoms=True)
    assert len(splits.train) == 1 and splits.val == ()
