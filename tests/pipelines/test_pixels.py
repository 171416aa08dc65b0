from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from pipelines.errors import MissingPixels, UndecodablePixels, UnreadableInstance
from pipelines.headers import describe_mammogram, read_header
from pipelines.pixels import StandardImage, decode, standardise


def standard(path: Path) -> StandardImage:
    return standardise(decode(path), describe_mammogram(read_header(path)))


def recoded(path: Path, syntax: Any) -> Path:
    dataset = dcmread(path)
    if syntax.is_encapsulated:
        dataset.compress(syntax)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
            str(dataset)  # converts what was read lazily as little endian
            dataset.set_original_encoding(None, None)
    out = path.with_suffix(f".{str(syntax).rpartition('.')[2]}")
    dataset.save_as(
        out, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, enforce_file_format=True
    )
    return out


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.name,
)
def test_every_lossless_syntax_gives_the_same_picture(make_mammogram: Any, syntax: Any) -> None:
    path = make_mammogram("L-CC").path
    assert np.array_equal(standard(recoded(path, syntax)).pixels, standard(path).pixels)


@pytest.mark.parametrize("monochrome1", [False, True])
def test_air_is_black_and_a_calcification_white_in_either_sense(
    make_mammogram: Any, tools: Any, monochrome1: bool
) -> None:
    pixels = tools.breast_pixels("L", square=(30, 100, 40, 110))
    image = standard(make_mammogram("L-CC", pixels=pixels, monochrome1=monochrome1).path)
    assert image.pixels.dtype == np.float32
    assert image.display.dtype == np.uint8
    assert np.allclose(image.pixels, pixels, atol=1 / 4095)
    assert (image.display[105, 35], image.display[0, 199]) == (255, 0)
    assert image.spacing_mm == pytest.approx((0.1, 0.1))


def test_eight_bit_and_signed_pixels_are_read(make_mammogram: Any, tools: Any) -> None:
    def eight(dataset: Any) -> None:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.WindowCenter, dataset.WindowWidth = 128, 256
        dataset.PixelData = (
            np.frombuffer(dataset.PixelData, "<u2").astype(np.float32).__truediv__(16).astype("u1").tobytes()
        )

    def signed(dataset: Any) -> None:
        dataset.PixelRepresentation = 1
        dataset.RescaleIntercept = 2048
        dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2").astype("<i2") - 2048).astype("<i2").tobytes()

    pixels = tools.breast_pixels("L")
    for edit, tolerance in ((eight, 1 / 100), (signed, 1 / 4000)):
        assert np.allclose(standard(make_mammogram(pixels=pixels, edit=edit).path).pixels, pixels, atol=tolerance)


def test_missing_and_empty_pixel_data_are_told_from_broken(make_mammogram: Any) -> None:
    def empty(dataset: Any) -> None:
        dataset.PixelData = b""

    for instance in (make_mammogram(PixelData=None), make_mammogram(edit=empty)):
        with pytest.raises(MissingPixels):
            decode(instance.path)


def test_truncated_pixels_are_undecodable_and_the_syntax_is_named(make_mammogram: Any) -> None:
    path = make_mammogram().path
    for name, cut in (("Explicit VR Little Endian", path), ("JPEG-LS Lossless", recoded(path, JPEGLSLossless))):
        short = path.with_suffix(".short")
        dataset = dcmread(cut)
        dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            frame = dcmread(cut).PixelData[16:]
            dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
            dataset["PixelData"].is_undefined_length = True
        dataset.save_as(short)
        with pytest.raises(UndecodablePixels, match=name):
            decode(short)


def test_a_file_that_breaks_off_is_undecodable(make_mammogram: Any) -> None:
    path = recoded(make_mammogram().path, JPEG2000Lossless)
    content = path.read_bytes()
    for share in (0.3, 0.6, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UndecodablePixels):
            decode(path)


@given(garbage=st.binary(max_size=400), syntax=st.sampled_from(["4.50", "4.57", "4.70", "4.80", "4.90", "4.91", "5"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_garbage_is_undecodable_and_never_worse(make_mammogram: Any, garbage: bytes, syntax: str) -> None:
    dataset = dcmread(make_mammogram().path)
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
    dataset.PixelData = encapsulate([b"\xff\xd8" + garbage + b"\xff\xd9"])
    dataset["PixelData"].is_undefined_length = True
    path = Path(make_mammogram().path).with_suffix(".garbage")
    dataset.save_as(path)
    with pytest.raises(UndecodablePixels):
        decode(path)


@pytest.mark.parametrize(
    "attributes",
    [
        {"Rows": 65535, "Columns": 65535},
        {"Rows": 0},
        {"Rows": None},
        {"BitsStored": None},
        {"BitsAllocated": 32},
        {"BitsAllocated": 7},
        {"SamplesPerPixel": 3},
        {"NumberOfFrames": 2},
        {"PhotometricInterpretation": None},
    ],
    ids=str,
)
def test_a_senseless_pixel_description_is_undecodable(make_mammogram: Any, attributes: dict[str, Any]) -> None:
    with pytest.raises(UndecodablePixels):
        decode(make_mammogram(**attributes).path)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.100", "1.2.3.4"])
def test_a_syntax_without_decoder_is_named(make_mammogram: Any, syntax: str) -> None:
    dataset = dcmread(make_mammogram().path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    path = make_mammogram().path
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(UndecodablePixels, match=syntax.replace(".", r"\.")):
        decode(path)


def test_an_absent_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInstance):
        decode(tmp_path / "gone.dcm")


def test_memory_stays_within_a_few_times_the_pixels(make_mammogram: Any, tools: Any) -> None:
    """17 MB of stored pixels: the float32 and uint8 pictures are 2.5 times that, the rest is passing."""
    path = make_mammogram("L-CC", pixels=tools.breast_pixels("L", rows=3328, columns=2560)).path
    header = describe_mammogram(read_header(path))
    stored_bytes = 3328 * 2560 * 2
    tracemalloc.start()
    image = standardise(decode(path), header)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert image.pixels.nbytes + image.display.nbytes == 2.5 * stored_bytes
    assert peak < 4.5 * stored_bytes
