"""How planted calcium looks, and what the truth says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.contract import Label
from models.training.clusters import Cluster, make_cluster
from models.training.contract import Medium
from models.training.grains import Grain, box_around, path_lengths_mm, round_grain
from models.training.looks import FLATTEST, RANGES, Exposure, Look, draw_look, finish, slope, step_of
from models.training.planting import BOX_MARGIN_MM, VISIBLE, fewer, noise_level, plant
from tests.training.builders import SHARP, exposure_of, tissue_image

FILM = Look(per_mm=0.5, blur_mm=0.05, film_curve=True, step=1.0 / 255.0)


def flat(brightness: float = 0.4, *, look: Look = SHARP, shape: tuple[int, int] = (160, 160)) -> Exposure:
    return Exposure(pixels=np.full(shape, brightness, dtype=np.float32), spacing_mm=0.1, look=look)


def group(*grains: Grain) -> Cluster:
    return Cluster(label="benign", family="round", grains=grains)


def row_of(radii_mm: tuple[float, ...], apart_mm: float = 2.0) -> Cluster:
    first = -apart_mm * (len(radii_mm) - 1) / 2
    return group(*(round_grain(first + apart_mm * number, 0.0, radius) for number, radius in enumerate(radii_mm)))


def planted_into(exposure: Exposure, cluster: Cluster, at: tuple[float, float] = (80.0, 80.0)) -> np.ndarray:
    """What planting added; it must plant."""
    before = exposure.pixels.copy()
    assert plant(exposure, np.zeros_like(before), cluster, at) is not None
    return exposure.pixels - before


def test_brightness_grows_with_the_thickness_of_the_calcium() -> None:
    cluster = row_of((0.2, 0.4, 0.3))
    exposure = flat()
    added = planted_into(exposure, cluster)
    lengths, window = path_lengths_mm(cluster.grains, (80.0, 80.0), added.shape, 0.1, SHARP.blur_mm)
    assert added[window] == pytest.approx(0.5 * lengths, abs=1e-6)
    outside = added.copy()
    outside[window] = 0.0
    assert not outside.any()


@pytest.mark.parametrize("per_mm", [0.2, 0.8])
def test_contrast_follows_the_look(per_mm: float) -> None:
    added = planted_into(flat(look=replace(SHARP, per_mm=per_mm)), row_of((0.3, 0.3, 0.3)))
    reference = planted_into(flat(), row_of((0.3, 0.3, 0.3)))
    assert added == pytest.approx(reference * per_mm / 0.5, abs=1e-6)


def test_film_is_steepest_in_mid_greys_and_flat_in_toe_and_shoulder() -> None:
    peaks = [planted_into(flat(grey, look=FILM), row_of((0.3, 0.3, 0.3))).max() for grey in (0.1, 0.25, 0.5, 0.75, 0.9)]
    assert peaks[0] < peaks[1] < peaks[2] > peaks[3] > peaks[4]
    assert peaks[1] == pytest.approx(0.75 * peaks[2], rel=1e-3)
    greys = np.linspace(-0.1, 1.1, 61, dtype=np.float32)
    share = slope(greys, FILM)
    assert share.min() == pytest.approx(FLATTEST) and share.max() == pytest.approx(1.0, abs=1e-3)
    assert share[0] == share[-1] == pytest.approx(FLATTEST)
    assert (slope(greys, SHARP) == 1.0).all()


def test_film_comes_out_in_the_steps_of_its_digitiser_and_within_white() -> None:
    exposure = exposure_of(tissue_image(noise=0.2), FILM)
    shown = finish(exposure)
    assert shown.dtype == np.float32
    assert np.abs(shown * 255 - np.rint(shown * 255)).max() < 1e-4
    assert np.abs(shown - np.clip(exposure.pixels, 0.0, 1.0)).max() <= 0.5 / 255 + 1e-6
    digital = replace(exposure, look=SHARP)
    assert np.array_equal(finish(digital), np.clip(exposure.pixels, 0.0, 1.0))


@pytest.mark.parametrize("medium", ["film", "digital"])
def test_looks_are_drawn_within_the_ranges_of_their_medium(medium: Medium) -> None:
    rng = np.random.default_rng(0)
    looks = [draw_look(rng, medium, 0.25) for _ in range(200)]
    contrast, blur = RANGES[medium]
    assert contrast[0] <= min(look.per_mm for look in looks) < max(look.per_mm for look in looks) <= contrast[1]
    assert blur[0] <= min(look.blur_mm for look in looks) < max(look.blur_mm for look in looks) <= blur[1]
    assert {(look.film_curve, look.step) for look in looks} == {(medium == "film", 0.25)}


def test_only_an_image_of_8_bits_is_rounded_to_8_bits() -> None:
    image = tissue_image(noise=0.05)
    assert step_of(image) == 0.0
    assert step_of(replace(image, pixels=(np.rint(image.pixels * 255) / 255).astype(np.float32))) == 1 / 255
    assert step_of(replace(image, pixels=(np.rint(image.pixels * 4095) / 4095).astype(np.float32))) == 0.0


def test_nothing_is_planted_where_the_image_is_white_already() -> None:
    white = flat(1.0)
    assert plant(white, np.zeros_like(white.pixels), row_of((0.3, 0.3, 0.3)), (80.0, 80.0)) is None
    assert (white.pixels == 1.0).all()


@pytest.mark.parametrize("spacing_mm", [0.05, 0.07, 0.1])
@pytest.mark.parametrize("sigma", [0.005, 0.03])
def test_the_noise_of_white_noise_is_measured_to_a_tenth(spacing_mm: float, sigma: float) -> None:
    exposure = exposure_of(tissue_image(400, 400, spacing_mm=spacing_mm, noise=sigma))
    levels = [noise_level(exposure, (x, y)) for x in (150.0, 250.0) for y in (130.0, 200.0, 270.0)]
    assert np.mean(levels) == pytest.approx(sigma, rel=0.1)


def test_at_the_spacing_of_films_part_of_white_noise_is_as_coarse_as_a_grain() -> None:
    exposure = exposure_of(tissue_image(200, 200, spacing_mm=0.2, noise=0.02))
    levels = [noise_level(exposure, (x, y)) for x in (50.0, 100.0, 150.0) for y in (50.0, 100.0, 150.0)]
    assert np.mean(levels) == pytest.approx(0.86 * 0.02, rel=0.05)


def test_grains_do_not_count_as_noise() -> None:
    exposure = exposure_of(tissue_image())
    before = noise_level(exposure, (80.0, 80.0))
    planted_into(exposure, row_of((0.3, 0.3, 0.3, 0.3)))
    assert noise_level(exposure, (80.0, 80.0)) == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize("centre_px", [(0.0, 0.0), (159.9, 159.9), (160.0, 0.0)])
def test_noise_is_known_up_to_the_edges(centre_px: tuple[float, float]) -> None:
    assert noise_level(exposure_of(tissue_image()), centre_px) == pytest.approx(0.01, rel=0.25)


def test_an_image_without_noise_still_has_that_of_rounding() -> None:
    assert noise_level(flat(), (80.0, 80.0)) == 0.25 / 255


@pytest.mark.parametrize("label", ["benign", "malignant"])
@pytest.mark.parametrize("at", [(80.0, 80.0), (6.0, 80.0), (150.0, 155.0)])
def test_the_box_holds_every_visible_grain_and_stays_in_the_image(label: Label, at: tuple[float, float]) -> None:
    boxes = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        exposure = exposure_of(tissue_image(seed=seed), draw_look(rng, "digital", 0.0))
        before = exposure.pixels.copy()
        calcium = np.zeros_like(before)
        noise = noise_level(exposure, at)
        planted = plant(exposure, calcium, make_cluster(rng, label), at)
        if planted is None:
            continue
        boxes += 1
        x0, y0, x1, y1 = planted.box_px
        assert 0.0 <= x0 < x1 <= 160.0 and 0.0 <= y0 < y1 <= 160.0
        assert planted.visible >= 3
        rows, columns = np.nonzero(exposure.pixels - before > 1.05 * VISIBLE * noise)
        assert x0 <= columns.min() and columns.max() + 1 <= x1
        assert y0 <= rows.min() and rows.max() + 1 <= y1
    assert boxes > 10


def test_the_box_leaves_the_margin_of_annotators_around_the_visible_grains() -> None:
    seen, unseen = row_of((0.3, 0.3, 0.3)), round_grain(0.0, 5.0, 0.02)
    exposure = exposure_of(tissue_image())
    planted = plant(exposure, np.zeros_like(exposure.pixels), group(*seen.grains, unseen), (80.0, 80.0))
    assert planted is not None and planted.visible == 3
    assert planted.box_px == box_around(seen.grains, (80.0, 80.0), 0.1, BOX_MARGIN_MM)


def test_nothing_is_planted_into_air() -> None:
    exposure = exposure_of(tissue_image())
    exposure.pixels[:, 80:] = 0.02
    before = exposure.pixels.copy()
    calcium = np.zeros_like(before)
    assert plant(exposure, calcium, row_of((0.4,) * 7), (80.0, 80.0)) is not None
    assert np.array_equal(exposure.pixels[:, 80:], before[:, 80:])
    assert not calcium[:, 80:].any()
    assert calcium[:, :80].any()


@pytest.mark.parametrize(
    ("cluster", "at"),
    [
        (row_of((0.3, 0.3)), (80.0, 80.0)),  # two are no group
        (row_of((0.01, 0.01, 0.01, 0.01)), (80.0, 80.0)),  # too small to be seen at four times the contrast
        (row_of((0.3, 0.3, 0.3)), (140.0, 80.0)),  # in air
        (row_of((0.3, 0.3, 0.3)), (-60.0, 80.0)),  # beyond the edge
        (row_of((0.3,) * 3 + (0.005,) * 30), (-60.0, 80.0)),
    ],
)
def test_where_too_few_grains_would_be_seen_the_image_is_left_as_it_was(
    cluster: Cluster, at: tuple[float, float]
) -> None:
    exposure = exposure_of(tissue_image())
    exposure.pixels[:, 100:] = 0.0
    before, calcium = exposure.pixels.copy(), np.zeros_like(exposure.pixels)
    assert plant(exposure, calcium, cluster, at) is None
    assert np.array_equal(exposure.pixels, before)
    assert not calcium.any()


def test_a_group_of_which_most_grains_are_lost_has_no_box() -> None:
    exposure = exposure_of(tissue_image())
    lost = (round_grain(x, 3.0, 0.01) for x in np.linspace(-5.0, 5.0, 20))
    cluster = group(*row_of((0.3, 0.3, 0.3)).grains, *lost)
    assert plant(exposure, np.zeros_like(exposure.pixels), cluster, (80.0, 80.0)) is None


def test_contrast_is_raised_until_grains_are_seen_and_four_times_at_most() -> None:
    raised = []
    for radius_mm in np.linspace(0.03, 0.4, 38):
        cluster = row_of((float(radius_mm),) * 4)
        exposure = exposure_of(tissue_image(noise=0.02))
        before = exposure.pixels.copy()
        noise = noise_level(exposure, (80.0, 80.0))
        planted = plant(exposure, np.zeros_like(before), cluster, (80.0, 80.0))
        lengths, window = path_lengths_mm(cluster.grains, (80.0, 80.0), before.shape, 0.1, SHARP.blur_mm)
        if planted is None:
            assert 4.0 * 0.5 * lengths.max() <= 1.05 * VISIBLE * noise
            continue
        peak = lengths.argmax()
        raised.append(round(float((exposure.pixels - before)[window].flat[peak] / (0.5 * lengths.flat[peak])), 3))
    assert 2.0 < raised[0] <= 4.0
    assert raised == sorted(raised, reverse=True)
    assert raised[-1] == 1.0


def test_the_calcium_map_marks_what_was_added_above_the_noise_and_keeps_what_was_there() -> None:
    exposure = exposure_of(tissue_image())
    before, calcium = exposure.pixels.copy(), np.zeros_like(exposure.pixels)
    calcium[0, 0] = 0.5
    plant(exposure, calcium, row_of((0.3, 0.3, 0.3)), (80.0, 80.0))
    noise = noise_level(exposure_of(tissue_image()), (80.0, 80.0))
    added = exposure.pixels - before
    assert calcium[0, 0] == 0.5
    calcium[0, 0] = 0.0
    assert ((calcium > 0) == (added > noise)).all()
    assert calcium[calcium > 0] == pytest.approx(added[calcium > 0], abs=1e-6)


def test_fewer_keeps_the_first_grains() -> None:
    cluster = row_of((0.1, 0.2, 0.3))
    assert fewer(cluster, 2).grains == cluster.grains[:2]
