"""An output set beside the truth of its frame: overlap, lesions found, regions on nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation.frames import ScoredFrame, evaluated, overlap
from models.lesions import SegmentationOutput
from models.training.frames import Clinical, FrameLesion, TrainingFrame
from models.us_segmentation.regions import box_of

SHAPE = (100, 140)


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def frame(*masks: np.ndarray, label: str = "benign") -> TrainingFrame:
    return TrainingFrame(
        name="frame",
        patient="p1",
        fold=2,
        pixels=np.zeros(SHAPE, dtype=np.float32),
        spacing_mm=None,
        lesions=tuple(FrameLesion(box_px=box_of(mask), mask=mask, label=label, her2=None) for mask in masks),  # type: ignore[arg-type]  # the two names
        clinical=Clinical(age=None, stage=None, birads=None),
    )


def output(*masks: np.ndarray, lesion_score: float = 0.8) -> SegmentationOutput:
    mask = np.logical_or.reduce([np.zeros(SHAPE, dtype=np.bool_), *masks])
    return SegmentationOutput(
        regions=(), lesion_score=lesion_score, mask=mask, probability=mask.astype(np.float32), device="cpu"
    )


def test_overlap_is_that_by_hand() -> None:
    assert overlap(box(0, 0, 10, 10), box(5, 0, 15, 10)) == (0.5, 1 / 3)
    assert overlap(box(0, 0, 10, 10), box(0, 0, 10, 10)) == (1.0, 1.0)
    assert overlap(box(0, 0, 10, 10), box(20, 0, 30, 10)) == (0.0, 0.0)


def test_a_frame_is_measured_as_a_whole_and_lesion_by_lesion() -> None:
    truth = frame(box(10, 10, 30, 30), box(80, 40, 100, 60))
    found = evaluated(truth, output(box(10, 10, 30, 25), box(110, 80, 120, 90)))
    assert (found.name, found.patient, found.fold, found.truth) == ("frame", "p1", 2, "benign")
    assert found.dice == pytest.approx(2 * 300 / (800 + 400)) and found.iou == pytest.approx(300 / 900)
    assert [(lesion.iou, lesion.touched) for lesion in found.lesions] == [(0.75, True), (0.0, False)]
    assert (found.regions, found.false_regions, found.lesion_score) == (2, 1, 0.8)


def test_one_region_over_two_lesions_finds_each_only_in_part() -> None:
    truth = frame(box(10, 10, 30, 30), box(30, 10, 40, 30) & False | box(50, 10, 70, 30))
    found = evaluated(truth, output(box(10, 10, 70, 30)))
    assert [lesion.iou for lesion in found.lesions] == [pytest.approx(1 / 3)] * 2
    assert found.false_regions == 0


def test_nothing_outlined_is_a_dice_of_0_and_no_axis() -> None:
    found = evaluated(frame(box(10, 10, 30, 30)), output())
    assert (found.dice, found.iou, found.regions, found.long_axis_ratio) == (0.0, 0.0, 0, None)


def test_a_normal_frame_has_no_dice_and_every_region_is_false() -> None:
    found = evaluated(frame(), output(box(0, 0, 5, 5), box(50, 50, 60, 60)))
    assert (found.dice, found.iou, found.truth, found.lesions) == (None, None, None, ())
    assert (found.regions, found.false_regions) == (2, 2)


def test_axes_are_those_of_the_largest() -> None:
    found = evaluated(frame(box(10, 10, 90, 20), box(0, 50, 4, 54)), output(box(10, 10, 50, 20)))
    assert found.long_axis_ratio == pytest.approx(0.5, abs=0.03)


def test_a_lesion_without_a_mask_and_an_output_of_another_frame_are_refused() -> None:
    truth = frame(box(10, 10, 30, 30))
    with pytest.raises(ValueError, match="a lesion has none"):
        evaluated(replace(truth, lesions=(replace(truth.lesions[0], mask=None),)), output())
    with pytest.raises(ValueError, match="of shape"):
        evaluated(replace(truth, pixels=np.zeros((5, 5), dtype=np.float32)), output())


def test_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        ScoredFrame(
            name="f",
            patient="p",
            fold=1,
            positive=True,
            automatic=None,
            drawn=float("nan"),
            radiomics=None,
            clinical=None,
        )
