from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from models.phantom import make_view
from pipelines.headers import describe_mammogram, read_header, unfit_reason, view_name
from pipelines.mammography.pipeline import MammographyPipeline
from pipelines.phantom import DEFAULT_VIEWS, PhantomPatient, write_study
from pipelines.pixels import decode, standardise
from sr_templates.contract import plain_variants

SMALL = {"rows": 480, "columns": 400, "spacing_mm": 0.3}


def test_a_study_has_four_views_that_can_be_analysed(tmp_path: Path) -> None:
    paths = write_study(tmp_path / "new" / "folder", 3, **SMALL)
    headers = [describe_mammogram(read_header(path)) for path in paths]
    assert tuple(view_name(header) for header in headers) == DEFAULT_VIEWS
    assert all(unfit_reason(header, read_header(path)) is None for header, path in zip(headers, paths, strict=True))
    assert len({header.study_instance_uid for header in headers}) == 1
    assert len({header.sop_instance_uid for header in headers}) == 4


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    def contents(folder: str, seed: int) -> list[bytes]:
        return [path.read_bytes() for path in write_study(tmp_path / folder, seed, views=("L-CC", "R-MLO"), **SMALL)]

    assert contents("a", 1) == contents("b", 1)
    assert not set(contents("a", 1)) & set(contents("c", 2))


def test_uids_can_be_given_and_a_view_can_come_twice(tmp_path: Path) -> None:
    paths = write_study(
        tmp_path, 1, views=("L-CC", "L-CC"), study_instance_uid="2.25.7", series_instance_uid="2.25.8", **SMALL
    )
    first, second = (dcmread(path) for path in paths)
    assert first.StudyInstanceUID == second.StudyInstanceUID == "2.25.7"
    assert first.SeriesInstanceUID == "2.25.8"
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_other_studies_of_one_seed_have_other_instances(tmp_path: Path) -> None:
    (one,) = write_study(tmp_path / "1", 1, views=("L-CC",), **SMALL)
    (two,) = write_study(tmp_path / "2", 1, views=("L-CC",), study_instance_uid="2.25.9", **SMALL)
    assert dcmread(one).SOPInstanceUID != dcmread(two).SOPInstanceUID


@pytest.mark.parametrize(
    ("character_set", "name", "raw"),
    [
        ("ISO_IR 192", "Müller^Zoë", "Müller^Zoë".encode()),
        ("ISO_IR 100", "Müller^Zoë", "Müller^Zoë".encode("latin-1")),
        (
            ("", "ISO 2022 IR 87"),
            "Yamada^Tarou=山田^太郎",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        ),
        ("ISO_IR 192", b"M\xfcller^Zo\xeb", b"M\xfcller^Zo\xeb"),  # not UTF-8, as some machines write it
    ],
)
def test_names_are_written_in_their_character_set_and_bytes_as_they_are(
    tmp_path: Path, character_set: Any, name: str | bytes, raw: bytes
) -> None:
    patient = PhantomPatient(patient_name=name, specific_character_set=character_set)
    (path,) = write_study(tmp_path, 1, views=("L-CC",), patient=patient, **SMALL)
    assert raw in path.read_bytes()


def test_monochrome1_and_magnification_change_the_storage_and_not_the_picture(tmp_path: Path) -> None:
    def shown(folder: str, **options: Any) -> Any:
        (path,) = write_study(tmp_path / folder, 1, views=("R-MLO",), **SMALL, **options)
        return standardise(decode(path), describe_mammogram(read_header(path)))

    plain, odd = shown("a"), shown("b", monochrome1=True, magnification=1.8)
    assert np.array_equal(plain.display, odd.display)
    assert np.allclose(plain.pixels, odd.pixels, atol=1e-6)
    assert odd.spacing_mm == pytest.approx(plain.spacing_mm)
    assert np.allclose(plain.pixels * 4095, make_view(1, laterality="R", view="MLO", **SMALL).pixels, atol=0.01)


def test_attributes_can_be_overridden_and_deleted(tmp_path: Path) -> None:
    (path,) = write_study(
        tmp_path,
        1,
        views=("L-CC",),
        overrides={"PresentationIntentType": "FOR PROCESSING", "ViewCodeSequence": None},
        **SMALL,
    )
    dataset = dcmread(path)
    assert dataset.PresentationIntentType == "FOR PROCESSING"
    assert "ViewCodeSequence" not in dataset


def test_views_beyond_cc_and_mlo_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="L-ML"):
        write_study(tmp_path, 1, views=("L-ML",), **SMALL)


@pytest.mark.parametrize("name", DEFAULT_VIEWS)
@pytest.mark.parametrize("monochrome1", [False, True])
def test_planted_clusters_come_back_where_they_are(tools: Any, tmp_path: Path, name: str, monochrome1: bool) -> None:
    """The cluster is painted over in white, which the stand-in detector finds; its box must land on the planted one."""
    size = {"rows": 1000, "columns": 800, "spacing_mm": 0.15}
    seed, truth = next(
        (seed, found.lesions)
        for seed in range(50)
        if (found := make_view(seed, laterality=name[0], view=name[2:], **size)).lesions
    )
    (path,) = write_study(tmp_path, seed, views=(name,), monochrome1=monochrome1, magnification=1.07, **size)
    _paint(path, truth[0][0])
    study = tools.study(tools.received(path))
    options = tools.options(results=plain_variants("cad_sr"))
    result = MammographyPipeline(models=tools.FakeModels()).analyse(study, options)
    (found,) = result.images[0].detections
    assert np.max(np.abs(np.subtract(found.box_px, truth[0][0]))) < 2.0


def _paint(path: Path, box: tuple[float, float, float, float]) -> None:
    """White over a box, everything else dimmed, in the sense in which the file is stored."""
    dataset = dcmread(path)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    values = dataset.pixel_array.astype(np.int64)
    shown = (4095 - values if inverted else values) // 2
    x0, y0, x1, y1 = (round(edge) for edge in box)
    shown[y0:y1, x0:x1] = 4095
    dataset.PixelData = (4095 - shown if inverted else shown).astype("<u2").tobytes()
    dataset.save_as(path)


@pytest.mark.peer
@pytest.mark.parametrize("options", [{}, {"monochrome1": True, "magnification": 1.5}], ids=["plain", "inverted"])
def test_dciodvfy_finds_no_error(tmp_path: Path, options: dict[str, Any]) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian dicom3tools) is not installed")
    for path in write_study(tmp_path, 1, **SMALL, **options):
        told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
        assert "MammographyImageForPresentation" in told
        assert "Error" not in told
