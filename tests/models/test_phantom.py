"""The phantom: the same seed gives the same breast, hung as mammograms are, with lesions where it says."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from models.phantom import Lesion, PhantomView, make_view
from models.phantom.anatomy import plan_lesions
from models.phantom.lesions import Shadow, benign_grains, malignant_grains, plant
from models.phantom.tissue import power_law_noise

SIDES_AND_VIEWS = [(side, view) for side in ("L", "R") for view in ("CC", "MLO")]
CLUSTERS = (
    Lesion(label="malignant", depth=0.5, lateral=0.2, superior=0.1, extent_mm=12.0, seed=5),
    Lesion(label="benign", depth=0.4, lateral=-0.25, superior=-0.2, extent_mm=8.0, seed=6),
)


def small(
    seed: int = 1, laterality: str = "L", view: str = "CC", lesions: tuple[Lesion, ...] | None = CLUSTERS
) -> PhantomView:
    """A whole breast at a coarse spacing, which is quick."""
    return make_view(seed, laterality=laterality, view=view, rows=1144, columns=896, spacing_mm=0.2, lesions=lesions)


@pytest.mark.parametrize(("laterality", "view"), SIDES_AND_VIEWS)
def test_the_same_arguments_give_the_same_pixels_and_another_seed_others(laterality: str, view: str) -> None:
    first, again, other = (small(seed, laterality, view) for seed in (1, 1, 2))
    assert np.array_equal(first.pixels, again.pixels) and first.lesions == again.lesions
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize(("laterality", "view"), SIDES_AND_VIEWS)
def test_air_is_exactly_zero_and_the_breast_is_one_piece_at_its_chest_wall(laterality: str, view: str) -> None:
    image = small(3, laterality, view)
    tissue = image.pixels > 0
    assert image.pixels.dtype == np.uint16 and image.pixels.shape == (1144, 896) and image.pixels.max() <= 4095
    away = tissue if laterality == "L" else tissue[:, ::-1]
    assert 0.15 < tissue.mean() < 0.6
    assert away[:, 0].sum() > 0.5 * len(away) and not away[:, -1].any()
    assert (np.diff(away.astype(int), axis=1) <= 0).all()  # each row: tissue from the chest wall to the skin, then air


def test_cc_is_closed_above_and_below_mlo_runs_into_the_axilla() -> None:
    craniocaudal, oblique = small(3, "L", "CC").pixels, small(3, "L", "MLO").pixels
    assert not craniocaudal[0].any() and not craniocaudal[-1].any()
    assert oblique[0].any() and not oblique[-1].any()


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_mlo_has_the_pectoral_muscle_at_the_upper_chest_wall(laterality: str) -> None:
    pixels = small(3, laterality, "MLO", lesions=()).pixels.astype(float)
    pixels = pixels if laterality == "L" else pixels[:, ::-1]
    corner, same_rows = pixels[10:150, 5:80], pixels[10:150]
    assert corner.mean() > 1.3 * np.median(same_rows[:, 230:280][same_rows[:, 230:280] > 0])


@pytest.mark.parametrize(("laterality", "view"), SIDES_AND_VIEWS)
def test_lesions_lie_in_the_breast_and_are_brighter_than_around(laterality: str, view: str) -> None:
    with_lesions, without = small(4, laterality, view), small(4, laterality, view, lesions=())
    assert [label for _, label in with_lesions.lesions] == ["malignant", "benign"]
    changed = with_lesions.pixels.astype(int) - without.pixels > 250
    assert changed.any()
    for (x0, y0, x1, y1), _ in with_lesions.lesions:
        box = np.s_[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
        assert (with_lesions.pixels[box] > 0).all() and changed[box].any()
        changed[box] = False
    assert not changed.any()


def test_both_views_show_a_lesion_at_the_same_depth() -> None:
    for seed in range(5):
        craniocaudal, oblique = small(seed, "R", "CC", None), small(seed, "R", "MLO", None)
        assert [label for _, label in craniocaudal.lesions] == [label for _, label in oblique.lesions]
        for (first, _), (second, _) in zip(craniocaudal.lesions, oblique.lesions, strict=True):
            assert (first[0], first[2]) == pytest.approx((second[0], second[2]))


def test_lateral_is_up_in_cc_and_upper_outer_is_up_in_mlo() -> None:
    def heights(view: str, **place: float) -> float:
        lesion = Lesion(label="benign", depth=0.5, **{"lateral": 0.0, "superior": 0.0, **place}, extent_mm=5.0, seed=1)
        (box, _), *_ = small(1, "L", view, (lesion,)).lesions
        return (box[1] + box[3]) / 2

    assert heights("CC", lateral=0.3) < heights("CC") == heights("CC", superior=0.3)
    assert heights("MLO", lateral=0.3) < heights("MLO") and heights("MLO", superior=0.3) < heights("MLO")


def test_breasts_of_a_seed_differ_and_planned_lesions_are_in_every_view() -> None:
    counts = []
    for seed in range(40):
        assert plan_lesions(seed, "L") != plan_lesions(seed, "R") or not plan_lesions(seed, "L")
        counts.append(len(plan_lesions(seed, "L")))
        for lesion in plan_lesions(seed, "L"):
            assert (lesion.depth**2 + lesion.lateral**2 + lesion.superior**2) ** 0.5 < 0.8
    assert set(counts) == {0, 1, 2}


def test_a_lesion_outside_the_breast_and_an_unknown_view_are_refused() -> None:
    outside = Lesion(label="benign", depth=0.99, lateral=0.9, superior=0.0, extent_mm=8.0, seed=1)
    with pytest.raises(ValueError, match="outside"):
        small(lesions=(outside,))
    with pytest.raises(ValueError, match="none of L-CC"):
        small(view="XCCL")


@pytest.mark.parametrize(("rows", "columns"), [(64, 48), (333, 257), (100, 400)])
def test_small_images_hold_a_whole_small_breast(rows: int, columns: int) -> None:
    for laterality, view in SIDES_AND_VIEWS:
        image = make_view(7, laterality=laterality, view=view, rows=rows, columns=columns, spacing_mm=0.1)
        assert image.pixels.shape == (rows, columns) and 0.05 < (image.pixels > 0).mean() < 0.9


def test_a_full_field_image_takes_less_than_two_seconds() -> None:
    started = time.process_time()
    image = make_view(1, laterality="L", view="MLO")
    assert image.pixels.shape == (3328, 2560)
    assert time.process_time() - started < 2.0


def test_malignant_grains_are_more_finer_and_more_varied_than_benign_ones() -> None:
    rng = np.random.default_rng(0)
    benign = [benign_grains(rng, 10.0) for _ in range(20)]
    malignant = [malignant_grains(rng, 10.0) for _ in range(20)]
    assert {len(cluster) for cluster in benign} <= set(range(5, 10))
    assert {len(cluster) for cluster in malignant} <= set(range(18, 41))
    assert all(len(grain.path_mm) == 1 for cluster in benign for grain in cluster)
    widths = [2 * grain.radius_mm for cluster in malignant for grain in cluster]
    assert min(widths) >= 0.1 and max(widths) < 0.5
    assert max(np.ptp(grain.path_mm, axis=0).max() for cluster in malignant for grain in cluster) < 1.5
    assert any(len(grain.path_mm) > 4 for cluster in malignant for grain in cluster)


def test_a_grain_adds_its_volume_whatever_the_spacing() -> None:
    radius_mm = 0.4
    volume_mm3 = 4 / 3 * np.pi * radius_mm**3
    for spacing_mm in (0.05, 0.07, 0.1, 0.2):
        image: NDArray[np.float32] = np.zeros((40, 50), dtype=np.float32)
        centre = np.array([[20.3, 15.6]])
        box = plant(image, [Shadow(path_px=centre, radius_mm=radius_mm)], spacing_mm, contrast_per_mm=1.0)
        assert image.sum() * spacing_mm**2 == pytest.approx(volume_mm3, rel=0.02)
        radius_px = radius_mm / spacing_mm
        assert box == pytest.approx((20.3 - radius_px, 15.6 - radius_px, 20.3 + radius_px, 15.6 + radius_px))


def test_a_grain_over_the_edge_is_cut_off() -> None:
    image = np.zeros((20, 20), dtype=np.float32)
    box = plant(image, [Shadow(path_px=np.array([[0.0, 19.5]]), radius_mm=0.3)], 0.1)
    assert box == pytest.approx((0.0, 16.5, 3.0, 20.0))
    assert image[18:, :3].any() and not image[:15].any()


def test_parenchyma_has_the_power_spectrum_of_mammograms() -> None:
    noise = power_law_noise(np.random.default_rng(0), 512, 512)
    power = np.abs(np.fft.fft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512)[None, :])
    used = (frequency > 0.02) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)[0]
    assert slope == pytest.approx(-3.0, abs=0.1)
