"""Crops: the same number is the same crop anywhere, and boxes go where their pixels go."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from models.training.contract import TrainingImage, TruthBox
from models.training.crops import MIN_SHARE_INSIDE, MIN_SIDE_PX, Crop, CropPlan, CropSampler
from tests.training.builders import tissue_image

PLAN = CropPlan(side_px=96)
BARE = CropPlan(side_px=96, clusters=(1.0, 0.0, 0.0), distractors=0.0)

SQUARE = (140.0, 100.0, 172.0, 120.0)


def sampler(*images: TrainingImage, plan: CropPlan = PLAN, seed: int = 1) -> CropSampler:
    return CropSampler({"all": (1.0, images or (tissue_image(240, 300),))}, plan, seed)


def with_square(spacing_mm: float = 0.1) -> TrainingImage:
    """An image with one lesion: all pixels of its box are white, and no others."""
    lesion = TruthBox(box_px=SQUARE, label="malignant")
    image = tissue_image(240, 300, spacing_mm=spacing_mm, lesions=(lesion,), plantable=False)
    x0, y0, x1, y1 = map(int, SQUARE)
    image.pixels[y0:y1, x0:x1] = 1.0
    return image


def assert_same(one: Crop, other: Crop) -> None:
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.boxes, other.boxes)
    assert np.array_equal(one.calcium, other.calcium, equal_nan=True)
    assert one.labels == other.labels


def test_the_same_number_is_the_same_crop_in_whatever_order() -> None:
    forward, backward = sampler(), sampler()
    first = [forward.draw(number) for number in range(12)]
    last = [backward.draw(number) for number in reversed(range(12))][::-1]
    for one, other in zip(first, last, strict=True):
        assert_same(one, other)
    assert len({crop.pixels.tobytes() for crop in first}) == 12


def test_another_seed_gives_other_crops() -> None:
    assert not np.array_equal(sampler(seed=1).draw(0).pixels, sampler(seed=2).draw(0).pixels)


def test_another_process_draws_the_same_crop() -> None:
    here = sampler()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        there = pool.submit(sampler().draw, 5).result()
    here.draw(4)
    assert_same(here.draw(5), there)


def test_drawing_leaves_the_images_as_they_were() -> None:
    image = tissue_image(240, 300)
    before = image.pixels.copy()
    drawn = sampler(image)
    for number in range(20):
        drawn.draw(number)
    assert np.array_equal(image.pixels, before)


@pytest.mark.parametrize("spacing_mm", [0.07, 0.1, 0.2])
def test_crops_are_as_said_and_boxes_lie_within(spacing_mm: float) -> None:
    drawn = sampler(tissue_image(240, 300, spacing_mm=spacing_mm))
    crops = [drawn.draw(number) for number in range(60)]
    assert sum(len(crop.labels) for crop in crops) > 10
    for crop in crops:
        assert crop.pixels.shape == crop.calcium.shape == (96, 96)
        assert crop.pixels.dtype == crop.calcium.dtype == crop.boxes.dtype == np.float32
        assert crop.pixels.min() >= 0.0 and crop.pixels.max() <= 1.0
        assert crop.boxes.shape == (len(crop.labels), 4)
        assert (crop.boxes >= 0.0).all() and (crop.boxes <= 96.0).all()
        assert (crop.boxes[:, 2:] - crop.boxes[:, :2] >= MIN_SIDE_PX).all()


def test_a_box_follows_its_pixels_through_every_flip_turn_and_scale() -> None:
    drawn = sampler(with_square(), plan=BARE)
    seen, wide = 0, 0
    for number in range(150):
        crop = drawn.draw(number)
        for x0, y0, x1, y1 in crop.boxes:
            rows, columns = np.nonzero(crop.pixels > np.float32(0.5) * (0.5 + crop.pixels.max()))
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx(
                (x0, y0, x1, y1), abs=1.0
            )
            assert crop.labels == ("malignant",)
            seen += 1
            wide += x1 - x0 > y1 - y0
    assert seen > 60
    assert 0.3 < wide / seen < 0.7  # turned by a quarter half of the time


def test_all_eight_ways_to_lay_a_crop_are_drawn() -> None:
    """A ramp that grows to the right and half as quickly downwards shows how it was laid."""
    image = tissue_image(400, 400, noise=0.0)
    y, x = np.indices(image.pixels.shape)
    image.pixels[:] = 0.2 + x / 2000 + y / 4000
    drawn = sampler(image, plan=replace(BARE, side_px=64))
    ways = Counter()
    for number in range(200):
        pixels = drawn.draw(number).pixels
        if pixels.min() > 0.0:
            down, across = (float(step.mean()) for step in np.gradient(pixels))
            ways[across > 0, down > 0, abs(across) > abs(down)] += 1
    assert len(ways) == 8
    assert min(ways.values()) > 0.04 * sum(ways.values())


def test_a_lesion_of_which_too_little_is_inside_has_no_box() -> None:
    drawn = sampler(with_square(), plan=BARE)
    for number in range(150):
        crop = drawn.draw(number)
        white = crop.pixels > np.float32(0.5) * (0.5 + crop.pixels.max()) if crop.pixels.max() > 0.6 else None
        if white is not None and not len(crop.boxes):
            assert white.sum() < 1.4 * MIN_SHARE_INSIDE * 32 * 20


def test_the_scale_is_that_of_the_plan_whatever_the_spacing_of_the_image() -> None:
    for spacing_mm in (0.05, 0.1):
        drawn = sampler(with_square(spacing_mm), plan=replace(BARE, scales=(1.0, 1.0)))
        whole = [
            sorted((box[2] - box[0], box[3] - box[1]))
            for box in np.concatenate([drawn.draw(number).boxes for number in range(80)])
            if box[:2].min() > 0.5 and box[2:].max() < 95.5
        ]
        assert len(whole) > 20
        expected = sorted((32 * spacing_mm / 0.1, 20 * spacing_mm / 0.1))
        assert np.array(whole) == pytest.approx(np.tile(expected, (len(whole), 1)), rel=0.02)


def test_calcium_is_known_where_it_was_planted_and_unknown_where_it_may_be_real() -> None:
    unknown = sampler(with_square(), plan=BARE).draw(0)
    assert np.isnan(unknown.calcium).all()
    empty = sampler(plan=BARE).draw(0)
    assert not empty.calcium.any() and not len(empty.boxes)
    drawn = sampler(plan=replace(BARE, clusters=(0.0, 1.0, 0.0)))
    with_box = 0
    for number in range(40):
        crop = drawn.draw(number)
        assert (crop.calcium > 0).any() or not crop.labels
        if crop.labels and len(crop.boxes) == 1:
            with_box += 1
            x0, y0, x1, y1 = crop.boxes[0]
            rows, columns = np.nonzero(crop.calcium > 0.05)
            inside = (x0 <= columns + 1) & (columns <= x1) & (y0 <= rows + 1) & (rows <= y1)
            assert inside.mean() > 0.5 if len(inside) else True
    assert with_box > 15


def test_nothing_is_planted_in_images_that_may_hold_lesions() -> None:
    image = replace(tissue_image(240, 300), plantable=False)
    drawn = sampler(image, plan=replace(PLAN, clusters=(0.0, 0.0, 1.0)))
    assert not any(drawn.draw(number).labels for number in range(30))


def test_clusters_come_in_the_numbers_of_the_plan_and_of_both_classes() -> None:
    drawn = sampler(tissue_image(400, 400, noise=0.003), plan=CropPlan(side_px=256, distractors=0.0))
    crops = [drawn.draw(number) for number in range(120)]
    counts = Counter(len(crop.labels) for crop in crops)
    assert set(counts) == {0, 1, 2}
    assert counts[1] > counts[2]
    labels = Counter(label for crop in crops for label in crop.labels)
    assert min(labels["benign"], labels["malignant"]) > 0.3 * labels.total()


def test_known_false_positives_are_shown_in_crops_without_clusters_only() -> None:
    """A white point on a mined place at an edge that no other crop is drawn around."""
    image = tissue_image(600, 600, noise=0.0)
    image.pixels[300:, :] = 0.02
    image.pixels[560:562, 560:562] = 1.0
    plan = CropPlan(side_px=64, clusters=(0.5, 0.5, 0.0), distractors=0.0, on_tissue=1.0, on_mined=1.0)
    mined = {image.name: np.array([[561.0, 561.0]])}
    without = CropSampler({"all": (1.0, [image])}, plan, 1)
    with_mined = CropSampler({"all": (1.0, [image])}, plan, 1, mined)
    shown = 0
    for number in range(60):
        before, after = without.draw(number), with_mined.draw(number)
        if before.labels or after.labels:
            assert_same(before, after)
        shown += np.median(after.pixels) < 0.1 and (after.pixels > 0.5).any()
    assert shown > 15


def test_an_image_without_known_false_positives_is_drawn_as_before() -> None:
    drawn, other = sampler(plan=BARE), sampler(plan=BARE)
    other.mined = {"tissue": np.zeros((0, 2)), "another": np.array([[5.0, 5.0]])}
    assert_same(drawn.draw(3), other.draw(3))


def test_groups_are_drawn_from_by_their_shares() -> None:
    def of_brightness(value: float, name: str) -> TrainingImage:
        image = tissue_image(200, 200, noise=0.0, name=name)
        image.pixels[:] = value
        return image

    plan = CropPlan(side_px=32, clusters=(1.0, 0.0, 0.0), distractors=0.0, gammas=(1.0, 1.0), on_tissue=1.0)
    groups = {
        "film": (0.6, [of_brightness(0.2, "a"), of_brightness(0.2, "b")]),
        "digital": (0.2, [of_brightness(0.8, "c")]),
        "phantom": (0.2, []),
    }
    drawn = CropSampler(groups, plan, 1)
    dark = sum(float(drawn.draw(number).pixels.max()) < 0.4 for number in range(400))
    assert dark / 400 == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("groups", [{}, {"film": (1.0, ())}, {"film": (0.0, (tissue_image(),))}])
def test_without_an_image_there_is_nothing_to_draw_from(groups: dict) -> None:
    with pytest.raises(ValueError, match="no image"):
        CropSampler(groups, PLAN, 1)


def test_an_image_smaller_than_the_crop_or_empty_is_taken_too() -> None:
    small, empty = tissue_image(20, 9), tissue_image(50, 50)
    empty.pixels[:] = 0.0
    for image in (small, empty):
        drawn = sampler(image)
        for number in range(20):
            assert np.isfinite(drawn.draw(number).pixels).all()


def test_air_stays_air() -> None:
    image = tissue_image(300, 300)
    image.pixels[:, 150:] = 0.0
    drawn = sampler(image, plan=replace(BARE, scales=(1.0, 1.0)))
    shares = [float((drawn.draw(number).pixels == 0.0).mean()) for number in range(40)]
    assert max(shares) > 0.3
