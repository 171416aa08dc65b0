"""The free-response curve: by hand, by its properties, and its bootstrap."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contract import Label
from models.evaluation.contract import EvaluatedImage, Interval, NotDefined
from models.evaluation.froc import BAND_RATES, RATES, Froc, froc
from models.evaluation.hits import IOU
from models.evaluation.marks import FalsePositivesOn, marks_of
from models.evaluation.proportions import wilson
from tests.evaluation.cohort import ELSEWHERE, LESION, cohort, image, prediction, truth

SECOND = (600.0, 100.0, 640.0, 140.0)


def curve(
    images: Sequence[EvaluatedImage],
    lesions: Label | None = None,
    on: FalsePositivesOn = "normal images",
    seed: int = 3,
    resamples: int = 200,
) -> Froc:
    made = froc(images, IOU, seed=seed, lesions=lesions, false_positives_on=on, resamples=resamples)
    assert isinstance(made, Froc), made
    return made


def by_hand() -> list[EvaluatedImage]:
    """Four lesions on three images, found at 0.9, 0.6 and 0.2; false positives on two normals at 0.8, 0.6, 0.5, 0.1."""
    return [
        image("a", truth(), found=(prediction(0.9), prediction(0.7), prediction(0.95, ELSEWHERE))),
        image("b", truth("benign"), truth("malignant", SECOND), found=(prediction(0.6), prediction(0.2, SECOND))),
        image("c", truth()),
        image("m", found=(prediction(0.8, ELSEWHERE), prediction(0.6), prediction(0.1))),
        image("n", found=(prediction(0.5),)),
    ]


def test_a_curve_by_hand() -> None:
    made = curve(by_hand())
    assert (made.lesions, made.images, made.patients, made.patients_with_lesions) == (4, 2, 5, 3)
    assert made.curve_thresholds == (None, 0.9, 0.6, 0.2, 0.1)
    assert made.curve_false_positives == (0.0, 0.0, 1.0, 1.5, 2.0)
    assert made.curve_sensitivity == (0.0, 0.25, 0.5, 0.75, 0.75)


def test_the_sensitivity_at_a_rate_is_that_of_the_last_corner_within_it() -> None:
    points = {point.rate: point for point in curve(by_hand()).points}
    assert [points[rate].sensitivity for rate in RATES] == [0.25, 0.25, 0.5, 0.75, 0.75]
    assert [points[rate].score_threshold for rate in RATES] == [0.9, 0.8, 0.6, 0.1, 0.1]
    assert [points[rate].false_positives_per_image for rate in RATES] == [0.0, 0.5, 1.0, 2.0, 2.0]
    assert [points[rate].complete for rate in RATES] == [False, False, False, True, True]


def test_marks_of_equal_score_enter_together() -> None:
    images = [image("a", truth(), found=(prediction(0.5),)), image("n", found=(prediction(0.5), prediction(0.5)))]
    made = curve(images)
    assert made.curve_false_positives == (0.0, 2.0) and made.curve_sensitivity == (0.0, 1.0)
    first = made.points[0]
    assert (first.sensitivity, first.score_threshold, first.false_positives_per_image) == (0.0, None, 0.0)


def test_several_predictions_on_one_lesion_find_it_once_and_are_not_false() -> None:
    marks = marks_of(by_hand(), IOU)
    assert marks.lesion_score.tolist() == [0.9, 0.6, 0.2, -np.inf]
    assert sorted(marks.false_score.tolist()) == [0.1, 0.5, 0.6, 0.8, 0.95]


def test_false_positives_of_abnormal_images_count_only_when_all_images_do() -> None:
    made = curve(by_hand(), on="all images")
    assert made.images == 5
    assert made.curve_false_positives == pytest.approx((0.0, 0.2, 0.6, 0.8, 1.0))


def test_a_hit_on_a_lesion_of_the_other_class_is_not_false_and_its_image_is_not_normal() -> None:
    made = curve(by_hand(), lesions="benign", on="all images")
    assert (made.lesions, made.images) == (1, 5)
    assert max(made.curve_false_positives) == pytest.approx(1.0)
    assert curve(by_hand(), lesions="benign").images == 2


def test_without_predictions_the_curve_is_its_first_corner() -> None:
    made = curve([image("a", truth()), image("b", truth()), image("n"), image("m")])
    assert made.curve_thresholds == (None,) and made.curve_sensitivity == (0.0,)
    assert all(point.sensitivity == 0.0 and point.score_threshold is None for point in made.points)
    assert made.points[0].interval == wilson(0.0, 2, method="Wilson, 2 patients with lesions: all resamples agree")


@pytest.mark.parametrize(
    ("images", "lesions", "reason"),
    [
        ([image("n", found=(prediction(0.5),))], None, "no image has a lesion"),
        ([image("a", truth("benign")), image("n")], "malignant", "no image has a malignant lesion"),
        ([image("a", truth())], None, "there are no normal images"),
        ([], None, "no image has a lesion"),
    ],
)
def test_a_curve_that_the_data_do_not_define_says_why(
    images: list[EvaluatedImage], lesions: Label | None, reason: str
) -> None:
    assert froc(images, IOU, seed=1, lesions=lesions) == NotDefined(reason=reason)


def test_resamples_are_refused_when_there_are_none() -> None:
    with pytest.raises(ValueError, match="resamples"):
        froc(by_hand(), IOU, seed=1, resamples=0)


def test_one_patient_gives_no_interval() -> None:
    images = [image("a", truth(), found=(prediction(0.5),), patient="x"), image("n", patient="y"), image("m")]
    made = curve(images)
    assert isinstance(made.points[0].interval, NotDefined)
    assert made.band_rates == made.band_lower == made.band_upper == ()


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    images, _ = cohort(patients=20, normals=20)
    assert curve(images, seed=5) == curve(images, seed=5)
    assert curve(images, seed=5) != curve(images, seed=6)


def test_the_bootstrap_draws_patients_and_not_images() -> None:
    """Twenty copies of each image of ten patients are no more evidence than one."""
    images, _ = cohort(patients=10, normals=10)
    copies = [
        image(f"{one.name} {number}", *one.truths, found=one.predictions, patient=one.patient)
        for one in images
        for number in range(20)
    ]
    once, often = curve(images).points[2], curve(copies).points[2]
    assert once.sensitivity == often.sensitivity
    assert isinstance(once.interval, Interval) and isinstance(often.interval, Interval)
    assert (once.interval.lower, once.interval.upper) == (often.interval.lower, often.interval.upper)


def test_the_bootstrap_is_that_of_a_plain_loop_over_resampled_images() -> None:
    images, _ = cohort(patients=8, normals=8)
    patients = list(dict.fromkeys(one.patient for one in images))
    random = np.random.default_rng(11)
    drawn = []
    for _ in range(60):
        chosen = [patients[number] for number in random.integers(len(patients), size=len(patients))]
        sample = [
            image(f"{one.name}/{turn}", *one.truths, found=one.predictions, patient=one.patient)
            for turn, name in enumerate(chosen)
            for one in images
            if one.patient == name
        ]
        made = froc(sample, IOU, seed=0, resamples=1)
        if isinstance(made, Froc):
            drawn.append([point.sensitivity for point in made.points])
    lower, upper = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    for point, low, high in zip(curve(images, seed=11, resamples=60).points, lower, upper, strict=True):
        assert isinstance(point.interval, Interval) and point.interval.method.startswith("bootstrap by patient")
        assert point.interval.lower == pytest.approx(min(low, point.sensitivity))
        assert point.interval.upper == pytest.approx(max(high, point.sensitivity))


scores = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
found = st.lists(st.builds(prediction, scores, st.sampled_from([LESION, SECOND, ELSEWHERE])), max_size=5).map(tuple)


@st.composite
def image_sets(draw: st.DrawFn) -> list[EvaluatedImage]:
    """One abnormal and one normal image at least; several images may be of one patient."""
    made = []
    for number in range(draw(st.integers(2, 7))):
        lesions = (truth(), truth("benign", SECOND))[: draw(st.integers(1, 2))] if number % 2 == 0 else ()
        patient = draw(st.sampled_from("wxyz"))
        made.append(image(f"i{number}", *lesions, found=draw(found), patient=patient))
    return made


@settings(max_examples=60, deadline=None)
@given(images=image_sets())
def test_a_curve_never_falls_and_its_intervals_hold_the_estimate(images: list[EvaluatedImage]) -> None:
    made = curve(images, resamples=20)
    for values in (made.curve_false_positives, made.curve_sensitivity, [point.sensitivity for point in made.points]):
        assert all(before <= after for before, after in itertools.pairwise(values))
    thresholds = [threshold for threshold in made.curve_thresholds if threshold is not None]
    assert all(before > after for before, after in itertools.pairwise(thresholds))
    for point in made.points:
        assert 0.0 <= point.sensitivity <= 1.0 and point.false_positives_per_image <= point.rate + 1e-6
        if isinstance(point.interval, Interval):
            assert 0.0 <= point.interval.lower <= point.sensitivity <= point.interval.upper <= 1.0
    assert len(made.band_lower) in (0, len(BAND_RATES))


@settings(max_examples=60, deadline=None)
@given(images=image_sets())
def test_every_threshold_of_a_curve_gives_what_counting_gives(images: list[EvaluatedImage]) -> None:
    made = curve(images, resamples=1)
    corners = zip(made.curve_thresholds, made.curve_false_positives, made.curve_sensitivity, strict=True)
    for threshold, false_positives, sensitivity in corners:
        level = np.inf if threshold is None else threshold
        admitted = [[one.box_px for one in each.predictions if one.score >= level] for each in images]
        normal = [boxes for each, boxes in zip(images, admitted, strict=True) if not each.truths]
        lesions = [
            lesion.box_px in boxes for each, boxes in zip(images, admitted, strict=True) for lesion in each.truths
        ]
        assert false_positives == pytest.approx(sum(map(len, normal)) / len(normal))
        assert sensitivity == pytest.approx(sum(lesions) / len(lesions))
