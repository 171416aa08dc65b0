"""The manifest of tumours: what is read back is what was written, every error is told with its line, nothing leaks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from models.regions.contract import SURROUND_PX, SURROUND_SHARE
from models.regions.pathology import Pathology
from pipelines.datasets.simulated_tumours import Cohort, simulate
from pipelines.datasets.tumour_manifest import TumourEntry, ViewEntry, read_tumours, write_tumours
from pipelines.datasets.tumour_rows import COLUMNS, Mark
from pipelines.datasets.tumour_shares import with_folds, with_splits
from pipelines.datasets.tumours import load_tumours
from pipelines.errors import ManifestInvalid, UnusableImage
from pipelines.region_masks import mask_of
from tests.commands import Run, runner
from tests.datasets.builders import write_png, write_rows
from tests.factories import small_mammogram
from tests.pipelines.ultrasound import screens

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "MANIFEST_TUMOURS.md"
HEADER = (*COLUMNS, "clinical:menopause")
SECRET = "MUSTERMANN"


def quietly(items: Iterable[Any], _count: int, _doing: str) -> Iterable[Any]:
    return items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        write_png(tmp_path / f"{number}.png", picture(number))
    write_png(tmp_path / "mask.png", outlined(slice(20, 30), slice(30, 45)))
    write_png(tmp_path / "mask2.png", outlined(slice(21, 31), slice(30, 44)))
    return tmp_path


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(1, 255, (96, 64)).astype(np.uint16)


def outlined(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((96, 64), dtype=np.uint16)
    mask[rows, columns] = 255
    return mask


def row(image: str = "0.png", patient: str = "p1", view: str = "CC", **cells: object) -> tuple[object, ...]:
    given = {"image": image, "patient": patient, "view": view, "mask": "mask.png", **cells}
    return tuple(given.get(name, "") for name in HEADER)


def read(folder: Path, *rows: tuple[object, ...]) -> tuple[TumourEntry, ...]:
    return read_tumours(write_rows(folder / "tumours.csv", HEADER, rows))


def problems(folder: Path, *rows: tuple[object, ...]) -> str:
    with pytest.raises(ManifestInvalid) as told:
        read(folder, *rows)
    return "\n".join(told.value.problems)


def test_what_is_written_is_read_back(folder: Path) -> None:
    entries = (
        TumourEntry(
            patient="p1",
            lesion="2",
            laterality="L",
            split="train",
            fold=3,
            views={
                "MLO": ViewEntry(path=folder / "0.png", mark=Mark(box_px=(1.0, 2.5, 30.0, 40.0)), spacing_mm=0.07),
                "CC": ViewEntry(
                    path=folder / "1.png", mark=Mark(mask=folder / "mask.png"), second_mask=folder / "mask2.png"
                ),
            },
            pathology=Pathology(er="positive", her2_ihc="2+", her2_fish="negative", ki67=12.5, grade=2),
            clinical={"age": 61.0, "menopause": "post", "size": 2.5},
        ),
        TumourEntry(
            patient="p1",
            lesion="1",
            laterality=None,
            split="train",
            fold=3,
            views={"US": ViewEntry(path=folder / "2.png", mark=Mark(mask=folder / "mask.png"))},
            pathology=Pathology(subtype="luminal_a"),
        ),
    )
    write_tumours(folder / "tumours.csv", entries)
    again = read_tumours(folder / "tumours.csv")
    assert again == entries
    assert str(folder) not in (folder / "tumours.csv").read_text()
    assert again[0].outcomes == {
        "er": "positive",
        "her2": "negative",
        "her2_level": "low",
        "luminal": "luminal",
        "triple_negative": "other",
    }


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"image": SECRET}, "line 2: image: no such file"),
        ({"mask": ""}, "line 2: nothing says where the lesion is"),
        ({"x0": 1, "y0": 1, "x1": 5, "y1": 5}, "line 2: box and mask: give one of them"),
        ({"mask": "", "sr": "mask.png"}, "line 2: sr: marks a region of a DICOM image"),
        ({"view": ""}, "line 2: view is empty"),
        ({"view": SECRET}, "line 2: view: must be CC, MLO, US"),
        ({"er": SECRET}, "line 2: er: must be negative, positive"),
        ({"her2_ihc": "4+"}, "line 2: her2_ihc: must be 0, 1+, 2+, 3+"),
        ({"ki67": 120}, "line 2: ki67: must be a percentage"),
        ({"grade": 4}, "line 2: grade: must be a whole number from 1 to 3"),
        ({"subtype": "luminal_a", "er": "negative", "pr": "negative"}, "line 2: subtype is not what er"),
        ({"spacing_mm": 70}, "line 2: spacing_mm: must be above 0 and at most 1"),
        ({"age": SECRET}, "line 2: age: must be a finite number"),
    ],
)
def test_a_wrong_cell_is_told_by_its_line_and_never_repeated(folder: Path, cells: dict[str, Any], told: str) -> None:
    found = problems(folder, row(**cells), row("1.png", "", "MLO"))
    assert told in found
    assert "line 3: patient is empty" in found
    assert SECRET not in found


def test_rows_of_a_lesion_must_agree_and_a_view_is_there_once(folder: Path) -> None:
    found = problems(folder, row(er="positive"), row("1.png", view="MLO"), row("2.png", er="positive"))
    assert "line 3: er differs from line 2, which is of the same lesion" in found
    assert "line 4: this view is already in line 2" in found


def test_lesions_whose_names_would_be_the_same_are_told(folder: Path) -> None:
    rows = row(patient="p/1", lesion="2"), row("1.png", patient="p", lesion="1/2")
    assert problems(folder, *rows).startswith("line 3: patient and lesion, joined by a slash, are those of line 2")


def test_one_patient_in_two_splits_or_folds_is_leakage(folder: Path) -> None:
    rows = row(split="train", fold=1), row("1.png", lesion="2", split="test", fold=2)
    found = problems(folder, *rows)
    assert "line 2: one patient in two splits (train in line 2, test in line 3)" in found
    assert "line 2: one patient in two folds (1 in line 2, 2 in line 3)" in found


def test_the_same_bytes_under_another_name_and_patient_in_another_split_are_leakage(folder: Path) -> None:
    write_png(folder / "copy.png", picture(0))
    rows = row(split="train"), row("1.png", "p2", split="test"), row("copy.png", "p3", split="test")
    told = "line 2: one image in two splits (train in line 2, test in line 4): all lesions of the image go in one"
    assert problems(folder, *rows) == told
    assert len(read(folder, row(split="train"), row("copy.png", "p3", split="train"))) == 2


def test_parquet_says_what_the_csv_file_would(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    cells = [row(er="positive", ki67=12.5, age=61, fold=2), row("1.png", "p2", her2_ihc=0, age=None)]
    table = pandas.DataFrame([dict(zip(HEADER, one, strict=True)) for one in cells])
    table["fold"] = [2.0, float("nan")]  # as pandas keeps whole numbers with a gap
    table["age"] = [61.0, None]
    table["ki67"] = [12.5, None]
    table["her2_ihc"] = ["", "0"]
    table.to_parquet(folder / "tumours.parquet")
    csv = row(er="positive", ki67=12.5, age=61, fold=2), row("1.png", "p2", her2_ihc=0)
    assert read_tumours(folder / "tumours.parquet") == read(folder, *csv)
    (folder / "tumours.parquet").write_text("none", encoding="utf-8")
    with pytest.raises(ManifestInvalid, match="no Parquet"):
        read_tumours(folder / "tumours.parquet")


def test_a_lesion_is_cut_out_with_its_mask_at_its_place_and_an_image_is_read_once(folder: Path) -> None:
    boxed = {"mask": "", "x0": 2.5, "y0": 3, "x1": 10, "y1": 96.5}
    first_view = row(spacing_mm=0.1, mask2="mask2.png", er="positive")
    rows = first_view, row(lesion="b", **boxed), row("1.png", view="MLO", er="positive")
    seen: list[Path] = []

    def counting(items: Iterable[Path], count: int, _doing: str) -> Iterable[Path]:
        seen.extend(items)
        assert count == len(seen)
        return seen

    first, second = load_tumours(read(folder, *rows), counting)
    assert [path.name for path in seen] == ["0.png", "1.png"]
    assert (first.name, first.outcomes["er"], tuple(first.views)) == ("p1/1", "positive", ("CC", "MLO"))
    view = first.views["CC"]
    assert view.box_px == (30.0, 20.0, 45.0, 30.0) and view.spacing_mm == (0.1, 0.1)
    np.testing.assert_allclose(view.pixels, picture(0) / 255.0, atol=1e-6)
    assert first.second_masks["CC"].shape == view.mask.shape and first.second_masks["CC"].sum() == 140
    assert "MLO" not in first.second_masks and first.views["MLO"].spacing_mm is None
    assert second.views["CC"].box_px == (2.0, 3.0, 10.0, 96.0)


def test_a_large_image_is_cut_and_both_masks_alike(tmp_path: Path) -> None:
    mask, other = np.zeros((2, 900, 800), dtype=np.uint16)
    mask[500:520, 400:440], other[505:520, 400:440] = 255, 255
    for name, pixels in (("image", mask + 1), ("mask", mask), ("mask2", other)):
        write_png(tmp_path / f"{name}.png", np.minimum(pixels, 255))
    (tumour,) = load_tumours(read(tmp_path, row("image.png", mask2="mask2.png")), quietly)
    view, second = tumour.views["CC"], tumour.second_masks["CC"]
    around = SURROUND_PX + round(SURROUND_SHARE * 40)
    assert view.pixels.shape == (20 + 2 * around, 40 + 2 * around)
    assert np.array_equal(view.pixels > 0.5, view.mask)
    assert (second & ~view.mask).sum() == 0 and second.sum() == 600


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"mask": "small.png"}, "line 2: a mask is not of the size of its image"),
        ({"mask": "", "x0": 1, "y0": 1, "x1": 70, "y1": 5}, "line 2: a box reaches out of the image"),
        ({"mask": "black.png"}, "line 2: a mask without any pixel"),
    ],
)
def test_a_mark_that_does_not_fit_its_image_is_told(folder: Path, cells: dict[str, Any], told: str) -> None:
    write_png(folder / "small.png", picture(0)[:50])
    write_png(folder / "black.png", np.zeros((96, 64), dtype=np.uint16))
    with pytest.raises(UnusableImage, match=told):
        load_tumours(read(folder, row(**cells)), quietly)


def test_dicom_says_view_side_and_spacing_and_an_object_says_where_the_lesion_is(tmp_path: Path) -> None:
    image = small_mammogram(tmp_path / "a.dcm", laterality="R", view="MLO")
    presentation_state(tmp_path / "marks.dcm", image, {"index": (10.0, 12.0, 30.0, 20.0), "b": (1.0, 1.0, 5.0, 5.0)})
    cells = {"view": "", "mask": "", "sr": "marks.dcm", "lesion": "Index"}
    (entry,) = read(tmp_path, row("a.dcm", **cells))
    assert (entry.laterality, tuple(entry.views)) == ("R", ("MLO",))
    (tumour,) = load_tumours([entry], quietly)
    view = tumour.views["MLO"]
    assert view.box_px == (10.0, 12.0, 30.0, 20.0) and view.mask.sum() == 20 * 8
    assert view.spacing_mm == pytest.approx([float(value) for value in image.ImagerPixelSpacing])
    with pytest.raises(UnusableImage, match="line 2: sr: several regions of the image"):
        load_tumours(read(tmp_path, row("a.dcm", **{**cells, "lesion": ""})), quietly)
    small_mammogram(tmp_path / "b.dcm", laterality="R", view="CC", number=2)
    with pytest.raises(UnusableImage, match="line 2: sr: no region of this image"):
        load_tumours(read(tmp_path, row("b.dcm", **cells)), quietly)


def test_an_ultrasound_object_is_read_as_the_node_shows_it_in_the_stored_frame(tmp_path: Path) -> None:
    shown = screens.screen()
    rows, columns = shown.shape[:2]
    box = (columns // 4, rows // 4, 3 * columns // 4, 3 * rows // 4)
    screens.write(tmp_path / "a.dcm", shown, regions=[screens.region(box, delta_cm=(0.008, 0.008))])
    x0, y0 = box[0] + 20, box[1] + 30
    cells = {"view": "", "mask": "", "x0": x0, "y0": y0, "x1": x0 + 25, "y1": y0 + 20}
    (entry,) = read(tmp_path, row("a.dcm", **cells))
    (tumour,) = load_tumours([entry], quietly)
    view = tumour.views["US"]
    assert view.mask.sum() == 25 * 20
    assert view.spacing_mm == pytest.approx((0.08, 0.08))
    around = SURROUND_PX + round(SURROUND_SHARE * 25)
    top, left = max(y0 - around, 0), max(x0 - around, 0)
    stored = (shown if shown.ndim == 2 else shown[..., 0])[top:, left:][: view.mask.shape[0], : view.mask.shape[1]]
    assert np.abs(view.pixels[view.mask] - stored[view.mask] / 255.0).mean() < 0.02
    assert not view.pixels[0].any()  # above the picture, which begins further down, it is black
    screens.write(tmp_path / "b.dcm", np.stack([shown, shown]), multi_frame=True)
    with pytest.raises(UnusableImage, match="line 2: several frames: export"):
        load_tumours(read(tmp_path, row("b.dcm", **cells)), quietly)


def presentation_state(path: Path, image: Dataset, boxes: dict[str, tuple[float, float, float, float]]) -> None:
    """Closed polylines, each with a text beside it."""
    state = Dataset()
    state.SOPClassUID, state.SOPInstanceUID = GrayscaleSoftcopyPresentationStateStorage, "2.25.77"
    state.Modality, state.GraphicAnnotationSequence = "PR", []
    for label, (x0, y0, x1, y1) in boxes.items():
        reference, graphic, text, annotation = Dataset(), Dataset(), Dataset(), Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        graphic.GraphicAnnotationUnits, graphic.GraphicDimensions, graphic.GraphicType = "PIXEL", 2, "POLYLINE"
        graphic.GraphicData = [x0, y0, x1, y0, x1, y1, x0, y1, x0, y0]
        graphic.NumberOfGraphicPoints, graphic.GraphicFilled = 5, "N"
        text.UnformattedTextValue = label
        annotation.ReferencedImageSequence, annotation.GraphicObjectSequence = [reference], [graphic]
        annotation.TextObjectSequence = [text]
        state.GraphicAnnotationSequence.append(annotation)
    state.save_as(path, implicit_vr=False, little_endian=True)


def test_an_outline_holds_the_pixels_whose_centres_it_holds() -> None:
    box = ((1.0, 2.0), (4.0, 2.0), (4.0, 5.0), (1.0, 5.0))
    expected = np.zeros((7, 6), dtype=bool)
    expected[2:5, 1:4] = True
    assert np.array_equal(mask_of([box], (7, 6)), expected)
    assert np.array_equal(mask_of([box[::-1], ((3.2, 3.2), (3.4, 3.2), (3.3, 3.4))], (7, 6)), expected)
    beyond = mask_of([((-5.0, -5.0), (50.0, -5.0), (50.0, 2.4), (-5.0, 2.4))], (7, 6))
    assert beyond[:2].all() and not beyond[2:].any()
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    disc = mask_of([list(zip(50 + 30 * np.cos(angles), 50 + 30 * np.sin(angles), strict=True))], (100, 100))
    rows, columns = np.mgrid[:100, :100] + 0.5
    sure = np.abs(np.hypot(rows - 50, columns - 50) - 30) > 0.1
    assert np.array_equal(disc[sure], (np.hypot(rows - 50, columns - 50) < 30)[sure])


def cohort(patients: int) -> tuple[TumourEntry, ...]:
    """Of two lesions each; every third patient is positive."""
    return tuple(
        TumourEntry(
            patient=f"p{number:02}",
            lesion=lesion,
            laterality=None,
            split=None,
            fold=None,
            views={},
            pathology=Pathology(er="negative" if number % 3 else "positive"),
        )
        for number in range(patients)
        for lesion in ("1", "2")
    )


def test_splits_and_folds_are_by_patient_and_have_their_share_of_each_class() -> None:
    split = with_splits(cohort(30), {"train": 0.6, "val": 0.1, "test": 0.3}, by="er", seed=1)
    folded = with_folds(cohort(30)[::-1], 5, by="er", seed=1)
    for name, share in (("train", 12), ("val", 2), ("test", 6)):
        assert sum(one.split == name and one.outcomes["er"] == "positive" for one in split) == share
    for fold in range(1, 6):
        assert sum(one.fold == fold and one.outcomes["er"] == "positive" for one in folded) == 4
    assert len({(one.patient, one.split) for one in split}) == len({(one.patient, one.fold) for one in folded}) == 30
    assert with_folds(cohort(30), 5, by="er", seed=1) == folded[::-1]
    assert with_folds(cohort(30), 5, by="er", seed=2) != folded[::-1]


def test_who_has_a_fold_keeps_it_others_fill_up_where_their_class_lacks_and_the_split_test_has_none() -> None:
    *known, tested = cohort(12)
    given = [replace(one, fold=1 if number < 12 else None) for number, one in enumerate(known)]
    folded = with_folds([*given, replace(tested, patient="p99", split="test")], 2, by="er", seed=1)
    assert [one.fold for one in folded] == [1] * 12 + [2] * 11 + [None]
    with pytest.raises(ManifestInvalid, match="names fold 4"):
        with_folds([replace(given[0], fold=4)], 2, by="er", seed=1)
    assert {one.fold for one in with_folds(cohort(12), None, by="er", seed=1)} == {1, 2, 3, 4, 5}


def test_a_shuffled_cohort_has_the_same_pictures_and_other_classes(tmp_path: Path) -> None:
    for name, shuffled in (("a", False), ("b", True)):
        simulate(Cohort(patients=10, distances={"US": 2.0}, seed=7, shuffled=shuffled), tmp_path / name, quietly)
    pictures = {name: {p.name: p.read_bytes() for p in (tmp_path / name / "images").iterdir()} for name in "ab"}
    assert pictures["a"] == pictures["b"] and len(pictures["a"]) == 30
    truths = {name: json.loads((tmp_path / name / "truth.json").read_text()) for name in "ab"}
    assert truths["b"]["best_auc"] == {"US": 0.5} and truths["a"]["best_auc"]["US"] > 0.9
    dealt = {name: [one["class"] for one in truths[name]["patients"].values()] for name in "ab"}
    assert dealt["a"] != dealt["b"] and sorted(dealt["a"]) == sorted(dealt["b"])
    assert [entry.outcomes["er"] for entry in read_tumours(tmp_path / "b" / "manifest.csv")] == dealt["b"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, capsys, "manifest")


def test_a_simulated_cohort_is_written_checked_and_folded_by_commands(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    made = run("simulated-tumours", "--out", out, "--patients", 10, "--cc", 1.8, "--outcome", "subtype")
    assert made.status == 0, made.err
    assert re.search(r"best possible AUC, CC: luminal_a 0\.\d{4}, luminal_b", made.out)
    assert run("simulated-tumours", "--out", out).status == 2  # never into what is there
    folded = run("tumours", out / "manifest.csv", "--folds", 2, "--by", "subtype", "--out", out / "folds.csv")
    assert folded.status == 0, folded.err
    assert ["subtype", "luminal_b", "1", "1"] in [line.split() for line in folded.out.splitlines()]
    assert (
        sorted(entry.fold or 0 for entry in read_tumours(out / "folds.csv")) == [0] * 5 + [1] * 3 + [2] * 2
    )  # none in test
    assert run("tumours", out / "manifest.csv", "--folds", 2).status == 2


def test_check_tells_every_wrong_row_and_ends_with_1(run: Run, folder: Path) -> None:
    write_rows(folder / "tumours.csv", HEADER, [row(er="yes"), row("9.png")])
    ran = run("tumours", folder / "tumours.csv")
    assert ran.status == 1
    assert "line 2: er: must be" in ran.err and "line 3: image: no such file" in ran.err


def test_the_documentation_names_every_column_and_its_example_is_a_valid_manifest(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{column}`" in text for column in COLUMNS)
    (example,) = re.findall(r"```\n(image,patient,lesion.*?)```", text, flags=re.DOTALL)
    for path in re.findall(r"[\w/-]+\.(?:dcm|png)", example):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    (tmp_path / "tumours.csv").write_text(example, encoding="utf-8")
    first, *others = read_tumours(tmp_path / "tumours.csv")
    assert first.outcomes["subtype"] == "luminal_a" and first.clinical == {"age": 61.0, "menopause": "post"}
    assert [tuple(entry.views) for entry in others] == [("CC",), ("US",)]
