"""The manifest as a file: what it may hold, what is said of what it may not, and that it comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.datasets.manifest import ManifestImage, read_manifest, write_manifest
from pipelines.errors import ManifestInvalid
from tests.datasets.builders import entry, lesion, write_png

NAME = "Erika-Mustermann"
HEADER = "image,patient,split,label,x0,y0,x1,y1,laterality,view,spacing_mm,medium,plantable"


def manifest(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """A manifest beside two films, a.png and b.png."""
    for name in ("a.png", "b.png"):
        write_png(folder / name)
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ManifestInvalid) as caught:
        read_manifest(path)
    assert NAME not in str(caught.value)
    return caught.value.problems


def test_rows_of_one_image_become_one_entry_with_all_lesions(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        "a.png,p1,train,benign,1,2,3.5,4,L,MLO,0.2,film,",
        "b.png,p2,,,,,,,,,0.05,,yes",
        "a.png,p1,train,malignant,5,6,7,8,L,MLO,0.2,film,no",
    )
    first, second = read_manifest(path)
    assert first == ManifestImage(
        path=tmp_path / "a.png",
        patient="p1",
        split="train",
        laterality="L",
        view="MLO",
        spacing_mm=0.2,
        medium="film",
        plantable=False,
        lesions=(lesion(1, 2, 3.5, 4, "benign"), lesion(5, 6, 7, 8)),
    )
    assert (first.line, second.line) == (2, 3)
    assert (second.split, second.medium, second.plantable, second.lesions) == (None, "digital", True, ())


def test_the_columns_but_image_and_patient_may_be_absent_and_come_in_any_order(tmp_path: Path) -> None:
    (image,) = read_manifest(manifest(tmp_path, "p1,0.1,a.png", header="patient,spacing_mm,image"))
    assert (image.patient, image.spacing_mm, image.split) == ("p1", 0.1, None)
    assert image.plantable is False


def test_a_dicom_file_needs_no_spacing(tmp_path: Path) -> None:
    (tmp_path / "image.dcm").touch()
    (image,) = read_manifest(manifest(tmp_path, "image.dcm,p1", header="image,patient"))
    assert image.spacing_mm is None


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    elsewhere = write_png(tmp_path / "elsewhere" / "with, comma.png")
    images = (
        entry(write_png(tmp_path / "set" / "x" / "a.png"), split="val", lesions=(lesion(0.1, 1 / 3, 7, 9.25),)),
        entry(elsewhere, patient="p2", laterality="R", view="CC", spacing_mm=0.0435, plantable=True),
    )
    path = tmp_path / "set" / "manifest.csv"
    write_manifest(path, images)
    assert read_manifest(path) == images
    assert "\nx/a.png," in path.read_text(encoding="utf-8")


def test_a_folder_with_its_manifest_can_be_moved(tmp_path: Path) -> None:
    folder = tmp_path / "before"
    write_manifest(folder / "manifest.csv", [entry(write_png(folder / "a.png"))])
    folder.rename(tmp_path / "after")
    (image,) = read_manifest(tmp_path / "after" / "manifest.csv")
    assert image.path == tmp_path / "after" / "a.png"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"{NAME}.png,p1,,,,,,,,,0.2,,", "no such file"),
        (",p1,,,,,,,,,0.2,,", "image is empty"),
        ("a.png,,,,,,,,,,0.2,,", "patient is empty"),
        (f"a.png,p1,{NAME},,,,,,,,0.2,,", "split: must be train, val, test"),
        (f"a.png,p1,,{NAME},1,2,3,4,,,0.2,,", "label: must be benign, malignant"),
        (f"a.png,p1,,,,,,,{NAME},,0.2,,", "laterality: must be L, R"),
        (f"a.png,p1,,,,,,,,{NAME},0.2,,", "view: must be CC, MLO"),
        (f"a.png,p1,,,,,,,,,0.2,{NAME},", "medium: must be film, digital"),
        (f"a.png,p1,,,,,,,,,0.2,,{NAME}", "plantable: must be yes, no"),
        ("a.png,p1,,,,,,,,,,,", "spacing_mm is empty"),
        ("a.png,p1,,,,,,,,,200,,", "spacing_mm: must be above 0"),
        ("a.png,p1,,,,,,,,,-0.2,,", "spacing_mm: must be above 0"),
        (f"a.png,p1,,,,,,,,,{NAME},,", "spacing_mm: must be a finite number"),
        ("a.png,p1,,benign,3,2,1,4,,,0.2,,", "out of order"),
        ("a.png,p1,,benign,1,4,3,4,,,0.2,,", "out of order"),
        ("a.png,p1,,benign,-1,2,3,4,,,0.2,,", "out of order"),
        ("a.png,p1,,benign,nan,2,3,4,,,0.2,,", "x0: must be a finite number"),
        ("a.png,p1,,benign,1,2,inf,4,,,0.2,,", "x1: must be a finite number"),
        ("a.png,p1,,benign,1,,3,4,,,0.2,,", "incomplete box: give y0"),
        ("a.png,p1,,benign,,,,,,,0.2,,", "a label without a box"),
        ("a.png,p1,,,1,2,3,4,,,0.2,,", "a box without a label"),
        ("a.png,p1,,benign,1,2,3,4,,,0.2,,yes", "plantable is yes in a row with a box"),
        (f"a.png,p1,,,,,,,,,0.2,,,{NAME}", "more cells than columns"),
    ],
)
def test_a_wrong_cell_is_told_with_its_line_and_without_its_contents(tmp_path: Path, row: str, said: str) -> None:
    (problem,) = problems(manifest(tmp_path, "b.png,p9,,,,,,,,,0.2,,", row))
    assert problem.startswith("line 3: ")
    assert said in problem


def test_every_problem_of_every_line_is_told_at_once(tmp_path: Path) -> None:
    found = problems(manifest(tmp_path, ",,x,,,,,,,,,,", "b.png,p1,,,,,,,,,,,"))
    assert [text.split(":")[0] for text in found] == ["line 2", "line 2", "line 2", "line 3"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (f"{HEADER},{NAME}", "1 unknown column(s)"),
        (HEADER.replace(",", ";"), "separated by commas"),
        ("image,spacing_mm", "no column patient"),
        ("image,patient,patient", "column patient is there twice"),
    ],
)
def test_a_wrong_heading_is_told(tmp_path: Path, header: str, said: str) -> None:
    assert said in " ".join(problems(manifest(tmp_path, "a.png,p1", header=header)))


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("patient", "a.png,p2,,benign,5,6,7,8,L,CC,0.2,film,"),
        ("split", "a.png,p1,test,benign,5,6,7,8,L,CC,0.2,film,"),
        ("laterality", "a.png,p1,,benign,5,6,7,8,R,CC,0.2,film,"),
        ("view", "a.png,p1,,benign,5,6,7,8,L,MLO,0.2,film,"),
        ("spacing_mm", "a.png,p1,,benign,5,6,7,8,L,CC,0.3,film,"),
        ("medium", "a.png,p1,,benign,5,6,7,8,L,CC,0.2,digital,"),
    ],
)
def test_rows_of_one_image_must_not_contradict_each_other(tmp_path: Path, column: str, other: str) -> None:
    (problem,) = problems(manifest(tmp_path, "a.png,p1,,benign,1,2,3,4,L,CC,0.2,film,", other))
    assert problem.startswith(f"line 3: {column} differs from line 2")


def test_an_image_is_the_same_under_another_spelling_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    rows = ("a.png,p1,,,,,,,,,0.2,,", "sub/../a.png,p2,,,,,,,,,0.2,,")
    assert any("patient differs from line 2" in text for text in problems(manifest(tmp_path, *rows)))


def test_duplicates_are_refused(tmp_path: Path) -> None:
    box = "a.png,p1,,benign,1,2,3,4,,,0.2,,"
    empty = "b.png,p2,,,,,,,,,0.2,,"
    assert problems(manifest(tmp_path, box, box, empty, empty)) == (
        "line 3: this box is already in line 2: remove one of the two",
        "line 5: this image without a box is already in line 4: remove one of the two",
    )


def test_an_image_cannot_be_with_and_without_a_lesion(tmp_path: Path) -> None:
    (problem,) = problems(manifest(tmp_path, "a.png,p1,,benign,1,2,3,4,,,0.2,,", "a.png,p1,,,,,,,,,0.2,,"))
    assert problem.startswith("line 3: no box, but this image has one")


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    rows = (f"a.png,{NAME},train,,,,,,,,0.2,,", f"b.png,{NAME},test,,,,,,,,0.2,,")
    (problem,) = problems(manifest(tmp_path, *rows))
    assert problem == (
        "line 2: one patient in two splits (train in line 2, test in line 3): all images of the patient go in one"
    )


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    assert "cannot be read" in problems(path)[0]
    path.write_bytes(b"image,patient\n\xff\xfe,p1\n")
    assert "no CSV in UTF-8" in problems(path)[0]
    path.write_bytes(b"image,patient\n")
    assert "no rows" in problems(path)[0]
    path.write_bytes(b"")
    assert "no column image" in problems(path)[0]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a.png,p1,,,,,,,,,0.2,,")
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert len(read_manifest(path)) == 1
