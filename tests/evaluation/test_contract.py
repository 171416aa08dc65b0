"""What an evaluation does not take: boxes inside out, probabilities that are none."""

from __future__ import annotations

from typing import Any

import pytest

from models.contract import BoxPx
from tests.evaluation.cohort import ELSEWHERE, breast, image, prediction, truth

NAN = float("nan")


@pytest.mark.parametrize("box_px", [(10, 0, 0, 10), (0, 10, 10, 0), (0, 0, NAN, 10), (0, 0, float("inf"), 10)])
def test_a_box_inside_out_or_without_end_is_refused(box_px: BoxPx) -> None:
    with pytest.raises(ValueError, match="predicted box"):
        prediction(0.5, box_px)
    with pytest.raises(ValueError, match="truth box"):
        image("a", truth(box_px=box_px))


def test_a_truth_without_area_is_refused_and_a_predicted_point_is_not() -> None:
    assert prediction(0.5, (5, 5, 5, 5)).box_px == (5, 5, 5, 5)
    with pytest.raises(ValueError, match="truth box"):
        image("a", truth(box_px=(5, 5, 5, 6)))


@pytest.mark.parametrize("value", [-0.01, 1.01, NAN])
def test_a_probability_outside_0_to_1_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="score"):
        prediction(value, malignancy=0.5)
    with pytest.raises(ValueError, match="malignancy"):
        prediction(0.5, malignancy=value)
    with pytest.raises(ValueError, match="second_opinion"):
        image("a", second_opinion=value)
    with pytest.raises(ValueError, match="probability"):
        breast("benign", "benign", value)


@pytest.mark.parametrize("changed", [{"spacing_mm": 0.0}, {"spacing_mm": NAN}, {"area_cm2": -1.0}])
def test_a_spacing_or_an_area_that_is_not_positive_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is positive"):
        image("a", **changed)


def test_an_image_is_malignant_when_one_of_its_lesions_is() -> None:
    assert image("a", truth("benign"), truth("malignant", ELSEWHERE)).truth == "malignant"
    assert image("a", truth("benign")).truth == "benign"
    assert image("a").truth is None
