"""Outline, axes and area of shapes whose size is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from models.lesion_shape import measure, outline, simplified

Mask = NDArray[np.bool_]


def ellipse(a: float, b: float, degrees: float, shape: tuple[int, int] = (240, 320)) -> Mask:
    """Pixels whose middle lies in an ellipse with semi-axes a and b around the middle of the frame."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    turn = math.radians(degrees)
    dx, dy = x - shape[1] / 2 + 0.3, y - shape[0] / 2 - 0.2
    along, across = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
    inside: Mask = (along / a) ** 2 + (across / b) ** 2 <= 1.0
    return inside


def enclosed(points: NDArray[np.float64]) -> float:
    """Area within a polygon."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 128])
@pytest.mark.parametrize(("a", "b"), [(80, 45), (60, 20), (30, 28)])
def test_axes_and_area_of_an_ellipse_are_those_it_was_drawn_with(a: float, b: float, degrees: float) -> None:
    mask = ellipse(a, b, degrees)
    shape = measure(outline(mask), int(mask.sum()), (0.1, 0.1))
    assert shape.long_axis_mm == pytest.approx(0.2 * a, abs=0.11)
    assert shape.short_axis_mm == pytest.approx(0.2 * b, abs=0.11)
    assert shape.area_mm2 == pytest.approx(0.01 * math.pi * a * b, rel=0.01)


def test_the_long_axis_lies_along_the_ellipse_and_the_short_one_across_it() -> None:
    mask = ellipse(80, 30, 30)
    shape = measure(outline(mask), int(mask.sum()), None)
    (x0, y0), (x1, y1) = shape.long_axis_px
    assert math.degrees(math.atan2(y1 - y0, x1 - x0)) % 180 == pytest.approx(30, abs=2)
    (u0, v0), (u1, v1) = shape.short_axis_px
    assert (x1 - x0) * (u1 - u0) + (y1 - y0) * (v1 - v0) == pytest.approx(0, abs=1e-6)


def test_without_a_spacing_there_are_pixels_and_no_millimetres() -> None:
    mask = ellipse(40, 20, 0)
    shape = measure(outline(mask), int(mask.sum()), None)
    assert (shape.long_axis_mm, shape.short_axis_mm, shape.area_mm2) == (None, None, None)
    assert math.dist(*shape.long_axis_px) == pytest.approx(80, abs=1.1)
    assert shape.area_px == mask.sum()


def test_pixels_that_are_not_square_are_measured_in_millimetres() -> None:
    """80 by 40 pixels of 0.1 by 0.3 mm are 8 by 12 mm: the long axis is the upright one."""
    mask = ellipse(40, 20, 0)
    shape = measure(outline(mask), int(mask.sum()), (0.3, 0.1))
    assert shape.long_axis_mm == pytest.approx(12, abs=0.4) and shape.short_axis_mm == pytest.approx(8, abs=0.2)
    (x0, y0), (x1, y1) = shape.long_axis_px
    assert abs(y1 - y0) == pytest.approx(40, abs=1.1) and 0.1 * abs(x1 - x0) < 2
    assert shape.area_mm2 == pytest.approx(math.pi * 40 * 20 * 0.03, rel=0.01)


def test_a_notch_does_not_shorten_the_short_axis() -> None:
    mask = ellipse(60, 30, 0)
    notched = mask.copy()
    notched[:115, 150:170] = False
    whole, cut = (measure(outline(one), int(one.sum()), None) for one in (mask, notched))
    assert math.dist(*cut.short_axis_px) == pytest.approx(math.dist(*whole.short_axis_px), abs=2.0)


def test_the_outline_of_a_pixel_goes_through_the_middles_of_its_edges() -> None:
    mask = np.zeros((5, 6), dtype=np.bool_)
    mask[2, 3] = True
    assert outline(mask).tolist() == [[3.5, 2.0], [4.0, 2.5], [3.5, 3.0], [3.0, 2.5]]


def test_a_lesion_at_the_edge_of_the_frame_has_an_outline_on_it() -> None:
    points = outline(np.ones((3, 4), dtype=np.bool_))
    assert points.min(axis=0).tolist() == [0.0, 0.0] and points.max(axis=0).tolist() == [4.0, 3.0]


def test_holes_are_not_outlined() -> None:
    ring = ellipse(40, 30, 0) & ~ellipse(20, 10, 0)
    assert outline(ring).tolist() == outline(ellipse(40, 30, 0)).tolist()


def test_pixels_that_touch_at_a_corner_are_two_regions() -> None:
    with pytest.raises(ValueError, match="not of 2"):
        outline(np.eye(2, dtype=np.bool_))
    with pytest.raises(ValueError, match="not of 0"):
        outline(np.zeros((3, 3), dtype=np.bool_))


def test_a_region_that_touches_itself_at_a_corner_is_walked_around_once() -> None:
    mask = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 1, 1], [1, 1, 0, 0]], dtype=np.bool_)
    points = outline(mask)
    assert len({tuple(point) for point in points.tolist()}) == len(points)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_outlines_of_any_blob_are_closed_and_enclose_about_its_area(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 50)), 2.5)
    labelled, _ = ndimage.label(noise > 0.02)
    mask = ndimage.binary_fill_holes(labelled == labelled.ravel()[np.argmax(noise)])
    points = outline(mask)
    steps = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    assert set(np.round(steps, 6)) <= {round(math.sqrt(0.5), 6), 1.0}
    # Each corner of the pixels' border is cut by a triangle of 1/8; bends to the right and to the left differ by four.
    assert enclosed(points) == pytest.approx(mask.sum() - 4 / 8, abs=1e-6)


def test_a_simplified_outline_stays_within_the_tolerance_and_has_few_points() -> None:
    mask = ellipse(80, 45, 20)
    points = outline(mask)
    few = simplified(points, 0.75)
    assert 8 <= len(few) < len(points) / 6
    assert enclosed(few) == pytest.approx(enclosed(points), rel=0.02)
    for point in points:
        off = (_distance(point, one, other) for one, other in zip(few, np.roll(few, -1, axis=0), strict=True))
        assert min(off) < 0.76


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (1, 9), (3, 3)])
def test_a_simplified_outline_of_the_smallest_region_has_an_area(shape: tuple[int, int]) -> None:
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[5 : 5 + shape[0], 7 : 7 + shape[1]] = True
    few = simplified(outline(mask), 0.75)
    assert len(few) >= 3
    assert enclosed(few) > 0


def _distance(point: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    line = other - one
    share = np.clip(np.dot(point - one, line) / np.dot(line, line), 0, 1)
    return float(np.linalg.norm(point - one - share * line))


def test_a_polygon_by_hand_is_measured_like_an_outline() -> None:
    square = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0]])
    shape = measure(square, 9, (2.0, 2.0))
    assert (shape.long_axis_mm, shape.short_axis_mm) == (pytest.approx(6 * math.sqrt(2)),) * 2
    assert measure(np.array([[0.0, 0.0], [4.0, 0.0]]), 4, (1.0, 1.0)).short_axis_mm == 0.0
    with pytest.raises(ValueError, match="two different points"):
        measure(np.array([[1.0, 1.0]]), 1, None)
