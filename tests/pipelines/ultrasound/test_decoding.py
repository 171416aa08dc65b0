"""Every colour space and transfer syntax gives the same picture, also by programs that share no code with pydicom."""

from __future__ import annotations

import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from pipelines.errors import UndecodablePixels
from pipelines.ultrasound.decoding import Frame, open_frames
from tests.pipelines.ultrasound.screens import (
    as_jpeg,
    encapsulated,
    jpeg,
    screen,
    with_flow,
    write,
    ybr_full,
)

Need = Callable[..., None]


def frames_of(path: Path) -> list[Frame]:
    with open_frames(path) as reader:
        return [reader.frame(number) for number in range(1, reader.frames + 1)]


def by_dcmtk(path: Path, out: Path, number: int = 1) -> NDArray[np.uint8]:
    subprocess.run(["dcmj2pnm", "+F", str(number), str(path), str(out)], check=True, capture_output=True)
    return np.asarray(Image.open(out))


def small_flow() -> NDArray[np.uint8]:
    return with_flow(screen())[150:301, 200:401]  # odd sides


def palette(dataset: Dataset, bits: int, table: NDArray[np.integer], first: int = 0) -> None:
    for channel, values in zip(("Red", "Green", "Blue"), table.T, strict=True):
        setattr(dataset, f"{channel}PaletteColorLookupTableDescriptor", [len(table) % 65536, first, bits])
        content = values.astype("<u2" if bits == 16 else "u1").tobytes()
        setattr(dataset, f"{channel}PaletteColorLookupTableData", content)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_comes_as_rgb_whatever_it_was_stored_as(
    tmp_path: Path, need: Need, photometric: str, planar: int
) -> None:
    rgb = small_flow()
    stored = ybr_full(rgb) if photometric == "YBR_FULL" else rgb
    path = write(tmp_path / "us.dcm", stored, photometric=photometric, planar=planar)
    (found,) = frames_of(path)
    rounding = 2 if photometric == "YBR_FULL" else 0
    assert np.abs(found.astype(int) - rgb).max() <= rounding
    need("dcmj2pnm")
    assert np.abs(found.astype(int) - by_dcmtk(path, tmp_path / "us.ppm")).max() <= rounding


def test_halved_chrominance_is_spread_over_its_two_pixels(tmp_path: Path, need: Need) -> None:
    ybr = ybr_full(small_flow()[:, :200])
    shared = ybr[:, ::2, 1:]
    packed = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], shared[..., 0], shared[..., 1]], axis=-1)

    def edit(dataset: Dataset) -> None:
        dataset.PixelData = packed.tobytes()

    path = write(tmp_path / "us.dcm", ybr, photometric="YBR_FULL_422", edit=edit)
    (found,) = frames_of(path)
    need("dcmj2pnm")
    assert np.abs(found.astype(int) - by_dcmtk(path, tmp_path / "us.ppm")).max() <= 2


def test_chrominance_that_is_said_to_be_halved_but_is_not_is_read_at_its_full_size(tmp_path: Path) -> None:
    rgb = small_flow()
    stack = np.stack([rgb, rgb[::-1]])
    found = frames_of(write(tmp_path / "us.dcm", ybr_full(stack), photometric="YBR_FULL_422", multi_frame=True))
    assert np.abs(np.stack(found).astype(int) - stack).max() <= 2


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_is_black_at_zero_in_either_sense(tmp_path: Path, need: Need, photometric: str) -> None:
    grey = screen()
    path = write(tmp_path / "us.dcm", 255 - grey if photometric == "MONOCHROME1" else grey, photometric=photometric)
    (found,) = frames_of(path)
    assert np.array_equal(found, grey)
    need("dcmj2pnm")
    assert np.abs(found.astype(int) - by_dcmtk(path, tmp_path / "us.pgm")).max() <= 1


def test_sixteen_bit_grey_is_shown_over_its_whole_range_and_through_its_window(tmp_path: Path) -> None:
    grey = screen()
    wide = grey.astype(np.uint16) << 4
    (whole,) = frames_of(write(tmp_path / "a.dcm", wide, BitsStored=12, HighBit=11))
    assert np.abs(whole.astype(int) - grey).max() <= 1
    (windowed,) = frames_of(
        write(tmp_path / "b.dcm", wide, BitsStored=12, HighBit=11, WindowCenter=1024, WindowWidth=2048)
    )
    assert np.abs(windowed.astype(int) - np.minimum(2 * grey.astype(int), 255)).max() <= 2


@pytest.mark.parametrize(("bits", "entries", "first"), [(8, 256, 0), (16, 256, 0), (16, 200, 10)])
def test_a_palette_is_applied(tmp_path: Path, need: Need, bits: int, entries: int, first: int) -> None:
    level = np.linspace(0, 2**bits - 1, entries)
    table = np.rint(np.stack([level, level * 0.8, level[::-1]], axis=1)).astype(int)
    indices = screen()
    path = write(
        tmp_path / "us.dcm",
        indices,
        photometric="PALETTE COLOR",
        edit=lambda dataset: palette(dataset, bits, table, first),
    )
    (found,) = frames_of(path)
    expected = table[np.clip(indices.astype(int) - first, 0, entries - 1)] >> (bits - 8)
    assert np.array_equal(found, expected)
    need("dcmj2pnm")
    assert np.abs(found.astype(int) - by_dcmtk(path, tmp_path / "us.ppm")).max() <= 1


def test_a_palette_of_16_bits_that_holds_8_is_not_shown_black(tmp_path: Path) -> None:
    table = np.repeat(np.arange(256)[:, None], 3, axis=1)
    path = write(
        tmp_path / "us.dcm", screen(), photometric="PALETTE COLOR", edit=lambda dataset: palette(dataset, 16, table)
    )
    assert np.array_equal(frames_of(path)[0], np.repeat(screen()[..., None], 3, axis=2))


def test_a_segmented_palette_is_unfolded(tmp_path: Path) -> None:
    def edit(dataset: Dataset) -> None:
        for channel in ("Red", "Green", "Blue"):
            setattr(dataset, f"{channel}PaletteColorLookupTableDescriptor", [256, 0, 16])
            # discrete: one value, 0; linear: 255 values up to 65535 (PS3.3 C.7.9.2.1)
            segments = np.array([0, 1, 0, 1, 255, 65535], dtype="<u2").tobytes()
            setattr(dataset, f"Segmented{channel}PaletteColorLookupTableData", segments)

    (found,) = frames_of(write(tmp_path / "us.dcm", screen(), photometric="PALETTE COLOR", edit=edit))
    assert np.abs(found.astype(int) - screen()[..., None]).max() <= 1


@pytest.mark.parametrize("entries", [None, 0, 5])
def test_a_palette_that_is_missing_or_too_short_is_undecodable(tmp_path: Path, entries: int | None) -> None:
    def edit(dataset: Dataset) -> None:
        if entries is not None:
            palette(dataset, 8, np.zeros((entries, 3), dtype=int))
            dataset.RedPaletteColorLookupTableDescriptor = [256, 0, 8]

    with pytest.raises(UndecodablePixels):
        frames_of(write(tmp_path / "us.dcm", screen(), photometric="PALETTE COLOR", edit=edit))


@pytest.mark.parametrize(
    "syntax",
    [RLELossless, JPEGLSLossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian],
    ids=lambda syntax: syntax.name,
)
@pytest.mark.parametrize("colour", [False, True])
def test_every_lossless_syntax_gives_the_frames_of_a_cine(tmp_path: Path, syntax: str, colour: bool) -> None:
    one = with_flow(screen())[100:260, 200:400] if colour else screen()[100:260, 200:400]
    stack = np.stack([one, one[::-1], one[:, ::-1]])
    found = frames_of(write(tmp_path / "us.dcm", stack, multi_frame=True, planar=0, syntax=syntax))
    assert np.array_equal(np.stack(found), stack)


@pytest.mark.parametrize(
    ("program", "options", "tolerance"),
    [("dcmcjpeg", ("+e1",), 0), ("dcmcjpeg", ("+el",), 0), ("dcmcjpeg", ("+eb", "+s2"), 1), ("dcmcrle", (), 0)],
    ids=["JPEG lossless SV1", "JPEG lossless", "JPEG baseline 4:2:2", "RLE"],
)
@pytest.mark.parametrize("colour", [False, True])
def test_what_another_program_compressed_is_what_that_program_shows(
    tmp_path: Path, need: Need, *, program: str, options: tuple[str, ...], tolerance: int, colour: bool
) -> None:
    need(program, "dcmj2pnm")
    one = small_flow() if colour else screen()[150:301, 200:401]
    plain = write(tmp_path / "plain.dcm", np.stack([one, one[::-1], one[:, ::-1]]), multi_frame=True, planar=1)
    path = tmp_path / "us.dcm"
    subprocess.run([program, *options, str(plain), str(path)], check=True, capture_output=True)
    for number, found in enumerate(frames_of(path), start=1):
        shown = by_dcmtk(path, tmp_path / "us.pnm", number)
        difference = np.abs(found.astype(int) - shown)
        assert np.percentile(difference, 99) <= tolerance  # halved chrominance is smoothed by some decoders, not by all
        assert difference.mean() < 1


def test_markers_in_the_code_stream_outweigh_a_wrong_colour_space(tmp_path: Path) -> None:
    rgb = small_flow()
    flat = np.full_like(rgb, (200, 60, 20))
    for name, stream, said in (
        ("jfif", jpeg(flat), "RGB"),  # JFIF: YCbCr
        ("adobe", jpeg(flat, keep_rgb=True, subsampling=0), "YBR_FULL_422"),  # Adobe and component names: RGB
    ):

        def edit(dataset: Dataset, stream: bytes = stream) -> None:
            as_jpeg(dataset, [stream])

        path = write(tmp_path / f"{name}.dcm", flat, photometric=said, edit=edit)
        assert np.abs(frames_of(path)[0].astype(int) - flat).max() <= 4, name


def test_fragments_are_joined_with_and_without_an_offset_table(tmp_path: Path) -> None:
    rgb = small_flow()
    streams = [jpeg(rgb), jpeg(np.ascontiguousarray(rgb[::-1]))]
    whole = frames_of(
        write(
            tmp_path / "whole.dcm",
            np.stack([rgb, rgb]),
            multi_frame=True,
            photometric="YBR_FULL_422",
            edit=lambda dataset: as_jpeg(dataset, streams),
        )
    )
    parts = [part for stream in streams for part in (stream[:1000], stream[1000:])]
    for name, table in (("table", [0, 16 + len(streams[0])]), ("none", None), ("wrong", [0, 4])):

        def edit(dataset: Dataset, table: list[int] | None = table) -> None:
            as_jpeg(dataset, streams)
            dataset.PixelData = encapsulated(parts, table)

        path = write(
            tmp_path / f"{name}.dcm",
            np.stack([rgb, rgb]),
            multi_frame=True,
            photometric="YBR_FULL_422",
            edit=edit,
        )
        assert np.array_equal(np.stack(frames_of(path)), np.stack(whole)), name


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=["native", "RLE"])
def test_of_a_cine_no_more_than_a_frame_is_in_memory(tmp_path: Path, syntax: str) -> None:
    frame = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 256, axis=1)
    path = write(tmp_path / "us.dcm", np.stack([frame] * 300), multi_frame=True, syntax=syntax)
    tracemalloc.start()
    with open_frames(path) as reader:
        assert reader.frames == 300
        for number in range(1, 301, 23):
            assert np.array_equal(reader.frame(number), frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * frame.nbytes  # widened to look the greyscale up; the cine is 300
