"""Real images of the shared folder: decoded as other programs do, the picture found, nothing but drawings masked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.headers import read_header
from pipelines.ultrasound.decoding import open_frames
from pipelines.ultrasound.frames import UltrasoundFrame, frames
from pipelines.ultrasound.plan import FramePlan, plan_frames
from sr_templates.evidence import value_text
from tests.pipelines.ultrasound.screens import described

pytestmark = pytest.mark.shared

US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
ODD = {
    # name: largest difference to another decoder, in grey levels
    "2023-04-21-RLEPlanarConfigurationYBR_FULL": 2,
    "JPGLosslessP14SV1_EPIQ": 1,
    "US1_J2KI": 2,
    "US1_J2KR": 0,
    "US1_RLE": 0,
    "jp2k91YBR-ICT": 2,
}
BREAST = 31
SCALE_IN_PICTURE = {"USABBB1A_IM177", "USD2B767_IM176"}


def by_others(path: Path, out: Path) -> NDArray[np.uint8]:
    """Decompressed by GDCM, rendered by DCMTK, which applies the window of a grey image only when told to."""
    grey = described(path).samples_per_pixel == 1
    window = ["+Wi", "1"] if grey and value_text(read_header(path), "WindowCenter") else []
    subprocess.run(["gdcmconv", "--raw", str(path), str(out / "raw.dcm")], check=True, capture_output=True)
    subprocess.run(["dcmj2pnm", *window, str(out / "raw.dcm"), str(out / "raw.pnm")], check=True, capture_output=True)
    return np.asarray(Image.open(out / "raw.pnm"))


def as_breast(path: Path) -> FramePlan:
    """Planned as if the header had said that it is ultrasound of a breast."""
    return plan_frames(path, replace(described(path), organ="breast", sop_class_uid=US_IMAGE))


def only_picture(path: Path) -> UltrasoundFrame:
    (frame,) = frames(path, as_breast(path))
    return frame


@pytest.mark.parametrize("name", ODD)
def test_odd_files_look_as_other_decoders_show_them(
    shared_dir: Path, tmp_path: Path, need: Callable[..., None], name: str
) -> None:
    need("gdcmconv", "dcmj2pnm")
    path = shared_dir / "data" / "dicom" / "odd" / f"{name}.dcm"
    with open_frames(path) as reader:
        found = reader.frame(1)
    assert np.abs(found.astype(int) - by_others(path, tmp_path)).max() <= ODD[name]


def test_breast_images_look_as_other_decoders_show_them(
    shared_dir: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("dcmj2pnm")
    paths = sorted((shared_dir / "data" / "dicom" / "us").glob("*.dcm"))
    assert len(paths) == BREAST
    for path in paths[::6]:
        subprocess.run(["dcmj2pnm", str(path), str(tmp_path / "us.pnm")], check=True, capture_output=True)
        with open_frames(path) as reader:
            assert np.array_equal(reader.frame(1), np.asarray(Image.open(tmp_path / "us.pnm"))), path.name


def test_the_pictures_of_one_scanner_are_found_at_one_size_whatever_their_stale_regions_say(shared_dir: Path) -> None:
    """Their region data are those of the uncropped screens: the width is that of the probe, 38 px to the centimetre."""
    for path in sorted((shared_dir / "data" / "dicom" / "us").glob("*.dcm")):
        plan = as_breast(path)
        assert plan.reason is None, path.name
        (planned,) = plan.regions
        assert planned.placed.picture is not None
        x0, y0, x1, y1 = planned.placed.picture.box_px
        if not described(path).regions:  # a secondary capture without region data
            assert planned.placed.region.spacing_mm is None
            continue
        assert planned.placed.region.spacing_mm is not None
        row_mm, column_mm = planned.placed.region.spacing_mm
        assert y1 - y0 == pytest.approx(380, abs=3), path.name
        assert row_mm == column_mm
        assert (x1 - x0) * column_mm == pytest.approx(56.6, abs=0.6) or x1 >= described(path).columns - 1, path.name


def test_in_real_tissue_nothing_is_masked_but_the_scale_that_lies_in_two_pictures(shared_dir: Path) -> None:
    masked = {
        path.stem: float(only_picture(path).masked.mean())
        for path in sorted((shared_dir / "data" / "dicom" / "us").glob("*.dcm"))
    }
    assert {name for name, share in masked.items() if share > 0} == SCALE_IN_PICTURE
    assert max(masked.values()) < 0.01


def test_callipers_in_a_sector_are_filled_and_text_around_it_is_black(shared_dir: Path) -> None:
    frame = only_picture(shared_dir / "data" / "dicom" / "odd" / "JPGLosslessP14SV1_EPIQ.dcm")
    x0, y0, _, _ = frame.box_px
    assert frame.spacing_mm == pytest.approx((0.2548, 0.2548), abs=1e-4)
    for x, y in ((629, 319), (689, 435)):  # centres of the two callipers
        assert frame.masked[y - y0 - 6 : y - y0 + 7, x - x0].all()
        assert frame.pixels[y - y0 - 6 : y - y0 + 7, x - x0].max() < 0.8
    assert (frame.pixels[frame.masked][:10] == 0).all()
    corner = frame.pixels[: 200 - y0, : 300 - x0]
    assert corner.size
    assert not corner.any()


def test_headers_and_pixels_of_odd_files_give_their_reasons(shared_dir: Path) -> None:
    odd = shared_dir / "data" / "dicom" / "odd"

    def code(name: str, plan: Callable[[Path], FramePlan]) -> str | None:
        reason = plan(odd / f"{name}.dcm").reason
        return reason.code if reason else None

    assert code("JPGLosslessP14SV1_EPIQ", lambda path: plan_frames(path, described(path))) == "not_breast"
    for name in ("US1_J2KI", "US1_J2KR", "US1_RLE"):
        assert code(name, lambda path: plan_frames(path, described(path))) == "colour_in_picture"
    assert code("2023-04-21-RLEPlanarConfigurationYBR_FULL", as_breast) == "no_picture"  # the probe is in air
    assert code("jp2k91YBR-ICT", as_breast) is None
