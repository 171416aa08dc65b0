"""Comparators are fitted to the folds that are not measured, and to nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluation.comparators import clinical_model, out_of_fold


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


def test_the_clinical_model_learns_from_three_numbers() -> None:
    rng = np.random.default_rng(0)
    positive = (np.arange(60) % 2 == 0).tolist()
    features = [
        np.array([rng.normal(55, 10), rng.integers(1, 4), 4.0 + wanted + rng.normal(0, 0.3)]) for wanted in positive
    ]
    scores = out_of_fold(clinical_model(1), features, positive, [number // 12 for number in range(60)])
    assert np.mean([score for score, wanted in zip(scores, positive, strict=True) if wanted]) > 0.5
    assert np.mean([score for score, wanted in zip(scores, positive, strict=True) if not wanted]) < -0.5
