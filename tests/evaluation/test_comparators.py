"""Comparators are fitted to the folds that are not measured, and to nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.evaluation.comparators import SELECTED, TREES, clinical_model, out_of_fold, radiomics_model
from models.evaluation.radiomics import FEATURES, RadiomicsExtractor, available


class Recorder:
    """Remembers what it was fitted to; its score is the sum of the features."""

    def __init__(self) -> None:
        self.fitted: list[list[float]] = []

    def fit(self, features: Any, positive: Any) -> None:
        self.fitted.append(sorted(features[:, 0].tolist()))

    def decision_function(self, features: Any) -> Any:
        return features.sum(axis=1)


def test_no_case_is_scored_by_a_model_that_has_seen_its_fold() -> None:
    features = [np.array([float(number), 1.0]) for number in range(6)]
    recorder = Recorder()
    scores = out_of_fold(recorder, features, [True, False] * 3, [1, 1, 2, 2, 3, 3])
    assert recorder.fitted == [[2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 3]]
    assert scores == [1, 2, 3, 4, 5, 6]


def test_cases_without_features_are_neither_learned_from_nor_scored() -> None:
    features = [np.array([0.0]), None, np.array([2.0]), np.array([3.0])]
    recorder = Recorder()
    assert out_of_fold(recorder, features, [True, False, False, True], [1, 1, 2, 2])[1] is None
    assert recorder.fitted == [[2, 3]]  # without fold 2 only one class is left: nothing is fitted, nothing scored
    assert out_of_fold(recorder, [None, None], [True, False], [1, 2]) == [None, None]


def test_radiomics_selects_six_features_and_grows_90_trees() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(40) % 2 == 0
    features = rng.normal(size=(40, 20))
    features[:, 3] += 3 * positive
    features[5, 7] = np.nan
    model = radiomics_model(1)
    model.set_params(rfe__estimator__n_estimators=10, randomforestclassifier__n_estimators=TREES, rfe__step=0.3)
    model.fit(features, positive)
    support = model.named_steps["rfe"].support_
    assert support.sum() == SELECTED == 6 and support[3]
    assert len(model.named_steps["randomforestclassifier"].estimators_) == TREES == 90


def test_the_clinical_model_learns_from_three_numbers() -> None:
    rng = np.random.default_rng(0)
    positive = (np.arange(60) % 2 == 0).tolist()
    features = [
        np.array([rng.normal(55, 10), rng.integers(1, 4), 4.0 + wanted + rng.normal(0, 0.3)]) for wanted in positive
    ]
    scores = out_of_fold(clinical_model(1), features, positive, [number // 12 for number in range(60)])
    assert np.mean([score for score, wanted in zip(scores, positive, strict=True) if wanted]) > 0.5
    assert np.mean([score for score, wanted in zip(scores, positive, strict=True) if not wanted]) < -0.5


@pytest.mark.skipif(not available(), reason="pyradiomics is not installed")
def test_a_lesion_has_961_features() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    mask = (y - 40) ** 2 + (x - 60) ** 2 <= 20**2
    pixels = np.clip(rng.normal(0.4, 0.1, size=mask.shape), 0, 1).astype(np.float32)
    extractor = RadiomicsExtractor()
    found = extractor.features(pixels, mask)
    assert found is not None and found.shape == (FEATURES,) == (961,)
    assert np.isfinite(found).mean() > 0.99
    again = extractor.features(pixels, mask)
    assert again is not None and np.array_equal(found, again, equal_nan=True)
    assert extractor.features(pixels, mask & (x == 60)) is None
