"""Factories make complete instances, the same each time."""

from __future__ import annotations

import hashlib
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.factories import (
    ENCAPSULATED_UNCOMPRESSED,
    large_tomosynthesis,
    screening_exam,
    small_dose_sr,
    small_mammogram,
    small_ultrasound,
)
from tests.peers.servers import find_program


def mammogram(path: Path, **elements: Any) -> Dataset:
    return small_mammogram(path, laterality="R", view="MLO", **elements)


def tomosynthesis(path: Path, **elements: Any) -> Dataset:
    return large_tomosynthesis(path, 20_000, rows=64, columns=48, **elements)


FACTORIES = [mammogram, small_ultrasound, small_dose_sr, tomosynthesis]


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_same_arguments_make_the_same_bytes(factory: Callable[..., Dataset], tmp_path: Path) -> None:
    digests = set()
    for name in ("first.dcm", "second.dcm"):
        factory(tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.peer
@pytest.mark.parametrize("factory", FACTORIES)
def test_headers_are_complete(factory: Callable[..., Dataset], tmp_path: Path, need: Callable[..., None]) -> None:
    need("dciodvfy")
    factory(tmp_path / "file.dcm")
    command = [find_program("dciodvfy"), "-new", str(tmp_path / "file.dcm")]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    # Values of View Position are "unrecognized defined terms" to it, CC and MLO too.
    findings = [line for line in said.splitlines() if line.startswith(("Error", "Warning"))]
    assert [line for line in findings if "ViewPosition" not in line] == []


def test_any_element_can_be_set_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    small_mammogram(path, laterality="L", view="CC", PresentationIntentType="FOR PROCESSING", ImageLaterality=None)
    read = dcmread(path)
    assert read.PresentationIntentType == "FOR PROCESSING"
    assert "ImageLaterality" not in read


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless],
)
def test_lossless_syntaxes_hold_the_same_pixels(syntax: str, tmp_path: Path) -> None:
    for factory in (mammogram, small_ultrasound):
        native = factory(tmp_path / "native.dcm")
        factory(tmp_path / "file.dcm", transfer_syntax_uid=syntax)
        read = dcmread(tmp_path / "file.dcm")
        assert read.file_meta.TransferSyntaxUID == syntax
        assert read.SOPInstanceUID == native.SOPInstanceUID
        assert (read.pixel_array == native.pixel_array).all()


def test_an_exam_has_four_views_of_one_study(tmp_path: Path) -> None:
    images = [dcmread(path) for path in screening_exam(tmp_path / "exam", PatientID="P7")]
    assert {(image.ImageLaterality, image.ViewPosition) for image in images} == {
        (side, view) for side in "LR" for view in ("CC", "MLO")
    }
    assert len({image.SOPInstanceUID for image in images}) == 4
    assert {image.StudyInstanceUID for image in images} == {images[0].StudyInstanceUID}
    assert {image.PatientID for image in images} == {"P7"}


def test_a_large_object_has_its_size_and_is_never_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    tracemalloc.start()
    large_tomosynthesis(path, 12_000_000, rows=256, columns=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 12_000_000 <= path.stat().st_size < 12_000_000 + 256 * 256 * 2 + 100_000
    assert peak < 4_000_000
    read = dcmread(path)
    assert read.pixel_array.shape == (92, 256, 256)
    assert read.pixel_array[:, -1, -1].tolist() == list(range(92))


def test_a_large_object_can_be_encapsulated_frame_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    large_tomosynthesis(path, 20_000, rows=64, columns=48, transfer_syntax_uid=ENCAPSULATED_UNCOMPRESSED)
    tomosynthesis(tmp_path / "native.dcm")
    read = dcmread(path)
    frames = list(generate_frames(read.PixelData, number_of_frames=read.NumberOfFrames))
    assert b"".join(frames) == dcmread(tmp_path / "native.dcm").PixelData
