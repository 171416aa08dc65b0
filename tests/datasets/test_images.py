"""Images of a manifest: the same pixels as in analysis, boxes where they were, and clear words when it cannot be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.coordinates import breast_crop_px
from pipelines.datasets.images import content_hash, inspect_image, load_image
from pipelines.datasets.manifest import ManifestImage
from pipelines.errors import UnusableImage
from pipelines.headers import describe_mammogram
from pipelines.pixels import decode, standardise
from tests.datasets.builders import breast_pixels, entry, lesion, write_png
from tests.factories import small_mammogram


def mammogram(path: Path, **elements: object) -> ManifestImage:
    """A small DICOM mammogram whose spacing is 0.07 mm, and its entry."""
    small_mammogram(path, laterality="L", view="CC", rows=128, columns=160, **elements)
    return entry(path, spacing_mm=None, medium="digital", laterality="L", view="CC")


@pytest.mark.parametrize("look", [load_image, inspect_image])
class TestWhatCannotBeUsed:
    """Both readings, of the whole file and of its header alone, say the same."""

    @pytest.fixture
    def said(self, look: Callable[[ManifestImage], object]) -> Callable[[ManifestImage], str]:
        def message(image: ManifestImage) -> str:
            with pytest.raises(UnusableImage) as caught:
                look(replace(image, line=7))
            assert str(image.path) not in str(caught.value)
            return str(caught.value)

        return message

    def test_a_spacing_that_contradicts_the_header(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        image = mammogram(tmp_path / "a.dcm")
        assert said(replace(image, spacing_mm=0.072)).startswith("line 7: spacing_mm is 0.072, the header says 0.07")

    def test_no_spacing_anywhere(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        assert "give spacing_mm" in said(mammogram(tmp_path / "a.dcm", ImagerPixelSpacing=None))

    def test_pixels_that_are_not_square(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        image = mammogram(tmp_path / "a.dcm", ImagerPixelSpacing=[0.07, 0.08])
        assert "0.07 x 0.08 mm are not square" in said(image)

    def test_an_image_for_processing(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        image = mammogram(tmp_path / "a.dcm", PresentationIntentType="FOR PROCESSING")
        assert "For Presentation" in said(image)

    def test_a_box_that_reaches_out_of_the_image(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        film = entry(write_png(tmp_path / "a.png"), lesions=(lesion(50, 10, 66, 20),))
        assert "64 columns and 96 rows" in said(film)

    def test_a_file_that_is_something_else(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        for name in ("a.png", "a.dcm"):
            (tmp_path / name).write_text("a letter", encoding="utf-8")
            assert said(entry(tmp_path / name)).startswith("line 7: ")

    def test_colour(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        Image.new("RGB", (64, 96)).save(tmp_path / "a.png")
        assert "not greyscale of 8 or 16 bits" in said(entry(tmp_path / "a.png"))

    def test_an_inverted_tiff_of_16_bits(self, tmp_path: Path, said: Callable[[ManifestImage], str]) -> None:
        Image.fromarray(breast_pixels(white=65535)).save(tmp_path / "a.tif", tiffinfo={262: 0})
        assert "invert it" in said(entry(tmp_path / "a.tif"))


def test_dicom_is_read_as_analysis_reads_it(tmp_path: Path) -> None:
    image = mammogram(tmp_path / "a.dcm", WindowCenter=1000, WindowWidth=1500)
    decoded = decode(image.path)
    seen = standardise(decoded, describe_mammogram(decoded.dataset)).pixels
    x0, y0, x1, y1 = breast_crop_px(seen, round(5 / 0.07))
    assert x1 - x0 < 160
    loaded = load_image(image)
    np.testing.assert_array_equal(loaded.pixels, seen[y0:y1, x0:x1])
    assert loaded.spacing_mm == pytest.approx(0.07)
    assert (loaded.patient, loaded.medium, loaded.plantable) == ("p1", "digital", False)


def test_a_spacing_near_that_of_the_header_is_no_contradiction(tmp_path: Path) -> None:
    image = replace(mammogram(tmp_path / "a.dcm"), spacing_mm=0.071)
    assert inspect_image(image).spacing_mm == pytest.approx(0.07)


def test_the_spacing_of_the_manifest_serves_where_the_header_has_none(tmp_path: Path) -> None:
    image = replace(mammogram(tmp_path / "a.dcm", ImagerPixelSpacing=None), spacing_mm=0.05)
    assert load_image(image).spacing_mm == 0.05


@pytest.mark.parametrize(("name", "white"), [("a.png", 255), ("a.png", 65535), ("a.tif", 65535), ("a.pgm", 65535)])
def test_white_is_that_of_the_bits_and_not_of_the_image(tmp_path: Path, name: str, white: int) -> None:
    pixels = breast_pixels(white=white)
    Image.fromarray(pixels.astype(np.uint8) if white == 255 else pixels).save(tmp_path / name)
    loaded = load_image(entry(tmp_path / name))
    assert loaded.pixels.dtype == np.float32
    assert loaded.pixels.max() == pytest.approx(0.4, abs=1e-4)


def test_a_pgm_is_scaled_by_the_white_of_its_header(tmp_path: Path) -> None:
    pixels = breast_pixels(white=4095)
    (tmp_path / "a.pgm").write_bytes(b"P5 64 96 4095\n" + pixels.astype(">u2").tobytes())
    assert load_image(entry(tmp_path / "a.pgm")).pixels.max() == pytest.approx(0.4, abs=1e-3)


def test_the_background_is_cropped_and_boxes_move_along(tmp_path: Path) -> None:
    film = entry(write_png(tmp_path / "a.png"), lesions=(lesion(30, 10, 40.5, 20), lesion(20, 80, 65, 97)))
    loaded = load_image(film)
    assert loaded.pixels.shape == (96, 40)
    assert loaded.lesions == (lesion(6, 10, 16.5, 20), lesion(0, 80, 40, 96))


def test_a_box_beside_the_breast_is_told(tmp_path: Path) -> None:
    film = entry(write_png(tmp_path / "a.png"), lesions=(lesion(2, 10, 12, 20),), line=4)
    with pytest.raises(UnusableImage, match=r"^line 4: a box lies in the background"):
        load_image(film)


def test_facts_of_a_header_are_those_of_the_pixels(tmp_path: Path) -> None:
    film = entry(write_png(tmp_path / "a.png"))
    assert (inspect_image(film).shape, inspect_image(film).spacing_mm) == ((96, 64), 0.2)
    assert inspect_image(mammogram(tmp_path / "a.dcm")).shape == (128, 160)


def test_an_image_is_named_by_its_content_and_not_by_its_file(tmp_path: Path) -> None:
    film = entry(write_png(tmp_path / "Mustermann.png"))
    digest = hashlib.sha256(film.path.read_bytes()).hexdigest()
    assert content_hash(film.path) == digest
    assert load_image(film).name == digest[:16]
    with pytest.raises(UnusableImage, match="cannot be opened"):
        content_hash(tmp_path / "absent.png")
