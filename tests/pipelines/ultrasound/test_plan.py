from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.errors import UndecodablePixels
from pipelines.ultrasound.cine import block_means, distinct, evenly_spread, thinned
from pipelines.ultrasound.frames import UltrasoundFrame, frames
from pipelines.ultrasound.plan import FramePlan, plan_frames
from tests.pipelines.ultrasound.screens import (
    PICTURE,
    described,
    region,
    screen,
    speckle,
    with_callipers,
    with_flow,
    write,
)

X0, Y0, X1, Y1 = PICTURE
MM = (pytest.approx(0.2), pytest.approx(0.1))
DELTA_CM = (0.01, 0.02)


def planned(path: Path, **options: Any) -> FramePlan:
    return plan_frames(path, described(path), **options)


def outcome(plan: FramePlan) -> list[tuple[str, str | None]]:
    return [(item.placed.region.kind, item.reason.code if item.reason else None) for item in plan.regions]


def pictures(path: Path) -> list[UltrasoundFrame]:
    return list(frames(path, planned(path)))


def dual() -> NDArray[np.uint8]:
    """Two pictures side by side."""
    grey = np.zeros((480, 640), dtype=np.uint8)
    grey[60:420, 20:300] = speckle(360, 280)
    grey[60:420, 340:620] = speckle(360, 280, seed=2)
    return grey


def close(box: tuple[int, ...], expected: tuple[int, ...], px: int = 3) -> bool:
    return int(np.abs(np.subtract(box, expected)).max()) <= px


def test_a_calibrated_region_gives_the_picture_in_it_with_its_millimetres(tmp_path: Path) -> None:
    path = write(
        tmp_path / "us.dcm", screen(), regions=[region((100, 40, 530, 440), delta_cm=DELTA_CM)], PixelSpacing=[1, 1]
    )
    (frame,) = pictures(path)
    assert (frame.frame_number, frame.region.found, frame.region.box_px) == (1, "header", (100, 40, 530, 440))
    assert frame.spacing_mm == MM
    assert close(frame.box_px, PICTURE)
    assert frame.pixels.dtype == np.float32
    assert frame.pixels.shape == frame.masked.shape
    assert frame.display.shape == (480, 640)
    x0, y0, x1, y1 = frame.box_px
    assert np.allclose(frame.pixels[~frame.masked] * 255, screen()[y0:y1, x0:x1][~frame.masked], atol=1e-3)


def test_without_regions_the_picture_is_found_in_the_pixels_and_has_no_millimetres(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", screen(), regions=None, PixelSpacing=[0.1, 0.1])
    (frame,) = pictures(path)
    assert (frame.region.found, frame.spacing_mm) == ("pixels", None)
    assert close(frame.box_px, PICTURE)


@pytest.mark.parametrize(
    ("stated", "spacing"),
    [
        ((X0 + 60, Y0, X1 + 160, Y1), MM),  # reaches out of the image, as high as the picture: cropped later
        ((X0 + 60, Y0, X1 + 60, Y1), MM),  # lies in the image, but beside the picture, and as large
        ((X0 + 60, Y0 + 50, X1 + 160, Y1 + 200), None),  # neither as wide nor as high: scaled, perhaps
    ],
)
def test_a_region_stated_for_another_crop_gives_its_millimetres_only_if_the_scale_is_the_same(
    tmp_path: Path, stated: tuple[int, int, int, int], spacing: Any
) -> None:
    path = write(tmp_path / "us.dcm", screen(), regions=[region(stated, delta_cm=DELTA_CM)])
    (frame,) = pictures(path)
    assert frame.region.found == "pixels"
    assert close(frame.box_px, PICTURE)
    assert frame.spacing_mm == spacing


def test_text_and_callipers_are_not_in_the_pixels_that_a_network_sees(tmp_path: Path) -> None:
    grey, drawn = with_callipers(screen())
    path = write(tmp_path / "us.dcm", grey, regions=[region((0, 0, 640, 480))])
    (frame,) = pictures(path)
    x0, y0, x1, y1 = frame.box_px
    there = drawn[y0:y1, x0:x1]
    assert frame.masked[there].mean() > 0.98
    assert frame.pixels[there & frame.masked].max() < 0.81
    assert frame.display[220, 214] == grey[220, 214]


def test_coordinates_go_back_to_the_same_stored_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", screen(), regions=None)
    (frame,) = pictures(path)
    box = (10.0, 20.0, 30.5, 41.0)
    stored = frame.box_to_stored(box)
    assert frame.box_from_stored(stored) == box
    x, y = int(stored[0]), int(stored[1])
    assert frame.pixels[20, 10] * 255 == pytest.approx(float(frame.display[y, x]))
    assert stored == (10 + frame.box_px[0], 20 + frame.box_px[1], 30.5 + frame.box_px[0], 41 + frame.box_px[1])


def test_two_pictures_side_by_side_are_two_and_one_within_another_is_one(tmp_path: Path) -> None:
    left, right = region((10, 50, 310, 430)), region((330, 50, 630, 430), delta_cm=DELTA_CM)
    inner = region((20, 60, 120, 200))
    path = write(tmp_path / "us.dcm", dual(), regions=[left, right, inner, left])
    plan = planned(path)
    assert outcome(plan) == [
        ("tissue", None),
        ("tissue", None),
        ("tissue", "region_within_another"),
        ("tissue", "region_within_another"),
    ]
    assert plan.reason is None
    first, second = frames(path, plan)
    assert close(first.box_px, (20, 60, 300, 420))
    assert close(second.box_px, (340, 60, 620, 420))
    assert second.spacing_mm == MM


@pytest.mark.parametrize(
    ("data_type", "spatial_format", "code"),
    [(2, 1, "colour_flow"), (3, 3, "spectral_doppler"), (1, 2, "m_mode"), (10, 4, "not_a_picture")],
)
def test_other_modes_have_their_reason_and_the_tissue_beside_them_is_analysed(
    tmp_path: Path, data_type: int, spatial_format: int, code: str
) -> None:
    other = region((330, 50, 630, 430), data_type=data_type, spatial_format=spatial_format)
    path = write(tmp_path / "us.dcm", dual(), regions=[other, region((10, 50, 310, 430))])
    plan = planned(path)
    assert [found for _, found in outcome(plan)] == [code, None]
    (frame,) = frames(path, plan)
    assert close(frame.box_px, (20, 60, 300, 420))
    alone = planned(write(tmp_path / "alone.dcm", dual(), regions=[other]))
    if code == "not_a_picture":  # says nothing of where the picture is
        assert alone.reason is None
    else:
        assert alone.reason is not None
        assert alone.reason.code == code


def test_a_colour_box_in_a_picture_makes_it_a_doppler_picture(tmp_path: Path) -> None:
    box = region((200, 150, 400, 300), data_type=2)
    plan = planned(write(tmp_path / "us.dcm", screen(), regions=[region((100, 40, 530, 440), flags=1), box]))
    assert outcome(plan) == [("tissue", "colour_flow"), ("colour_flow", "colour_flow")]
    stated = planned(
        write(
            tmp_path / "type.dcm",
            screen(),
            regions=[region((100, 40, 530, 440))],
            ImageType=["ORIGINAL", "PRIMARY", "BREAST", "0011"],
        )
    )
    assert stated.reason is not None
    assert stated.reason.code == "colour_flow"


@pytest.mark.parametrize("regions", [None, [region((100, 40, 530, 440))]], ids=["no regions", "tissue"])
def test_flow_is_noticed_in_the_pixels_where_the_header_is_silent(tmp_path: Path, regions: Any) -> None:
    plan = planned(write(tmp_path / "us.dcm", with_flow(screen()), regions=regions))
    assert outcome(plan) == [("tissue", "colour_in_picture")]
    assert plan.reason is not None
    assert plan.reason.code == "colour_in_picture"
    assert not list(frames(tmp_path / "us.dcm", plan))


def test_coloured_callipers_are_masked_and_do_not_make_a_picture_one_of_flow(tmp_path: Path) -> None:
    rgb = np.repeat(screen()[..., None], 3, axis=2)
    _, drawn = with_callipers(screen())
    rgb[drawn] = (0, 255, 0)
    (frame,) = pictures(write(tmp_path / "us.dcm", rgb, regions=None))
    x0, y0, x1, y1 = frame.box_px
    assert frame.masked[drawn[y0:y1, x0:x1]].all()


@pytest.mark.parametrize(("flags", "covered"), [((1, 0), True), ((0, 0), True), ((0, 1), False)])
def test_a_trace_over_the_picture_is_blackened_unless_the_tissue_has_priority(
    tmp_path: Path, flags: tuple[int, int], covered: bool
) -> None:
    tissue = region((100, 40, 530, 440), flags=flags[0])
    trace = region((100, 380, 530, 440), data_type=10, spatial_format=4, flags=flags[1])
    (frame,) = pictures(write(tmp_path / "us.dcm", screen(), regions=[tissue, trace]))
    y = 400 - frame.box_px[1]
    assert bool(frame.masked[y].all()) is covered
    assert bool((frame.pixels[y] == 0).all()) is covered


@pytest.mark.parametrize(
    ("regions", "code"),
    [
        ([region((0, 0, 100, 2000), data_type=3, spatial_format=3), region((0, 0, 600, 400))], "regions_misplaced"),
        ([region((0, 0, 100, 2000), data_type=2), region((0, 0, 600, 400))], "colour_flow"),
        ([region((0, 430, 640, 480))], "no_picture"),
        ([region((130, 70, 190, 400))], "picture_too_small"),
    ],
)
def test_regions_that_cannot_be_used_give_a_reason(tmp_path: Path, regions: Any, code: str) -> None:
    plan = planned(write(tmp_path / "us.dcm", screen(), regions=regions))
    assert plan.reason is not None
    assert plan.reason.code == code
    assert plan.frame_numbers == ()


def test_an_object_that_is_unfit_is_not_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", screen(), BodyPartExamined="LIVER", ImageType=["ORIGINAL", "PRIMARY"])
    path.write_bytes(path.read_bytes()[:-1000])
    plan = planned(path)
    assert plan.reason is not None
    assert (plan.reason.code, plan.regions) == ("not_breast", ())


def moving(count: int, *, still: range = range(0)) -> NDArray[np.uint8]:
    """A cine in which a dark lesion wanders, but for some frames; numbered in the corner of the screen."""
    base = screen()
    row, column = np.mgrid[:480, :640]
    stack = np.empty((count, 480, 640), dtype=np.uint8)
    for index in range(count):
        place = still.start if index in still else index
        x = 170 + round(300 * place / count)
        frame = base.copy()
        frame[np.hypot(row - 240, column - x) < 40] = 12
        image = Image.fromarray(frame)
        ImageDraw.Draw(image).text((560, 440), str(index + 1), fill=255)
        stack[index] = np.array(image)
    return stack


def test_frames_of_a_cine_are_spread_distinct_and_the_same_every_time(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", moving(60, still=range(20, 60)), multi_frame=True, regions=None)
    plan = planned(path, max_frames=8)
    (only,) = plan.regions
    assert plan.frame_numbers == planned(path, max_frames=8).frame_numbers
    assert 2 <= len(only.frame_numbers) <= 8
    assert sum(number > 21 for number in only.frame_numbers) <= 1
    found = list(frames(path, plan))
    assert [frame.frame_number for frame in found] == list(only.frame_numbers)
    for frame in found:
        assert np.array_equal(frame.display, moving(60, still=range(20, 60))[frame.frame_number - 1])


def test_coloured_frames_of_a_cine_are_left_out_and_the_rest_is_analysed(tmp_path: Path) -> None:
    plain = np.repeat(moving(6)[..., None], 3, axis=3)
    stack = np.stack([with_flow(frame[..., 0]) if index in {1, 4} else frame for index, frame in enumerate(plain)])
    plan = planned(write(tmp_path / "us.dcm", stack, multi_frame=True, regions=None))
    assert plan.frame_numbers == (1, 3, 4, 6)


def test_memory_does_not_grow_with_the_length_of_a_cine(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = write(tmp_path / f"{count}.dcm", np.repeat(moving(4), count // 4, axis=0), multi_frame=True)
        header = described(path)
        tracemalloc.start()
        for frame in frames(path, plan_frames(path, header, max_frames=2)):
            assert frame.pixels.any()
        _, found = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    assert peak(80) < peak(8) + 480 * 640


def test_a_cine_that_breaks_off_is_undecodable(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", moving(4), multi_frame=True, regions=None)
    path.write_bytes(path.read_bytes()[: -480 * 640])
    with pytest.raises(UndecodablePixels, match="4 frames"):
        planned(path)


@given(frames=st.integers(1, 5000), count=st.integers(1, 100))
def test_spread_frame_numbers_ascend_within_the_cine(frames: int, count: int) -> None:
    numbers = evenly_spread(frames, count)
    assert len(numbers) == min(frames, count)
    assert list(numbers) == sorted(set(numbers))
    assert numbers[0] >= 1
    assert numbers[-1] <= frames
    gaps = np.diff([1 - numbers[0], *numbers, 2 * frames + 1 - numbers[-1]])  # mirrored at both ends
    assert gaps.max() - gaps.min() <= 2


def test_a_frame_like_any_before_it_is_left_out_and_the_rest_thinned() -> None:
    shown = {"a": np.zeros((4, 4), np.float32), "b": np.full((4, 4), 30, np.float32)}
    assert distinct([1, 5, 9, 13], [shown[name] for name in "abab"]) == (1, 5)
    assert distinct([], []) == ()
    small = np.zeros((45, 50), np.float32)
    small[20:24, 30:34] = 80.0  # a lesion of 4 by 4 blocks: 0.6 grey levels on average
    assert distinct([1, 2, 3], [np.zeros_like(small), small, small]) == (1, 2)
    assert thinned((2, 4, 6, 8, 10), 2) == (4, 8)
    assert thinned((), 3) == ()
    assert block_means(np.arange(16 * 17).reshape(16, 17)).shape == (2, 2)
