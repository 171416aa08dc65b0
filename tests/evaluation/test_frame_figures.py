"""The figures of an evaluation on ultrasound are those by hand, and what is not defined says why."""

from __future__ import annotations

import pytest

from models.evaluation.contract import Interval, NotDefined
from models.evaluation.frame_figures import (
    AUTOMATIC,
    AUTOMATIC_ALL,
    CLINICAL,
    DRAWN,
    RADIOMICS,
    Mean,
    classification_figures,
    segmentation_figures,
)
from models.evaluation.frames import EvaluatedLesion
from models.evaluation.roc import DelongTest, Roc
from tests.evaluation.frame_cohort import cohort, normal, outlined, scored

CLASSES = ("benign", "malignant")


def figures_of(frames, **values):
    given = {"classes": CLASSES, "threshold": 0.5, "with_outlines": True, "comparators": "none", **values}
    return classification_figures(frames, **given)


def test_dice_is_a_mean_over_frames_by_class() -> None:
    frames = [outlined(1, dice=0.8), outlined(2, dice=0.6, truth="malignant"), outlined(3, dice=0.0), normal(4)]
    figures = segmentation_figures(frames)
    assert {name: value.value for name, value in figures.dice.items() if isinstance(value, Mean)} == {
        "lesions": pytest.approx(1.4 / 3),
        "benign": pytest.approx(0.4),
        "malignant": 0.6,
    }
    assert (figures.frames, figures.normal_frames, figures.patients) == (4, 1, 4)
    lesions = figures.dice["lesions"]
    assert isinstance(lesions, Mean) and lesions.median == 0.6 and lesions.frames == 3
    assert isinstance(lesions.interval, Interval) and lesions.interval.lower <= lesions.value <= lesions.interval.upper
    one = figures.dice["malignant"]
    assert isinstance(one, Mean) and isinstance(one.interval, NotDefined)


def test_patients_are_resampled_as_a_whole() -> None:
    apart = segmentation_figures([outlined(n, dice=n / 40) for n in range(40)]).dice["lesions"]
    joined = [outlined(n, dice=n / 40, patient=f"p{n // 10}") for n in range(40)]
    together = segmentation_figures(joined).dice["lesions"]
    assert isinstance(apart, Mean) and isinstance(together, Mean) and apart.value == together.value
    assert isinstance(apart.interval, Interval) and isinstance(together.interval, Interval)
    assert together.interval.upper - together.interval.lower > apart.interval.upper - apart.interval.lower


def test_lesions_are_found_from_half_of_the_union_on_and_counted_by_class() -> None:
    lesions = tuple(EvaluatedLesion(label="benign", iou=iou, touched=iou > 0) for iou in (0.5, 0.49, 0.0))
    frames = [outlined(1, lesions=lesions), outlined(2, truth="malignant", iou=0.7)]
    figures = segmentation_figures(frames)
    assert [(figures.found[name].numerator, figures.found[name].denominator) for name in figures.found] == [
        (2, 4),
        (1, 3),
        (1, 1),
    ]
    assert figures.touched["benign"].numerator == 2


def test_alarms_on_normal_frames_are_counted_and_named() -> None:
    alarmed = normal(2, regions=2, false_regions=2, lesion_score=0.7)
    figures = segmentation_figures([outlined(1, regions=3, false_regions=2), alarmed, normal(3)])
    assert (figures.normals_without_region.numerator, figures.normals_without_region.denominator) == (1, 2)
    assert figures.false_regions_per_normal == 1.0 and figures.false_regions_per_frame_with_lesion == 2.0
    assert [frame.name for frame in figures.surest_false] == ["frame-2"]
    assert isinstance(figures.lesion_or_not, Roc) and figures.lesion_or_not.auc == 1.0


def test_the_worst_frames_come_first() -> None:
    figures = segmentation_figures([outlined(n, dice=dice) for n, dice in enumerate((0.9, 0.1, 0.5))], shown=2)
    assert [(frame.name, frame.value) for frame in figures.lowest_dice] == [("frame-1", 0.1), ("frame-2", 0.5)]


def test_without_normal_frames_and_without_lesions_figures_say_so() -> None:
    only = segmentation_figures([outlined(1), outlined(2)])
    for figure in (only.lesion_or_not, only.normals_without_region, only.false_regions_per_normal):
        assert isinstance(figure, NotDefined) and figure.reason == "there are no normal frames"
    none = segmentation_figures([normal(1)])
    assert none.lesion_or_not == NotDefined(reason="no frame has a lesion")
    assert none.long_axis_ratio == NotDefined(reason="no lesion was outlined")
    assert isinstance(none.dice["lesions"], NotDefined) and isinstance(none.found["lesions"], NotDefined)


def test_areas_are_those_of_the_frames_that_have_the_score() -> None:
    frames = [
        scored(0, positive=True, drawn=0.9),
        scored(1, positive=True, drawn=0.4, automatic=None),
        scored(2, positive=False, drawn=0.5),
        scored(3, positive=False, drawn=0.1),
    ]
    figures = figures_of(frames)
    assert {name: curve.auc for name, curve in figures.roc.items() if isinstance(curve, Roc)} == {
        AUTOMATIC: 1.0,
        AUTOMATIC_ALL: 0.5,
        DRAWN: 0.75,
    }
    assert figures.without_outline == 1 and (figures.frames, figures.positives) == (4, 2)
    measures = figures.measures[DRAWN]
    assert (measures.true_positive, measures.false_positive, measures.false_negative) == (1, 1, 1)


def test_scores_are_compared_on_the_frames_that_have_both() -> None:
    figures = figures_of(cohort())
    test = figures.tests[f"{AUTOMATIC} against {RADIOMICS}"]
    assert isinstance(test, DelongTest) and test.cases == 36
    auc = figures.roc[AUTOMATIC]
    assert isinstance(auc, Roc) and test.first_auc == pytest.approx(auc.auc)
    assert isinstance(figures.tests[f"{DRAWN} against {RADIOMICS}"], DelongTest)
    assert figures.tests[f"{DRAWN} against {CLINICAL}"] == NotDefined(reason="no frame has both scores")
    assert figures.roc[CLINICAL] == NotDefined(reason="no frame has this score")
    assert figures.by_fold[DRAWN].keys() == {"1", "2"}


def test_without_outlines_nothing_is_said_of_them() -> None:
    figures = figures_of(cohort(), with_outlines=False)
    assert figures.roc.keys() == {DRAWN, RADIOMICS, CLINICAL}
    assert figures.tests.keys() == {f"{DRAWN} against {RADIOMICS}", f"{DRAWN} against {CLINICAL}"}
    assert figures.without_outline == 0


def test_one_class_has_no_area_in_words_of_no_particular_class() -> None:
    frames = [scored(n, positive=True, drawn=0.5) for n in range(3)]
    figures = figures_of(frames, classes=("HER2-negative", "HER2-positive"))
    assert figures.roc[DRAWN] == NotDefined(reason="the frames that have this score are of one class")
    assert isinstance(figures.tests[f"{DRAWN} against {AUTOMATIC}"], NotDefined)
