from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.contract import BoxPx
from pipelines.coordinates import FrameTransform, breast_crop_px, plan_transform, resample

spacings = st.floats(0.02, 0.5)


@st.composite
def transforms(draw: st.DrawFn) -> FrameTransform:
    rows, columns = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    x0, y0 = draw(st.integers(0, columns - 1)), draw(st.integers(0, rows - 1))
    crop = (x0, y0, draw(st.integers(x0 + 1, columns)), draw(st.integers(y0 + 1, rows)))
    spacing, canonical = (draw(spacings), draw(spacings)), draw(st.none() | spacings)
    shape = np.broadcast_to(np.float32(0), (rows, columns))
    return plan_transform(shape, spacing, canonical, crop_px=crop, flip=draw(st.booleans()))


@st.composite
def boxes_in(draw: st.DrawFn, transform: FrameTransform) -> BoxPx:
    x0, y0, x1, y1 = transform.crop_px
    left, right = sorted(draw(st.tuples(st.floats(x0, x1), st.floats(x0, x1))))
    top, bottom = sorted(draw(st.tuples(st.floats(y0, y1), st.floats(y0, y1))))
    return left, top, right, bottom


@given(st.data())
def test_a_box_comes_back_to_a_hundredth_of_a_pixel(data: st.DataObject) -> None:
    transform = data.draw(transforms())
    box = data.draw(boxes_in(transform))
    returned = transform.box_to_stored(transform.box_to_model(box))
    assert np.max(np.abs(np.subtract(returned, box))) < 0.01
    assert np.allclose(transform.box_within_stored(transform.box_to_model(box)), box, atol=0.01)


@given(st.data())
def test_a_box_in_the_model_frame_lies_in_it_and_keeps_its_order(data: st.DataObject) -> None:
    transform = data.draw(transforms())
    x0, y0, x1, y1 = transform.box_to_model(data.draw(boxes_in(transform)))
    rows, columns = transform.model_shape
    assert -1e-6 <= x0 <= x1 <= columns + 1e-6
    assert -1e-6 <= y0 <= y1 <= rows + 1e-6


@given(transforms())
def test_the_crop_becomes_the_whole_model_image(transform: FrameTransform) -> None:
    rows, columns = transform.model_shape
    assert np.allclose(transform.box_to_model(tuple(map(float, transform.crop_px))), (0, 0, columns, rows))


@given(
    square=st.tuples(st.integers(30, 130), st.integers(10, 100), st.integers(16, 40), st.integers(16, 40)),
    spacing=st.tuples(st.floats(0.04, 0.2), st.floats(0.04, 0.2)),
    left=st.integers(0, 28),
    flip=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_a_planted_square_is_found_in_the_model_image_and_maps_back_onto_itself(
    square: tuple[int, int, int, int], spacing: tuple[float, float], left: int, flip: bool
) -> None:
    x, y, width, height = square
    pixels = np.zeros((150, 180), dtype=np.float32)
    pixels[y : y + height, x : x + width] = 1.0
    transform = plan_transform(pixels, spacing, 0.1, crop_px=(left, 0, 180, 150), flip=flip)
    seen = transform.image_to_model(pixels)
    # Edges to a fraction of a pixel: the area under a profile through the square, and its centre of mass.
    x0, y0, x1, y1 = transform.box_to_model((x, y, x + width, y + height))
    for axis, low, high in ((0, x0, x1), (1, y0, y1)):
        profile = seen.sum(axis=axis, dtype=np.float64)
        centre = (np.arange(profile.size) + 0.5) @ profile / profile.sum()
        assert centre == pytest.approx((low + high) / 2, abs=0.2)
        assert profile.sum() / seen.sum(axis=axis).max() == pytest.approx(high - low, rel=0.06)
    found = np.nonzero(seen > 0.5)
    box = (found[1].min(), found[0].min(), found[1].max() + 1, found[0].max() + 1)
    back = transform.box_to_stored(tuple(map(float, box)))
    tolerance = 1.0 + 0.1 / min(spacing)  # a model pixel, in stored pixels, and one for its threshold
    assert np.max(np.abs(np.subtract(back, (x, y, x + width, y + height)))) <= tolerance


@pytest.mark.parametrize(
    ("spacing_mm", "box"), [(0.025, (10, 5, 20, 15)), (0.1, (40, 20, 80, 60)), (0.2, (80, 40, 160, 120))]
)
@pytest.mark.parametrize("flip", [False, True])
def test_corners_stay_corners_whatever_the_scale(spacing_mm: float, box: BoxPx, flip: bool) -> None:
    pixels = np.zeros((120, 200), dtype=np.float32)
    pixels[20:60, 40:80] = 1.0
    transform = plan_transform(pixels, (spacing_mm, spacing_mm), 0.1, crop_px=(0, 0, 200, 120), flip=flip)
    rows, columns = np.nonzero(transform.image_to_model(pixels) > 0.5)
    x0, x1 = (columns.min(), columns.max() + 1)
    if flip:
        x0, x1 = transform.model_shape[1] - x1, transform.model_shape[1] - x0
    assert (x0, rows.min(), x1, rows.max() + 1) == box


@given(arrays.arrays(np.float32, (40, 52), elements=st.floats(0, 1, width=32)), st.booleans())
@settings(deadline=None, max_examples=30)
def test_an_image_comes_back_where_it_was_and_nothing_outside_the_crop(pixels: np.ndarray, flip: bool) -> None:
    transform = FrameTransform(stored_shape=(40, 52), crop_px=(4, 2, 50, 39), flip=flip, model_shape=(37, 46))
    back = transform.image_to_stored(transform.image_to_model(pixels))
    assert np.array_equal(back[2:39, 4:50], pixels[2:39, 4:50])
    assert back[:, :4].sum() == back[:2].sum() == back[:, 50:].sum() == back[39:].sum() == 0


def test_shrinking_averages_so_that_a_fine_grating_does_not_alias() -> None:
    grating = np.tile(np.array([0.0, 1.0], dtype=np.float32), (64, 150))
    small = resample(grating, (20, 91))
    assert np.abs(small - 0.5).max() < 0.1
    assert small.mean() == pytest.approx(0.5, abs=0.01)


def test_the_model_spacing_is_that_of_whole_pixels() -> None:
    pixels = np.zeros((1000, 700), dtype=np.float32)
    transform = plan_transform(pixels, (0.07, 0.05), 0.1, crop_px=(0, 0, 700, 1000))
    assert transform.model_shape == (700, 350)
    assert transform.model_spacing_mm((0.07, 0.05)) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("crop", [(5, 0, 5, 10), (0, 0, 11, 10), (-1, 0, 5, 5), (0, 3, 4, 2)])
def test_a_crop_outside_the_image_is_refused(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="crop"):
        FrameTransform(stored_shape=(10, 10), crop_px=crop, flip=False, model_shape=(10, 10))


def breast(rows: int = 160, columns: int = 200, first: int = 0, last: int = 120) -> np.ndarray:
    pixels = np.zeros((rows, columns), dtype=np.float32)
    y, x = np.mgrid[0:rows, 0:columns]
    half = (last - first) or 1
    pixels[((x - first) / half) ** 2 + ((y - rows / 2) / (0.48 * rows)) ** 2 < 1] = 0.5
    pixels[:, :first] = 0
    return pixels


@given(first=st.integers(0, 40), last=st.integers(60, 190), mirrored=st.booleans())
@settings(deadline=None, max_examples=40)
def test_with_black_air_the_crop_is_exactly_the_papers(first: int, last: int, mirrored: bool) -> None:
    pixels = breast(first=first, last=last)
    pixels = pixels[:, ::-1] if mirrored else pixels
    sums = np.flatnonzero(pixels.sum(axis=0))
    assert breast_crop_px(pixels) == (sums[0], 0, sums[-1] + 1, 160)


def test_a_label_in_the_air_does_not_keep_the_background() -> None:
    pixels = breast(last=110)
    pixels[5:20, 170:195] = 1.0
    assert breast_crop_px(pixels) == (0, 0, 110, 160) or breast_crop_px(pixels)[2] <= 111


@pytest.mark.parametrize(("air", "noise"), [(0.0, 0.005), (0.05, 0.01), (0.2, 0.02)])
def test_noisy_air_is_cropped_and_no_breast_column_is_lost(air: float, noise: float) -> None:
    clean = breast(rows=400, columns=480, last=260)
    noisy = np.clip(clean + air + np.random.default_rng(1).normal(0, noise, clean.shape), 0, 1).astype(np.float32)
    x0, y0, x1, y1 = breast_crop_px(noisy)
    assert (x0, y0, y1) == (0, 0, 400)
    assert 258 <= x1 <= 290


def test_a_strip_too_narrow_for_a_breast_is_not_cropped_to() -> None:
    pixels = np.zeros((300, 300), dtype=np.float32)
    pixels[:, 290:] = 0.5
    assert breast_crop_px(pixels) == (290, 0, 300, 300)
    assert plan_transform(pixels, (0.1, 0.1), 0.1).crop_px == (0, 0, 300, 300)


@given(st.tuples(st.floats(0.02, 0.4), st.floats(0.02, 0.4)), st.integers(0, 200), st.integers(64, 300))
@settings(deadline=None, max_examples=40)
def test_the_models_spacing_is_within_a_hundredth_of_the_canonical(
    spacing: tuple[float, float], first: int, rows: int
) -> None:
    pixels = np.zeros((rows, 300), dtype=np.float32)
    pixels[:, first:] = 0.5
    if min(rows * spacing[0], 300 * spacing[1]) >= 5:
        transform = plan_transform(pixels, spacing, 0.1)
        assert transform.model_spacing_mm(spacing) == pytest.approx((0.1, 0.1), rel=0.0101)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_an_image_without_a_breast_is_not_cropped(level: float) -> None:
    assert breast_crop_px(np.full((90, 70), level, dtype=np.float32)) == (0, 0, 70, 90)


def test_a_breast_that_fills_the_image_is_not_cropped() -> None:
    pixels = np.random.default_rng(2).uniform(0.3, 0.6, (200, 150)).astype(np.float32)
    x0, _, x1, _ = breast_crop_px(pixels)
    assert (x0, x1) == (0, 150)
    assert math.isclose(pixels[:, x0:x1].sum(), pixels.sum())
