"""Grains are bodies: what the beam crosses is their volume, whatever the pixels and the blur."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from models.training.grains import Grain, box_around, linear_grain, lobed_grain, path_lengths_mm, round_grain

SPACINGS_MM = (0.05, 0.07, 0.1, 0.2)


def drawn(
    grains: list[Grain],
    *,
    spacing_mm: float = 0.1,
    blur_mm: float = 0.0,
    shape: tuple[int, int] = (101, 121),
    centre_px: tuple[float, float] = (60.5, 50.5),
) -> NDArray[np.float32]:
    """The whole image of path lengths."""
    lengths, window = path_lengths_mm(grains, centre_px, shape, spacing_mm, blur_mm)
    image = np.zeros(shape, dtype=np.float32)
    image[window] = lengths
    return image


@pytest.mark.parametrize("radius_mm", [0.1, 0.4, 1.0])
def test_the_beam_runs_through_a_ball_for_its_diameter_at_the_centre(radius_mm: float) -> None:
    image = drawn([round_grain(0.0, 0.0, radius_mm)], spacing_mm=0.01, shape=(301, 301), centre_px=(150.5, 150.5))
    assert image[150, 150] == pytest.approx(2 * radius_mm, rel=0.01)
    assert image.argmax() == np.ravel_multi_index((150, 150), image.shape)


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
@pytest.mark.parametrize("blur_mm", [0.0, 0.05, 0.12])
@pytest.mark.parametrize("radius_mm", [0.25, 0.6])
def test_the_integral_over_the_image_is_the_volume_of_the_ball(
    spacing_mm: float, blur_mm: float, radius_mm: float
) -> None:
    image = drawn([round_grain(0.13, -0.21, radius_mm)], spacing_mm=spacing_mm, blur_mm=blur_mm)
    volume_mm3 = float(image.sum(dtype=np.float64)) * spacing_mm**2
    assert volume_mm3 == pytest.approx(4 / 3 * math.pi * radius_mm**3, rel=0.02)


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_the_smallest_grains_keep_their_volume_to_a_tenth(spacing_mm: float) -> None:
    places = np.random.default_rng(1).uniform(-2.0, 2.0, size=(40, 2))
    image = drawn([round_grain(x, y, 0.06) for x, y in places], spacing_mm=spacing_mm, blur_mm=0.05)
    volume_mm3 = float(image.sum(dtype=np.float64)) * spacing_mm**2
    assert volume_mm3 == pytest.approx(40 * 4 / 3 * math.pi * 0.06**3, rel=0.1)


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_a_grain_lies_where_it_was_put(spacing_mm: float) -> None:
    image = drawn([round_grain(0.6, -0.4, 0.3)], spacing_mm=spacing_mm, blur_mm=0.05)
    y, x = np.indices(image.shape) + 0.5
    centre = np.array([(x * image).sum(), (y * image).sum()]) / image.sum()
    assert centre == pytest.approx([60.5 + 0.6 / spacing_mm, 50.5 - 0.4 / spacing_mm], abs=0.01 / spacing_mm)


def test_blur_spreads_a_grain_and_lowers_its_peak() -> None:
    sharp, blurred = (drawn([round_grain(0.0, 0.0, 0.2)], blur_mm=blur_mm) for blur_mm in (0.0, 0.12))
    assert blurred.max() < 0.9 * sharp.max()
    assert (blurred > 0.01).sum() > (sharp > 0.01).sum()


def test_a_hollow_grain_is_darker_in_the_middle_than_at_its_rim() -> None:
    image = drawn([round_grain(0.0, 0.0, 0.8, hollow=0.8)], spacing_mm=0.02, shape=(121, 121), centre_px=(60.5, 60.5))
    assert image[60, 60] == pytest.approx(2 * 0.2 * 0.8, rel=0.02)
    assert image[60].max() > 2.5 * image[60, 60]


def test_a_hollow_grain_has_the_volume_of_its_shell() -> None:
    image = drawn([round_grain(0.0, 0.0, 0.8, hollow=0.6)], spacing_mm=0.05)
    volume_mm3 = float(image.sum(dtype=np.float64)) * 0.05**2
    assert volume_mm3 == pytest.approx(4 / 3 * math.pi * (0.8**3 - 0.48**3), rel=0.02)


def test_balls_of_one_grain_that_overlap_are_no_thicker_than_the_larger() -> None:
    one = round_grain(0.0, 0.0, 0.4)
    both = Grain(balls_mm=np.array([[0.0, 0.0, 0.4], [0.1, 0.0, 0.3]]))
    assert drawn([both]).max() == pytest.approx(drawn([one]).max(), rel=1e-6)


def test_two_grains_one_above_the_other_add_up() -> None:
    one = round_grain(0.0, 0.0, 0.4)
    assert drawn([one, one]) == pytest.approx(2 * drawn([one]))


def test_density_scales_the_path() -> None:
    solid = round_grain(0.0, 0.0, 0.3)
    weak = Grain(balls_mm=solid.balls_mm, density=0.4)
    assert drawn([weak]) == pytest.approx(0.4 * drawn([solid]), rel=1e-5)


def test_a_grain_across_the_edge_is_cut_there_and_unchanged_within() -> None:
    grain = round_grain(0.0, 0.0, 1.0)
    whole = drawn([grain])
    lengths, window = path_lengths_mm([grain], (3.5, 50.5), (101, 121), 0.1, 0.0)
    assert window[1].start == 0
    assert lengths[:, :13] == pytest.approx(whole[window[0], 57:70], abs=1e-6)


@pytest.mark.parametrize("centre_px", [(-40.0, 50.0), (300.0, 50.0), (60.0, -40.0), (60.0, 300.0)])
def test_a_grain_outside_the_image_gives_an_empty_window(centre_px: tuple[float, float]) -> None:
    lengths, window = path_lengths_mm([round_grain(0.0, 0.0, 0.5)], centre_px, (101, 121), 0.1, 0.1)
    assert lengths.size == 0
    assert np.zeros((101, 121))[window].shape == lengths.shape


def test_the_box_holds_all_that_is_drawn_and_touches_it() -> None:
    rng = np.random.default_rng(5)
    grains = [lobed_grain(rng, -0.7, 0.3, 0.3, 4), linear_grain(rng, (0.4, 0.2), 0.1, 1.2, 0.7)]
    image = drawn(grains, spacing_mm=0.02, shape=(400, 400), centre_px=(200.0, 200.0))
    rows, columns = np.nonzero(image)
    x0, y0, x1, y1 = box_around(grains, (200.0, 200.0), 0.02, margin_mm=0.0)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx((x0, y0, x1, y1), abs=2.0)
    wider = box_around(grains, (200.0, 200.0), 0.02, margin_mm=0.5)
    assert wider == pytest.approx((x0 - 25, y0 - 25, x1 + 25, y1 + 25))


def test_the_same_seed_gives_the_same_grain_and_another_one_another() -> None:
    def made(seed: int) -> list[Grain]:
        rng = np.random.default_rng(seed)
        return [lobed_grain(rng, 0.0, 0.0, 0.3, 5), linear_grain(rng, (0.0, 0.0), 0.1, 1.0, 0.0)]

    for first, again, other in zip(made(3), made(3), made(4), strict=True):
        assert np.array_equal(first.balls_mm, again.balls_mm)
        assert not np.array_equal(first.balls_mm, other.balls_mm)
