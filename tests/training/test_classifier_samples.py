"""What SPPNet learns from: one class a sample, both equally often, the same samples at the same step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from models.contract import Label
from models.errors import TrainingRefused
from models.training import calcified
from models.training.calcified import CalcifiedSamples, SamplePlan, views_of_classes
from models.training.contract import TrainingImage, TruthBox
from models.training.samples import Batch, varied
from tests.training.builders import tissue_image

PLAN = SamplePlan(sides_px=(64, 128), whole=0.0, large_from=0.0)
NORMALS = [tissue_image(200, 180, name=f"normal {number}", seed=number) for number in range(2)]


def labelled(label: Label, *, brightness: float, name: str = "labelled") -> TrainingImage:
    """An image whose lesion is a square of one brightness."""
    box = TruthBox(box_px=(190.0, 190.0, 210.0, 210.0), label=label)
    image = tissue_image(400, 400, name=name, lesions=(box,), plantable=False)
    image.pixels[190:210, 190:210] = brightness
    return image


def source(
    images: list[TrainingImage], plan: SamplePlan = PLAN, *, batch: int = 8, steps: int = 10
) -> CalcifiedSamples:
    return CalcifiedSamples({"all": (1.0, images)}, plan, 1, batch, steps)


def same(one: Batch, other: Batch) -> bool:
    return one.alone == other.alone and all(
        a.positive == b.positive and np.array_equal(a.pixels, b.pixels)
        for a, b in zip(one.samples, other.samples, strict=True)
    )


def test_the_number_of_a_step_alone_decides_what_it_sees() -> None:
    one, again = source(NORMALS), source(NORMALS)
    one.draw(0)
    assert same(one.draw(3), again.draw(3))
    assert not np.array_equal(one.draw(4).samples[0].pixels[:64, :64], one.draw(3).samples[0].pixels[:64, :64])


def test_half_of_every_step_is_of_either_class_and_crops_of_a_step_have_one_size() -> None:
    sides = Counter()
    for step in range(12):
        batch = source(NORMALS).draw(step)
        (shape,) = {sample.pixels.shape for sample in batch.samples}
        assert shape[0] == shape[1] and 64 <= shape[0] <= 128 and shape[0] % 32 == 0
        assert 2 * sum(sample.positive for sample in batch.samples) == len(batch.samples)
        assert not batch.alone
        sides[shape[0], len(batch.samples)] += 1
    assert set(sides) == {(64, 8), (96, 4), (128, 2)}


def test_pixels_are_brightness_from_0_to_1() -> None:
    for sample in source(NORMALS).draw(1).samples:
        assert sample.pixels.dtype == np.float32 and sample.pixels.flags.c_contiguous
        assert sample.pixels.min() >= 0.0 and sample.pixels.max() <= 1.0


def test_the_class_of_a_planted_sample_is_that_of_all_its_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    planted: list[tuple[Label | None, TrainingImage]] = []
    plant = calcified.plant_whole

    def watched(image: TrainingImage, rng: np.random.Generator, label: Label | None = None) -> TrainingImage:
        made = plant(image, rng, label)
        planted.append((label, made))
        return made

    monkeypatch.setattr(calcified, "plant_whole", watched)
    batches = [source(NORMALS).draw(step) for step in range(4)]
    made = [(label, image) for label, image in planted if image.lesions]
    samples = [sample for batch in batches for sample in batch.samples]
    assert len(made) == len(samples)
    for (label, image), sample in zip(made, samples, strict=True):
        assert {lesion.label for lesion in image.lesions} == {label}
        assert sample.positive == (label == "malignant")


def test_distractors_are_drawn_by_a_lot_that_does_not_know_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same lot, what is drawn before the clusters is the same for both classes."""
    drawn: list[bytes] = []
    draw = calcified.plant_whole.__globals__["draw_distractors"]

    def watched(rng: np.random.Generator, exposure: object, medium: object) -> None:
        draw(rng, exposure, medium)
        drawn.append(exposure.pixels.tobytes())  # type: ignore[attr-defined]  # an Exposure

    monkeypatch.setitem(calcified.plant_whole.__globals__, "draw_distractors", watched)
    for label in ("benign", "malignant"):
        calcified.plant_whole(NORMALS[0], np.random.default_rng(5), label)
    assert drawn[0] == drawn[1]


def test_large_crops_come_in_the_later_part() -> None:
    samples = source(NORMALS, replace(PLAN, large_from=0.5))
    sides = [samples.draw(step).samples[0].pixels.shape[0] for step in range(10)]
    assert set(sides[:5]) == {64} and max(sides[5:]) > 64


def test_whole_images_come_in_the_later_part_and_go_alone() -> None:
    plan = replace(PLAN, whole=1.0, whole_from=0.5, scales=(1.0, 1.0))
    samples = source(NORMALS, plan)
    assert [samples.draw(step).alone for step in range(10)] == [False] * 5 + [True] * 5
    batch = samples.draw(7)
    assert {tuple(sorted(sample.pixels.shape)) for sample in batch.samples} == {(180, 200)}
    assert [sample.positive for sample in batch.samples] in ([False, True], [True, False])


def test_whole_images_are_as_frequent_as_asked() -> None:
    plan = replace(PLAN, whole=0.25, whole_from=0.0, whole_images=0)
    alone = [source(NORMALS, plan, batch=2).draw(step).alone for step in range(120)]
    assert 0.12 < np.mean(alone) < 0.4


def test_an_image_of_half_the_resolution_is_brought_to_the_networks() -> None:
    coarse = [tissue_image(100, 90, spacing_mm=0.2, medium="film", noise=0.02)]
    plan = replace(PLAN, whole=1.0, whole_from=0.0, scales=(1.0, 1.0))
    assert {tuple(sorted(s.pixels.shape)) for s in source(coarse, plan).draw(0).samples} == {(180, 200)}
    assert {s.pixels.shape for s in source(coarse).draw(0).samples} <= {(64, 64), (96, 96), (128, 128)}


def test_real_lesions_are_cropped_around_and_keep_their_class() -> None:
    images = [labelled("benign", brightness=0.1, name="a"), labelled("malignant", brightness=1.0, name="b")]
    for step in range(6):
        for sample in source(images).draw(step).samples:
            breast = float(np.median(sample.pixels))
            assert (sample.pixels.max() > 1.5 * breast) == sample.positive
            assert (sample.pixels.min() < 0.6 * breast) == (not sample.positive)


def test_labelled_and_planted_samples_are_mixed_where_there_are_both(monkeypatch: pytest.MonkeyPatch) -> None:
    planted: list[Label | None] = []
    plant = calcified.plant_whole
    monkeypatch.setattr(
        calcified, "plant_whole", lambda image, rng, label: planted.append(label) or plant(image, rng, label)
    )
    mixed = source([*NORMALS, labelled("malignant", brightness=1.0)], replace(PLAN, real=1.0))
    for step in range(4):
        mixed.draw(step)
    assert set(planted) == {"benign"}, "malignant ones are real, benign ones can only be planted"


def test_a_whole_image_is_malignant_if_any_lesion_is() -> None:
    image = labelled("benign", brightness=0.0)
    worse = TruthBox(box_px=(10.0, 10.0, 20.0, 20.0), label="malignant")
    views = views_of_classes([replace(image, lesions=(*image.lesions, worse)), image], 1, 0.1)
    assert [view.positive for view in views] == [True, False]


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_a_class_that_cannot_be_had_is_refused(label: Label) -> None:
    other = {"benign": "malignant", "malignant": "benign"}[label]
    with pytest.raises(TrainingRefused, match=f"no {other} lesion"):
        source([labelled(label, brightness=1.0)])
    with pytest.raises(TrainingRefused, match="no benign and no malignant lesion"):
        source([tissue_image(plantable=False)])


def test_images_in_which_nothing_can_be_planted_are_an_error_and_no_endless_loop() -> None:
    air = replace(tissue_image(100, 100), pixels=np.zeros((100, 100), dtype=np.float32))
    with pytest.raises(TrainingRefused, match="do the images show breasts"):
        source([air]).draw(0)


def test_training_leaves_the_images_as_they_were() -> None:
    before = [image.pixels.copy() for image in NORMALS]
    samples = source(NORMALS, replace(PLAN, whole=0.5, whole_from=0.0))
    for step in range(4):
        samples.draw(step)
    assert all(np.array_equal(image.pixels, pixels) for image, pixels in zip(NORMALS, before, strict=True))


def test_validation_has_every_plantable_image_once_with_either_class_and_at_the_networks_spacing() -> None:
    coarse = tissue_image(100, 90, spacing_mm=0.2)
    bare = tissue_image(plantable=False)
    views = views_of_classes([coarse, bare, labelled("benign", brightness=0.0)], 3, 0.1)
    assert [view.positive for view in views] == [False, True, False]
    assert [view.pixels.shape for view in views] == [(200, 180), (200, 180), (400, 400)]
    again = views_of_classes([coarse], 3, 0.1)
    assert np.array_equal(views[0].pixels, again[0].pixels) and not np.array_equal(again[0].pixels, again[1].pixels)


def test_variation_keeps_air_and_reaches_all_eight_orientations() -> None:
    pixels = np.zeros((4, 6), dtype=np.float32)
    pixels[0, 1] = 0.5
    seen = set()
    for seed in range(60):
        out = varied(np.random.default_rng(seed), pixels)
        ((y, x),) = np.argwhere(out > 0)
        seen.add((out.shape, int(y), int(x)))
    assert len(seen) == 8
