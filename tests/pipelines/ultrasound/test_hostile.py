"""Truncated, contradictory and malicious objects give an error of the project's own tree, and nothing worse."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from pipelines.errors import MammonodeError, MissingPixels, UndecodablePixels, UnreadableInstance
from pipelines.ultrasound.codestream import read_head
from pipelines.ultrasound.decoding import open_frames
from pipelines.ultrasound.frames import frames
from pipelines.ultrasound.plan import plan_frames
from tests.pipelines.ultrasound.screens import as_jpeg, described, encapsulated, jpeg, region, screen, write

SYNTAXES = ["1.2.840.10008.1.2.1", RLELossless, JPEGLSLossless, JPEG2000Lossless]


def read_all(path: Path) -> None:
    with open_frames(path) as reader:
        for number in range(1, reader.frames + 1):
            reader.frame(number)


def cine(tmp_path: Path, syntax: str = SYNTAXES[0], **elements: Any) -> Path:
    stack = np.stack([screen()[:96, :128], screen()[96:192, :128]])
    return write(tmp_path / "us.dcm", stack, multi_frame=True, syntax=syntax, **elements)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_file_that_breaks_off_is_undecodable(tmp_path: Path, syntax: str, share: float) -> None:
    path = cine(tmp_path, syntax)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UndecodablePixels):
        read_all(path)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("stated", [1, 3, 300, 2**31])
def test_a_wrong_number_of_frames_is_undecodable_and_never_half_analysed(
    tmp_path: Path, syntax: str, stated: int
) -> None:
    path = cine(tmp_path, syntax)
    dataset = dcmread(path)
    dataset.NumberOfFrames = stated
    dataset.save_as(path)
    with pytest.raises(UndecodablePixels, match="frames"):
        read_all(path)


@pytest.mark.parametrize(
    "elements",
    [
        {"Rows": 65535, "Columns": 65535},
        {"Rows": 0},
        {"Rows": None},
        {"Columns": 127},
        {"BitsAllocated": 32},
        {"BitsAllocated": 16, "BitsStored": 16},
        {"BitsStored": 0},
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": 4},
        {"PhotometricInterpretation": None},
        {"PhotometricInterpretation": "YBR_ICT", "SamplesPerPixel": 3},
        {"PixelRepresentation": 7},
        {"NumberOfFrames": -2},
    ],
    ids=str,
)
def test_a_senseless_description_of_the_pixels_is_undecodable(tmp_path: Path, elements: dict[str, Any]) -> None:
    with pytest.raises(UndecodablePixels):
        read_all(cine(tmp_path, **elements))


def test_missing_and_empty_pixel_data_are_told_from_broken(tmp_path: Path) -> None:
    for content in (None, b""):
        with pytest.raises(MissingPixels):
            read_all(cine(tmp_path, edit=lambda dataset, content=content: replace_pixels(dataset, content)))
    with pytest.raises(UnreadableInstance):
        read_all(tmp_path / "absent.dcm")


def replace_pixels(dataset: Dataset, content: bytes | None) -> None:
    del dataset.PixelData
    if content is not None:
        dataset.add_new("PixelData", "OB", content)


def test_a_code_stream_of_another_size_is_refused_before_memory_is_taken_for_it(tmp_path: Path) -> None:
    stream = bytearray(jpeg(screen()[:96, :128]))
    at = stream.index(b"\xff\xc0") + 5
    stream[at : at + 4] = struct.pack(">HH", 65500, 65500)
    head = read_head(bytes(stream))
    assert head is not None
    assert (head.rows, head.columns) == (65500, 65500)
    path = write(tmp_path / "us.dcm", screen()[:96, :128], edit=lambda dataset: as_jpeg(dataset, [bytes(stream)]))
    with pytest.raises(UndecodablePixels, match="another size"):
        read_all(path)


@pytest.mark.parametrize(
    "fragments",
    [[], [b""], [b"\xff\xd8\xff\xd9"], [b"\xff\xd8", b"\xff\xd8", b"\xff\xd8\xff\xd9"], [b"\0" * 100_000]],
    ids=lambda fragments: str([len(part) for part in fragments]),
)
def test_fragments_without_an_image_are_undecodable(tmp_path: Path, fragments: list[bytes]) -> None:
    def edit(dataset: Dataset) -> None:
        as_jpeg(dataset, [b"\xff\xd8"])
        dataset.PixelData = encapsulated(fragments)

    with pytest.raises(UndecodablePixels):
        read_all(write(tmp_path / "us.dcm", screen()[:96, :128], edit=edit))


@given(garbage=st.binary(max_size=300), syntax=st.sampled_from(["4.50", "4.57", "4.70", "4.80", "4.90", "4.91", "5"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_garbage_is_undecodable_and_never_worse(tmp_path: Path, garbage: bytes, syntax: str) -> None:
    def edit(dataset: Dataset) -> None:
        as_jpeg(dataset, [b"\xff\xd8" + garbage + b"\xff\xd9"], f"1.2.840.10008.1.2.{syntax}")

    with pytest.raises(UndecodablePixels):
        read_all(write(tmp_path / "us.dcm", screen()[:96, :128], edit=edit))


@given(at=st.floats(0, 1), garbage=st.binary(min_size=1, max_size=8), syntax=st.sampled_from(SYNTAXES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_bytes_overwritten_anywhere_raise_nothing_but_the_errors_of_this_project(
    tmp_path: Path, at: float, garbage: bytes, syntax: str
) -> None:
    path = write(tmp_path / "us.dcm", screen()[60:252, 120:312], syntax=syntax, regions=[region((0, 0, 192, 192))])
    content = bytearray(path.read_bytes())
    first = 132 + int(at * (len(content) - 140))
    content[first : first + len(garbage)] = garbage
    path.write_bytes(content)
    try:
        plan = plan_frames(path, described(path))
        for frame in frames(path, plan):
            assert frame.pixels.shape == frame.masked.shape
    except MammonodeError:
        pass


def test_frames_that_begin_in_the_middle_of_a_big_endian_word_are_undecodable(tmp_path: Path) -> None:
    stack = np.stack([screen()[:95, :127]] * 2)
    with pytest.raises(UndecodablePixels, match="big-endian"):
        read_all(write(tmp_path / "us.dcm", stack, multi_frame=True, syntax="1.2.840.10008.1.2.2"))
