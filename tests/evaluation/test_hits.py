"""Hit rules, each against boxes whose overlap and distance are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract import BoxPx
from models.evaluation.hits import CENTRE, HIT_RULES, IOU, RADIUS, as_boxes, iou, iou_rule

SQUARE: BoxPx = (0.0, 0.0, 10.0, 10.0)


def hit(rule_name: str, truth: BoxPx, prediction: BoxPx, spacing_mm: float = 0.2) -> bool:
    return bool(HIT_RULES[rule_name].hits([truth], [prediction], spacing_mm)[0, 0])


def at(x: float, y: float, half: float = 1.0) -> BoxPx:
    return (x - half, y - half, x + half, y + half)


def test_iou_is_the_shared_area_by_the_area_of_both() -> None:
    predictions: list[BoxPx] = [SQUARE, (5.0, 0.0, 15.0, 10.0), (10.0, 0.0, 20.0, 10.0), (2.0, 2.0, 4.0, 4.0)]
    assert iou(as_boxes([SQUARE]), as_boxes(predictions))[0] == pytest.approx([1.0, 50 / 150, 0.0, 4 / 100])


def test_the_iou_rule_takes_its_threshold_itself_as_a_hit() -> None:
    assert hit("iou", SQUARE, (0.0, 0.0, 10.0, 2.0))  # 20 / 100
    assert not hit("iou", SQUARE, (0.0, 0.0, 10.0, 1.9))


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1, float("nan")])
def test_an_iou_threshold_that_every_or_no_box_would_meet_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="IoU threshold"):
        iou_rule(threshold)


def test_the_centre_rule_wants_the_centre_of_the_prediction_in_the_truth_and_not_the_reverse() -> None:
    assert hit("centre", SQUARE, at(9.9, 0.1, half=30.0))
    assert hit("centre", SQUARE, at(10.0, 10.0))
    assert not hit("centre", SQUARE, at(10.1, 5.0, half=6.0))  # covers the centre of the truth


@pytest.mark.parametrize(
    ("side_px", "spacing_mm", "reach_mm"),
    [(20.0, 0.2, 6.0), (60.0, 0.2, 9.0), (20.0, 0.05, 6.0), (200.0, 0.1, 13.0)],
)
def test_the_radius_rule_reaches_the_radius_of_at_least_3_mm_and_3_mm_more(
    side_px: float, spacing_mm: float, reach_mm: float
) -> None:
    truth = (500.0, 500.0, 500.0 + side_px, 500.0 + side_px / 4)  # the longer side counts
    x, y = 500.0 + side_px / 2, 500.0 + side_px / 8
    along = reach_mm / spacing_mm * np.array([0.6, 0.8])
    for factor, expected in ((0.999, True), (1.001, False)):
        dx, dy = (along * factor).tolist()
        assert hit("radius", truth, at(x + dx, y - dy), spacing_mm) is expected


def test_at_mini_mias_spacing_the_radius_rule_is_its_rule_in_pixels() -> None:
    for radius_px in (5.0, 15.0, 40.0):
        reach_px = max(radius_px, 15.0) + 15.0
        truth = at(512.0, 512.0, half=radius_px)
        assert hit("radius", truth, at(512.0 + reach_px - 0.01, 512.0))
        assert not hit("radius", truth, at(512.0 + reach_px + 0.01, 512.0))


@pytest.mark.parametrize("rule", [IOU, CENTRE, RADIUS])
def test_without_truths_or_predictions_the_matrix_has_no_rows_or_columns(rule: object) -> None:
    assert isinstance(rule, type(IOU))
    assert rule.hits([], [SQUARE], 0.1).shape == (0, 1)
    assert rule.hits([SQUARE], [], 0.1).shape == (1, 0)


coordinates = st.floats(0, 500)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), coordinates, coordinates, st.floats(1, 99), st.floats(1, 99))


@given(truth=boxes, prediction=boxes, shift=st.floats(-50, 50))
def test_iou_is_symmetric_within_0_and_1_and_moves_with_the_boxes(
    truth: BoxPx, prediction: BoxPx, shift: float
) -> None:
    value = iou(as_boxes([truth]), as_boxes([prediction]))[0, 0]
    moved = iou(as_boxes([truth]) + shift, as_boxes([prediction]) + shift)[0, 0]
    assert 0.0 <= value <= 1.0 + 1e-9
    assert iou(as_boxes([prediction]), as_boxes([truth]))[0, 0] == pytest.approx(value)
    assert moved == pytest.approx(value, abs=1e-9)


@given(box=boxes, spacing_mm=st.floats(0.02, 0.5))
def test_a_prediction_that_is_the_truth_is_a_hit_by_every_rule(box: BoxPx, spacing_mm: float) -> None:
    assert all(rule.hits([box], [box], spacing_mm)[0, 0] for rule in HIT_RULES.values())
