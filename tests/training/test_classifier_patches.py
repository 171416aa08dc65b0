"""Patches: read from their manifest, cut out with their surround, and drawn evenly from both classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import TrainingRefused
from models.sppnet_patches.patch import GREATEST_SIDE_PX, LEAST_SIDE_PX, side_of
from models.training.contract import TrainingImage
from models.training.patches import (
    REGION_PX,
    TASKS,
    Patch,
    PatchTask,
    Pathology,
    Receptor,
    class_of,
    make_patch,
)
from models.training.sppnet_patches import PatchSamples, views_of_patches
from pipelines.datasets.patches import COLUMNS, by_image, load_patches, note_of, read_patches
from pipelines.errors import ManifestInvalid, UnusableImage
from tests.datasets.builders import breast_pixels, write_png, write_rows
from tests.training.builders import tissue_image


def patch(pathology: Pathology | None = None, er: Receptor | None = None, *, box: int = 40, seed: int = 0) -> Patch:
    image = tissue_image(400, 400, seed=seed)
    return make_patch(image, (200, 200, 200 + box, 200 + box), split="train", pathology=pathology, er=er)


@pytest.mark.parametrize(
    ("task", "found", "expected"),
    [
        ("pathology-microinvasive-as-invasive", "dcis", False),
        ("pathology-microinvasive-as-invasive", "microinvasive", True),
        ("pathology-microinvasive-as-invasive", "invasive", True),
        ("pathology-microinvasive-as-dcis", "dcis", False),
        ("pathology-microinvasive-as-dcis", "microinvasive", False),
        ("pathology-microinvasive-as-dcis", "invasive", True),
    ],
)
def test_microinvasion_counts_with_the_class_that_the_task_names(
    task: PatchTask, found: Pathology, expected: bool
) -> None:
    assert class_of(patch(found), task) is expected
    assert class_of(patch(None, "positive"), task) is None


def test_receptor_status_is_a_task_of_its_own() -> None:
    assert [class_of(patch("dcis", er), "er") for er in ("positive", "negative", None)] == [True, False, None]


def test_a_patch_is_the_box_and_its_margin_and_no_smaller_than_224_pixels() -> None:
    assert side_of((0, 0, 100, 30), 0.1) == LEAST_SIDE_PX == 224
    assert side_of((0, 0, 30, 300), 0.1) == 300 + 64
    assert side_of((0, 0, 300, 30), 0.2) == 600 + 64 - 24 == GREATEST_SIDE_PX
    assert side_of((0, 0, 300, 30), 0.05) == 224


@pytest.mark.parametrize("spacing_mm", [0.05, 0.1, 0.2])
def test_the_lesion_lies_in_the_middle_of_its_patch_at_the_networks_spacing(spacing_mm: float) -> None:
    scale = 0.1 / spacing_mm
    image = tissue_image(round(500 * scale), round(500 * scale), spacing_mm=spacing_mm)
    x, y, side = round(300 * scale), round(120 * scale), round(20 * scale)
    image.pixels[y : y + side, x : x + side] = 1.0
    made = make_patch(image, (x, y, x + side, y + side), split="val", pathology=None, er=None)
    assert made.pixels.shape == (REGION_PX, REGION_PX)
    rows, columns = np.nonzero(made.pixels > 0.9)
    assert abs(rows.mean() + 0.5 - REGION_PX / 2) < 1.5 and abs(columns.mean() + 0.5 - REGION_PX / 2) < 1.5
    assert abs(np.ptp(rows) + 1 - 20) <= 2
    assert np.ptp(made.pixels[:10], axis=0).max() < 1e-5, "beyond its edge the image goes on as that"


def test_steps_are_made_by_number_and_hold_both_classes_at_the_size_of_the_largest() -> None:
    patches = [patch("invasive", seed=1), patch("dcis", box=250, seed=2)]
    samples = PatchSamples(patches, "pathology-microinvasive-as-dcis", seed=1, batch=4)
    one, again, other = samples.draw(5), samples.draw(5), samples.draw(6)
    assert [sample.positive for sample in one.samples] in ([False, True] * 2, [True, False] * 2)
    assert {sample.pixels.shape for sample in one.samples} == {(320, 320)}  # 250 + 64 is 314
    assert not one.alone
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one.samples, again.samples, strict=True))
    assert not np.array_equal(one.samples[0].pixels, other.samples[0].pixels)


def test_the_box_stays_in_its_patch_however_it_is_shifted_and_scaled() -> None:
    made = []
    for pathology, brightness in (("invasive", 1.0), ("dcis", 0.1)):
        image = tissue_image(800, 800)
        image.pixels[280:520, 280:520] = brightness
        made.append(make_patch(image, (280, 280, 520, 520), split="train", pathology=pathology, er=None))
    samples = PatchSamples(made, "pathology-microinvasive-as-dcis", seed=1, batch=2)
    for step in range(20):
        for sample in samples.draw(step).samples:
            edge = np.concatenate([sample.pixels[0], sample.pixels[-1], sample.pixels[:, 0], sample.pixels[:, -1]])
            middle = sample.pixels[140:160, 140:160]
            if sample.positive:
                assert middle.min() > edge.max()
            else:
                assert middle.max() < edge.min()


def test_a_class_without_a_patch_is_refused_by_its_name() -> None:
    with pytest.raises(TrainingRefused, match="for training is pure DCIS"):
        PatchSamples([patch("invasive")], "pathology-microinvasive-as-invasive", seed=1, batch=2)
    with pytest.raises(TrainingRefused, match="for validation is ER-negative, and none is ER-positive"):
        views_of_patches([patch("invasive")], "er")


def test_validation_sees_each_patch_once_at_its_own_size_and_leaves_out_what_is_not_known() -> None:
    views = views_of_patches([patch("dcis", box=250), patch(None, "positive"), patch("invasive")], TASK)
    assert [(view.positive, view.pixels.shape) for view in views] == [(False, (314, 314)), (True, (224, 224))]


TASK: PatchTask = "pathology-microinvasive-as-invasive"


def test_the_models_of_the_tasks_have_names_of_their_own() -> None:
    assert len({classes.model for classes in TASKS.values()} | {"SPPNet"}) == 4


def row(image: str = "a.png", patient: str = "p1", split: str = "train", **cells: object) -> list[object]:
    given = {"image": image, "patient": patient, "split": split, "x0": 30, "y0": 10, "x1": 50, "y1": 30}
    given |= {"spacing_mm": 0.1, "medium": "film", "pathology": "dcis", "er": "positive", **cells}
    return [given[column] for column in COLUMNS]


def manifest(folder: Path, *rows: list[object]) -> Path:
    for name in ("a.png", "b.png"):
        write_png(folder / name, breast_pixels())
    return write_rows(folder / "patches.csv", COLUMNS, rows)


def test_a_manifest_becomes_patches_with_their_truth(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        row(),
        row("b.png", "p2", "val", pathology="Microinvasive", er=""),
        row(x0=34, y0=60, x1=44, y1=70, pathology="", er="negative"),
    )
    rows = read_patches(path)
    assert [len(of_image) for of_image in by_image(rows)] == [2, 1]
    loaded = [one for of_image in load_patches(rows) for one in of_image]
    assert [(one.patient, one.split, one.pathology, one.er) for one in loaded] == [
        ("p1", "train", "dcis", "positive"),
        ("p1", "train", None, "negative"),
        ("p2", "val", "microinvasive", None),
    ]
    assert {one.side_px for one in loaded} == {224}
    note = note_of(path, loaded)
    assert note == (
        "patches.csv: train: 2 patches of 1 patients (1 dcis, 1 pathology unknown, 1 ER negative, 1 ER positive); "
        "val: 1 patches of 1 patients (1 microinvasive, 1 ER unknown)"
    )


def test_boxes_are_in_pixels_of_the_stored_image(tmp_path: Path) -> None:
    pixels = breast_pixels(left=24)
    pixels[10:30, 30:50] = 255
    write_png(tmp_path / "a.png", pixels)
    path = write_rows(tmp_path / "patches.csv", COLUMNS, [row()])
    ((made,),) = load_patches(read_patches(path))
    rows, columns = np.nonzero(made.pixels > 0.9)
    assert abs(rows.mean() + 0.5 - REGION_PX / 2) <= 1 and abs(columns.mean() + 0.5 - REGION_PX / 2) <= 1


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([row(), row("b.png", split="val")], "line 2: one patient in two splits (train in line 2, val in line 3)"),
        ([row(), row()], "line 3: this box is already in line 2"),
        ([row(), row(x0=31, medium="digital")], "line 3: medium differs from line 2"),
        ([row(split="")], "line 2: split is empty"),
        ([row(x0="", y0="", x1="", y1="")], "line 2: no box"),
        ([row(x0="")], "line 2: an incomplete box"),
        ([row(pathology="benign")], "line 2: pathology: must be invasive, microinvasive, dcis, or empty"),
        ([row(er="yes")], "line 2: er: must be positive, negative, or empty"),
        ([row("none.png")], "line 2: image: no such file"),
        ([row(spacing_mm="")], "line 2: spacing_mm is empty"),
        ([], "the file has no rows"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, rows: list[list[object]], problem: str) -> None:
    with pytest.raises(ManifestInvalid) as refused:
        read_patches(manifest(tmp_path, *rows))
    assert problem in str(refused.value)


def test_messages_never_repeat_a_cell(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid) as refused:
        read_patches(manifest(tmp_path, row("Jane Roe", "Jane Roe", "Jane Roe", pathology="Jane Roe", er="Jane Roe")))
    assert "Jane" not in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (("image", "patient"), "there is no column split"),
        ((*COLUMNS, "label"), "the columns are image, patient"),
        ((*COLUMNS, "image"), "column image is there twice"),
    ],
)
def test_missing_unknown_and_doubled_columns_are_refused(
    tmp_path: Path, columns: tuple[str, ...], problem: str
) -> None:
    path = write_rows(tmp_path / "patches.csv", columns, [["x"] * len(columns)])
    with pytest.raises(ManifestInvalid, match=f"line 1: .*{problem}"):
        read_patches(path)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="cannot be read"):
        read_patches(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestInvalid, match="UTF-8"):
        read_patches(tmp_path / "bytes.csv")


def test_a_box_outside_its_image_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = read_patches(manifest(tmp_path, row(x1=500)))
    with pytest.raises(UnusableImage, match=r"^line 2: a box reaches out"):
        list(load_patches(rows))


def test_an_image_is_read_once_for_all_its_lesions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.datasets import patches as module

    read: list[object] = []
    load = module.load_image

    def counted(entry: object) -> TrainingImage:
        read.append(entry)
        return load(entry)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(module, "load_image", counted)
    list(load_patches(read_patches(manifest(tmp_path, row(), row(x0=31), row("b.png", "p2")))))
    assert len(read) == 2
