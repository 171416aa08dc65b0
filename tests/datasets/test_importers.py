"""Importers over layouts of a few pixels, made as the publishers lay them out, and over the real mini-MIAS films."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipelines.datasets.images import load_image
from pipelines.datasets.importers import IMPORTERS, import_layout
from pipelines.datasets.layout import Imported, ImportOptions
from pipelines.datasets.manifest import ManifestImage, read_manifest, write_manifest
from pipelines.errors import LayoutUnreadable
from tests.datasets.builders import (
    CBIS_COLUMNS,
    cbis_files,
    cbis_row,
    lesion,
    osirix,
    write_png,
    write_rows,
)
from tests.factories import small_mammogram

OPTIONS = ImportOptions()


def by_name(imported: Imported) -> dict[str, ManifestImage]:
    return {image.path.stem: image for image in imported.images}


def assert_reads_back(folder: Path, imported: Imported) -> None:
    """What an importer gives is a valid manifest."""
    write_manifest(folder / "manifest.csv", imported.images)
    assert read_manifest(folder / "manifest.csv") == imported.images


@pytest.mark.parametrize("name", IMPORTERS)
def test_a_folder_of_another_layout_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LayoutUnreadable, match="is neither in this folder"):
        import_layout(name, tmp_path, OPTIONS)


def test_an_unknown_layout_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(LayoutUnreadable, match="cbis_ddsm, inbreast"):
        import_layout("ddsm", tmp_path, OPTIONS)
    with pytest.raises(LayoutUnreadable, match="no such folder"):
        import_layout("inbreast", tmp_path / "absent", OPTIONS)


MIAS_COLUMNS = ("image", "patient", "tissue", "abnormality", "severity", "x_px", "y_px", "radius_px")


def mini_mias(folder: Path, *rows: tuple[object, ...]) -> Path:
    write_rows(folder / "labels.csv", MIAS_COLUMNS, rows)
    for row in rows:
        write_png(folder / f"{row[0]}.png")
    return folder


def test_mini_mias_clusters_are_squares_around_circles_and_all_of_their_patients_are_for_the_test(
    tmp_path: Path,
) -> None:
    normal = [(f"mdb{number:03}", number // 2, "D", "NORM", "", "", "", "") for number in range(20, 60)]
    folder = mini_mias(
        tmp_path,
        ("mdb001", 0, "G", "CALC", "B", 30, 40, 5),
        ("mdb001", 0, "G", "CALC", "M", 3, 60, 10),
        ("mdb002", 0, "G", "NORM", "", "", "", ""),
        ("mdb003", 1, "G", "CALC", "M", "", "", ""),
        ("mdb004", 1, "G", "NORM", "", "", "", ""),
        ("mdb006", 2, "G", "CIRC", "M", 30, 40, 5),
        *normal,
    )
    imported = import_layout("mini_mias", folder, OPTIONS)
    assert imported.left_out == ("calcifications without coordinates",)
    images = by_name(imported)
    assert images["mdb001"].lesions == (lesion(25, 35, 35, 45, "benign"), lesion(0, 50, 13, 70, "malignant"))
    assert [images[name].split for name in ("mdb001", "mdb002", "mdb004")] == ["test"] * 3
    assert [images[name].plantable for name in ("mdb001", "mdb002", "mdb006")] == [False, True, False]
    assert images["mdb006"].lesions == ()
    assert (images["mdb001"].laterality, images["mdb002"].laterality, images["mdb001"].view) == ("R", "L", "MLO")
    assert (images["mdb001"].medium, images["mdb001"].spacing_mm) == ("film", 0.2)
    others = {(image.patient, image.split) for image in imported.images if image.patient not in {"0", "1"}}
    assert Counter(split for _, split in others) == {"train": 15, "val": 4, "test": 2}
    assert_reads_back(folder, imported)


def test_a_film_keeps_its_split_whatever_part_of_mini_mias_is_there(tmp_path: Path) -> None:
    rows = [(f"mdb{number:03}", number // 2, "D", "NORM", "", "", "", "") for number in range(20, 60)]
    every = import_layout("mini_mias", mini_mias(tmp_path / "all", *rows), ImportOptions(seed=1, spacing_mm=0.19))
    half = import_layout("mini_mias", mini_mias(tmp_path / "half", *rows[::2]), ImportOptions(seed=2))
    split = {image.path.name: image.split for image in every.images}
    assert len(set(split.values())) == 3
    assert {image.path.name: image.split for image in half.images}.items() <= split.items()
    assert {image.spacing_mm for image in every.images} == {0.19}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("mdb001", 0, "G", "CALC", "B", 30, "low", 5), "circle or severity"),
        (("mdb001", 0, "G", "CALC", "X", 30, 40, 5), "circle or severity"),
        (("film1", 0, "G", "NORM", "", "", "", ""), "named mdb and its number"),
    ],
)
def test_a_mini_mias_table_that_cannot_be_read_is_told(tmp_path: Path, row: tuple[object, ...], said: str) -> None:
    with pytest.raises(LayoutUnreadable, match=said):
        import_layout("mini_mias", mini_mias(tmp_path, row), OPTIONS)


def test_a_table_without_a_column_and_a_set_without_files_are_told(tmp_path: Path) -> None:
    table = write_rows(tmp_path / "labels.csv", MIAS_COLUMNS[:-1], [("mdb001", 0, "G", "NORM", "", "", "")])
    with pytest.raises(LayoutUnreadable, match=r"labels\.csv: no rows, or no column radius_px"):
        import_layout("mini_mias", tmp_path, OPTIONS)
    write_rows(table, MIAS_COLUMNS, [("mdb001", 0, "G", "NORM", "", "", "", "")])
    with pytest.raises(LayoutUnreadable, match=r"no image that can be used.*not among the files"):
        import_layout("mini_mias", tmp_path, OPTIONS)
    table.write_bytes(b"image,\xff\n")
    with pytest.raises(LayoutUnreadable, match="no CSV file in UTF-8"):
        import_layout("mini_mias", tmp_path, OPTIONS)


VINDR_COLUMNS = (
    "study_id",
    "series_id",
    "image_id",
    "laterality",
    "view_position",
    "height",
    "width",
    "breast_birads",
    "breast_density",
    "finding_categories",
    "finding_birads",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "split",
)


def vindr_row(
    study: str, image: str, categories: str, grades: tuple[str, str], box: tuple[object, ...], *, split: str
) -> tuple[object, ...]:
    breast, finding = grades
    return (study, "s", image, "L", "MLO", 100, 50, breast, "DENSITY C", categories, finding, *box, split)


def vindr(folder: Path, *rows: tuple[object, ...]) -> Path:
    write_rows(folder / "finding_annotations.csv", VINDR_COLUMNS, rows)
    for row in rows:
        path = folder / "images" / str(row[0]) / f"{row[2]}.dicom"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_vindr_mammo_calcifications_have_the_class_of_their_bi_rads(tmp_path: Path) -> None:
    box, none = (10, 20, 30.5, 40), ("", "", "", "")
    folder = vindr(
        tmp_path,
        vindr_row("e1", "a", "['Suspicious Calcification', 'Mass']", ("BI-RADS 4", "BI-RADS 4"), box, split="test"),
        vindr_row(
            "e1", "a", "['Suspicious Calcification']", ("BI-RADS 4", "BI-RADS 3"), (-4, 1, 60, 110), split="test"
        ),
        vindr_row("e1", "a", "['Mass']", ("BI-RADS 4", "BI-RADS 5"), box, split="test"),
        vindr_row("e2", "b", "['No Finding']", ("BI-RADS 1", ""), none, split="training"),
        vindr_row("e3", "c", "['No Finding']", ("BI-RADS 2", ""), none, split="training"),
        vindr_row("e4", "d", "['Mass']", ("BI-RADS 5", "BI-RADS 5"), box, split="training"),
        vindr_row("e5", "e", "['Suspicious Calcification']", ("BI-RADS 4", ""), box, split="training"),
        vindr_row(
            "e6", "f", "['Suspicious Calcification']", ("BI-RADS 4", "BI-RADS 4"), (60, 1, 70, 9), split="training"
        ),
    )
    imported = import_layout("vindr_mammo", folder, OPTIONS)
    assert set(imported.left_out) == {
        "a calcification without BI-RADS",
        "a box that lies outside its image",
        "a breast of BI-RADS 2: its benign calcifications, if any, are not outlined",
    }
    images = by_name(imported)
    assert images["a"].lesions == (lesion(10, 20, 30.5, 40, "malignant"), lesion(0, 1, 50, 100, "benign"))
    assert {name: image.plantable for name, image in images.items()} == {"a": False, "b": True, "d": False}
    assert images["d"].lesions == ()
    assert (images["a"].split, images["a"].patient) == ("test", "e1")
    assert (images["a"].medium, images["a"].spacing_mm, images["a"].view) == ("digital", None, "MLO")
    assert {images[name].split for name in "bd"} <= {"train", "val"}
    assert_reads_back(folder, imported)


def test_vindr_mammo_validation_comes_out_of_training_by_exam(tmp_path: Path) -> None:
    rows = [
        vindr_row(f"e{number // 2}", f"i{number}", "['No Finding']", ("BI-RADS 1", ""), ("",) * 4, split="training")
        for number in range(80)
    ]
    imported = import_layout("vindr_mammo", vindr(tmp_path, *rows), OPTIONS)
    assert Counter(image.split for image in imported.images) == {"train": 68, "val": 12}
    assert len({(image.patient, image.split) for image in imported.images}) == 40


@pytest.mark.parametrize(
    ("categories", "box", "split", "said"),
    [
        ("Mass", ("",) * 4, "training", "must be a list of names"),
        ("'Mass'", ("",) * 4, "training", "must be a list of names"),
        ("['Suspicious Calcification']", ("",) * 4, "training", "without a box"),
        ("['No Finding']", ("",) * 4, "validation", "split must be training or test"),
    ],
)
def test_a_vindr_mammo_table_that_cannot_be_read_is_told(
    tmp_path: Path, categories: str, box: tuple[object, ...], split: str, said: str
) -> None:
    folder = vindr(tmp_path, vindr_row("e1", "a", categories, ("BI-RADS 4", "BI-RADS 4"), box, split=split))
    with pytest.raises(LayoutUnreadable, match=said):
        import_layout("vindr_mammo", folder, OPTIONS)


def cbis(folder: Path, train: list[tuple[object, ...]], test: list[tuple[object, ...]]) -> Path:
    write_rows(folder / "calc_case_description_train_set.csv", CBIS_COLUMNS, train)
    write_rows(folder / "calc_case_description_test_set.csv", CBIS_COLUMNS, test)
    return folder


def test_cbis_ddsm_masks_are_found_by_what_they_are_and_not_by_their_names(tmp_path: Path) -> None:
    case, other = "Calc-Training_P_00005_RIGHT_CC", "Calc-Test_P_00038_LEFT_MLO"
    cbis(
        tmp_path,
        [
            cbis_row(case, "P_00005", 1, "MALIGNANT"),
            cbis_row(case, "P_00005", 2, "BENIGN_WITHOUT_CALLBACK"),
        ],
        [cbis_row(other, "P_00038", 1, "BENIGN")],
    )
    images = tmp_path / "manifest-1599750808610" / "CBIS-DDSM"
    cbis_files(images, case, 1, mask_px=(3, 5, 13, 25), mask_first=False)
    cbis_files(images, case, 2, mask_px=(20, 30, 21, 31), mask_first=True)
    cbis_files(images, other, 1, mask_px=(0, 0, 48, 10), new_release=False)
    imported = import_layout("cbis_ddsm", tmp_path, OPTIONS)
    assert imported.left_out == ()
    first, second = imported.images
    assert first.lesions == (lesion(3, 5, 13, 25, "malignant"), lesion(20, 30, 21, 31, "benign"))
    assert (first.patient, first.laterality, first.view, first.split) == ("P_00005", "R", "CC", "train")
    assert (first.medium, first.spacing_mm, first.plantable) == ("film", 0.05, False)
    assert (second.patient, second.laterality, second.view, second.split) == ("P_00038", "L", "MLO", "test")
    assert second.lesions == (lesion(0, 0, 48, 10, "benign"),)
    assert load_image(first).spacing_mm == 0.05
    assert_reads_back(tmp_path, imported)


def test_cbis_ddsm_leaves_out_images_whose_truth_is_not_whole(tmp_path: Path) -> None:
    cases = [f"Calc-Training_P_0000{number}_LEFT_CC" for number in range(5)]
    grades = ["MALIGNANT", "MALIGNANT", "UNPROVEN", "MALIGNANT", "MALIGNANT"]
    rows = [cbis_row(case, case[14:21], 1, grade) for case, grade in zip(cases, grades, strict=True)]
    cbis(tmp_path, rows, [cbis_row("Calc-Test_P_00009_LEFT_CC", "P_00009", 1, "BENIGN")])
    cbis_files(tmp_path, cases[0], 1, mask_px=(3, 5, 13, 25))
    cbis_files(tmp_path, cases[1], 1, mask_px=None)
    cbis_files(tmp_path, cases[2], 1, mask_px=(3, 5, 13, 25))
    cbis_files(tmp_path, cases[3], 1, mask_px=(3, 5, 13, 25))
    for file in (tmp_path / cases[3]).rglob("*.dcm"):
        file.write_bytes(b"damaged")
    imported = import_layout("cbis_ddsm", tmp_path, ImportOptions(spacing_mm=0.0435))
    assert Counter(imported.left_out) == {
        "a lesion without a mask of the image's size": 1,
        "a lesion without pathology": 1,
        "an image or a mask that cannot be decoded": 1,
        "in the table, but not among the files": 2,
    }
    (image,) = imported.images
    assert image.spacing_mm == 0.0435


def test_a_patient_of_both_official_splits_of_cbis_ddsm_is_for_the_test(tmp_path: Path) -> None:
    train, test = "Calc-Training_P_00005_RIGHT_CC", "Calc-Test_P_00005_LEFT_CC"
    cbis(tmp_path, [cbis_row(train, "P_00005", 1, "BENIGN")], [cbis_row(test, "P_00005", 1, "BENIGN")])
    for case in (train, test):
        cbis_files(tmp_path, case, 1, mask_px=(3, 5, 13, 25))
    assert {image.split for image in import_layout("cbis_ddsm", tmp_path, OPTIONS).images} == {"test"}


INBREAST_COLUMNS = ("Patient ID", "Laterality", "View", "File Name", "ACR", "Bi-Rads")


def inbreast(folder: Path, grades: dict[str, str], *, spacing: list[float] | None = None) -> Path:
    """One image for each name ``<id>_<patient>_MG_<side>_<view>_ANON``, 48 columns and 64 rows of 0.5 mm."""
    rows = [("removed", "L", "CC", name.partition("_")[0], 2, grade) for name, grade in grades.items() if grade]
    write_rows(folder / "INbreast.csv", INBREAST_COLUMNS, rows, delimiter=";")
    (folder / "AllDICOMs").mkdir()
    for name in grades:
        path = folder / "AllDICOMs" / f"{name}.dcm"
        small_mammogram(path, laterality="L", view="CC", ImagerPixelSpacing=spacing)
    return folder


def test_inbreast_clusters_and_groups_of_calcifications_have_the_class_of_the_images_bi_rads(tmp_path: Path) -> None:
    folder = inbreast(
        tmp_path,
        {
            "20586908_6c613a14b80a8591_MG_R_ML_ANON": "4a",
            "20586934_6c613a14b80a8591_MG_L_CC_ANON": "2",
            "20587054_b6a4f750c6df4f90_MG_R_CC_ANON": "1",
            "20587080_b6a4f750c6df4f90_MG_R_CC_ANON": "",
            "scout": "2",
        },
        spacing=[0.5, 0.5],
    )
    osirix(
        folder / "AllXML" / "20586908.xml",
        [
            ("Cluster", [(2, 3), (12, 3), (12, 9), (2, 9)]),
            ("Calcification", [(5, 5)]),  # in the cluster
            ("Calcification", [(30, 30)]),
            ("Calcifications", [(36, 30), (38, 32)]),  # within 5 mm of the one before, and of the next
            ("Calcification", [(45, 34)]),
            ("Calcification", [(20, 60)]),  # alone
            ("Mass", [(1, 50), (9, 58)]),
            ("Calcification", []),
        ],
    )
    osirix(folder / "AllXML" / "20586934.xml", [("Cluster ", [(1, 1), (4, 4)]), ("Asymmetry", [(9, 9), (20, 20)])])
    imported = import_layout("inbreast", folder, OPTIONS)
    assert Counter(imported.left_out) == {"no BI-RADS in the table": 1, "not named as the release names its images": 1}
    images = {image.path.name[:8]: image for image in imported.images}
    assert images["20586908"].lesions == (lesion(2, 3, 12, 9, "malignant"), lesion(29, 29, 46, 35, "malignant"))
    assert images["20586934"].lesions == (lesion(1, 1, 4, 4, "benign"),)
    assert [images[name].plantable for name in ("20586908", "20586934", "20587054")] == [False, False, True]
    assert (images["20586908"].laterality, images["20586908"].view, images["20586908"].medium) == (
        "R",
        "MLO",
        "digital",
    )
    assert images["20586908"].patient == images["20586934"].patient == "6c613a14b80a8591"
    assert {image.spacing_mm for image in imported.images} == {None}
    assert_reads_back(folder, imported)


def test_inbreast_points_are_grouped_in_millimetres_and_cut_at_the_edges(tmp_path: Path) -> None:
    name = "20586908_6c613a14b80a8591_MG_R_CC_ANON"
    points = [("Calcification", [(x, 62.0)]) for x in (1.0, 12.0, 23.0)]
    folder = inbreast(tmp_path, {name: "5"})
    osirix(folder / "AllXML" / "20586908.xml", points)
    (image,) = import_layout("inbreast", folder, ImportOptions(spacing_mm=0.4)).images
    assert (image.spacing_mm, image.lesions) == (0.4, (lesion(0, 60.75, 24.25, 63.25),))
    with pytest.raises(LayoutUnreadable, match="too few for a group"):
        import_layout("inbreast", folder, ImportOptions(spacing_mm=0.5))
    (image,) = import_layout("inbreast", folder, OPTIONS).images
    assert (image.spacing_mm, len(image.lesions)) == (0.07, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"no XML",
        b"<plist version='1.0'><dict/></plist>",
        b"<plist version='1.0'><dict><key>Images</key><array><dict><key>ROIs</key><array><dict><key>Name</key>"
        b"<string>Cluster</string><key>Point_px</key><array><string>here</string></array></dict></array></dict>"
        b"</array></dict></plist>",
    ],
)
def test_an_inbreast_outline_that_cannot_be_read_is_told(tmp_path: Path, content: bytes) -> None:
    folder = inbreast(tmp_path, {"20586908_6c613a14b80a8591_MG_R_CC_ANON": "5"})
    (folder / "AllXML").mkdir()
    (folder / "AllXML" / "20586908.xml").write_bytes(content)
    with pytest.raises(LayoutUnreadable, match=r"AllXML/20586908\.xml"):
        import_layout("inbreast", folder, OPTIONS)


@pytest.mark.shared
def test_the_real_mini_mias_has_twelve_clusters_and_116_normal_images(shared_dir: Path) -> None:
    imported = import_layout("mini_mias", shared_dir / "data" / "mini-mias", OPTIONS)
    images = imported.images
    assert len(imported.left_out) == 3
    assert Counter(lesion.label for image in images for lesion in image.lesions) == {"benign": 6, "malignant": 6}
    assert sum(bool(image.lesions) for image in images) == 11
    assert sum(image.plantable for image in images) == 116
    assert {image.split for image in images if image.lesions} == {"test"}
    split_of_patient = {(image.patient, image.split) for image in images}
    assert len(split_of_patient) == len({patient for patient, _ in split_of_patient})
    with_clusters = [load_image(image) for image in images if image.lesions]
    assert sum(len(image.lesions) for image in with_clusters) == 12
    assert all(image.pixels.shape[1] < 1024 for image in with_clusters)
