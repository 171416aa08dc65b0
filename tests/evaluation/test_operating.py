"""Detection at the operating point, and the cases that a report names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.contract import NotDefined
from models.evaluation.hits import IOU
from models.evaluation.marks import marks_of
from models.evaluation.operating import SUREST, FalsePositive, MissedLesion, operating_point
from models.evaluation.proportions import Proportion
from tests.evaluation.cohort import ELSEWHERE, LESION, cohort, image, prediction, truth


def counts(found: Proportion | NotDefined) -> tuple[int, int]:
    assert isinstance(found, Proportion), found
    return found.numerator, found.denominator


def test_an_operating_point_by_hand() -> None:
    made = operating_point(
        [
            image("a", truth(), found=(prediction(0.5, label="benign"), prediction(0.9, ELSEWHERE))),
            image("b", truth("benign"), truth("malignant", ELSEWHERE), found=(prediction(0.49),)),
            image("n", found=(prediction(0.6), prediction(0.8, ELSEWHERE), prediction(0.4)), area_cm2=150.0),
            image("m", found=(prediction(0.1),), area_cm2=50.0),
        ],
        IOU,
        0.5,
    )
    assert counts(made.lesions_found) == (1, 3)
    assert counts(made.malignant_found) == (1, 2)
    assert counts(made.benign_found) == (0, 1)
    assert counts(made.normals_without_box) == (1, 2)
    assert made.false_positives_per_normal_image == 1.0
    assert made.false_positives_per_image_with_lesion == 0.5
    assert made.false_positives_per_100_cm2 == 1.0
    assert made.missed == (
        MissedLesion(image="b", label="benign", box_px=LESION, longer_side_mm=pytest.approx(4.0), best_score=0.49),
        MissedLesion(
            image="b", label="malignant", box_px=ELSEWHERE, longer_side_mm=pytest.approx(4.0), best_score=None
        ),
    )
    assert made.surest_false_positives == (
        FalsePositive(image="n", label="malignant", box_px=ELSEWHERE, score=0.8),
        FalsePositive(image="n", label="malignant", box_px=LESION, score=0.6),
    )


def test_what_an_operating_point_cannot_tell_it_gives_a_reason_for() -> None:
    normal = operating_point([image("n", area_cm2=100.0), image("m")], IOU, 0.5)
    assert normal.lesions_found == NotDefined(reason="no image has a lesion")
    assert normal.false_positives_per_100_cm2 == NotDefined(reason="not every normal image has its area")
    lesions = operating_point([image("a", truth())], IOU, 0.5)
    assert lesions.benign_found == NotDefined(reason="no lesion is benign")
    for figure in (
        lesions.normals_without_box,
        lesions.false_positives_per_normal_image,
        lesions.false_positives_per_100_cm2,
    ):
        assert figure == NotDefined(reason="there are no normal images")


def test_only_the_surest_false_positives_are_named() -> None:
    found = tuple(prediction(number / 100) for number in range(50))
    named = operating_point([image("n", found=found)], IOU, 0.1).surest_false_positives
    assert [one.score for one in named] == [number / 100 for number in range(49, 49 - SUREST, -1)]


@given(threshold=st.floats(0, 1))
def test_an_operating_point_agrees_with_the_marks_of_the_curve(threshold: float) -> None:
    images, _ = cohort(patients=10, normals=10)
    made, marks = operating_point(images, IOU, threshold), marks_of(images, IOU)
    assert counts(made.lesions_found) == (int((marks.lesion_score >= threshold).sum()), len(marks.lesion_score))
    false = (marks.false_score >= threshold) & marks.normal[marks.false_image]
    assert made.false_positives_per_normal_image == pytest.approx(false.sum() / marks.normal.sum())
    assert len(made.missed) == int((marks.lesion_score < threshold).sum())
