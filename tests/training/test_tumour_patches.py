"""Patches for subtypes from the manifest of tumours: the same pixels as from a table of patches, the same classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.errors import TrainingRefused
from models.regions.contract import LesionView
from models.regions.pathology import Pathology, outcomes
from models.sppnet_patches.patch import patch_of
from models.training.patches import TASKS, class_of
from models.training.sppnet_patches import views_of_patches
from pipelines.datasets.patches import load_patches, read_patches
from pipelines.datasets.tumour_patches import is_of_tumours, patches_of_tumours
from pipelines.datasets.tumours import load_tumours, read_tumours
from tests.datasets.builders import breast_pixels, write_png, write_rows
from tests.training.tumour_builders import tumour


def test_both_tables_give_the_same_patch_of_a_box(tmp_path: Path) -> None:
    pixels = breast_pixels()
    pixels[10:30, 30:50] = 255
    write_png(tmp_path / "a.png", pixels)
    box, cells = ("x0", "y0", "x1", "y1"), [30, 10, 50, 30, 0.1, "invasive", "negative"]
    told = ("spacing_mm", "pathology", "er")
    patches = write_rows(
        tmp_path / "patches.csv", ("image", "patient", "split", *box, *told), [["a.png", "p1", "train", *cells]]
    )
    tumours = write_rows(
        tmp_path / "tumours.csv",
        ("image", "patient", "split", *box, "spacing_mm", "pathotype", "er", "view"),
        [["a.png", "p1", "train", *cells, "CC"]],
    )
    assert is_of_tumours(tumours) and not is_of_tumours(patches)
    ((wanted,),) = load_patches(read_patches(patches))
    (found,) = patches_of_tumours(load_tumours(read_tumours(tumours), lambda items, count, doing: items))
    assert (found.side_px, found.pathology, found.er, found.patient, found.split) == (
        *(wanted.side_px, wanted.pathology, wanted.er, wanted.patient, wanted.split),
    )
    np.testing.assert_array_equal(found.pixels, wanted.pixels)


def test_every_mammogram_of_train_and_val_is_a_patch_as_analysis_cuts_it() -> None:
    some = [tumour(0, split="train"), tumour(1, split="val", views=("MLO",)), tumour(2, split="test")]
    some.append(tumour(3, split="train", views=("US",)))
    found = patches_of_tumours(some)
    assert [(one.patient, one.split, one.er) for one in found] == [
        ("p00", "train", "negative"),
        ("p00", "train", "negative"),
        ("p01", "val", "positive"),
    ]
    samples = views_of_patches(found, "er")
    for sample, of in zip(samples, (some[0].views["CC"], some[0].views["MLO"], some[1].views["MLO"]), strict=True):
        np.testing.assert_allclose(sample.pixels, patch_of(of), atol=1e-6)


@pytest.mark.parametrize("pathotype", ["dcis", "microinvasive", "invasive"])
def test_classes_are_those_of_the_pathology(pathotype: str) -> None:
    found = Pathology(pathotype=pathotype)  # type: ignore[arg-type]  # one of the three
    (patch,) = patches_of_tumours([replace(tumour(0, split="train", views=("CC",)), outcomes=outcomes(found))])
    assert patch.pathology == pathotype and patch.er is None
    for task in TASKS:
        name = {
            "pathology-microinvasive-as-dcis": "invasive",
            "pathology-microinvasive-as-invasive": "invasive_or_microinvasive",
        }.get(task)
        wanted = None if name is None else outcomes(found)[name] == "invasive"
        assert class_of(patch, task) is wanted


def test_what_cannot_be_cut_is_refused_with_what_to_do() -> None:
    with pytest.raises(TrainingRefused, match="2 tumours are in no split: mammonode manifest tumours"):
        patches_of_tumours([tumour(0), tumour(1), tumour(2, split="val")])
    bare = tumour(0, split="train", views=("CC",))
    views = {
        "CC": LesionView(pixels=bare.views["CC"].pixels, mask=bare.views["CC"].mask, spacing_mm=None),
    }
    with pytest.raises(TrainingRefused, match="without spacing_mm"):
        patches_of_tumours([replace(bare, views=views)])


def test_a_table_that_cannot_be_read_is_none_of_tumours(tmp_path: Path) -> None:
    assert not is_of_tumours(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert not is_of_tumours(tmp_path / "bytes.csv")
