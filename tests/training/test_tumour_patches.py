"""Patches for subtypes from the manifest of tumours: the same pixels as from a table of patches, the same classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.errors import TrainingRefused
from models.regions.contract import LesionView, View
from models.regions.pathology import Pathology, outcomes
from models.sppnet_patches.patch import patch_of
from models.training.contract import Split
from models.training.patches import TASKS, class_of
from models.training.sppnet_patches import views_of_patches
from pipelines.datasets.patches import load_patches, read_patches
from pipelines.datasets.tumour_manifest import TumourEntry, ViewEntry
from pipelines.datasets.tumour_patches import SURROUND_MM, entries_for_patches, is_of_tumours, patches_of_tumours
from pipelines.datasets.tumour_rows import Mark
from pipelines.datasets.tumours import load_tumours, read_tumours
from tests.datasets.builders import write_png, write_rows
from tests.training.tumour_builders import tumour


def test_both_tables_give_the_same_patch_of_a_box(tmp_path: Path) -> None:
    """The whole of it, also far beyond the lesion: a small one is shown with as much around it as a large one."""
    pixels = np.random.default_rng(1).integers(20, 250, size=(1800, 1500), dtype=np.uint8)
    write_png(tmp_path / "a.png", pixels)
    box, cells = ("x0", "y0", "x1", "y1"), [700, 900, 820, 1020, 0.05, "invasive", "negative"]
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
    entries = entries_for_patches(read_tumours(tumours), "er")
    (found,) = patches_of_tumours(load_tumours(entries, lambda items, count, doing: items, surround_mm=SURROUND_MM))
    assert (found.side_px, found.pathology, found.er, found.patient, found.split) == (
        *(wanted.side_px, wanted.pathology, wanted.er, wanted.patient, wanted.split),
    )
    np.testing.assert_array_equal(found.pixels, wanted.pixels)


def test_a_patch_is_cut_as_analysis_cuts_it() -> None:
    some = [tumour(0, split="train"), tumour(1, split="val", views=("MLO",))]
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


def entry(number: int, *views: View, split: Split | None = "train", er: str | None = "positive") -> TumourEntry:
    name = f"p{number}"
    of_views = {view: ViewEntry(path=Path(f"/none/{name}-{view}.png"), mark=Mark()) for view in views}
    return TumourEntry(
        patient=name,
        lesion="1",
        laterality=None,
        split=split,
        fold=None,
        views=of_views,
        pathology=Pathology(er=er),  # type: ignore[arg-type]  # one of the two
        clinical={},
    )


def test_only_what_is_learned_from_is_read() -> None:
    """Mammograms of train and val with a known class: nothing else of the manifest can refuse the run."""
    given = [entry(0, "CC", "US"), entry(1, "MLO", split="val"), entry(2, "CC", split="test"), entry(3, "US")]
    given += [entry(4, "CC", er=None), entry(5, "CC", er=None, split=None)]
    kept = entries_for_patches(given, "er")
    assert [(one.patient, *one.views) for one in kept] == [("p0", "CC"), ("p1", "MLO")]
    with pytest.raises(TrainingRefused, match="1 tumours are in no split: mammonode manifest tumours"):
        entries_for_patches([*given, entry(6, "CC", split=None)], "er")


def test_views_without_a_size_are_refused_by_their_number() -> None:
    some = tumour(0, split="train")
    bare = LesionView(pixels=some.views["CC"].pixels, mask=some.views["CC"].mask, spacing_mm=None)
    with pytest.raises(TrainingRefused, match="1 of 2 views have no spacing_mm"):
        patches_of_tumours([replace(some, views={**some.views, "CC": bare})])


@pytest.mark.parametrize(
    ("columns", "of_tumours"),
    [
        (("image", "patient", "split", "x0", "y0", "x1", "y1", "er"), False),
        (("image", "patient", "split", "pathology", "view"), False),
        (("image", "patient", "split", "mask"), True),
        (("image", "patient", "er", "clinical:menopause"), True),
    ],
)
def test_a_column_tells_which_table_it_is(tmp_path: Path, columns: tuple[str, ...], of_tumours: bool) -> None:
    path = write_rows(tmp_path / "table.csv", columns, [["x"] * len(columns)])
    assert is_of_tumours(path) is of_tumours


def test_a_table_that_cannot_be_read_is_none_of_tumours(tmp_path: Path) -> None:
    assert not is_of_tumours(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert not is_of_tumours(tmp_path / "bytes.csv")
