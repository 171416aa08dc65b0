"""Variation of frames: the same lot gives the same picture, and what is moved goes where the matrix says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.training.frame_looks import brightness_varied, frame_placement, roi_placement


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(12))
def test_brightness_stays_in_range_keeps_its_shape_and_does_not_touch_what_it_was_given(seed: int) -> None:
    pixels = rng(99).random((40, 56), dtype=np.float32)
    before = pixels.copy()
    varied = brightness_varied(rng(seed), pixels)
    assert varied.shape == pixels.shape and varied.dtype == np.float32
    assert varied.min() >= 0.0 and varied.max() <= 1.0
    assert np.array_equal(pixels, before)
    assert np.array_equal(varied, brightness_varied(rng(seed), pixels))


def test_pictures_of_other_lots_differ() -> None:
    pixels = rng(99).random((40, 56), dtype=np.float32)
    assert len({brightness_varied(rng(seed), pixels).tobytes() for seed in range(8)}) == 8


def test_what_is_black_stays_black_but_for_calipers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.frame_looks.P_MARKS", 0.0)
    pixels = rng(0).random((40, 56), dtype=np.float32)
    pixels[:, :10] = 0.0
    assert not any(brightness_varied(rng(seed), pixels)[:, :10].any() for seed in range(20))
    monkeypatch.setattr("models.training.frame_looks.P_MARKS", 1.0)
    assert any(brightness_varied(rng(seed), pixels)[:, :10].any() for seed in range(20))


def test_a_frame_is_laid_out_whole_when_nothing_enlarges_it() -> None:
    """A grey frame, made smaller, keeps nearly all of its area on the canvas whatever is drawn."""
    for seed in range(20):
        theta = torch.from_numpy(frame_placement(rng(seed), (60, 80), scales=(0.6, 0.6)).matrix)[None]
        grid = F.affine_grid(theta, [1, 1, 64, 64], align_corners=False)
        canvas = F.grid_sample(torch.ones(1, 1, 60, 80), grid, align_corners=False)
        area = 64 * 64 / abs(float(torch.linalg.det(theta[0, :, :2])))
        assert float(canvas.sum()) == pytest.approx(area, rel=0.03)


def test_the_ratio_of_sides_is_drawn_alike_whatever_the_frame() -> None:
    def ratio(seed: int, shape: tuple[int, int]) -> float:
        (a, b), (c, d) = frame_placement(rng(seed), shape, scales=(1.0, 1.0)).matrix[:, :2].tolist()
        return math.hypot(c, d) / math.hypot(a, b)

    square, wide = ([ratio(seed, shape) for seed in range(60)] for shape in ((256, 256), (400, 560)))
    assert square == wide
    assert 0.67 < min(wide) < 0.85 and 1.5 < max(wide) < 1.76


def test_about_half_of_all_frames_are_mirrored() -> None:
    matrices = [frame_placement(rng(seed), (60, 80), scales=(0.8, 1.5)).matrix[:, :2] for seed in range(200)]
    assert 70 < sum(np.linalg.det(matrix) < 0 for matrix in matrices) < 130


def test_a_region_holds_its_lesion_and_the_margin_that_was_drawn() -> None:
    lesion = 0.4
    for seed in range(30):
        matrix = roi_placement(rng(seed), lesion, margins=(0.2, 0.2), shift=0.0).matrix
        corners = matrix @ np.array([[-1, 1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, 1]])
        sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=0)
        np.testing.assert_allclose(sides, 2 * lesion * 1.4, rtol=1e-5)
        np.testing.assert_allclose(corners.mean(axis=1), 0.0, atol=1e-6)
