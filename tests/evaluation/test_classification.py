"""The three levels by hand: who is counted, in which cell, with which score."""

from __future__ import annotations

import pytest

from models.evaluation.classification import (
    ALL,
    MATCHED,
    PAPER_SCOPE,
    WITH_LESION,
    breast_level,
    compare_with_second_opinion,
    image_level,
    lesion_level,
    second_opinion_level,
)
from models.evaluation.contract import Interval, NotDefined
from models.evaluation.proportions import Measures
from models.evaluation.roc import DelongTest, Roc
from tests.evaluation.cohort import ELSEWHERE, LESION, breast, cohort, image, prediction, truth


def four(found: Measures | NotDefined) -> tuple[int, int, int, int]:
    assert isinstance(found, Measures), found
    return found.true_positive, found.false_positive, found.false_negative, found.true_negative


def area(found: Roc | NotDefined) -> float:
    assert isinstance(found, Roc), found
    return found.auc


def test_an_image_is_malignant_by_one_malignant_box_at_the_operating_point() -> None:
    benign_box = prediction(0.9, label="benign", malignancy=0.1)
    level = image_level(
        [
            image("a", truth(), found=(benign_box, prediction(0.3, ELSEWHERE))),
            image("b", truth(), found=(benign_box, prediction(0.29))),
            image("c", truth("benign"), truth("malignant", ELSEWHERE)),
            image("d", truth("benign"), found=(prediction(0.8),)),
            image("e", truth("benign")),
            image("n", found=(prediction(0.5),)),
            image("m"),
        ],
        0.3,
    )
    assert level.confusion.rows == ("malignant", "benign", "no lesion")
    assert level.confusion.columns == ("malignant", "benign", "no box")
    assert level.confusion.counts == ((1, 1, 1), (1, 0, 1), (1, 0, 1))
    assert four(level.measures[WITH_LESION]) == (1, 1, 2, 1)
    assert four(level.measures[ALL]) == (1, 2, 2, 2)
    # malignancy 0.3, 0.29, 0 against 0.8, 0; and against 0.8, 0, 0.5, 0
    assert area(level.roc[WITH_LESION]) == pytest.approx((1 + 1 + 0.5) / 6)
    assert area(level.roc[ALL]) == pytest.approx((2 + 2 + 1) / 12)


def test_an_image_without_a_score_is_in_the_table_but_not_in_the_curve() -> None:
    images = [image("a", truth()), image("b", truth("benign")), image("c", truth(), image_malignancy=None)]
    level = image_level(images, 0.3)
    made = level.roc[WITH_LESION]
    assert isinstance(made, Roc)
    assert (made.positives, made.negatives, level.without_score) == (1, 1, 1)
    assert four(level.measures[WITH_LESION]) == (0, 0, 2, 1)


def test_images_that_are_all_benign_have_no_area() -> None:
    level = image_level([image("a", truth("benign")), image("b", truth("benign"))], 0.3)
    assert level.roc[WITH_LESION] == NotDefined(reason="all images with a lesion are benign")
    normal = image_level([image("n")], 0.3)
    assert normal.roc[ALL] == NotDefined(reason="all images are benign or without a lesion")
    assert normal.measures[WITH_LESION] == NotDefined(reason="there are no images with a lesion")


def test_the_second_opinion_has_two_answers_and_is_malignant_above_one_half() -> None:
    level = second_opinion_level(
        [
            image("a", truth(), second_opinion=0.51),
            image("b", truth(), second_opinion=0.5),
            image("c", truth("benign"), second_opinion=0.2),
            image("d", truth("benign")),
            image("n", second_opinion=0.9),
        ]
    )
    assert level.confusion.columns == ("malignant", "benign")
    assert level.confusion.counts == ((1, 1), (0, 1), (1, 0))
    assert four(level.measures[WITH_LESION]) == (1, 0, 1, 1)
    assert level.not_analysed == 1


def test_a_breast_is_scored_as_the_rule_says_and_one_not_analysed_is_in_no_figure() -> None:
    level = breast_level(
        [
            breast("malignant", "malignant", 0.8),
            breast("malignant", "no_calcification", None),
            breast("malignant", "not_analysed", None),
            breast("benign", "benign", 0.3),
            breast("benign", "benign", None),
            breast(None, "no_calcification", None),
            breast(None, "malignant", 0.4),
        ]
    )
    assert level.confusion.counts == ((1, 0, 1), (0, 2, 0), (1, 0, 1))
    assert four(level.measures[WITH_LESION]) == (1, 0, 1, 2)
    assert four(level.measures[ALL]) == (1, 1, 1, 3)
    assert (level.not_analysed, level.without_score) == (1, 1)
    # without calcification and probability a breast ranks last: 0.8 and 0 against 0.3
    assert area(level.roc[WITH_LESION]) == 0.5
    assert area(level.roc[ALL]) == pytest.approx((3 + 0.5) / 6)


def test_a_lesion_is_matched_to_the_box_of_highest_iou_not_of_highest_score() -> None:
    nearly = (LESION[0] + 2, LESION[1], LESION[2], LESION[3])
    loosely = (LESION[0], LESION[1], LESION[2] + 60, LESION[3] + 60)
    level = lesion_level(
        [
            image(
                "a",
                truth(),
                found=(
                    prediction(0.9, loosely, "benign", 0.1),
                    prediction(0.4, nearly, "malignant", 0.35),
                    prediction(0.2, LESION, "benign", 0.0),
                ),
            ),
            image("b", truth("benign"), found=(prediction(0.6, LESION, "benign", 0.2),)),
            image("c", truth("benign"), truth("malignant", ELSEWHERE), found=(prediction(0.7),)),
            image("n", found=(prediction(0.5, ELSEWHERE, "benign", 0.2), prediction(0.1))),
        ],
        0.3,
    )
    assert level.confusion.rows == ("malignant", "benign", "box on no lesion")
    assert level.confusion.columns == ("malignant", "benign", "missed")
    assert level.confusion.counts == ((1, 0, 1), (1, 1, 0), (0, 1, None))
    assert four(level.measures[MATCHED]) == (1, 1, 0, 1)
    assert four(level.measures[ALL]) == (1, 1, 1, 1)
    assert area(level.roc[MATCHED]) == 0.5  # 0.35 against 0.2 and 0.7
    assert level.without_score == 1


def test_of_two_boxes_with_the_same_iou_the_one_with_the_higher_score_counts() -> None:
    boxes = (prediction(0.5, label="benign", malignancy=0.1), prediction(0.8, label="malignant", malignancy=0.7))
    for found in (boxes, boxes[::-1]):
        level = lesion_level([image("a", truth(), found=found)], 0.3)
        assert level.confusion.counts[0] == (1, 0, 0)


def test_every_image_breast_and_lesion_is_in_one_cell() -> None:
    images, breasts = cohort()
    levels = [image_level(images, 0.3), second_opinion_level(images), breast_level(breasts)]
    for level, cases in zip(levels, (len(images), len(images), len(breasts)), strict=True):
        assert sum(count or 0 for row in level.confusion.counts for count in row) == cases
        assert sum(four(level.measures[ALL])) == cases
    lesions = lesion_level(images, 0.3)
    assert sum(count or 0 for row in lesions.confusion.counts[:2] for count in row) == sum(
        len(one.truths) for one in images
    )


def test_the_views_of_a_patient_are_one_cluster_in_the_interval_of_an_area() -> None:
    images, breasts = cohort()
    levels = (image_level(images, 0.3), second_opinion_level(images), lesion_level(images, 0.3), breast_level(breasts))
    areas = [level.roc[PAPER_SCOPE[level.name]] for level in levels]
    methods = [made.interval.method for made in areas if isinstance(made, Roc) and isinstance(made.interval, Interval)]
    assert methods == ["DeLong, by patient (Obuchowski), logit"] * 3 + ["DeLong, logit"]  # one breast a patient


def test_the_detector_is_compared_with_the_second_opinion_on_images_that_have_both() -> None:
    images, _ = cohort()
    made = compare_with_second_opinion([*images, image("more", truth()), image("normal", second_opinion=0.5)])
    assert isinstance(made, DelongTest)
    assert made.cases == sum(one.truth is not None for one in images)
    assert made.first_auc == pytest.approx(area(image_level(images, 0.3).roc[WITH_LESION]))
    assert made.second_auc == pytest.approx(area(second_opinion_level(images).roc[WITH_LESION]))
    assert made.difference > 0
    without = compare_with_second_opinion([image("a", truth())])
    assert without == NotDefined(reason="there are no images with a lesion and both scores")
